"""One socket and one codec: messages in, bytes out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from ._errors import AbortedError, HTTPError, ParseError, SocketHangUpError
from ._sansio.codec import Codec
from ._sansio.events import ResponseHead
from ._transport import Socket

MAX_READ: Final = 1 << 20


class Connection:
    """Reads the messages of one socket; the only place where it is read.

    Attributes:
        socket: The socket.
        codec: The codec.
        body_bytes: Body bytes of the current message that were read.
        fault: What the peer did wrong in a body, or None.
        receive_body: How body bytes are received; the owner may set a limit there.
    """

    __slots__ = ("_receiving", "body_bytes", "codec", "fault", "receive_body", "socket")

    def __init__(self, socket: Socket, codec: Codec) -> None:
        self.socket = socket
        self.codec = codec
        self.body_bytes = 0
        self.fault: HTTPError | None = None
        self.receive_body: Callable[[], Awaitable[bytes]] = socket.receive
        self._receiving = False

    async def read_response(self, method: str) -> ResponseHead:
        """Read the next response head, which may be an informational one.

        Args:
            method: The method of the request.

        Raises:
            ParseError: The bytes are no response.
            SocketHangUpError: The connection ended before the head did.

        A cancelled call can be repeated.
        """
        codec = self.codec
        while True:
            head = codec.read_response(method)
            if head is not None:
                return head
            if codec.eof:
                raise SocketHangUpError("socket hang up")
            codec.feed(await self.socket.receive())

    async def read_body(self, max_bytes: int | None) -> bytes:
        """Read some of the body; ``b""`` is its end.

        Args:
            max_bytes: At most so many.

        Raises:
            AbortedError: The connection ended before the body did.
            ParseError: The framing is wrong.
            SocketHangUpError: The connection broke.
            trio.BusyResourceError: Another task is reading it.

        A cancelled call has read nothing.
        """
        codec = self.codec
        limit = MAX_READ if max_bytes is None else max_bytes
        while True:
            try:
                data = codec.read_body(limit)
            except ParseError as error:
                self.fault = error
                if error.code == "HPE_INVALID_EOF_STATE":
                    raise AbortedError("aborted") from error
                raise
            if data is not None:
                self.body_bytes += len(data)
                return data
            if self._receiving:
                raise trio.BusyResourceError("another task is reading this message")
            self._receiving = True
            try:
                codec.feed(await self.receive_body())
            finally:
                self._receiving = False

    def __repr__(self) -> str:
        return f"<Connection {self.socket!r} buffered={self.codec.buffered}>"
