"""The raw stream behind an upgrade or a CONNECT: early bytes first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from ._errors import HTTPError, InvalidArgValueError, StreamDestroyedError
from ._facts import is_half_closeable
from ._transport import HIGH_WATER_MARK, Socket


class UpgradedStream(trio.abc.HalfCloseableStream):
    """A connection after HTTP (RFC 9110 sections 7.8 and 9.3.6).

    The bytes that came together with the head are received first, once. Where the
    request has a body, the first receive discards what was not read of that.

    Attributes:
        draining: ``Server.draining``, set once the server is to stop; None on a
            client's stream.
        head: Those bytes, to look at (Node: ``head``); behind a body they are known
            from the first receive on.
        socket: The socket below.
    """

    __slots__ = (
        "_before",
        "_closed",
        "_early",
        "_ended",
        "_on_close",
        "draining",
        "head",
        "socket",
    )

    def __init__(
        self,
        socket: Socket,
        early: bytes,
        on_close: Callable[[], object] | None = None,
        *,
        before: Callable[[], Awaitable[bytes]] | None = None,
        draining: trio.Event | None = None,
    ) -> None:
        self.draining = draining
        self.socket = socket
        self.head = early
        self._early = early
        self._before = before  # reads up to our first byte, and gives what it has beyond
        self._closed = False
        self._ended = False
        self._on_close = on_close

    @property
    def half_closeable(self) -> bool:
        """``send_eof`` tells the peer; over TLS, and some streams of others, it cannot."""
        return is_half_closeable(self.socket.stream)

    @property
    def transport_stream(self) -> trio.abc.Stream:
        """The stream below, under the name that ``trio.SSLStream`` has for it.

        Whoever gets this stream, a server for instance, finds the addresses there.
        """
        return self.socket.stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive some bytes; ``b""`` when the peer has ended its side.

        Args:
            max_bytes: At most so many; None leaves the choice to us.

        Raises:
            SocketHangUpError: The connection broke.
            SocketTimeoutError: Silence ended it, see ``socket.set_timeout``.
            StreamDestroyedError: The stream was closed, perhaps meanwhile; it is a
                ``trio.ClosedResourceError``.
            ParseError: The framing of the request's body is wrong.
            RequestTimeoutError: That body made no progress.
            trio.BusyResourceError: Another task is receiving.
            InvalidArgValueError: ``max_bytes`` is less than 1.

        A cancelled call has received nothing.
        """
        if max_bytes is not None and max_bytes < 1:
            raise InvalidArgValueError(f"max_bytes must be at least 1, not {max_bytes!r}")
        self._check_open()
        try:
            if self._before is not None:
                self.head = self._early = await self._before()
                self._before = None
            if self._early:
                await trio.lowlevel.checkpoint_if_cancelled()
                size = len(self._early) if max_bytes is None else max_bytes
                data, self._early = self._early[:size], self._early[size:]
                await trio.lowlevel.cancel_shielded_checkpoint()
                return data
            return await self.socket.receive(max_bytes)
        except HTTPError as error:
            self._check_open(error)
            raise

    async def _departure(self) -> None:
        """Wait until the peer has left; what it sends is kept for ``receive_some``.

        One that ended its side has left, unless it had said something before: it may
        wait for the answer to that. A cancelled call has lost nothing.

        Raises:
            SocketHangUpError: The connection broke.
        """
        while len(self._early) < HIGH_WATER_MARK:
            data = await self.socket.receive()
            if data:
                self._early += data
            elif self._early:
                break
            else:
                return
        await trio.sleep_forever()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all the bytes.

        Raises:
            SocketHangUpError: The connection broke.
            SocketTimeoutError: Silence ended it, see ``socket.set_timeout``.
            StreamDestroyedError: The stream was closed, perhaps meanwhile, or
                ``send_eof`` was called; it is a ``trio.ClosedResourceError``.
            trio.BusyResourceError: Another task is sending.

        A cancelled call has sent an unknown part: the stream can only be closed.
        """
        self._check_open()
        if self._ended:
            raise StreamDestroyedError("this stream has sent its end")
        try:
            await self.socket.send(data if type(data) is bytes else bytes(data))
        except HTTPError as error:
            self._check_open(error)
            raise

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until ``send_all`` might not block. A cancelled call changes nothing.

        Raises what ``send_all`` does.
        """
        self._check_open()
        if self._ended:
            raise StreamDestroyedError("this stream has sent its end")
        try:
            await self.socket.wait_writable()
        except HTTPError as error:
            self._check_open(error)
            raise

    async def send_eof(self) -> None:
        """End our side; the peer may go on sending. See ``half_closeable``.

        Raises:
            SocketHangUpError: The connection broke.
            StreamDestroyedError: The stream was closed.
            trio.BusyResourceError: Another task is sending.

        A cancelled call may or may not have ended it.
        """
        self._check_open()
        try:
            await self.socket.send_eof()
        except HTTPError as error:
            self._check_open(error)
            raise
        self._ended = True
        await trio.lowlevel.checkpoint()

    def _check_open(self, cause: BaseException | None = None) -> None:
        if self._closed:
            raise StreamDestroyedError("this stream is closed") from cause

    async def aclose(self) -> None:
        """Close both sides; also when cancelled the socket is closed."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        try:
            await self.socket.aclose()
        finally:
            self.destroy()

    def destroy(self, error: BaseException | None = None) -> None:
        """Close at once, without waiting for anything.

        Args:
            error: Why; told to observers of the socket's ``error``.
        """
        self._closed = True
        self.socket.destroy(error)
        hook, self._on_close = self._on_close, None
        if hook is not None:
            hook()

    def close_now(self) -> None:
        """Close at once: ``destroy`` for a ``Socket`` that is made of this stream."""
        self.destroy()

    def __repr__(self) -> str:
        return f"<UpgradedStream {self.socket!r} early={len(self._early)}>"
