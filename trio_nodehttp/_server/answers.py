"""Answers that need no handler, and the polite end of a connection."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Final

import trio

from .._connection import Connection
from .._errors import HTTPError, SocketHangUpError, SocketTimeoutError, StreamDestroyedError
from .._incoming import IncomingMessage
from .response import ServerResponse

Handler = Callable[..., Awaitable[object]]
MAX_DRAIN: Final = 1 << 20
"""Bytes of an unread body that are thrown away to keep a connection."""

_LINGER: Final = 1.0
_REFUSALS: Final = {
    "HPE_HEADER_OVERFLOW": b"431 Request Header Fields Too Large",
    "HPE_CHUNK_EXTENSIONS_OVERFLOW": b"413 Payload Too Large",
    "ERR_HTTP_REQUEST_TIMEOUT": b"408 Request Timeout",
}
_BAD_REQUEST: Final = b"400 Bad Request"


def find_fault(
    error: BaseException,
    connection: Connection,
    request: IncomingMessage,
    also: type[HTTPError] | tuple[()] = (),
) -> HTTPError | None:
    """Find what a peer did wrong, if that is why a handler raised.

    Args:
        error: What the handler raised; a group counts if all of it is the peer's fault.
        connection: Where the peer is.
        request: What the handler was answering.
        also: Errors that are the peer's fault wherever they come from.

    Returns:
        The error that the peer caused; None where the handler is to blame.
    """
    inner = getattr(error, "exceptions", None)
    if inner is not None:
        found = [find_fault(each, connection, request, also) for each in inner]
        return None if None in found else found[0]
    if not isinstance(error, HTTPError):
        return None
    if error in (connection.fault, connection.socket.broken, request.errored):
        return error
    if isinstance(error, also):
        return error
    # Another task of the handler may have met the same departure first.
    gone = (SocketHangUpError, SocketTimeoutError, StreamDestroyedError)
    return error if request.aborted and isinstance(error, gone) else None


@lru_cache(maxsize=64)
def keep_alive_hint(timeout: float | None, most: int) -> str | None:
    """Write what ``Keep-Alive`` announces; None where there is no limit to announce."""
    if not timeout or timeout == math.inf:
        return None
    return f"timeout={int(timeout)}, max={most}" if most else f"timeout={int(timeout)}"


def refusal_status(error: HTTPError) -> int:
    """Tell the status that a request that cannot be served is answered with."""
    return int(_REFUSALS.get(error.code, _BAD_REQUEST)[:3])


async def send_refusal(connection: Connection, error: HTTPError) -> None:
    """Answer what cannot be served, as Node does: a bare status line, then the end.

    Takes at most a second. A cancelled call may have sent a part.
    """
    line = _REFUSALS.get(error.code, _BAD_REQUEST)
    with trio.move_on_after(_LINGER):
        await connection.socket.send(b"HTTP/1.1 " + line + b"\r\nConnection: close\r\n\r\n")
        await close_politely(connection, error)


async def close_politely(connection: Connection, error: HTTPError | None = None) -> None:
    """Close so that the peer reads what we sent last (RFC 9112 section 9.6)."""
    codec, socket = connection.codec, connection.socket
    if codec.eof or (codec.complete and not codec.buffered and not socket.is_readable()):
        await socket.aclose(error)
        return
    # Closing with bytes unread would reset the connection under our last answer.
    with trio.move_on_after(_LINGER):
        try:
            await socket.send_eof()
            budget = MAX_DRAIN
            while budget > 0 and (data := await socket.receive()):
                budget -= len(data)
        except (SocketHangUpError, trio.BusyResourceError):
            pass  # a task that a handler left behind may be using it
    await socket.aclose(error)


async def answer_no_host(_: IncomingMessage, response: ServerResponse) -> None:
    """Refuse a request without Host, as Node does (RFC 9112 section 3.2)."""
    await response.write_head(400, [("Connection", "close")]).end()


async def answer_overload(_: IncomingMessage, response: ServerResponse) -> None:
    """Refuse a request beyond ``max_requests_per_socket``."""
    await response.write_head(503).end()


async def answer_expectation(_: IncomingMessage, response: ServerResponse) -> None:
    """Refuse an expectation that is not 100-continue (RFC 9110 section 10.1.1)."""
    await response.write_head(417).end()


async def answer_nothing(_: IncomingMessage, response: ServerResponse) -> None:
    """Answer where no request function was given."""
    await response.write_head(404).end()


async def hang_up(_: IncomingMessage, __: object) -> None:
    """Take a socket over where nobody is there to do it: it is closed."""


def raising(error: Exception) -> Handler:
    """Make a handler that raises, where finding one has failed."""

    async def handle(_: IncomingMessage, __: object) -> None:
        raise error

    return handle


def cancelling(handler: Handler) -> Handler:
    """Make a handler that is cancelled when its peer leaves."""

    async def handle(request: IncomingMessage, response: ServerResponse) -> None:
        async with request.cancel_on_disconnect():
            await handler(request, response)

    return handle
