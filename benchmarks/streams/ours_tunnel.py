"""A CONNECT proxy as a user writes it: `forward_connect`, which is `tunnel` on both ways."""

from __future__ import annotations

import trio

import trio_nodehttp as http


async def main() -> None:
    """Serve for ever."""
    server = http.create_server()
    server.on("connect", http.forward_connect)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.listen, 0, "127.0.0.1")
        assert isinstance(server.address, tuple)
        print(server.address[1], flush=True)


trio.run(main)
