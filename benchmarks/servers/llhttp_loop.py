"""As the h11 loop, over llhttp: what another parser would give."""

from __future__ import annotations

import httptools
import trio

from benchmarks.servers import CANNED, announce, listening_socket


class Counter:
    """Parser callbacks; keeps what a server must know of a head."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.complete = 0

    def on_message_begin(self) -> None:
        """Another request starts."""
        self.headers = []

    def on_url(self, url: bytes) -> None:
        """Its target."""
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self.headers.append((name, value))

    def on_message_complete(self) -> None:
        """One request is whole."""
        self.complete += 1


async def serve(stream: trio.SocketStream) -> None:
    """One connection, request after request."""
    counter = Counter()
    parser = httptools.HttpRequestParser(counter)
    while True:
        try:
            data = await stream.receive_some()
        except trio.BrokenResourceError:
            return
        if not data:
            return
        parser.feed_data(data)
        if counter.complete:
            await stream.send_all(CANNED * counter.complete)
            counter.complete = 0


async def main() -> None:
    """Serve until killed."""
    sock = listening_socket()
    announce(sock)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    await trio.serve_listeners(serve, [listener])


trio.run(main)
