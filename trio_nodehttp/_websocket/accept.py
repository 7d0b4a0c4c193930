"""The server's side of a WebSocket, for the handler of an upgrade."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import ClassVar

import trio

from .._checks import check_flag, listed_strings
from .._errors import WebSocketHandshakeError
from .._sansio.headers import HeadersLike, HeaderValue
from .handshake import (
    Agreement,
    RefusedError,
    Request,
    accept_head,
    agree,
    check_headers,
    check_origin,
    check_protocols,
    check_request,
    refusal,
    url_of,
)
from .opening import Opened
from .options import (
    CLOSE_TIMEOUT,
    MAX_MESSAGE_SIZE,
    MAX_QUEUE,
    PING_TIMEOUT,
    Limits,
    make_limits,
)
from .session import LOST
from .websocket import WebSocket


class AcceptedWebSocket(WebSocket):
    """A `WebSocket` on the server's side, as `accept_websocket` makes it."""

    __slots__ = ()

    _is_client: ClassVar[bool] = False

    def __init__(
        self,
        url: str,
        limits: Limits,
        opening: contextlib.AbstractAsyncContextManager[Opened],
    ) -> None:
        origin = "/".join(url.split("/")[:3])
        self._prepare(url, origin, limits, opening)


def accept_websocket(
    request: Request,
    stream: trio.abc.Stream,
    *,
    # The answer
    subprotocols: str | Iterable[str] = (),
    origins: str | Iterable[str] | None = None,
    headers: HeadersLike | None = None,
    # The end
    close_on_draining: bool = True,
    # Timeouts
    close_timeout: float | None = CLOSE_TIMEOUT,
    ping_interval: float | None = None,
    ping_timeout: float | None = PING_TIMEOUT,
    # Messages
    compression: bool = True,
    max_message_size: float | None = MAX_MESSAGE_SIZE,
    max_queue: float | None = MAX_QUEUE,
) -> AcceptedWebSocket:
    """Answer an upgrade request with a WebSocket (RFC 6455 section 4.2).

    For the handler of an ``upgrade`` event::

        @server.on("upgrade", protocol="websocket")
        async def echo(request, stream):
            async with accept_websocket(request, stream) as ws:
                async for message in ws:
                    await ws.send(message)

    Entering the scope writes the 101; leaving it closes, with code 1000, or 1011 if
    the block raised. If the request is no proper WebSocket request, entering writes
    400 (426 for another version, 403 for an origin that is not listed), closes the
    stream and raises.

    Once the server is to stop it closes by itself, with code 1001 ("going away"):
    `send` raises, what waits to be received still can be, iterating ends when the
    client has answered, and the handler has the rest of the server's time.

    Args:
        request: the upgrade request.
        stream: its connection.
        subprotocols: those spoken here, best first; the first that the client
            offers is chosen, none if it offers none of them.
        origins: the value of Origin that browsers may come with, or several; None
            is any. A request without Origin does not come from a browser's page.
        headers: more header fields for the 101.
        close_on_draining: whether ``Server.drain`` and ``close`` close it; False
            leaves that to the handler, who may have something to say before.
        close_timeout: seconds for closing, from its start on either side.
        ping_interval: seconds between pings; None sends none.
        ping_timeout: seconds after a ping in which something must come back.
        compression: whether permessage-deflate is accepted.
        max_message_size: bytes of one message, as in `WebSocket`.
        max_queue: messages that may wait to be received, as in `WebSocket`.

    Returns:
        The WebSocket, an async context manager.

    Raises:
        InvalidArgTypeError, InvalidArgValueError, OutOfRangeError: an argument is
            wrong. `WebSocketHandshakeError` comes when the scope is entered.
    """
    protocols = check_protocols("subprotocols", subprotocols)
    check_flag("compression", compression)
    check_flag("close_on_draining", close_on_draining)
    limits = make_limits(max_message_size, max_queue, close_timeout, ping_interval, ping_timeout)
    permitted = None if origins is None else frozenset(listed_strings("origins", origins))
    leaving = getattr(stream, "draining", None) if close_on_draining else None
    answer = _Answer(request, stream, check_headers(headers), permitted, leaving)
    opening = answer.open(protocols, compression=compression)
    return AcceptedWebSocket(url_of(request), limits, opening)


class _Answer:
    """The server's part of one handshake."""

    def __init__(
        self,
        request: Request,
        stream: trio.abc.Stream,
        extra: list[tuple[str, HeaderValue]],
        origins: frozenset[str] | None,
        leaving: trio.Event | None,
    ) -> None:
        self._request = request
        self._stream = stream
        self._extra = extra
        self._origins = origins
        self._leaving = leaving

    @contextlib.asynccontextmanager
    async def open(self, protocols: tuple[str, ...], *, compression: bool) -> AsyncIterator[Opened]:
        """Write the 101, or a refusal and raise; then the stream is closed."""
        try:
            agreement = await self._answer(protocols, compression=compression)
        except BaseException:
            # Half a head may be written, which nothing can follow.
            await trio.aclose_forcefully(self._stream)
            raise
        yield Opened(self._stream, agreement, self._leaving)

    async def _answer(self, protocols: tuple[str, ...], *, compression: bool) -> Agreement:
        headers = self._request.headers
        try:
            key = check_request(self._request)
            check_origin(headers, self._origins)
            agreement = agree(headers, protocols, compression=compression)
        except RefusedError as exc:
            await self._refuse(exc)
            raise WebSocketHandshakeError(f"request refused: {exc}") from exc
        try:
            await self._stream.send_all(accept_head(key, agreement, self._extra))
        except LOST as exc:
            raise WebSocketHandshakeError("the client has left") from exc
        return agreement

    async def _refuse(self, error: RefusedError) -> None:
        with contextlib.suppress(*LOST):
            await self._stream.send_all(refusal(error))
        await self._stream.aclose()
