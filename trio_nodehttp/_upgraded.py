"""The raw stream behind an upgrade or a CONNECT: early bytes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from ._transport import Socket


class UpgradedStream(trio.abc.HalfCloseableStream):
    """A connection after HTTP (RFC 9110 sections 7.8 and 9.3.6).

    The bytes that came together with the head are received first, once.

    Attributes:
        head: Those bytes, to look at (Node: ``head``).
        socket: The socket below.
    """

    __slots__ = ("_closed", "_early", "_on_close", "head", "socket")

    def __init__(
        self, socket: Socket, early: bytes, on_close: Callable[[], object] | None = None
    ) -> None:
        self.socket = socket
        self.head = early
        self._early = early
        self._closed = False
        self._on_close = on_close

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive some bytes; ``b""`` when the peer has ended its side.

        Raises:
            SocketHangUpError: The connection broke.
            trio.ClosedResourceError: ``aclose`` was called.

        A cancelled call has received nothing.
        """
        if self._closed:
            raise trio.ClosedResourceError("this stream is closed")
        if self._early:
            await trio.lowlevel.checkpoint()
            size = len(self._early) if max_bytes is None else max_bytes
            data, self._early = self._early[:size], self._early[size:]
            return data
        return await self.socket.receive(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all the bytes.

        Raises:
            SocketHangUpError: The connection broke.
            trio.ClosedResourceError: ``aclose`` was called.

        A cancelled call has sent an unknown part: the stream can only be closed.
        """
        if self._closed:
            raise trio.ClosedResourceError("this stream is closed")
        await self.socket.send(data if type(data) is bytes else bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until ``send_all`` might not block. A cancelled call changes nothing."""
        if self._closed:
            raise trio.ClosedResourceError("this stream is closed")
        await self.socket.wait_writable()

    async def send_eof(self) -> None:
        """End our side; the peer may go on sending. Without effect over TLS.

        Raises:
            SocketHangUpError: The connection broke.

        A cancelled call may or may not have ended it.
        """
        await self.socket.send_eof()
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close both sides; also when cancelled the socket is closed."""
        if not self._closed:
            self._closed = True
            try:
                await self.socket.aclose()
            finally:
                self.socket.destroy()
                if self._on_close is not None:
                    self._on_close()
        await trio.lowlevel.checkpoint()

    def destroy(self, error: BaseException | None = None) -> None:
        """Close at once, without waiting for anything."""
        self._closed = True
        self.socket.destroy(error)
        if self._on_close is not None:
            self._on_close()

    def __repr__(self) -> str:
        return f"<UpgradedStream {self.socket!r} early={len(self._early)}>"


class Upgraded:
    """What a client gets from ``upgrade()`` and ``connect()``.

    Attributes:
        response: The response head that opened the stream.
        stream: The raw stream.
    """

    __slots__ = ("response", "stream")

    def __init__(self, response: Any, stream: UpgradedStream) -> None:
        self.response = response
        self.stream = stream

    def __iter__(self) -> Any:
        """Allow ``response, stream = await request.upgrade()``."""
        return iter((self.response, self.stream))

    def __repr__(self) -> str:
        return f"<Upgraded {self.response!r} {self.stream!r}>"
