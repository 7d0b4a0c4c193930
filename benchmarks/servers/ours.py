"""trio_nodehttp as a user writes it."""

from __future__ import annotations

from urllib.parse import urlsplit

import trio

import trio_nodehttp as http
from benchmarks.servers import BODY


async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    """Answer anything alike."""
    del request
    await response.write_head(200, {"Content-Type": "text/plain"}).end(BODY)


async def main() -> None:
    """Serve until killed."""
    async with trio.open_nursery() as nursery:
        server = http.create_server(handler)
        await nursery.start(server.listen, 0, "127.0.0.1")
        print(urlsplit(server.url).port, flush=True)


trio.run(main)
