"""trio_nodehttp as a user writes it."""

from __future__ import annotations

import trio

import trio_nodehttp as http
from benchmarks.streams import BLOCK, Job, jobs


async def upload(agent: http.Agent, job: Job) -> int:
    """Send the body; returns its size."""
    url = f"http://127.0.0.1:{job.port}/"
    sent = 0
    async with http.request(url, method="POST", headers=job.headers, agent=agent) as request:
        for _ in job.blocks:
            await request.write(BLOCK)
            sent += len(BLOCK)
        await request.end()
        await (await request.get_response()).read()
    return sent


async def download(agent: http.Agent, job: Job) -> int:
    """Read to the end; returns the size of the body."""
    count = 0
    async with http.get(f"http://127.0.0.1:{job.port}/", agent=agent) as response:
        while data := await response.receive_some():
            count += len(data)
    return count


async def main() -> None:
    """Do what the parent asks for."""
    async with http.Agent() as agent:
        for job in jobs():
            size = await (upload if job.upload else download)(agent, job)
            print(size, flush=True)


trio.run(main)
