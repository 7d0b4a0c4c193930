"""A message that leaves: a response on the server, a request on the client."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any, Final, TypeVar

import trio

from ._encodings import to_bytes
from ._errors import (
    BodyNotAllowedError,
    ContentLengthMismatchError,
    HTTPError,
    MethodNotImplementedError,
    SocketHangUpError,
    StreamDestroyedError,
    TrailerInvalidError,
    WriteAfterEndError,
)
from ._fields import OutgoingFields
from ._sansio.framing import Shape, encode_chunk, encode_last_chunk
from ._transport import HIGH_WATER_MARK, Socket

Self = TypeVar("Self", bound="OutgoingMessage")

_NO_BYTES: Final = b""
_dates: Final[dict[int, str]] = {}  # the current second's, once it was asked for


def http_date() -> str:
    """Write the current time as a Date header has it (RFC 9110 section 5.6.7)."""
    now = int(time.time())
    date = _dates.get(now)
    if date is None:
        _dates.clear()
        date = _dates[now] = formatdate(now, usegmt=True)
    return date


class OutgoingMessage(trio.abc.SendStream, OutgoingFields):
    """A message to send (Node: ``http.OutgoingMessage``).

    A ``trio.abc.SendStream`` of the body: ``send_all`` is ``write``, ``aclose`` is
    ``end``. ``write`` waits until the stream below has taken the bytes, so there is
    never a ``drain`` to wait for.

    Attributes:
        destroyed: ``destroy`` was called.
        closed: Nothing more will happen to this message.
        errored: The error that destroyed it, or None.
        send_date: Send a Date header.
        strict_content_length: Refuse to send more or fewer bytes than declared.
        writable_ended: ``end`` was called.
        writable_finished: Everything was handed to the stream below.
        writable_corked: How often ``cork`` was called and not undone.
        writable: Always True, as in Node, for the sake of old code.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_body_sent",
        "_head",
        "_held",
        "_socket",
        "closed",
        "destroyed",
        "errored",
        "writable_corked",
        "writable_ended",
        "writable_finished",
    )

    EVENTS = frozenset({"finish", "prefinish", "close", "error", "drain", "timeout"})

    send_date = False
    strict_content_length = False
    reject_non_standard_body_writes = False
    writable = True
    writable_object_mode = False

    def __init__(self, shape: Shape | None = None) -> None:
        self._observers = None
        self._shape = shape or Shape(default_chunked=True, keep_alive=True)
        self._headers = None
        self._trailers = None
        self._socket: Socket | None = None
        self._head = _NO_BYTES  # rendered and not yet sent
        self._rendered = False
        self._held: list[bytes] | None = None  # corked bytes
        self._body_sent = 0
        self.destroyed = False
        self.closed = False
        self.errored: BaseException | None = None
        self.writable_ended = False
        self.writable_finished = False
        self.writable_corked = 0

    # --- what a subclass brings ------------------------------------------------------

    def _render_head(self) -> bytes:
        """Plan the framing and write the head; the subclass knows its start line."""
        raise MethodNotImplementedError("The _render_head() method is not implemented")

    async def _transmit(self, data: bytes) -> bool:
        """Send bytes below; False when they are no longer wanted, or pile up."""
        socket = self._socket
        if socket is None:
            # They wait for the socket, like those behind a cork.
            self._held = [data]
            await trio.lowlevel.checkpoint()
            return len(data) < HIGH_WATER_MARK
        try:
            await socket.send(data)
        except trio.BusyResourceError:
            raise
        except BaseException as error:
            # A part may have left: more behind it would be taken for something else.
            self.destroy(error if isinstance(error, HTTPError) else None)
            raise
        return True

    def _finished(self) -> None:
        """Everything was handed to the stream below."""

    # --- the body ----------------------------------------------------------------------

    def _settle_head(self, *, body: bool = False) -> None:
        """Render the head, if that has not happened."""
        del body
        if not self._rendered:
            self._head = self._render_head()
            self._rendered = True

    def _check_trailer(self, *, noted: bool) -> None:
        if noted and not self._shape.chunked and self._shape.has_body:
            raise TrailerInvalidError("Trailers are invalid with this transfer encoding")

    async def write(self, chunk: Any, encoding: str = "utf-8") -> bool:
        """Send a piece of the body; the first one takes the head along.

        Args:
            chunk: Bytes or text.
            encoding: How text is encoded; ``hex`` and ``base64`` are decoded to bytes.

        Returns:
            True; on the client False once the final response is here and wants no more:
            it is no 2xx, or is whole, or ends with the connection. Then nothing was
            sent, and nothing more will be (RFC 9112 section 9.5). Without a socket the
            bytes are kept, and False says that they are as many as
            ``writable_high_water_mark``.

        Raises:
            InvalidArgTypeError: ``chunk`` is neither bytes nor text; the message is
                as it was.
            InvalidArgValueError: There is no such encoding, or ``chunk`` does not fit.
            WriteAfterEndError: ``end`` was called before.
            StreamDestroyedError: The message was destroyed.
            BodyNotAllowedError: This message has no body, and
                ``reject_non_standard_body_writes`` is set.
            ContentLengthMismatchError: More than declared, and
                ``strict_content_length`` is set.
            SocketHangUpError: The peer has gone; the message is destroyed.
            MethodNotImplementedError: This class writes no head of its own.
            trio.BusyResourceError: Another task is writing this message.

        A cancelled call may have sent a part: the message is destroyed.
        """
        data = to_bytes("chunk", chunk, encoding)
        self._check_writable()
        self._settle_head(body=bool(data))
        return await self._pass_on(self._frame(data))

    def _check_writable(self) -> None:
        if self.writable_ended:
            raise WriteAfterEndError("write after end")
        if self.destroyed:
            if isinstance(self.errored, SocketHangUpError):
                raise SocketHangUpError(str(self.errored))
            raise StreamDestroyedError("Cannot call write after a stream was destroyed")

    def _frame(self, data: bytes) -> bytes:
        shape = self._shape
        if not shape.has_body:
            if data and self.reject_non_standard_body_writes:
                raise BodyNotAllowedError(
                    "Adding content for this request method or response status is not allowed."
                )
            return _NO_BYTES
        if shape.declared and self.strict_content_length:
            self._check_length(self._body_sent + len(data), at_end=False)
        self._body_sent += len(data)
        if shape.chunked and data:
            return encode_chunk(data)
        return data

    def _check_length(self, size: int, *, at_end: bool) -> None:
        declared = self._shape.length
        if declared is None or self._shape.chunked or not self._shape.has_body:
            return
        if size > declared or (at_end and size < declared):
            raise ContentLengthMismatchError(
                f"Response body's content-length of {size} byte(s) does not match "
                f"the content-length of {declared} byte(s) set in header"
            )

    async def _pass_on(self, data: bytes) -> bool:
        """Send the head if it waits, and the bytes, in one go."""
        if self._head:
            data = self._head + data
            self._head = _NO_BYTES
        if self._held is not None:
            if self.writable_corked:
                self._held.append(data)
                data = _NO_BYTES
            else:
                data = b"".join(self._held) + data
                self._held = None
        if data:
            return await self._transmit(data)
        await trio.lowlevel.checkpoint()
        return True

    async def end(self: Self, chunk: Any = None, encoding: str = "utf-8") -> Self:
        """Send the last piece, if any, and finish the message.

        With no head sent yet, a piece given here sets Content-Length.

        Args:
            chunk: Bytes or text.
            encoding: How text is encoded.

        Returns:
            This message. Ending it once more without a chunk does nothing, but send
            what was kept when it had no socket.

        Raises:
            WriteAfterEndError: A chunk is given, and ``end`` was called before.

        Raises otherwise what ``write`` does. A cancelled call may have sent a part:
        the message is destroyed.
        """
        data = _NO_BYTES if chunk is None else to_bytes("chunk", chunk, encoding)
        if self.writable_ended or self.destroyed:
            return await self._end_again(data)
        shape = self._shape
        if not self._rendered:
            known = shape.length
            if known is None:
                shape.length = len(data)
            try:
                self._settle_head(body=bool(data))
            except HTTPError:
                shape.length = known  # the next try may have another body
                raise
        if shape.declared and self.strict_content_length:
            self._check_length(self._body_sent + len(data), at_end=True)
        framed = self._frame(data) if data else data
        if shape.chunked:
            framed += encode_last_chunk(self._trailers) if self._trailers else b"0\r\n\r\n"
        elif shape.declared and shape.has_body and self._body_sent != shape.length:
            shape.last = True  # the peer counts otherwise: nothing may follow
        self.writable_ended = True
        self.writable_corked = 0
        if self._observers is not None:
            self._emit("prefinish")
        await self._pass_on(framed)
        if self._held is None:
            self._finish()
        return self

    def _finish(self) -> None:
        self.writable_finished = True
        if self._observers is not None:
            self._emit("finish")
        self._finished()

    async def _end_again(self: Self, data: bytes) -> Self:
        if data and self.writable_ended:
            raise WriteAfterEndError("write after end")
        if self._held is None or self.destroyed:
            self.writable_ended = True
            await trio.lowlevel.checkpoint()
            return self
        await self._pass_on(_NO_BYTES)
        if self._held is None:
            self._finish()
        return self

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send a piece of the body: ``write`` under the name of ``trio.abc.SendStream``.

        Raises and leaves behind what ``write`` does, also when cancelled; and
        StreamDestroyedError where another task calls ``aclose`` meanwhile.
        """
        try:
            await self.write(data)
        except SocketHangUpError as error:
            self._check_closed(error)
            raise

    async def _supply(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do some work that writes this message; for a request, no longer than it is wanted."""
        await work()

    def _check_closed(self, error: SocketHangUpError) -> None:
        if "_aclosed" in self.__dict__:
            raise StreamDestroyedError("this message was closed by another task") from error

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until ``write`` might not block. A cancelled call changes nothing.

        Raises:
            WriteAfterEndError: ``end`` was called before.
            StreamDestroyedError: The message was destroyed.
            SocketHangUpError: The peer has gone.
        """
        self._check_writable()
        if self._socket is None:
            await trio.lowlevel.checkpoint()
        else:
            try:
                await self._socket.wait_writable()
            except SocketHangUpError as error:
                self._check_closed(error)
                raise

    async def aclose(self) -> None:
        """End the message: ``end`` under the name of ``trio.abc.AsyncResource``.

        If it is cancelled, or the peer has gone, or another task is writing it, the
        message is destroyed instead.
        """
        self.__dict__["_aclosed"] = True
        try:
            await self.end()
        except (trio.BrokenResourceError, trio.BusyResourceError, StreamDestroyedError):
            self.destroy()
            await trio.lowlevel.checkpoint()
        except BaseException:
            self.destroy()
            raise

    async def flush_headers(self) -> None:
        """Send the head now, before any body. A second time does nothing.

        A cancelled call may have sent a part: the message is destroyed.

        Raises:
            StreamDestroyedError: The message was destroyed.
            SocketHangUpError: The peer has gone.
        """
        if self.destroyed:
            raise StreamDestroyedError("Cannot call flush_headers after a stream was destroyed")
        self._settle_head()
        await self._pass_on(_NO_BYTES)

    def cork(self) -> None:
        """Hold back what is written until ``uncork``, to send it in one go."""
        self.writable_corked += 1
        if self._held is None:
            self._held = []

    def uncork(self) -> None:
        """Undo one ``cork``; with the last one the held bytes leave.

        What the socket does not take at once leaves with the next ``write``,
        ``flush_headers`` or ``end``.
        """
        if self.writable_corked:
            self.writable_corked -= 1
        if not self.writable_corked and self._held is not None:
            data = b"".join(self._held)
            if self._socket is not None:
                data = data[self._socket.send_now(data) :]
            self._held = [data] if data else None

    # --- the rest ------------------------------------------------------------------------

    @property
    def socket(self) -> Socket | None:
        """The socket; None before there is one.

        A message made by hand can be given one, which ``flush_headers``, ``write`` and
        ``end`` then use, also for what was written before.
        """
        return self._socket

    @socket.setter
    def socket(self, socket: Socket | None) -> None:
        self._socket = socket
        if socket is not None and "_early_timeout" in self.__dict__:
            self.set_timeout(self.__dict__.pop("_early_timeout"))

    connection = socket
    """The older name of ``socket``."""

    @property
    def finished(self) -> bool:
        """The older name of ``writable_ended``."""
        return self.writable_ended

    @property
    def writable_length(self) -> int:
        """Bytes held back by ``cork``, or that wait for the first piece of the body."""
        held = 0 if self._held is None else sum(map(len, self._held))
        return held + len(self._head)

    @property
    def writable_high_water_mark(self) -> int:
        """Bytes in flight that count as much (Node: ``writableHighWaterMark``)."""
        return HIGH_WATER_MARK if self._socket is None else self._socket.writable_high_water_mark

    def set_timeout(
        self: Self, seconds: float | None, callback: Callable[[], object] | None = None
    ) -> Self:
        """Watch the socket for silence; see ``Socket.set_timeout``.

        Args:
            seconds: How long; 0 or None switches the watch off.
            callback: Registered with ``once("timeout", ...)`` on this message.

        Returns:
            This message.
        """
        if callback is not None:
            self.once("timeout", callback)
        if self._socket is None:
            self.__dict__["_early_timeout"] = seconds
            return self
        socket = self._socket
        socket.set_timeout(seconds)
        if self._notice_silence not in socket.watchers:
            socket.watchers.append(self._notice_silence)
        return self

    def _notice_silence(self) -> bool:
        return self._emit("timeout")

    def _forget_silence(self, socket: Socket) -> None:
        if self._notice_silence in socket.watchers:
            socket.watchers.remove(self._notice_silence)

    def destroy(self: Self, error: BaseException | None = None) -> Self:
        """Give the message up, and its socket unless it was already finished.

        Args:
            error: Why; kept as ``errored``.

        Returns:
            This message.
        """
        if not self.destroyed:
            self.destroyed = True
            self.errored = error
            if self._socket is not None and not (self.writable_finished and error is None):
                self._socket.destroy(error)
        return self

    def _close(self) -> None:
        """Nothing more will happen: the last event."""
        if not self.closed:
            self.closed = True
            self.destroyed = True
            if self._socket is not None and self._socket.watchers:
                self._forget_silence(self._socket)
            self._emit("close")
