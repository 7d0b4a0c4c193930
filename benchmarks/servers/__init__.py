"""Servers that take part. Each prints its port, then serves until killed.

All answer every GET with 200, ``Content-Type: text/plain`` and 13 bytes.
"""

from __future__ import annotations

import socket

BODY = b"Hello, world!"

#: What the loops without a parser send; the date is as long as a true one.
CANNED = (
    b"HTTP/1.1 200 OK\r\n"
    b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    b"Content-Type: text/plain\r\n"
    b"Content-Length: 13\r\n"
    b"\r\n" + BODY
)


def listening_socket() -> socket.socket:
    """A socket that listens on a free port of the loopback interface."""
    # asyncio turns Nagle off only where the protocol is named.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    sock.setblocking(False)
    return sock


def announce(sock: socket.socket) -> None:
    """Tell the parent where to connect."""
    print(sock.getsockname()[1], flush=True)
