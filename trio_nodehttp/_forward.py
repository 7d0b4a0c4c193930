"""Passing requests on to an origin: what every proxy would write by hand.

RFC 9110 section 7.6 says what an intermediary does; ``_sansio.hops`` does it to heads,
this module moves the bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs
import trio

from . import _checks
from ._client.agent import Agent, check_agent
from ._client.functions import global_agent
from ._client.functions import request as make_request
from ._client.request import ClientRequest
from ._client.target import connect_options
from ._client.through import open_connection
from ._errors import (
    HTTPError,
    InvalidArgTypeError,
    InvalidArgValueError,
    ParseError,
    QueueTimeoutError,
    SocketTimeoutError,
)
from ._incoming import IncomingMessage
from ._pipe import tunnel
from ._sansio.destination import DEFAULT_PORTS, host_header, parse_url
from ._sansio.events import RequestHead
from ._sansio.headers import HeaderValue, Pairs, is_token
from ._sansio.hops import (
    Hop,
    add_forwarded,
    add_via,
    count_hop,
    end_to_end,
    request_framing,
    response_framing,
    split_authority,
    split_target,
    wants_trailers,
)
from ._sansio.status import STATUS_CODES
from ._server.answers import close_politely, find_fault
from ._server.options import logger
from ._server.response import ServerResponse
from ._timeouts import check_seconds
from ._transport import Socket
from ._upgraded import UpgradedStream

Overrides = Mapping[str, HeaderValue | None]
Forwarded = Literal["append", "replace"] | None

TIMEOUT: Final = 60.0
"""Seconds that an origin may keep a proxy waiting, unless it is told otherwise."""
PSEUDONYM: Final = "trio_nodehttp"
# Seconds for an origin to ask for a body; RFC 9110 section 10.1.1 lets us go on without.
_CONTINUE: Final = 1.0
# So much a socket takes at once; more is sent while the response is awaited.
_SURE_TO_FIT: Final = 16384


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
    preserve_host: bool = False,
    forwarded: Forwarded = "append",
    via: str | None = PSEUDONYM,
    # What if it fails
    timeout: float | None = TIMEOUT,
    answer_failures: bool = True,
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
    the whole. Each failure is logged as a warning.

    Args:
        request: The request; unread.
        response: Its response; not begun.
        origin: The URL of the origin. A path in it goes before the request's.
        agent: Whose sockets are used; None for the global agent's.
        path: What to ask the origin for, in place of the request's own target.
        headers: Header fields to set on the way to the origin; None as a value
            leaves one out.
        preserve_host: Let the origin see the ``Host`` that the client sent, not its
            own.
        forwarded: Tell the origin of the client by ``Forwarded`` (RFC 7239) and
            ``X-Forwarded-For``, ``-Proto`` and ``-Host``: ``"append"`` to what came,
            ``"replace"`` it where clients are not to be believed, or None to leave
            the request as it is.
        via: The name in ``Via`` (RFC 9110 section 7.6.3); None sends none.
        timeout: Seconds that the origin may keep us waiting, each time: for a
            connection, for its response, for more of it, and to take more of ours.
        answer_failures: False raises what the origin failed with, as long as
            nothing was sent to the client.

    Raises:
        InvalidURLError, InvalidProtocolError: ``origin`` is no http or https URL.
        InvalidArgTypeError, InvalidArgValueError: An argument is wrong; named in the text.
        HTTPError: The client broke off, or broke the rules of HTTP; for the server.
        ConnectionFailedError: With ``answer_failures=False``: the origin was not
            reached, and nothing of the request has been read.

    When it is cancelled, the request to the origin is given up; nothing is left open.
    """
    limit = check_seconds("timeout", timeout) or math.inf
    _checks.check_flag("answer_failures", answer_failures)
    way = _Way(origin, agent, path, headers, preserve_host, forwarded, via)
    if await _is_last_hop(request, response):
        return
    passage = _Passage(request, response, way.request(request), via, limit)
    async with request.cancel_on_disconnect():
        try:
            await passage.run()
        except HTTPError as error:
            if find_fault(error, request._connection, request) is not None:  # type: ignore[arg-type]
                raise
            if not (answer_failures or response.headers_sent):
                raise
            await _answer_failure(error, request, response)
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

    For the handler of an ``upgrade`` event, best of one protocol only::

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
        InvalidURLError, InvalidProtocolError: ``origin`` is no http or https URL.
        InvalidArgTypeError, InvalidArgValueError: An argument is wrong; named in the text.
        HTTPError: The client broke off before the stream was joined.

    When it is cancelled, both connections are closed.
    """
    limit = check_seconds("timeout", timeout) or math.inf
    way = _Way(origin, agent, path, headers, preserve_host, forwarded, via)
    response = _response_on(stream, request)
    if request._head.body:
        await _answer(response, 400)
    else:
        passage = _Passage(request, response, way.request(request, upgrade=True), via, limit)
        try:
            if await passage.run_upgrade(stream):
                return
        except HTTPError as error:
            if find_fault(error, request._connection, request) is not None:  # type: ignore[arg-type]
                raise
            await _answer_failure(error, request, response)
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
        HTTPError: The client broke off before the tunnel stood.

    When it is cancelled, both connections are closed.
    """
    limit = check_seconds("timeout", timeout) or math.inf
    check_agent(agent)
    opener = agent or global_agent
    host, port = split_authority(request.url)
    options, _ = connect_options(opener, "http:", host, port, {"method": "CONNECT"})
    try:
        with trio.move_on_after(limit) as scope:
            far = await open_connection(opener.create_connection, options)
        if scope.cancelled_caught:
            raise SocketTimeoutError(f"no connection to {request.url} within {limit} s")
    except HTTPError as error:
        await _answer_failure(error, request, _response_on(stream, request))
        await close_politely(request._connection)  # type: ignore[arg-type]
        return
    other = UpgradedStream(Socket(far), b"")
    try:
        await stream.send_all(b"HTTP/1.1 200 Connection Established\r\n\r\n")
        await tunnel(stream, other)
    finally:
        other.destroy()


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
        if self.forwarded not in ("append", "replace", None):
            raise InvalidArgValueError(
                f"forwarded must be 'append', 'replace' or None, not {self.forwarded!r}"
            )
        if not isinstance(self.headers, (Mapping, type(None))):
            raise InvalidArgTypeError(f"headers must be a mapping, not {self.headers!r}")
        _checks.check_text("via", self.via)
        if self.via is not None and not is_token(self.via):
            raise InvalidArgValueError(f"via must be a token, not {self.via!r}")

    def request(self, request: IncomingMessage, *, upgrade: bool = False) -> ClientRequest:
        """Make the request to the origin.

        Raises:
            InvalidURLError, InvalidProtocolError: The origin is no http or https URL.
            InvalidArgTypeError: ``agent``, ``path`` or a header is wrong.
        """
        head = request._head
        assert isinstance(head, RequestHead)
        place = parse_url(self.origin)
        target = self.path or head.target
        authority, target = split_target(head.method, target)
        if place.path != "/" and target != "*":
            target = place.path.rstrip("/") + target
        asked = authority or head.host
        usual = DEFAULT_PORTS[place.protocol]
        host = host_header(place.host, place.port or usual, usual)
        fields = [
            ("Host", asked if self.preserve_host and asked else host),
            *self._fields(head, Hop(request.socket.remote_address, _scheme(request), asked)),
        ]
        if self.headers:
            fields = _override(fields, self.headers)
        if upgrade:
            fields += [("Connection", "Upgrade"), ("Upgrade", head.upgrade or "")]
        else:
            fields += request_framing(head.pairs, head.body)
        return make_request(
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


class _Passage:
    """One request on its way to an origin, and its response on the way back.

    Two scopes: the nursery's, where bodies go both ways, and ``_patience``, whose
    deadline is set while the origin keeps us waiting.
    """

    __slots__ = (
        "_asked",
        "_failure",
        "_informed",
        "_limit",
        "_onward",
        "_patience",
        "_request",
        "_response",
        "_via",
    )

    def __init__(
        self,
        request: IncomingMessage,
        response: ServerResponse,
        onward: ClientRequest,
        via: str | None,
        limit: float,
    ) -> None:
        self._request = request
        self._response = response
        self._onward = onward
        self._via = via
        self._limit = limit
        self._patience = trio.CancelScope()
        self._failure: Exception | None = None
        self._informed = 0
        self._asked = trio.Event()  # the origin asks for the body

    # --- waiting for the origin --------------------------------------------------------

    def _wait(self) -> None:
        self._patience.deadline = trio.current_time() + self._limit

    def _go_on(self) -> None:
        self._patience.deadline = math.inf

    def _too_slow(self) -> SocketTimeoutError:
        return SocketTimeoutError(f"the origin kept us waiting for {self._limit} s")

    async def run(self) -> None:
        """Pass everything on. Raises whatever either side fails with."""
        with self._patience:
            self._wait()
            async with self._onward:
                await self._exchange()
        if self._patience.cancelled_caught:
            raise self._too_slow()

    async def run_upgrade(self, stream: UpgradedStream) -> bool:
        """Pass an upgrade on; False if an ordinary response was passed back instead."""
        onward = self._onward
        with self._patience:
            self._wait()
            async with onward:
                onward._wanted = True
                await onward.end()
                await self._hear()
                if onward._stream is None:
                    await self._bring_back()
                    return False
                self._go_on()
                await stream.send_all(self._switching())
                await tunnel(stream, onward._stream)
        if self._patience.cancelled_caught:
            raise self._too_slow()
        return True

    def _switching(self) -> bytes:
        """Write the 101 that the origin sent."""
        answer = self._onward._answer()
        upgrade = answer.headers.get("upgrade", "")
        pairs = add_via(end_to_end(answer.raw_headers), answer.http_version, self._via)
        pairs += [("Connection", "Upgrade"), ("Upgrade", upgrade)]
        lines = "".join(f"{name}: {value}\r\n" for name, value in pairs)
        return f"HTTP/1.1 101 {STATUS_CODES[101]}\r\n{lines}\r\n".encode("latin-1")

    async def _exchange(self) -> None:
        self._onward._duplex = True
        data, whole = await self._read_early()
        self._wait()
        if not whole:
            await self._both_ways(data)
            return
        await self._end_upload(data)
        await self._hear()
        await self._bring_back()

    # --- up ------------------------------------------------------------------------------

    async def _read_early(self) -> tuple[bytes, bool]:
        """Read the body that came with its head; and say whether that is all, and small."""
        request, data = self._request, b""
        if not request._head.body:
            return data, True
        codec = request._connection.codec  # type: ignore[union-attr]
        if codec.buffered:
            self._go_on()
            data = await request.receive_some()
        if not codec.complete or len(data) > _SURE_TO_FIT:
            return data, False
        await request.receive_some()  # its end
        return data, True

    async def _end_upload(self, data: bytes) -> None:
        trailers = self._request.raw_trailers
        if trailers:
            self._onward.add_trailers(end_to_end(trailers))
        self._wait()
        await self._onward.end(data)

    async def _both_ways(self, data: bytes) -> None:
        """Read the response while the body is sent. Raises nothing inside the nursery."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._upload, data, nursery.cancel_scope)
            try:
                await self._hear()
                await self._bring_back()
            except Exception as error:  # noqa: BLE001  # raised below, without a group
                self._failure = self._failure or error
            nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def _upload(self, data: bytes, scope: trio.CancelScope) -> None:
        try:
            await self._send_up(data)
        except Exception as error:  # noqa: BLE001  # raised outside the nursery
            self._failure = error
            scope.cancel()

    async def _send_up(self, data: bytes) -> None:
        request, onward = self._request, self._onward
        if not data:
            await onward.flush_headers()
            self._go_on()
            if request._head.expect is not None:  # type: ignore[union-attr]
                with trio.move_on_after(_CONTINUE):
                    await self._asked.wait()
            data = await request.receive_some()
        codec = request._connection.codec  # type: ignore[union-attr]
        while data and not codec.complete:
            self._wait()
            wanted = await onward.write(data)
            self._go_on()
            if not wanted:
                return
            data = await request.receive_some()
        if data:
            await request.receive_some()  # its end
        await self._end_upload(data)

    # --- and back --------------------------------------------------------------------------

    async def _hear(self) -> None:
        """Read heads up to the final one; those before it are passed on as they come."""
        onward, response = self._onward, self._response
        while onward.response is None:
            await onward._hear()
            for information in onward.informational[self._informed :]:
                self._informed += 1
                if information.status_code == 100:
                    response._sent_continue = True
                fields = end_to_end(information.raw_headers)
                await response._write_information(information.status_code, fields)
                if information.status_code == 100:
                    self._asked.set()

    async def _bring_back(self) -> None:
        answer, response = self._onward._answer(), self._response
        response.write_head(answer.status_code, answer.status_message, self._back_fields(answer))
        connection = answer._connection
        data = b""
        if connection is not None and answer._head.body:
            codec = connection.codec
            if not (codec.buffered or codec.complete):
                self._go_on()
                await response.flush_headers()
            while data := await self._receive(answer):
                if codec.complete:
                    await answer.receive_some()  # its end: the socket is free again
                    break
                await response.write(data)
        else:
            await answer.receive_some()
        self._go_on()
        trailers = answer.raw_trailers
        if trailers:
            response.add_trailers(end_to_end(trailers))
        await response.end(data)

    async def _receive(self, answer: IncomingMessage) -> bytes:
        self._wait()
        data = await answer.receive_some()
        self._go_on()
        return data

    def _back_fields(self, answer: IncomingMessage) -> Pairs:
        head, asked = answer._head, self._request._head
        try:
            framing = response_framing(
                head.pairs,
                head.body,
                status=answer.status_code,
                is_head=self._request.method == "HEAD",
                chunks=asked.minor == 1,
            )
        except ValueError as error:
            raise ParseError("HPE_INVALID_TRANSFER_ENCODING", str(error)) from error
        return [*add_via(end_to_end(head.pairs), answer.http_version, self._via), *framing]


def _scheme(request: IncomingMessage) -> str:
    return "https" if request.socket.encrypted else "http"


def _override(fields: Pairs, overrides: Overrides) -> list[tuple[str, Any]]:
    names = {name.lower() for name in overrides}
    kept: list[tuple[str, Any]] = [pair for pair in fields if pair[0].lower() not in names]
    return kept + [pair for pair in overrides.items() if pair[1] is not None]


async def _is_last_hop(request: IncomingMessage, response: ServerResponse) -> bool:
    """Answer a request that may not go further (RFC 9110 section 7.6.2)."""
    left, _ = count_hop(request.method, request._head.pairs)
    if left == 0:
        await _answer(response, 200 if request.method == "OPTIONS" else 501)
    return left == 0


async def _answer_failure(
    error: HTTPError, request: IncomingMessage, response: ServerResponse
) -> None:
    """Tell the client that the origin failed; cut it off where it has half a response."""
    status = 502
    if isinstance(error, QueueTimeoutError):
        status = 503
    elif isinstance(error, SocketTimeoutError) or error.code == "ETIMEDOUT":
        status = 504
    told = "cut off" if response.headers_sent else str(status)
    logger.warning("%s %s is not passed on: %s (%s)", request.method, request.url, error, told)
    if response.headers_sent:
        response.destroy()
    else:
        await _answer(response, status)


async def _answer(response: ServerResponse, status: int) -> None:
    text = f"{STATUS_CODES[status]}\n" if status >= 400 else ""
    await response.write_head(status, {"Content-Type": "text/plain"}).end(text)


def _response_on(stream: UpgradedStream, request: IncomingMessage) -> ServerResponse:
    """Make the response to a request that wanted the raw stream; it is the last one."""
    response = ServerResponse(request)
    response.assign_socket(stream.socket)
    response._may_persist = lambda: False
    return response
