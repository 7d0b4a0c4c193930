"""trio_nodehttp as a user writes it."""

from __future__ import annotations

from urllib.parse import urlsplit

import trio

import trio_nodehttp as http
from benchmarks.streams import BLOCK, from_target


async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    """Send as many bytes as the path says, or answer with the size of the body."""
    job = from_target(request.method, request.url)
    if job.upload:
        count = 0
        while data := await request.receive_some():
            count += len(data)
        await response.end(str(count))
        return
    response.write_head(200, job.headers)
    for _ in job.blocks:
        await response.write(BLOCK)
    await response.end()


async def main() -> None:
    """Serve until killed."""
    async with trio.open_nursery() as nursery:
        server = http.create_server(handler)
        await nursery.start(server.listen, 0, "127.0.0.1")
        print(urlsplit(server.url).port, flush=True)


trio.run(main)
