"""Trio's low-level sockets and no parser: what Trio itself costs."""

from __future__ import annotations

import trio

from benchmarks.servers import CANNED, announce, listening_socket


async def serve(sock: trio.socket.SocketType) -> None:
    """One canned answer for each piece that ends a head."""
    with sock:
        while True:
            try:
                data = await sock.recv(65536)
            except OSError:
                return
            if not data:
                return
            # A few hundred bytes never meet a full buffer on loopback.
            await sock.send(CANNED * data.count(b"\r\n\r\n"))


async def main() -> None:
    """Serve until killed."""
    plain = listening_socket()
    announce(plain)
    listener = trio.socket.from_stdlib_socket(plain)
    async with trio.open_nursery() as nursery:
        while True:
            sock, _ = await listener.accept()
            nursery.start_soon(serve, sock)


trio.run(main)
