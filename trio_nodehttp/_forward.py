"""Passing requests on to an origin: what every proxy would write by hand.

RFC 9110 section 7.6 says what an intermediary does; ``_sansio.hops`` does it to heads,
this module moves the bytes.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal

import attrs
import trio

from . import _checks
from ._client import functions
from ._client.agent import Agent, check_agent
from ._client.request import ClientRequest
from ._client.target import connect_options
from ._client.through import open_for_any
from ._errors import (
    HTTPError,
    InvalidArgTypeError,
    InvalidArgValueError,
    InvalidURLError,
    SocketTimeoutError,
)
from ._incoming import IncomingMessage
from ._passage import Passage, answer, answer_failure, unless_left
from ._pipe import tunnel
from ._sansio.destination import DEFAULT_PORTS, basic_authorization, host_header, parse_url
from ._sansio.events import RequestHead
from ._sansio.headers import HeaderValue, Pairs, clean_value, is_token, validate_header_name
from ._sansio.hops import (
    Hop,
    Overrides,
    add_forwarded,
    add_via,
    count_hop,
    end_to_end,
    fold,
    goes_in_circles,
    override,
    request_framing,
    split_authority,
    split_target,
    wants_trailers,
)
from ._server.answers import close_politely, find_fault
from ._server.options import logger
from ._server.response import ServerResponse
from ._timeouts import check_seconds
from ._transport import Socket
from ._upgraded import UpgradedStream

Forwarded = Literal["append", "replace"] | None

TIMEOUT: Final = 60.0
"""Seconds that an origin may keep a proxy waiting, unless it is told otherwise."""
PSEUDONYM: Final = "trio_nodehttp"
_FRAMING: Final = ("content-length", "transfer-encoding")


async def forward(
    request: IncomingMessage,
    response: ServerResponse,
    origin: str,
    *,
    # Where to
    agent: Agent | None = None,
    path: str | None = None,
    # What changes on the way
    headers: Overrides | None = None,
    response_headers: Overrides | None = None,
    preserve_host: bool = False,
    forwarded: Forwarded = "append",
    via: str | None = PSEUDONYM,
    # What if it fails
    timeout: float | None = TIMEOUT,
    raise_unreached: bool = False,
) -> None:
    """Pass a request on to an origin, and its response back, both streamed.

    For the handler of a reverse proxy, or of a forward proxy (RFC 9110 section 3.7)::

        async def handler(request, response):
            await forward(request, response, "http://127.0.0.1:9000", agent=agent)

    Neither body is kept: each side is read as fast as the other takes it, also both
    at once. Content-Length is passed on, a body of unknown length goes in chunks.
    Trailers and informational responses are passed on, ``Expect: 100-continue`` is
    the origin's to answer. What concerns one connection is left out (RFC 9110 section
    7.6.1); so is ``Upgrade``, see `forward_upgrade`. Headers that were set on the
    response stay, unless the origin sends them too.

    When the client leaves, or ends its side of the connection, the request to the
    origin is given up. When the origin fails before its response began, the client
    gets 502, or 504 if it was too slow, or 503 if the agent had no socket in time;
    afterwards the connection to the client is cut, so that nobody takes a part for
    the whole. Each failure is logged as a warning. A request that has come through ten
    proxies of the name in ``via`` goes in circles, and gets 508.

    Args:
        request: The request; unread.
        response: Its response; not begun.
        origin: The URL of the origin. A path in it goes before the request's; what
            ``/..`` in that leads to is the origin's to judge. A user in it is sent in
            place of the client's ``Authorization``.
        agent: Whose sockets are used; None for the global agent's.
        path: What to ask the origin for, in place of the request's own target.
        headers: Header fields to set on the way to the origin; None as a value
            leaves one out. What the client sent under such a name goes, also where it
            has ``_`` for ``-``, which CGI and WSGI take for the same.
        response_headers: Header fields to set on the way back, in the same manner.
            Neither may frame the message (Content-Length, Transfer-Encoding).
        preserve_host: Let the origin see the ``Host`` that the client sent, not its
            own.
        forwarded: Tell the origin of the client by ``Forwarded`` (RFC 7239) and
            ``X-Forwarded-For``, ``-Proto`` and ``-Host``: ``"append"`` to what came,
            ``"replace"`` it, and every other ``X-Forwarded-…``, where clients are not
            to be believed, or None to leave the request as it is.
        via: The name in ``Via`` (RFC 9110 section 7.6.3); None sends none.
        timeout: Seconds that the origin may keep us waiting, each time: for a
            connection, for its response, for more of it, and to take more of ours.
        raise_unreached: Raise where no connection could be had, in place of answering,
            so that another origin can be tried.

    Raises:
        InvalidURLError, InvalidProtocolError: ``origin`` is no http or https URL, or
            has a query.
        InvalidArgTypeError, InvalidArgValueError: An argument is wrong; named in the text.
        HTTPError: The client broke off, or broke the rules of HTTP; for the server.
        ConnectionFailedError, SocketTimeoutError: With ``raise_unreached``: there is no
            connection to the origin; nothing was read or sent.

    When it is cancelled, the request to the origin is given up; nothing is left open.
    """
    limit = check_seconds("timeout", timeout) or math.inf
    _checks.check_flag("raise_unreached", raise_unreached)
    _check_overrides("response_headers", response_headers)
    way = _Way(origin, agent, path, headers, preserve_host, forwarded, via)
    if status := _last_hop_status(request, via):
        await answer(response, status)
        return
    passage = Passage(
        request,
        response,
        way.request(request),
        via=via,
        limit=limit,
        overrides=response_headers,
    )
    # No checkpoint comes before the agent counts this request: balancers go by that.
    with request.cancel_on_disconnect():
        try:
            await passage.run()
        except HTTPError as error:
            if find_fault(error, request._connection, request) is not None:  # type: ignore[arg-type]
                raise
            if raise_unreached and not passage.reached:
                raise
            await answer_failure(error, request, response, _place(origin))
    if request.aborted:
        response.destroy()


async def forward_upgrade(
    request: IncomingMessage,
    stream: UpgradedStream,
    origin: str,
    *,
    agent: Agent | None = None,
    path: str | None = None,
    headers: Overrides | None = None,
    preserve_host: bool = False,
    forwarded: Forwarded = "append",
    via: str | None = PSEUDONYM,
    timeout: float | None = TIMEOUT,
) -> None:
    """Pass an upgrade on to an origin (RFC 9110 section 7.8), and join the two streams.

    For the handler of an ``upgrade`` event, best of one protocol only, which is then
    all that the origin is offered::

        @server.on("upgrade", protocol="websocket")
        async def websocket(request, stream):
            await forward_upgrade(request, stream, "http://127.0.0.1:9000")

    Returns when both sides have ended the stream (see `tunnel`). Where the origin
    answers otherwise than by 101, that answer is passed on and the connection closed;
    where it fails, the answer is 502, 503 or 504, as from `forward`. An upgrade with a
    body, which nobody sends, is answered 400.

    Args:
        request: The request.
        stream: Its connection.
        origin: The URL of the origin.
        agent: Which opens the connection; it leaves the agent's count with the 101.
        path: As for `forward`, and so are ``headers``, ``preserve_host``,
            ``forwarded`` and ``via``.
        headers: See `forward`.
        preserve_host: See `forward`.
        forwarded: See `forward`.
        via: See `forward`.
        timeout: Seconds that the origin may take for its answer; the stream behind it
            is not watched.

    Raises:
        InvalidURLError, InvalidProtocolError: ``origin`` is no http or https URL, or
            has a query.
        InvalidArgTypeError, InvalidArgValueError: An argument is wrong; named in the text.
        HTTPError: The client left before the stream was joined, or ended its side
            having sent nothing behind the request.

    When it is cancelled, both connections are closed.
    """
    limit = check_seconds("timeout", timeout) or math.inf
    way = _Way(origin, agent, path, headers, preserve_host, forwarded, via)
    response = _response_on(stream, request)
    status = 400 if request._head.body else _loop_status(request, via)
    if status:
        await answer(response, status)
    else:
        onward = way.request(request, upgrade=True)
        passage = Passage(request, response, onward, via=via, limit=limit)
        try:
            if await passage.run_upgrade(stream):
                return
        except HTTPError as error:
            if find_fault(error, request._connection, request) is not None:  # type: ignore[arg-type]
                raise
            await answer_failure(error, request, response, _place(origin))
    await close_politely(request._connection)  # type: ignore[arg-type]


async def forward_connect(
    request: IncomingMessage,
    stream: UpgradedStream,
    *,
    agent: Agent | None = None,
    timeout: float | None = TIMEOUT,
) -> None:
    """Open the tunnel that a CONNECT asks for (RFC 9110 section 9.3.6), and join both ends.

    For the handler of a ``connect`` event, behind a check of ``request.url``: this
    function connects to any host and port that it names::

        @server.on("connect")
        async def connect(request, stream):
            if request.url in ALLOWED:
                await forward_connect(request, stream)

    Returns when both sides have ended the tunnel (see `tunnel`). Where nobody answers
    at the other end, the client gets 502, or 504 if that took too long.

    Args:
        request: The request, for ``host:port``.
        stream: Its connection.
        agent: Which opens the connection, by its own proxy if it has one; it is not
            counted. None for the global agent.
        timeout: Seconds for the connection.

    Raises:
        InvalidArgTypeError, InvalidArgValueError: An argument is wrong; named in the text.
        HTTPError: The client left before the tunnel stood, or ended its side having
            sent nothing behind the request.

    When it is cancelled, both connections are closed.
    """
    limit = check_seconds("timeout", timeout) or math.inf
    check_agent(agent)
    opener = agent or functions.global_agent
    host, port = split_authority(request.url)
    options, _ = connect_options(opener, "http:", host, port, {"method": "CONNECT"})
    other = UpgradedStream(Socket(), b"")

    async def connect() -> None:
        made, other._early = await open_for_any(opener.create_connection, options)
        other.socket.attach(made)

    try:
        if await _reach(request, stream, connect, limit):
            await stream.send_all(b"HTTP/1.1 200 Connection Established\r\n\r\n")
            await tunnel(stream, other)
    finally:
        other.destroy()


async def _reach(
    request: IncomingMessage,
    stream: UpgradedStream,
    connect: Callable[[], Awaitable[None]],
    limit: float,
) -> bool:
    """Connect to the other end of a tunnel; where that fails the client is told."""
    try:
        with trio.move_on_after(limit):
            await unless_left(request, stream, connect)
            return True
        raise SocketTimeoutError(f"no connection to {request.url} within {limit} s")
    except HTTPError as error:
        if request.aborted:
            raise
        await answer_failure(error, request, _response_on(stream, request), request.url)
        await close_politely(request._connection)  # type: ignore[arg-type]
    return False


@attrs.frozen
class _Way:
    """From here to an origin: what changes in the requests that are passed on."""

    origin: str
    agent: Agent | None
    path: str | None
    headers: Overrides | None
    preserve_host: bool = attrs.field(validator=_checks.flag)
    forwarded: Forwarded
    via: str | None

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.origin, str):
            raise InvalidArgTypeError(f"origin must be a string, not {self.origin!r}")
        if self.forwarded not in ("append", "replace", None):
            raise InvalidArgValueError(
                f"forwarded must be 'append', 'replace' or None, not {self.forwarded!r}"
            )
        _check_overrides("headers", self.headers)
        _checks.check_text("path", self.path)
        if self.path is not None and not self.path.startswith(("/", "*")):
            raise InvalidArgValueError(f"path must begin with a slash, not {self.path!r}")
        _checks.check_text("via", self.via)
        if self.via is not None and not is_token(self.via):
            raise InvalidArgValueError(f"via must be a token, not {self.via!r}")

    def request(self, request: IncomingMessage, *, upgrade: bool = False) -> ClientRequest:
        """Make the request to the origin.

        Raises:
            InvalidURLError, InvalidProtocolError: The origin is no http or https URL, or
                has a query.
            InvalidArgTypeError: ``agent``, ``path`` or a header is wrong.
        """
        head = request._head
        assert isinstance(head, RequestHead)
        place = parse_url(self.origin)
        if "?" in place.path:
            raise InvalidURLError("origin: a query cannot go before the request's own path")
        authority, target = split_target(head.method, head.target)
        target = target if self.path is None else self.path
        if place.path != "/" and target != "*":
            target = place.path.rstrip("/") + target
        asked = authority or head.host
        usual = DEFAULT_PORTS[place.protocol]
        host = host_header(place.host, place.port or usual, usual)
        fields: list[tuple[str, HeaderValue]] = [
            ("Host", asked if self.preserve_host and asked else host),
            *self._fields(head, Hop(request.socket.remote_address, _scheme(request), asked)),
        ]
        if place.auth is not None:
            fields = override(fields, {"Authorization": basic_authorization(place.auth)})
        if self.headers:
            fields = override(fields, self.headers)
        if upgrade:
            fields += [("Connection", "Upgrade"), ("Upgrade", head.upgrade or "")]
        else:
            fields += request_framing(head.pairs, head.body)
        return functions.request(
            self.origin, method=head.method, path=target, headers=fields, agent=self.agent
        )

    def _fields(self, head: RequestHead, hop: Hop) -> Pairs:
        kept = end_to_end(head.pairs)
        dropped = {"host"} if head.body and head.minor else {"host", "expect"}
        kept = [pair for pair in kept if pair[0].lower() not in dropped]
        _, kept = count_hop(head.method, kept)
        if self.forwarded is not None:
            kept = add_forwarded(kept, hop, replace=self.forwarded == "replace")
        kept = add_via(kept, f"1.{head.minor}", self.via)
        if wants_trailers(head.pairs):
            kept += [("TE", "trailers"), ("Connection", "TE")]
        return kept


def _check_overrides(name: str, overrides: Overrides | None) -> None:
    if not isinstance(overrides, (Mapping, type(None))):
        raise InvalidArgTypeError(f"{name} must be a mapping, not {overrides!r}")
    for field, value in (overrides or {}).items():
        validate_header_name(field)
        if value is not None:
            clean_value(field, value)
        if fold(field) in _FRAMING:
            raise InvalidArgValueError(f"{name} must leave {field} to us: it frames the message")


def _place(origin: str) -> str:
    """Name an origin in the log, where its credentials and path do not belong."""
    place = parse_url(origin)
    return host_header(place.host, place.port or DEFAULT_PORTS[place.protocol], None)


def _scheme(request: IncomingMessage) -> str:
    return "https" if request.socket.encrypted else "http"


def _last_hop_status(request: IncomingMessage, via: str | None) -> int:
    """Tell how to answer a request that may go no further, or 0."""
    left, _ = count_hop(request.method, request._head.pairs)
    if left == 0:  # RFC 9110 section 7.6.2
        return 200 if request.method == "OPTIONS" else 501
    return _loop_status(request, via)


def _loop_status(request: IncomingMessage, via: str | None) -> int:
    """Tell how to answer a request that comes round and round, or 0."""
    if not goes_in_circles(request._head.pairs, via):
        return 0
    logger.warning("%s %s is not passed on: it goes in circles (508)", request.method, request.url)
    return 508


def _response_on(stream: UpgradedStream, request: IncomingMessage) -> ServerResponse:
    """Make the response to a request that wanted the raw stream; it is the last one."""
    response = ServerResponse(request)
    response.assign_socket(stream.socket)
    response._may_persist = lambda: False
    return response
