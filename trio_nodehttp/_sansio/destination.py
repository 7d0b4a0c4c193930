"""Where a request goes: URLs, origins, the Host header (RFC 9110 section 4.2)."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import attrs

from .._errors import (
    InvalidCharError,
    InvalidProtocolError,
    InvalidURLError,
    UnescapedCharactersError,
)

DEFAULT_PORTS: Final = {"http:": 80, "https:": 443, "ws:": 80, "wss:": 443}
# Node refuses the same; percent-encoding is left to the caller.
_bad_in_path = re.compile(r"[^\x21-\xff]").search
_KEPT: Final = "".join(map(chr, range(0x21, 0x7F)))  # in a URL's path and query
_bad_in_url = re.compile(r"[\x00-\x20]").search
_bad_in_bare_host = re.compile(r"[^\x21-\x7e\x80-\xff]|[#/?@\\]").search
_hide_user = re.compile(r"//[^/?#]*@").sub
# What may not come out of a host, decoded; WHATWG's URL calls them forbidden.
_bad_in_host = re.compile(r"[\x00-\x20#%/:<>?@\[\\\]^|\x7f]").search


@attrs.frozen
class Destination:
    """What a URL says.

    Attributes:
        protocol: ``"http:"`` or ``"https:"``.
        host: The host, IPv6 without brackets.
        port: The port, or None if the URL names none.
        path: The path and query.
        auth: ``"user:password"`` decoded, the colon always there, or None.
    """

    protocol: str
    host: str
    port: int | None
    path: str
    auth: str | None


def shown(url: str) -> str:
    """Write a URL for a log or an error, which a password has no place in."""
    return _hide_user("//***@", url)


def check_host(name: str, host: str) -> None:
    """Check a host that was given by itself, as it goes into ``Host`` and CONNECT.

    Args:
        name: What the error calls it.
        host: The host, IPv6 without brackets.

    Raises:
        InvalidCharError: It holds a space, a control character, one above U+00FF, or
            one that would end it in a URL.
    """
    if _bad_in_bare_host(host):
        raise InvalidCharError(f"{name}: Invalid character in {host!r}")


def check_path(path: str) -> None:
    """Check a request target.

    Raises:
        UnescapedCharactersError: It holds a space, a control character, or one above
            U+00FF.
    """
    if _bad_in_path(path):
        raise UnescapedCharactersError("path: Request path contains unescaped characters")


@lru_cache(maxsize=512)
def parse_url(url: str) -> Destination:
    """Take a URL apart; as in Node, what is not ASCII is percent-encoded as UTF-8.

    Raises:
        InvalidURLError: It has no good host, or a bad port.
        InvalidProtocolError: Its scheme is neither http nor https.
        UnescapedCharactersError: It holds characters that must be encoded first.
    """
    # urlsplit would drop some of these in silence.
    if _bad_in_url(url):
        raise UnescapedCharactersError("url: Request path contains unescaped characters")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidURLError(f"url: Invalid URL {shown(url)!r}: {error}") from error
    return split_destination(parts)


def split_destination(parts: SplitResult) -> Destination:
    """Read a URL that ``urllib.parse.urlsplit`` took apart; errors as ``parse_url``."""
    if parts.scheme not in ("http", "https"):
        if not parts.scheme:
            raise InvalidURLError(f"url: Invalid URL {shown(parts.geturl())!r}: it has no scheme")
        raise InvalidProtocolError(
            f'url: Protocol "{parts.scheme}:" not supported. Expected "http:" or "https:"'
        )
    try:
        port = parts.port
        host = _read_host(parts)
    except ValueError as error:
        raise InvalidURLError(f"url: Invalid URL {shown(parts.geturl())!r}: {error}") from error
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii():
        path = _encode(path)
    check_path(path)
    auth = None
    if parts.username or parts.password:
        # RFC 7617 section 2: the colon is always there.
        auth = f"{_unquote_bytes(parts.username)}:{_unquote_bytes(parts.password)}"
    return Destination(f"{parts.scheme}:", host, port, path, auth)


def _encode(path: str) -> str:
    try:
        return quote(path, _KEPT)
    except UnicodeEncodeError as error:  # a lone surrogate
        raise InvalidURLError(f"url: Invalid URL: {error}") from error


def _unquote_bytes(text: str | None) -> str:
    """Decode percent-encoding; bytes that are no UTF-8 go through ``basic_authorization``."""
    return unquote(text or "", errors="surrogateescape")


def _read_host(parts: SplitResult) -> str:
    host = unquote(parts.hostname or "")
    bad = _bad_in_url if "[" in parts.netloc else _bad_in_host
    if not host or bad(host):
        raise ValueError("it has no good host")
    return host if host.isascii() else host.encode("idna").decode()


def host_header(host: str, port: int, default_port: int | None) -> str:
    """Write a Host header, less the zone of IPv6; the port goes where it is the default."""
    # One colon alone cannot be IPv6 (Node decides so too).
    if ":" in host and host.count(":") > 1 and not host.startswith("["):
        # A zone means nothing to others (RFC 6874 section 4).
        host = f"[{host.partition('%')[0]}]"
    return host if port == default_port else f"{host}:{port}"


def basic_authorization(auth: str) -> str:
    """Write an Authorization header for Basic (RFC 7617).

    Raises:
        InvalidCharError: The text holds a lone surrogate, which is no byte.
    """
    try:
        data = auth.encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidCharError("auth: Invalid character in credentials") from error
    return "Basic " + base64.b64encode(data).decode()


def origin_name(  # noqa: PLR0917 - in the order of the name
    host: str | None,
    port: int | str | None,
    local_address: str | None,
    family: int | None,
    socket_path: str | None,
    extra: str = "",
) -> str:
    """Write an agent's key for an origin (Node: ``agent.getName``)."""
    name = f"{host or 'localhost'}:{port or ''}:{local_address or ''}"
    if family in (4, 6):
        name += f":{family}"
    if socket_path:
        name += f":{socket_path}"
    return name + extra
