"""How a client gets its open stream: a request, and the check of its answer."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import attrs
import trio

from .._errors import UpgradeRefusedError, WebSocketHandshakeError
from .._sansio.headers import HeaderValue
from .handshake import Agreement, Response, check_response, make_key, request_headers


class Upgraded(Protocol):
    """What an opener yields: the 101 response and the stream behind it."""

    @property
    def response(self) -> Response:
        """The response."""

    @property
    def stream(self) -> trio.abc.Stream:
        """The connection, which yields first what came with the response."""


class Opener(Protocol):
    """How a client reaches its server: makes an upgrade request.

    It raises `UpgradeRefusedError` for another status than 101.
    """

    def __call__(
        self,
        url: str,
        *,
        headers: Mapping[str, HeaderValue],
        agent: Any,
        ssl_context: ssl.SSLContext | None,
    ) -> contextlib.AbstractAsyncContextManager[Upgraded]:
        """Answer a scope that the connection does not outlive."""


@attrs.frozen
class Opened:
    """A stream whose handshake is done, and what was agreed in it.

    Attributes:
        stream: the stream.
        agreement: what was agreed.
        leaving: set once this end is to go away; None if nobody tells.
    """

    stream: trio.abc.Stream
    agreement: Agreement
    leaving: trio.Event | None = None


@attrs.frozen
class Request:
    """What a client asks for.

    Attributes:
        url: with the scheme http or https.
        headers: the caller's own fields.
        protocols: the subprotocols offered.
        compression: whether permessage-deflate is offered.
        agent: for the opener.
        ssl_context: for the opener.
    """

    url: str
    headers: list[tuple[str, HeaderValue]]
    protocols: Sequence[str]
    compression: bool
    agent: Any
    ssl_context: ssl.SSLContext | None


@contextlib.asynccontextmanager
async def connect(opener: Opener, request: Request) -> AsyncIterator[Opened]:
    """Make a request, and keep its connection for the length of the block.

    If cancelled while connecting, no connection is left.

    Raises:
        WebSocketHandshakeError: the answer is not a proper 101.
        HTTPError: as the opener raises it.
    """
    key = make_key()
    protocols, compression = request.protocols, request.compression
    fields = request_headers(key, protocols, compression=compression)
    async with contextlib.AsyncExitStack() as stack:
        scope = opener(
            request.url,
            headers=_join([*fields, *request.headers]),
            agent=request.agent,
            ssl_context=request.ssl_context,
        )
        try:
            upgraded = await stack.enter_async_context(scope)
        except UpgradeRefusedError as exc:
            text = f"no WebSocket: {exc}"
            raise WebSocketHandshakeError(text, exc.response, exc.body) from exc
        try:
            agreement = check_response(upgraded.response, key, protocols, compression=compression)
        except WebSocketHandshakeError:
            await trio.aclose_forcefully(upgraded.stream)
            raise
        yield Opened(upgraded.stream, agreement)


def _join(pairs: Sequence[tuple[str, HeaderValue]]) -> dict[str, HeaderValue]:
    """Make a mapping of pairs; a name that comes again, in any case, gives a list."""
    names: dict[str, str] = {}
    values: dict[str, list[Any]] = {}
    for name, value in pairs:
        first = names.setdefault(name.lower(), name)
        new = list(value) if isinstance(value, (list, tuple)) else [value]
        values.setdefault(first, []).extend(new)
    return {name: new[0] if len(new) == 1 else new for name, new in values.items()}
