"""The base of all ratios: the least that serves HTTP with h11 on Trio."""

from __future__ import annotations

import time
from email.utils import formatdate

import h11
import trio

from benchmarks.servers import BODY, announce, listening_socket

FIXED = [(b"Content-Type", b"text/plain"), (b"Content-Length", b"13")]


class Clock:
    """The Date header, formatted once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._header = (b"Date", b"")

    def header(self) -> tuple[bytes, bytes]:
        """Name and value for now."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._header = (b"Date", formatdate(second, usegmt=True).encode())
        return self._header


CLOCK = Clock()


async def serve(stream: trio.SocketStream) -> None:
    """One connection, request after request."""
    conn = h11.Connection(h11.SERVER)
    while True:
        event = conn.next_event()
        if event is h11.NEED_DATA:
            try:
                conn.receive_data(await stream.receive_some())
            except trio.BrokenResourceError:
                return
        elif type(event) is h11.EndOfMessage:
            await stream.send_all(respond(conn))
            conn.start_next_cycle()
        elif type(event) is h11.ConnectionClosed:
            return


def respond(conn: h11.Connection) -> bytes:
    """The whole answer, to be sent in one piece."""
    head = h11.Response(status_code=200, headers=[*FIXED, CLOCK.header()])
    return conn.send(head) + conn.send(h11.Data(data=BODY)) + conn.send(h11.EndOfMessage())


async def main() -> None:
    """Serve until killed."""
    sock = listening_socket()
    announce(sock)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    await trio.serve_listeners(serve, [listener])


trio.run(main)
