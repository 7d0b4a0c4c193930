"""A message that arrives: a request on the server, a response on the client."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final

import trio

from ._connection import Connection
from ._encodings import Decoder, find_decoder
from ._errors import (
    AbortedError,
    HTTPError,
    InvalidArgTypeError,
    InvalidArgValueError,
    SocketHangUpError,
    StreamDestroyedError,
)
from ._received import ReceivedHead
from ._sansio.events import RequestHead, ResponseHead
from ._transport import HIGH_WATER_MARK, Socket

_NOTHING: Final = b""


class IncomingMessage(trio.abc.ReceiveStream, ReceivedHead):
    """A received message (Node: ``http.IncomingMessage``).

    A ``trio.abc.ReceiveStream`` of the body, and async-iterable. Reading pulls:
    as long as nobody reads, the peer is held back by TCP's own flow control.

    Attributes:
        method: The request's method; None for a response.
        status_code: The response's code; None for a request.
        status_message: The reason phrase as it came; None for a request.
        complete: The whole message was received, trailers included.
        aborted: The connection ended before the message did.
        destroyed: ``destroy`` was called, or the message is closed.
        closed: Nothing more will happen to this message.
        errored: The error that destroyed it, or None.
        disconnected: On the server, a ``trio.Event`` set when the peer left while
            the handler ran.
        timings: On the client, a ``Timings``; None on the server.
        attempts: On the client, how often the request was sent (1 or 2).
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_decoder",
        "_disconnected",
        "_disowned",
        "_read_started",
        "_sent",
        "aborted",
        "before_body",
        "closed",
        "complete",
        "destroyed",
        "errored",
        "on_aborted",
        "on_destroy",
        "on_end",
        "url",
    )

    EVENTS = frozenset({"data", "end", "close", "aborted", "error", "timeout"})

    # On the server, and on the client, these are overridden in ``__dict__``.
    timings: Any = None
    attempts = 1
    _cut_short = False

    def __init__(
        self,
        connection: Connection | None,
        head: RequestHead | ResponseHead,
        *,
        join_duplicate_headers: bool = False,
    ) -> None:
        self._connection = connection
        self._head = head
        self._join = join_duplicate_headers
        self._observers = None
        self._headers = None
        self._decoder: Decoder | None = None
        self._disconnected: trio.Event | None = None
        self._disowned = False
        self._read_started = False
        self._sent = 0
        self.url = head.target if isinstance(head, RequestHead) else ""
        self.complete = head.body == 0
        self.aborted = False
        self.destroyed = False
        self.closed = False
        self.errored: BaseException | None = None
        self.before_body: Callable[[], Any] | None = None
        self.on_end: Callable[[], object] | None = None
        self.on_aborted: Callable[[], object] | None = None
        self.on_destroy: Callable[[BaseException | None], object] | None = None

    @property
    def readable(self) -> bool:
        """There may be more to read."""
        return not (self._ended or self.destroyed)

    @property
    def readable_high_water_mark(self) -> int:
        """Bytes that are read ahead of you, more or less (Node: ``readableHighWaterMark``)."""
        socket: Socket | None = self.socket
        return HIGH_WATER_MARK if socket is None else socket.readable_high_water_mark

    @property
    def disconnected(self) -> trio.Event:
        """Set when the peer left while the server's handler ran."""
        if self._disconnected is None:
            self._disconnected = trio.Event()
            if self.aborted:
                self._disconnected.set()
        return self._disconnected

    # --- the body ------------------------------------------------------------------

    @property
    def _ended(self) -> bool:
        return self._sent < 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Read some of the body, as soon as some is there.

        Args:
            max_bytes: At most so many; None leaves the choice to us.

        Returns:
            Bytes; ``b""`` at the end of the message.

        Raises:
            AbortedError: The connection ended before the message did.
            ParseError: The framing is wrong (RFC 9112 section 7).
            SocketTimeoutError: The peer was silent for too long.
            StreamDestroyedError: ``destroy`` or ``aclose`` was called before the end.
            trio.BusyResourceError: Another task is reading this message.
            InvalidArgTypeError: ``max_bytes`` is no whole number.
            InvalidArgValueError: ``max_bytes`` is less than 1.

        A cancelled call has read nothing and can be repeated.
        """
        if max_bytes is not None:
            _check_max(max_bytes)
        await trio.lowlevel.checkpoint_if_cancelled()
        socket = None if self._connection is None else self._connection.socket
        before = 0 if socket is None else socket.bytes_read
        data = await self._pull(max_bytes)
        if socket is None or socket.bytes_read == before:
            await trio.lowlevel.cancel_shielded_checkpoint()  # it came from memory
        return data

    async def _pull(self, max_bytes: int | None) -> bytes:
        if self._ended:
            return _NOTHING
        if self.destroyed:
            raise self._unreadable()
        connection = self._connection
        if connection is None:
            return self._end()
        if self.before_body is not None:
            hook, self.before_body = self.before_body, None
            await hook()
        self._read_started = True
        try:
            data = await connection.read_body(max_bytes)
        except Exception as error:
            failed = self._failed(error)
            if failed is error:
                raise
            raise failed from error
        if not data:
            return self._end()
        if connection.codec.complete:
            self.complete = True
        if self._observers is not None:
            self._emit("data", data)
        return data

    def _failed(self, error: Exception) -> BaseException:
        """Tell what the caller of a read gets that met this error."""
        if isinstance(error, AbortedError):
            self._abort(error)
        elif self.destroyed:
            return self._unreadable()
        elif isinstance(error, SocketHangUpError):
            failed = AbortedError("aborted")
            self._abort(failed)
            return failed
        elif self.on_aborted is not None and isinstance(error, HTTPError):
            # A client's response is over with its connection, whatever broke that.
            self._abort(error)
        return error

    def _unreadable(self) -> BaseException:
        if not self._disowned:
            if self.errored is not None:
                return self.errored
            if self.aborted:
                return AbortedError("aborted")
        return StreamDestroyedError("the message was closed before its end")

    def _end(self) -> bytes:
        """The body is over: tell whoever wants to know."""
        self._sent = -1
        self.complete = True
        if self._connection is not None and self._connection.codec.trailers:
            trailers = self._connection.codec.trailers
            limit = self._head.max_pairs
            self.__dict__["_kept_trailers"] = trailers[:limit] if limit else trailers
        try:
            if self._observers is not None:
                self._emit("end")
        finally:  # whatever an observer raises, the socket must not be lost
            if self.on_end is not None:
                hook, self.on_end = self.on_end, None
                hook()
        return _NOTHING

    def _abort(self, error: BaseException) -> None:
        """The peer left before the message was whole, or before it was answered."""
        if self.aborted or self.closed:
            return
        self.aborted = True
        if self._disconnected is not None:
            self._disconnected.set()
        if not self.complete and self.errored is None:
            self.errored = error
        hook, self.on_aborted = self.on_aborted, None
        try:
            self._emit("aborted")
        finally:
            if hook is not None:
                hook()
        self._emit("error", error)
        if hook is not None:
            self._close()

    def _close(self) -> None:
        """Nothing more will happen: the last event."""
        if not self.closed:
            self.closed = True
            self.destroyed = True
            if self._connection is not None and self._connection.socket.watchers:
                self._forget_silence(self._connection.socket)
            self._emit("close")

    async def read(self, max_bytes: int | None = None) -> bytes:
        """Read the body to its end, or until there are ``max_bytes``.

        Args:
            max_bytes: Stop at so many bytes; what follows can be read later.

        Returns:
            The bytes; fewer than ``max_bytes`` only at the end of the message.

        Raises:
            AbortedError: The connection ended before the message did.
            ParseError: The framing is wrong.
            InvalidArgTypeError: ``max_bytes`` is no whole number.
            InvalidArgValueError: ``max_bytes`` is less than 1.

        A cancelled call loses what it had read: after it, destroy the message.
        """
        if max_bytes is not None:
            _check_max(max_bytes)
        await trio.lowlevel.checkpoint_if_cancelled()
        socket = None if self._connection is None else self._connection.socket
        before = 0 if socket is None else socket.bytes_read
        limit = math.inf if max_bytes is None else max_bytes
        data = await self._pull(max_bytes)
        if data:
            parts = [data]
            size = len(data)
            while size < limit:
                data = await self._pull(None if max_bytes is None else max_bytes - size)
                if not data:
                    break
                parts.append(data)
                size += len(data)
            data = parts[0] if len(parts) == 1 else b"".join(parts)
        if socket is None or socket.bytes_read == before:
            await trio.lowlevel.cancel_shielded_checkpoint()  # it came from memory
        return data

    async def text(self, encoding: str | None = None) -> str:
        """Read the body to its end as text.

        Args:
            encoding: How to decode; by default what ``set_encoding`` said, else the
                charset of Content-Type if it is known, else UTF-8.

        Raises:
            InvalidArgValueError: There is no such encoding.
            UnicodeDecodeError: The bytes are not in that encoding.

        Raises and leaves behind otherwise what ``read`` does, also when cancelled.
        """
        decoder = find_decoder(encoding) if encoding is not None else self._announced_decoder()
        return decoder.decode(await self.read(), True)

    async def json(self) -> Any:
        """Read the body to its end as JSON, in UTF-8, UTF-16 or UTF-32.

        Raises:
            ValueError: It is not JSON.

        Raises and leaves behind otherwise what ``read`` does, also when cancelled.
        """
        return json.loads(await self.read())

    async def resume(self) -> None:
        """Read the rest and throw it away; with that, a client's socket can be reused.

        Raises what ``receive_some`` does. A cancelled call can be repeated.
        """
        while await self.receive_some():
            pass

    def _announced_decoder(self) -> Decoder:
        kept: str | None = self.__dict__.get("_encoding")
        if kept is not None:
            return find_decoder(kept)
        for part in self.headers.get("content-type", "").split(";")[1:]:
            key, _, value = part.partition("=")
            if key.strip().lower() == "charset":
                try:
                    return find_decoder(value.strip().strip('"'))
                except InvalidArgValueError:
                    break  # what the peer made up is no error of the caller's
        return find_decoder("utf-8")

    def set_encoding(self, encoding: str) -> IncomingMessage:
        """Make iteration give text, decoded as it comes (Node: ``setEncoding``).

        Args:
            encoding: Such as ``utf-8``; or ``hex``, ``base64`` or ``base64url``, in
                which the bytes are shown. What does not fit becomes U+FFFD.

        Returns:
            This message.

        Raises:
            InvalidArgValueError: There is no such encoding.
        """
        self._decoder = find_decoder(encoding, "replace")
        self.__dict__["_encoding"] = encoding
        return self

    def __aiter__(self) -> IncomingMessage:
        return self

    async def __anext__(self) -> Any:
        """Give the next piece: bytes, or text after ``set_encoding``.

        Raises what ``receive_some`` does. A cancelled step has read nothing.
        """
        while True:
            data = await self.receive_some()
            if self._decoder is None:
                if data:
                    return data
                raise StopAsyncIteration
            text = self._decoder.decode(data, not data)
            if text:
                return text
            if not data:
                raise StopAsyncIteration

    # --- the end -------------------------------------------------------------------

    def set_timeout(
        self, seconds: float | None, callback: Callable[[], object] | None = None
    ) -> IncomingMessage:
        """Watch the socket for silence; see ``Socket.set_timeout``.

        Args:
            seconds: How long; 0 or None switches the watch off.
            callback: Registered with ``once("timeout", ...)`` on this message.

        Returns:
            This message.
        """
        if callback is not None:
            self.once("timeout", callback)
        socket = self.socket
        socket.set_timeout(seconds)
        if self._notice_silence not in socket.watchers:
            socket.watchers.append(self._notice_silence)
        return self

    def _notice_silence(self) -> bool:
        # Nothing is missing from a request that is complete: silence is not its own.
        awaited = not self.complete or isinstance(self._head, ResponseHead)
        return awaited and self._emit("timeout")

    def _forget_silence(self, socket: Socket) -> None:
        if self._notice_silence in socket.watchers:
            socket.watchers.remove(self._notice_silence)

    def destroy(self, error: BaseException | None = None) -> IncomingMessage:
        """Give the message up, and with it the socket, unless it was read to its end.

        Args:
            error: Why; kept as ``errored`` and told to observers of ``error``.

        Returns:
            This message.
        """
        if self.destroyed:
            return self
        if self.complete and self._read_started and not self._ended and error is None:
            self._end()  # only nothing was left to read
        self.destroyed = True
        if error is not None:
            self.errored = error
        if self._ended and error is None:
            return self
        if self.on_destroy is not None:
            hook, self.on_destroy = self.on_destroy, None
            hook(error)
        elif self._connection is not None:
            self._connection.socket.destroy(error)
        return self

    async def aclose(self) -> None:
        """Stop reading: an unread body is given up, see ``destroy``. Never blocks.

        Also when cancelled the message is closed.
        """
        self._disowned = True
        self.destroy()
        await trio.lowlevel.checkpoint()

    def cancel_on_disconnect(self) -> _CancelOnDisconnect:
        """Cancel the block when the peer leaves: ``async with request.cancel_on_disconnect():``.

        The block ends quietly at its next checkpoint, within the server's
        ``connections_checking_interval``; ``request.aborted`` tells afterwards. A
        response that the handler then leaves open is destroyed and not ended.
        """
        return _CancelOnDisconnect(self)

    def __repr__(self) -> str:
        head = self._head
        state = "complete" if self.complete else "aborted" if self.aborted else "open"
        if isinstance(head, RequestHead):
            return f"<IncomingMessage {head.method} {self.url} {state}>"
        return f"<IncomingMessage {head.status} {head.reason} {state}>"


class _CancelOnDisconnect:
    """Watches ``disconnected`` for the time of a block."""

    __slots__ = ("_message", "_scope")

    def __init__(self, message: IncomingMessage) -> None:
        self._message = message
        self._scope = trio.CancelScope()

    async def __aenter__(self) -> trio.CancelScope:
        """Enter; a checkpoint, and nothing is left behind if it is cancelled."""
        await trio.lowlevel.checkpoint()
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> bool:
        """Leave; swallows the cancellation that the departure caused."""
        return self.__exit__(*exc_info)

    def __enter__(self) -> trio.CancelScope:
        """Enter without a checkpoint."""
        self._scope.__enter__()
        self._message.on("aborted", self._scope.cancel)
        if self._message.aborted:
            self._scope.cancel()
        return self._scope

    def __exit__(self, *exc_info: object) -> bool:
        """Leave without a checkpoint; see ``__aexit__``."""
        self._message.off("aborted", self._scope.cancel)
        swallowed = bool(self._scope.__exit__(*exc_info))  # type: ignore[arg-type]
        if self._scope.cancelled_caught:
            self._message._cut_short = True
        return swallowed


def _check_max(max_bytes: object) -> None:
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, int):
        raise InvalidArgTypeError(f"max_bytes must be a whole number, not {max_bytes!r}")
    if max_bytes < 1:
        raise InvalidArgValueError(f"max_bytes must be at least 1, not {max_bytes!r}")
