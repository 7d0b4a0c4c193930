"""What a server may be told, checked when it is told (Node: ``http.createServer``)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection
from typing import Any, Final, Literal, TypedDict

import attrs

from .. import _checks
from .._errors import OutOfRangeError, ParserUnavailableError
from .._incoming import IncomingMessage
from .._sansio.codec import MAX_HEADER_SIZE
from .._timeouts import check_seconds
from .._transport import HIGH_WATER_MARK
from .response import ServerResponse

_HEADERS_TIMEOUT: Final = 60.0


def _no_insecure_parser(_: object, field: _checks.Field[Any], value: object) -> None:
    _checks.flag(_, field, value)
    if value:
        raise ParserUnavailableError(
            f"{field.name}=True needs a lenient parser (llhttp); h11 has no such mode"
        )


def _lower_names(names: Collection[str] | None) -> frozenset[str] | None:
    _checks.check_names("unique_headers", names)
    return None if names is None else frozenset(name.lower() for name in names)


def _default_headers_timeout(options: ServerSettings) -> float:
    check_seconds("request_timeout", options.request_timeout)
    return min(_HEADERS_TIMEOUT, options.request_timeout or math.inf)


@attrs.define(kw_only=True, slots=False, eq=False, repr=False)
class ServerSettings:
    """The options of ``create_server``; each is an attribute of the server too.

    A change obeys the same checks, and holds from the next connection or request on.
    A time of 0, None or ``math.inf`` is no limit, and so is a count of 0 or None.

    Attributes:
        headers_timeout: Seconds for a whole head; default 60, or ``request_timeout``
            if that is less. Expiry is answered 408.
        request_timeout: Seconds in which a request must make progress: its head must
            be whole, and of its body ``min_body_progress`` bytes must arrive.
        min_body_progress: So many body bytes restart ``request_timeout``; None makes
            it absolute, as in Node.
        keep_alive_timeout: Seconds that a connection may idle between requests.
        keep_alive_timeout_buffer: Seconds that the server waits beyond those that it
            announces, so that no request meets a closing connection.
        timeout: Seconds of silence on a socket, at any time.
        connections_checking_interval: Seconds until a departed peer is noticed.
        max_header_size: Bytes of names and values in a head, below which it must stay.
        max_headers_count: Header pairs that are kept; the rest are dropped.
        max_requests_per_socket: Requests that a connection may make.
        max_connections: Connections at a time; more are closed when accepted.
        require_host_header: Refuse HTTP/1.1 requests without Host (RFC 9112 3.2).
        join_duplicate_headers: Join repeated headers that Node would drop.
        unique_headers: Names of which repeated values are sent on one line.
        reject_non_standard_body_writes: Raise where a message may have no body.
        optimize_empty_requests: A request that announces no body is ended at once, and
            tells of neither data nor end.
        insecure_http_parser: Needs a parser that is not there yet.
        high_water_mark: Bytes in flight that count as much.
        no_delay: Set TCP_NODELAY.
        keep_alive: Set SO_KEEPALIVE.
        keep_alive_initial_delay: Seconds before the first keep-alive probe.
        incoming_message_class: The class of requests.
        server_response_class: The class of responses.
        should_upgrade_callback: Told of a request that asks for an upgrade; a false answer
            makes it an ordinary request, a true one needs an ``upgrade`` function, or the
            connection is closed. None: whoever registered for ``upgrade`` decides.
        on_disconnect: ``"cancel"`` cancels a handler whose peer has left, and cuts a
            response that it has not ended.
        on_error: ``"raise"`` lets a handler's error end ``listen`` (for tests).
        parser: The parser's name.
    """

    request_timeout: float | None = attrs.field(default=300.0, validator=_checks.seconds)
    headers_timeout: float | None = attrs.field(
        default=attrs.Factory(_default_headers_timeout, takes_self=True), validator=_checks.seconds
    )
    min_body_progress: int | None = attrs.field(default=1024, validator=_checks.count)
    keep_alive_timeout: float | None = attrs.field(default=5.0, validator=_checks.seconds)
    keep_alive_timeout_buffer: float = attrs.field(default=1.0, validator=_checks.seconds)
    timeout: float | None = attrs.field(default=0.0, validator=_checks.seconds)
    connections_checking_interval: float = attrs.field(default=0.25, validator=_checks.seconds)
    max_header_size: int = attrs.field(default=MAX_HEADER_SIZE, validator=_checks.size)
    max_headers_count: int | None = attrs.field(default=2000, validator=_checks.count)
    max_requests_per_socket: int | None = attrs.field(default=0, validator=_checks.count)
    max_connections: float | None = attrs.field(default=None, validator=_checks.count)
    require_host_header: bool = attrs.field(default=True, validator=_checks.flag)
    join_duplicate_headers: bool = attrs.field(default=False, validator=_checks.flag)
    unique_headers: Collection[str] | None = attrs.field(default=None, converter=_lower_names)
    reject_non_standard_body_writes: bool = attrs.field(default=False, validator=_checks.flag)
    optimize_empty_requests: bool = attrs.field(default=False, validator=_checks.flag)
    insecure_http_parser: bool = attrs.field(default=False, validator=_no_insecure_parser)
    high_water_mark: int = attrs.field(default=HIGH_WATER_MARK, validator=_checks.size)
    no_delay: bool = attrs.field(default=True, validator=_checks.flag)
    keep_alive: bool = attrs.field(default=False, validator=_checks.flag)
    keep_alive_initial_delay: float = attrs.field(default=0.0, validator=_checks.seconds)
    incoming_message_class: type[IncomingMessage] = attrs.field(
        default=IncomingMessage, validator=_checks.subclass(IncomingMessage)
    )
    server_response_class: type[ServerResponse] = attrs.field(
        default=ServerResponse, validator=_checks.subclass(ServerResponse)
    )
    should_upgrade_callback: Callable[[IncomingMessage], object] | None = attrs.field(
        default=None, validator=_checks.function
    )
    on_disconnect: Literal["ignore", "cancel"] = attrs.field(
        default="ignore", validator=_checks.one_of("ignore", "cancel")
    )
    on_error: Literal["log", "raise"] = attrs.field(
        default="log", validator=_checks.one_of("log", "raise")
    )
    parser: Literal["h11"] = attrs.field(default="h11", validator=_checks.one_of("h11"))

    def __attrs_post_init__(self) -> None:
        limit = self.request_timeout or math.inf
        if self.headers_timeout is not None and limit < self.headers_timeout:
            raise OutOfRangeError(
                f"headers_timeout must be at most request_timeout ({limit} s), "
                f"not {self.headers_timeout!r}"
            )


class ServerOptions(TypedDict, total=False):
    """The options of ``create_server`` for a type checker.

    For those who keep options or pass them on: ``options: ServerOptions = {...}``, or
    ``**options: Unpack[ServerOptions]``.
    """

    request_timeout: float | None
    headers_timeout: float | None
    min_body_progress: int | None
    keep_alive_timeout: float | None
    keep_alive_timeout_buffer: float
    timeout: float | None
    connections_checking_interval: float
    max_header_size: int
    max_headers_count: int | None
    max_requests_per_socket: int | None
    max_connections: float | None
    require_host_header: bool
    join_duplicate_headers: bool
    unique_headers: Collection[str] | None
    reject_non_standard_body_writes: bool
    optimize_empty_requests: bool
    insecure_http_parser: bool
    high_water_mark: int
    no_delay: bool
    keep_alive: bool
    keep_alive_initial_delay: float
    incoming_message_class: type[IncomingMessage]
    server_response_class: type[ServerResponse]
    should_upgrade_callback: Callable[[IncomingMessage], object] | None
    on_disconnect: Literal["ignore", "cancel"]
    on_error: Literal["log", "raise"]
    parser: Literal["h11"]


OPTIONS: Final = frozenset(attrs.fields_dict(ServerSettings))

logger = logging.getLogger("trio_nodehttp")
