"""A Trio stream and no parser: what Trio's streams cost."""

from __future__ import annotations

import trio

from benchmarks.servers import CANNED, announce, listening_socket


async def serve(stream: trio.SocketStream) -> None:
    """One canned answer for each piece that ends a head."""
    while True:
        try:
            data = await stream.receive_some()
        except trio.BrokenResourceError:
            return
        if not data:
            return
        await stream.send_all(CANNED * data.count(b"\r\n\r\n"))


async def main() -> None:
    """Serve until killed."""
    sock = listening_socket()
    announce(sock)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    await trio.serve_listeners(serve, [listener])


trio.run(main)
