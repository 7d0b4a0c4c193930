"""Reads what a caller says of one request: URL, options, headers; opens nothing."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, TypedDict
from urllib.parse import ParseResult, SplitResult

import attrs

from .. import _checks
from .._errors import (
    InvalidArgTypeError,
    InvalidHTTPTokenError,
    ParserUnavailableError,
)
from .._sansio.destination import (
    DEFAULT_PORTS,
    Destination,
    check_host,
    check_path,
    parse_url,
    split_destination,
)
from .._sansio.headers import HeadersLike, is_token, pairs_of
from .._timeouts import check_seconds
from .agent import Agent, check_agent
from .options import (
    ConnectOptions,
    Connector,
    Family,
    Lookup,
    check_context,
    check_family,
    check_port,
    check_protocol,
)

Check = Callable[[str, Any], object]
Chunk = bytes | bytearray | memoryview | str


def _check_any(_: str, __: object) -> None:
    pass


def _check_method(name: str, value: object) -> None:
    _checks.check_text(name, value)
    if value and not is_token(str(value)):
        raise InvalidHTTPTokenError(f'{name} must be a valid HTTP token ["{value}"]')


def _check_path(name: str, value: object) -> None:
    _checks.check_text(name, value)
    if value:
        check_path(str(value))


def _check_host(name: str, value: object) -> None:
    _checks.check_text(name, value)
    if value:
        check_host(name, str(value))


def _check_optional_flag(name: str, value: object) -> None:
    if value is not None:
        _checks.check_flag(name, value)


def _check_insecure_parser(name: str, value: object) -> None:
    _check_optional_flag(name, value)
    if value:
        raise ParserUnavailableError(
            f"{name}=True needs a lenient parser (llhttp); h11 has no such mode"
        )


def _check_body(name: str, value: object) -> None:
    good = isinstance(value, (bytes, bytearray, memoryview, str)) or hasattr(value, "__aiter__")
    if value is not None and not good:
        raise InvalidArgTypeError(
            f"{name} must be bytes, str or an async iterable, not {type(value).__name__}"
        )


def _check_max_size(name: str, value: object) -> None:
    if value is not None:
        _checks.check_size(name, value)


def _check_max_count(name: str, value: object) -> None:
    _checks.check_count(name, value, least=0)


CHECKS: Final[dict[str, Check]] = {
    "agent": lambda _, value: check_agent(value),
    "auth": _checks.check_text,
    "body": _check_body,
    "create_connection": _checks.check_function,
    "default_port": check_port,
    "family": check_family,
    "headers": _check_any,
    "hints": _check_max_count,
    "host": _check_host,
    "hostname": _check_host,
    "insecure_http_parser": _check_insecure_parser,
    "join_duplicate_headers": _check_optional_flag,
    "local_address": _checks.check_text,
    "local_port": check_port,
    "lookup": _checks.check_function,
    "max_header_size": _check_max_size,
    "max_headers_count": _check_max_count,
    "method": _check_method,
    "path": _check_path,
    "port": check_port,
    "protocol": check_protocol,
    "retry_stale": _check_optional_flag,
    "server_hostname": _checks.check_text,
    "set_default_headers": _check_optional_flag,
    "set_host": _check_optional_flag,
    "socket_path": _checks.check_text,
    "ssl_context": check_context,
    "timeout": check_seconds,
    "unique_headers": _checks.check_names,
}


class RequestOptions(TypedDict, total=False):
    """The options of ``request`` and ``get`` for a type checker.

    For those who keep options or pass them on: ``options: RequestOptions = {...}``, or
    ``**options: Unpack[RequestOptions]``.
    """

    agent: Agent | Literal[False] | None
    auth: str | None
    body: Chunk | AsyncIterable[Chunk] | None
    create_connection: Connector | None
    default_port: int | str | None
    family: Family | None
    headers: HeadersLike | None
    hints: int | None
    host: str | None
    hostname: str | None
    insecure_http_parser: bool | None
    join_duplicate_headers: bool | None
    local_address: str | None
    local_port: int | str | None
    lookup: Lookup | None
    max_header_size: int | None
    max_headers_count: int | None
    method: str | None
    path: str | None
    port: int | str | None
    protocol: str | None
    retry_stale: bool | None
    server_hostname: str | None
    set_default_headers: bool | None
    set_host: bool | None
    socket_path: str | None
    ssl_context: ssl.SSLContext | None
    timeout: float | None
    unique_headers: Collection[str] | None


def check_options(options: Mapping[str, Any]) -> None:
    """Check every option.

    Raises:
        TypeError: There is no such option; the message names the closest.
        InvalidArgTypeError: One has the wrong type; the message names it.
        InvalidArgValueError: One has a wrong value; the message names it.
    """
    for name, value in options.items():
        check = CHECKS.get(name)
        if check is None:
            raise _checks.unexpected("request", name, CHECKS)
        check(name, value)


def read_mapping(given: Mapping[str, Any]) -> dict[str, Any]:
    """Take the options out of a mapping, which may hold other things besides.

    A URL taken apart or a server's address is such a mapping (as in Node); keywords, by
    contrast, must all be options.
    """
    return {name: value for name, value in given.items() if name in CHECKS}


def read_url(url: object) -> Destination:
    """Read a URL given as text, or taken apart by ``urllib.parse``.

    Raises:
        InvalidURLError: It cannot be read.
        InvalidProtocolError: Its scheme is neither http nor https.
        InvalidArgTypeError: It is none of those.
    """
    if isinstance(url, str):
        return parse_url(url)
    if isinstance(url, ParseResult):
        return parse_url(url.geturl())
    if isinstance(url, SplitResult):
        return split_destination(url)
    raise InvalidArgTypeError(f"url must be a string, not {type(url).__name__}")


@lru_cache(maxsize=512)
def plain_target(
    protocol: str, host: str, port: int, ssl_context: ssl.SSLContext | None
) -> tuple[ConnectOptions, str]:
    """Make the usual connect options and the pool's key, once per origin."""
    options = ConnectOptions(protocol=protocol, host=host, port=port, ssl_context=ssl_context)
    return options, options.name


_CONNECT_NAMES: Final = frozenset(
    "socket_path local_address local_port family hints lookup server_hostname".split()
)

# As a socket's address has it, which Node takes too.
_NAMED_FAMILIES: Final = {"IPv4": 4, "IPv6": 6}


def connect_options(
    agent: Agent, protocol: str, host: str, port: int, options: Mapping[str, Any]
) -> tuple[ConnectOptions, str]:
    """Make the connect options of a request and the pool's key."""
    context = options.get("ssl_context") or agent.ssl_context
    usual, name = plain_target(protocol, host, port, context)
    special = {key: options[key] for key in _CONNECT_NAMES & options.keys()}
    if agent.family is not None:
        special.setdefault("family", agent.family)
    if agent.local_address is not None:
        special.setdefault("local_address", agent.local_address)
    special = {key: value for key, value in special.items() if value is not None}
    if agent.proxy is not None and "socket_path" not in special:
        proxy = agent._find_proxy(protocol, host, port)
        tunnel = proxy is not None and (protocol == "https:" or _switches(options))
        special |= {"proxy": proxy, "tunnel": tunnel}
    if not special:
        return usual, name
    if special.get("family") in _NAMED_FAMILIES:
        special["family"] = _NAMED_FAMILIES[special["family"]]
    made = attrs.evolve(usual, **special)
    return made, made.name


def _switches(options: Mapping[str, Any]) -> bool:
    """Say whether a request is to end HTTP on its connection, which takes one of its own."""
    names = {str(name).lower() for name, _ in pairs_of(options.get("headers") or ())}
    return (options.get("method") or "").upper() == "CONNECT" or "upgrade" in names


def default_port(agent: Agent, protocol: str, options: Mapping[str, Any]) -> int:
    """Tell the port that a URL need not name."""
    return int(options.get("default_port") or agent.default_port or DEFAULT_PORTS[protocol])
