"""The `WebSocket` of a browser, for Trio (Node: ``http.WebSocket``; WHATWG WebSockets).

How it reaches its server is the business of an *opener*, a callable that it is given:
this package knows neither agents nor requests.
"""

from __future__ import annotations

import contextlib
import logging
import math
import ssl
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, ClassVar, Final

import trio

from .._checks import check_flag, check_function
from .._errors import InvalidArgValueError, SocketTimeoutError
from .._observers import Observable
from .._sansio.destination import shown
from .._sansio.headers import HeadersLike
from .._timeouts import check_seconds
from .deflate import Deflate
from .errors import WebSocketClosedError, WebSocketStateError
from .events import CloseEvent, ErrorEvent, MessageEvent, OpenEvent
from .handshake import Agreement, check_headers, check_protocols, parse_url
from .opening import Opened, Opener, Request, connect
from .options import (
    CLOSE_TIMEOUT,
    MAX_MESSAGE_SIZE,
    MAX_QUEUE,
    PING_TIMEOUT,
    Limits,
    check_close,
    check_message,
    make_limits,
)
from .protocol import ABNORMAL, GOING_AWAY, Protocol
from .session import Ending, Session

BINARY_TYPES: Final = ("bytes", "blob", "arraybuffer")

_logger = logging.getLogger("trio_nodehttp")


class WebSocket(Observable):
    """A WebSocket client, with the names of a browser's (RFC 6455).

    Entering it as an async context manager connects; leaving it closes, which takes
    at most ``close_timeout`` seconds. An error in the block leaves unchanged.
    Iterating gives the messages, ``str`` or ``bytes``, until the connection is
    closed; it raises if that was not clean.

    Messages wait in a queue. While it is full nothing is read from the peer, who is
    held up by TCP; its pings are then answered once there is room again. With
    ``message`` observers and nobody who calls `receive`, the queue forgets the
    oldest messages instead, since the observers have had them.

    The events are ``open``, ``message``, ``error`` and ``close``; each observer is
    given one object, and what it raises is logged and keeps no other from it.

    Args:
        url: with the scheme ws, wss, http or https. What its path and query cannot
            hold is percent-encoded; a user and password in it are sent as `request`
            sends them.
        protocols: the subprotocols to offer, best first.
        headers: more header fields for the request, such as Origin or Cookie.
        agent: the agent that connects, as in `request`.
        ssl_context: TLS settings for wss.
        open_timeout: seconds for connecting and the handshake; None is no limit.
        close_timeout: seconds for closing, from its start on either side.
        compression: whether to offer permessage-deflate (RFC 7692).
        max_message_size: bytes of one message, uncompressed; a longer one closes
            with code 1009. None is no limit.
        max_queue: messages that may wait to be received. They may have
            ``max_message_size`` bytes in all, and one message more.
        ping_interval: seconds between pings to the peer; None sends none.
        ping_timeout: seconds after a ping in which something must come back, else
            the connection is given up.
        open_connection: how to reach the server, in place of a request.

    Raises:
        InvalidURLError: ``url`` has another scheme, no good host or a fragment.
        InvalidArgTypeError, InvalidArgValueError, OutOfRangeError: another argument
            is wrong.
    """

    CONNECTING: Final = 0
    OPEN: Final = 1
    CLOSING: Final = 2
    CLOSED: Final = 3

    EVENTS = frozenset({"open", "message", "error", "close"})

    open_connection: ClassVar[Opener | None] = None
    """How every client reaches its server; set once, by the layer that has requests."""

    __slots__ = (
        "_agreement",
        "_binary_type",
        "_ending",
        "_limits",
        "_open_timeout",
        "_opening",
        "_origin",
        "_scope",
        "_session",
        "_url",
    )

    _is_client: ClassVar[bool] = True

    def __init__(
        self,
        url: str,
        protocols: str | Iterable[str] = (),
        *,
        # The request
        headers: HeadersLike | None = None,
        agent: Any = None,
        ssl_context: ssl.SSLContext | None = None,
        # Timeouts
        open_timeout: float | None = None,
        close_timeout: float | None = CLOSE_TIMEOUT,
        ping_interval: float | None = None,
        ping_timeout: float | None = PING_TIMEOUT,
        # Messages
        compression: bool = True,
        max_message_size: float | None = MAX_MESSAGE_SIZE,
        max_queue: float | None = MAX_QUEUE,
        # Wiring
        open_connection: Opener | None = None,
    ) -> None:
        address = parse_url(url)
        request = Request(
            address.http_url,
            check_headers(headers),
            check_protocols("protocols", protocols),
            compression,
            agent,
            ssl_context,
        )
        check_flag("compression", compression)
        limits = make_limits(
            max_message_size, max_queue, close_timeout, ping_interval, ping_timeout
        )
        check_function("open_connection", open_connection)
        opener = open_connection or type(self).open_connection
        if opener is None:
            raise WebSocketStateError("no way to open a connection was set")
        opening = connect(opener, request)
        self._prepare(address.url, address.origin, limits, opening)
        self._open_timeout = check_seconds("open_timeout", open_timeout)

    def _prepare(
        self,
        url: str,
        origin: str,
        limits: Limits,
        opening: contextlib.AbstractAsyncContextManager[Opened],
    ) -> None:
        """Set what both sides have."""
        self._observers = None
        self._url = url
        self._origin = origin
        self._limits = limits
        self._opening = opening
        self._open_timeout = math.inf
        self._binary_type = "bytes"
        self._agreement = Agreement()
        self._session: Session | None = None
        self._ending: Ending | None = None
        self._scope: contextlib.AbstractAsyncContextManager[None] | None = None

    # --- facts --------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The URL, with the scheme ws or wss."""
        return self._url

    @property
    def protocol(self) -> str:
        """The subprotocol that the server chose; "" for none, and before `OPEN`."""
        return self._agreement.protocol

    @property
    def extensions(self) -> str:
        """The extensions that the server chose, as it wrote them."""
        return self._agreement.extensions

    @property
    def ready_state(self) -> int:
        """`CONNECTING`, `OPEN`, `CLOSING` or `CLOSED`."""
        if self._ending is not None:
            return self.CLOSED
        if self._session is None:
            return self.CONNECTING
        return self.CLOSING if self._session.is_closing else self.OPEN

    @property
    def buffered_amount(self) -> int:
        """Bytes of messages that wait to be sent; frames and close not counted."""
        return 0 if self._session is None else self._session.buffered_amount

    @property
    def binary_type(self) -> str:
        """Kept for scripts; binary messages are ``bytes`` whatever it says.

        Raises:
            InvalidArgValueError: set to none of "bytes", "blob", "arraybuffer".
        """
        return self._binary_type

    @binary_type.setter
    def binary_type(self, value: str) -> None:
        if value not in BINARY_TYPES:
            known = ", ".join(BINARY_TYPES)
            raise InvalidArgValueError(f"binary_type must be one of {known}")
        self._binary_type = value

    @property
    def close_code(self) -> int | None:
        """Why it was closed (RFC 6455 section 7.4); None before that.

        It is the code of the peer's close frame, 1005 if that has none; without
        one the code of what the peer did wrong, or 1006.
        """
        return None if self._ending is None else self._ending.code

    @property
    def close_reason(self) -> str | None:
        """The text to `close_code`; None before the end."""
        return None if self._ending is None else self._ending.reason

    def __repr__(self) -> str:
        state = ("CONNECTING", "OPEN", "CLOSING", "CLOSED")[self.ready_state]
        code = "" if self._ending is None else f" {self._ending.code}"
        return f"<{type(self).__name__} {shown(self._url)} {state}{code}>"

    # --- the scope ----------------------------------------------------------------

    async def __aenter__(self) -> WebSocket:
        """Connect.

        If cancelled, the connection is closed and the object of no more use.

        Raises:
            WebSocketHandshakeError: the server did not answer with a proper 101;
                ``response`` is what it answered.
            SocketTimeoutError: ``open_timeout`` has passed.
            WebSocketStateError: it was entered before.
            HTTPError: as `request` raises it.
        """
        if self._scope is not None:
            raise WebSocketStateError("a WebSocket is entered once")
        self._scope = self._serve()
        try:
            await self._scope.__aenter__()
        except BaseException as exc:
            self._on_end(Ending(ABNORMAL, str(exc), cause=exc))
            raise
        self._tell("open", OpenEvent())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close, within ``close_timeout``; if cancelled, without a close frame."""
        assert self._scope is not None
        try:
            try:
                await self._leave(exc)
            finally:
                await self._scope.__aexit__(None, None, None)
        except trio.Cancelled:
            # The block's own error goes first; the next checkpoint is cancelled too.
            if exc is None:
                raise

    async def _leave(self, exc: BaseException | None) -> None:
        assert self._session is not None
        if exc is None:
            self._session.start_closing(1000, "")
        else:
            # RFC 6455 section 7.4.1: a server failed, a client is going away.
            self._session.start_closing(GOING_AWAY if self._is_client else 1011, "")
        await self._session.ended.wait()

    @contextlib.asynccontextmanager
    async def _serve(self) -> AsyncIterator[None]:
        """Keep connection and session for the length of the block."""
        with trio.CancelScope() as shelter:
            shelter.deadline = trio.current_time() + self._open_timeout
            async with self._opening as opened:
                shelter.deadline = math.inf
                if shelter.cancel_called:
                    # It struck while the answer was here already: the block never begins.
                    await trio.lowlevel.checkpoint()
                async with trio.open_nursery() as nursery:
                    self._session = session = self._start(opened)
                    nursery.start_soon(session.run)
                    yield
                    nursery.cancel_scope.cancel()
                    # Ending the tasks is short, and must not replace an error.
                    shelter.shield = True
                shelter.shield = False
        if shelter.cancelled_caught:
            seconds = f"{self._open_timeout:g} s"
            raise SocketTimeoutError(f"the WebSocket did not open within {seconds}")

    def _start(self, opened: Opened) -> Session:
        self._agreement = agreement = opened.agreement
        client = self._is_client
        agreed = agreement.deflate
        protocol = Protocol(
            client=client,
            deflate=None if agreed is None else Deflate(agreed, client=client),
            max_message_size=self._limits.max_message_size,
        )
        return Session(
            opened.stream,
            protocol,
            self._limits,
            client=client,
            on_message=self._on_message,
            on_end=self._on_end,
            leaving=opened.leaving,
        )

    # --- messages -----------------------------------------------------------------

    async def send(self, data: str | bytes | bytearray | memoryview) -> None:
        """Send a message: text if *data* is a string, else binary.

        It waits while 64 KiB or more wait to be sent. If cancelled, nothing of the
        message is sent; once this has returned, all of it will be, unless the
        connection ends. Tasks that send at the same time take turns.

        Raises:
            WebSocketStateError: the WebSocket was not entered yet.
            WebSocketClosedError: it is closing or closed.
            InvalidArgTypeError: *data* is neither text nor bytes.
            InvalidArgValueError: *data* has a lone surrogate, which UTF-8 has not.
        """
        await self._connected("send").send(check_message(data))

    async def receive(self) -> str | bytes:
        """Receive the next message, ``str`` or ``bytes`` as the peer sent it.

        What came before the end can still be received after it. Being cancelled
        loses no message.

        Raises:
            WebSocketStateError: the WebSocket was not entered yet.
            WebSocketClosedError: no message is left, and none will come.
        """
        return await self._connected("receive").receive()

    def __aiter__(self) -> WebSocket:
        return self

    async def __anext__(self) -> str | bytes:
        """Receive the next message; ends when the connection was closed cleanly."""
        try:
            return await self.receive()
        except WebSocketClosedError as exc:
            if exc.was_clean:
                raise StopAsyncIteration from None
            raise

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait until that is done, ``close_timeout`` at most.

        Messages that wait are sent before the close frame; those that come after
        it are dropped. Once closing has started, another call only waits. If
        cancelled, closing goes on in its time.

        Args:
            code: 1000, or 3000 to 4999; a server may also send other codes of RFC
                6455 section 7.4.1 and of IANA's list that are meant to be sent.
            reason: at most 123 bytes in UTF-8.

        Raises:
            InvalidArgValueError: *code* or *reason* is none of these.
            WebSocketStateError: the WebSocket was not entered yet.
        """
        check_close(code, reason, client=self._is_client)
        session = self._connected("close")
        session.start_closing(code, reason)
        await session.ended.wait()

    def _connected(self, verb: str) -> Session:
        if self._session is not None:
            return self._session
        if self._ending is not None:
            raise self._ending.error()
        raise WebSocketStateError(f"cannot {verb}: the WebSocket is not open yet")

    # --- events -------------------------------------------------------------------

    def _on_message(self, data: str | bytes) -> bool:
        if not self._observed("message"):
            return False
        self._tell("message", MessageEvent(data, self._origin))
        return True

    def _on_end(self, ending: Ending) -> None:
        self._ending = ending
        if not ending.was_clean:
            cause = ending.cause
            error = cause if isinstance(cause, Exception) else ending.error()
            self._tell("error", ErrorEvent(error))
        self._tell("close", CloseEvent(ending.code, ending.reason, ending.was_clean))

    def _tell(self, name: str, event: object) -> None:
        """Tell every observer, as in a browser, whatever the others raise."""
        for _, called in (self._observers or {}).get(name, ()):
            try:
                called(event)
            except Exception:
                _logger.exception("an observer of %s raised", name)
