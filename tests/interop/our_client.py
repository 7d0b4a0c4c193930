"""Our client as a child process: move bytes, then say how many and at what cost.

`python -m tests.interop.our_client SETTINGS`, where the JSON settings are the
``url`` of a server with the handlers of handlers.py and how many ``chunks`` of
64 KiB to move. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator

import trio

import trio_nodehttp as http
from tests.interop import handlers, peers


async def send(count: int) -> AsyncIterator[bytes]:
    """Give chunks to upload."""
    for _ in range(count):
        yield handlers.BIG_CHUNK


async def upload(url: str, agent: http.Agent, count: int) -> int:
    """Upload chunks; returns how many bytes the server counted."""
    async with http.request(f"{url}/sink", method="POST", agent=agent, body=send(count)) as request:
        response = await request.get_response()
        return int(await response.text())


async def download(url: str, agent: http.Agent, count: int) -> int:
    """Download chunks; returns how many bytes came."""
    size = 0
    async with http.get(f"{url}/stream/{count}", agent=agent) as response:
        async for chunk in response:
            size += len(chunk)
    return size


async def main(url: str, chunks: int) -> None:
    """Move a little to warm up, then all of it each way."""
    async with http.Agent(keep_alive=True) as agent:
        await upload(url, agent, 16)
        await download(url, agent, 16)
        before = peers.memory_peak(os.getpid())
        sent = await upload(url, agent, chunks)
        received = await download(url, agent, chunks)
        told = {
            "sent": sent,
            "received": received,
            "growth": peers.memory_peak(os.getpid()) - before,
        }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    trio.run(main, settings["url"], settings["chunks"])
