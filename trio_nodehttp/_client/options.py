"""What an agent and a connection may be told, checked when they are told."""

from __future__ import annotations

import math
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal, TypedDict, get_args

import attrs
import trio

from .. import _checks
from .._errors import (
    InvalidArgTypeError,
    InvalidArgValueError,
    InvalidProtocolError,
    OutOfRangeError,
)
from .._sansio.destination import origin_name
from .proxy import Proxy, read_proxy

Family = Literal[0, 4, 6, "IPv4", "IPv6"]
_FAMILIES: Final = get_args(Family)

Lookup = Callable[..., Awaitable[Sequence[str]]]


def tls_identity(
    protocol: str | None, context: ssl.SSLContext | None, server_hostname: str | None
) -> str:
    """Write the part of an agent's key that keeps apart who trusts differently.

    An idle connection keeps its context alive, so no other one has the same identity.
    """
    if protocol != "https:":
        return ""
    return f":{'' if context is None else format(id(context), 'x')}:{server_hostname or ''}"


@attrs.frozen(kw_only=True)
class ConnectOptions:
    """Where and how one connection is made; what ``create_connection`` is given.

    Attributes:
        protocol: ``"http:"`` or ``"https:"``.
        host: The name or address.
        port: The port.
        socket_path: A Unix socket instead.
        local_address: The address to connect from.
        local_port: The port to connect from.
        family: 4 or 6; 0 or None for both.
        hints: Flags for ``getaddrinfo``.
        lookup: ``async lookup(host, options)`` giving addresses, instead of getaddrinfo.
        no_delay: Set TCP_NODELAY.
        keep_alive: Set SO_KEEPALIVE.
        keep_alive_initial_delay: Seconds before the first keep-alive probe.
        timeout: Seconds without progress, or None.
        ssl_context: The TLS context, or None for the default one.
        server_hostname: The name that the certificate must have.
        proxy: By which way, or None; ``create_connection`` is then asked for a
            connection to the proxy, and is not told of this one.
        tunnel: Ask the proxy for a tunnel (CONNECT), in place of each request.
        timings: Where ``dns``, ``connect`` and ``tls`` are noted.
    """

    protocol: str = "http:"
    host: str = "localhost"
    port: int = 80
    socket_path: str | None = None
    local_address: str | None = None
    local_port: int | None = None
    family: int | None = None
    hints: int = 0
    lookup: Lookup | None = None
    no_delay: bool = True
    keep_alive: bool = False
    keep_alive_initial_delay: float = 0.0
    timeout: float | None = None
    ssl_context: ssl.SSLContext | None = None
    server_hostname: str | None = None
    proxy: Proxy | None = None
    tunnel: bool = False
    timings: Any = attrs.field(default=None, eq=False, repr=False)

    @property
    def name(self) -> str:
        """The agent's key (Node: ``agent.getName``), with TLS identity and proxy."""
        extra = tls_identity(self.protocol, self.ssl_context, self.server_hostname)
        if self.proxy is not None:
            extra += f":{'tunnel' if self.tunnel else 'by'} {self.proxy.name}"
        return origin_name(
            self.host, self.port, self.local_address, self.family, self.socket_path, extra
        )


Connector = Callable[[ConnectOptions], Awaitable[trio.abc.Stream]]


def check_context(name: str, value: object) -> None:
    """Check a TLS context.

    Raises:
        InvalidArgTypeError: It is neither an ``ssl.SSLContext`` nor None.
    """
    if value is not None and not isinstance(value, ssl.SSLContext):
        raise InvalidArgTypeError(f"{name} must be an ssl.SSLContext, not {value!r}")


def check_port(name: str, value: object) -> None:
    """Check a port: a whole number, or one in digits; None for the default.

    Raises:
        InvalidArgTypeError: It is none of these.
        OutOfRangeError: It is not within 0 to 65535.
    """
    if value is None:
        return
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgTypeError(f"{name} must be a whole number, not {value!r}")
    if not 0 <= value <= 65535:
        raise OutOfRangeError(f"{name} must be within 0 and 65535, not {value!r}")


def check_family(name: str, value: object) -> None:
    """Check a family of addresses: 4 or 6, also by name; 0 or None for both.

    Raises:
        InvalidArgValueError: It is none of these.
    """
    comparable = isinstance(value, (int, str)) and not isinstance(value, bool)
    if value is not None and not (comparable and value in _FAMILIES):
        raise InvalidArgValueError(f"{name} must be one of {_FAMILIES}, not {value!r}")


def check_protocol(name: str, value: object) -> None:
    """Check a protocol; None for the default.

    Raises:
        InvalidArgTypeError: It is no text.
        InvalidProtocolError: It is neither ``"http:"`` nor ``"https:"``.
    """
    _checks.check_text(name, value)
    if value is not None and value not in ("http:", "https:"):
        raise InvalidProtocolError(
            f'{name}: Protocol "{value}" not supported. Expected "http:" or "https:"'
        )


def _validator(check: Callable[[str, Any], None]) -> Callable[[object, Any, Any], None]:
    def validate(_: object, field: _checks.Field[Any], value: object) -> None:
        check(field.name, value)

    return validate


def check_proxy(name: str, value: object) -> None:
    """Check a proxy: a URL, ``"env"`` or None.

    Raises:
        InvalidArgTypeError: It is no text.
        InvalidURLError: It cannot be read.
        InvalidProtocolError: Its scheme is neither http nor https.
    """
    _checks.check_text(name, value)
    if isinstance(value, str) and value != "env":
        try:
            read_proxy(value)
        except InvalidArgValueError as error:
            # The URL that is wrong is not the request's.
            raise type(error)(str(error).replace("url:", f"{name}:", 1)) from error


def _scheduling(_: object, field: _checks.Field[Any], value: object) -> None:
    if value not in ("lifo", "fifo"):
        raise InvalidArgValueError(f"{field.name} must be one of: 'fifo', 'lifo'. Got {value!r}")


def _buffer(value: Any) -> float:
    """Node falls back to its default for what makes no sense."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    good = number and 0 <= value < math.inf
    return float(value) if good else 1.0


@attrs.define(kw_only=True, slots=False, eq=False, repr=False)
class AgentSettings:
    """The options of ``Agent``; each is an attribute of it too.

    Attributes:
        keep_alive: Keep sockets for further requests.
        keep_alive_initial_delay: Seconds before the first TCP keep-alive probe.
        max_sockets: Sockets in use or being opened, per origin.
        max_total_sockets: Sockets of all origins: in use, being opened or idle.
        max_free_sockets: Idle sockets per origin.
        scheduling: Reuse the most (``"lifo"``) or least (``"fifo"``) recently used.
        timeout: Seconds after which an idle socket is closed, and after which one in
            use that is silent, or does not connect, is told to observers of
            ``timeout``; 0 or None for never.
        max_age: Seconds after which a socket is not used for another request.
        queue_timeout: Seconds that a request may wait for a socket; 0 for not at all.
        keep_alive_timeout_buffer: Seconds by which a server's ``Keep-Alive:
            timeout=N`` is shortened.
        retry_stale: Send an idempotent request once more if its reused socket was dead.
        ssl_context: The TLS context for ``https:``.
        default_port: The port that ``Host`` leaves out; None for the protocol's.
        protocol: The protocol where a request names none.
        family: 4 or ``"IPv4"``, 6 or ``"IPv6"``; 0 or None for both.
        local_address: The address to connect from.
        proxy: The URL of a proxy, ``"http://user:password@host:port"``, or ``"env"``
            to read ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``
            when the agent is made; or None. In lower case these count before upper
            case; ``HTTP_PROXY`` does not count where ``REQUEST_METHOD`` is set, as in
            a CGI script. ``https:``, CONNECT and upgrades go through a tunnel
            (CONNECT), other ``http:`` requests are sent to the proxy in absolute-form
            (RFC 9112 section 3.2.2).
    """

    keep_alive: bool = attrs.field(default=False, validator=_checks.flag)
    keep_alive_initial_delay: float = attrs.field(default=1.0, validator=_checks.seconds)
    max_sockets: float | None = attrs.field(default=math.inf, validator=_checks.count)
    max_total_sockets: float | None = attrs.field(default=math.inf, validator=_checks.positive)
    max_free_sockets: float | None = attrs.field(default=256, validator=_checks.count)
    scheduling: Literal["lifo", "fifo"] = attrs.field(default="lifo", validator=_scheduling)
    timeout: float | None = attrs.field(default=None, validator=_checks.seconds)
    max_age: float | None = attrs.field(default=None, validator=_checks.seconds)
    queue_timeout: float | None = attrs.field(default=None, validator=_checks.seconds)
    keep_alive_timeout_buffer: float = attrs.field(default=1.0, converter=_buffer)
    retry_stale: bool = attrs.field(default=True, validator=_checks.flag)
    ssl_context: ssl.SSLContext | None = attrs.field(
        default=None, validator=_validator(check_context)
    )
    default_port: int | None = attrs.field(default=None, validator=_validator(check_port))
    protocol: str | None = attrs.field(default="http:", validator=_validator(check_protocol))
    family: Family | None = attrs.field(default=None, validator=_validator(check_family))
    local_address: str | None = attrs.field(default=None, validator=_validator(_checks.check_text))
    proxy: str | None = attrs.field(default=None, repr=False, validator=_validator(check_proxy))


class AgentOptions(TypedDict, total=False):
    """The options of ``Agent`` for a type checker, without ``create_connection``.

    For those who keep options or pass them on: ``options: AgentOptions = {...}``, or
    ``**options: Unpack[AgentOptions]``.
    """

    keep_alive: bool
    keep_alive_initial_delay: float
    max_sockets: float | None
    max_total_sockets: float | None
    max_free_sockets: float | None
    scheduling: Literal["lifo", "fifo"]
    timeout: float | None
    max_age: float | None
    queue_timeout: float | None
    keep_alive_timeout_buffer: float
    retry_stale: bool
    ssl_context: ssl.SSLContext | None
    default_port: int | None
    protocol: str | None
    family: Family | None
    local_address: str | None
    proxy: str | None
