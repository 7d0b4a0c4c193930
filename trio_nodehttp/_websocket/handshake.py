"""The opening handshake, both sides of it, as text (RFC 6455 section 4).

Nothing here does I/O: a request and a response are objects with ``headers``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import SplitResult, quote, urlsplit

import attrs

from .._checks import listed_strings
from .._errors import (
    InvalidArgTypeError,
    InvalidArgValueError,
    InvalidURLError,
    UnescapedCharactersError,
    WebSocketHandshakeError,
)
from .._sansio.destination import DEFAULT_PORTS, host_header, shown
from .._sansio.destination import parse_url as parse_destination
from .._sansio.headers import (
    HeadersLike,
    HeaderValue,
    clean_value,
    is_token,
    pairs_of,
    validate_header_name,
)
from .._sansio.status import STATUS_CODES
from .deflate import (
    OFFER,
    BadExtensionsError,
    DeflateParameters,
    accept_offers,
    check_answer,
)

VERSION: Final = "13"
# RFC 6455 section 1.3.
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY_BYTES: Final = 16
SCHEMES: Final = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
C0_OR_SPACE: Final = "".join(map(chr, range(0x21)))
#: What a path and a query keep as it is; a browser encodes the rest.
KEPT: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"<>`')
#: Header fields that the handshake writes itself.
OWN_FIELDS: Final = frozenset(
    (
        "connection upgrade sec-websocket-accept sec-websocket-extensions "
        "sec-websocket-key sec-websocket-protocol sec-websocket-version"
    ).split()
)


class Response(Protocol):
    """What is read of a 101 response."""

    @property
    def headers(self) -> Mapping[str, Any]:
        """Fields by lower-case name, repeated ones joined by commas."""


class Request(Protocol):
    """What is read of an upgrade request."""

    @property
    def headers(self) -> Mapping[str, Any]:
        """Fields by lower-case name, repeated ones joined by commas."""

    @property
    def method(self) -> str | None:
        """The method."""

    @property
    def url(self) -> str | None:
        """The request target."""

    @property
    def http_version(self) -> str:
        """As in "1.1"."""


@attrs.frozen
class Address:
    """A WebSocket's URL, in the three forms that are needed.

    Attributes:
        url: with the scheme ``ws`` or ``wss``.
        http_url: the same for the request that opens it.
        origin: scheme, host and a port that is not the scheme's own.
    """

    url: str
    http_url: str
    origin: str


@attrs.frozen
class Agreement:
    """What both sides settled in the handshake.

    Attributes:
        protocol: the subprotocol, "" for none.
        extensions: the Sec-WebSocket-Extensions field of the response.
        deflate: how messages are compressed; None if they are not.
    """

    protocol: str = ""
    extensions: str = ""
    deflate: DeflateParameters | None = None


class RefusedError(Exception):
    """A request that gets this status in place of 101."""

    def __init__(self, status_code: int, text: str) -> None:
        super().__init__(text)
        self.status_code = status_code


def parse_url(url: str) -> Address:
    """Read a WebSocket URL (WHATWG WebSockets, the constructor's first steps).

    What a path and a query cannot hold is percent-encoded as UTF-8.

    Raises:
        InvalidArgTypeError: it is no string.
        InvalidURLError: it has another scheme than ws, wss, http and https, no good
            host, a port that is none, or a fragment.
    """
    if not isinstance(url, str):
        raise InvalidArgTypeError(f"url must be a string, not {type(url).__name__}")
    if "#" in url:
        raise InvalidURLError(f"a WebSocket URL has no fragment: {shown(url)!r}")
    try:
        parts = urlsplit(url.strip(C0_OR_SPACE))
        path, query = quote(parts.path or "/", KEPT), quote(parts.query, KEPT)
    except ValueError as exc:
        raise InvalidURLError(f"Invalid URL: {shown(url)!r}") from exc
    if parts.scheme not in SCHEMES:
        raise InvalidURLError(f"not a ws, wss, http or https URL: {shown(url)!r}")
    return _address(parts._replace(path=path, query=query))


def _address(parts: SplitResult) -> Address:
    secure = SCHEMES[parts.scheme] == "https"
    scheme = "wss" if secure else "ws"
    http_url = parts._replace(scheme="https" if secure else "http").geturl()
    try:
        found = parse_destination(http_url)
    except UnescapedCharactersError as exc:
        raise InvalidURLError(f"Invalid URL: {shown(http_url)!r}") from exc
    usual = DEFAULT_PORTS[f"{scheme}:"]
    host = host_header(found.host, usual if found.port is None else found.port, usual)
    return Address(parts._replace(scheme=scheme).geturl(), http_url, f"{scheme}://{host}")


def check_protocols(name: str, protocols: str | Iterable[str]) -> tuple[str, ...]:
    """Check a list of subprotocols (RFC 6455 section 4.1, point 10).

    Raises:
        InvalidArgTypeError: it is neither a string nor several.
        InvalidArgValueError: one is no token, or there twice in whatever case.
    """
    listed = listed_strings(name, protocols)
    for protocol in listed:
        if not is_token(protocol):
            raise InvalidArgValueError(f"{name} must be tokens, not {protocol!r}")
    if len({protocol.lower() for protocol in listed}) < len(listed):
        raise InvalidArgValueError(f"{name} must not repeat: {listed!r}")
    return listed


def check_headers(headers: HeadersLike | None) -> list[tuple[str, HeaderValue]]:
    """Check the caller's own header fields for either side.

    Raises:
        InvalidArgValueError: one is a field that the handshake writes itself.
        HTTPError: as `validate_header_name` and `validate_header_value` say.
    """
    pairs = pairs_of(headers or ())
    for name, value in pairs:
        validate_header_name(name)
        clean_value(name, value)
        if name.lower() in OWN_FIELDS:
            raise InvalidArgValueError(f"the handshake writes {name} itself")
    return pairs


# --- the client's side ------------------------------------------------------------


def make_key() -> str:
    """Make a nonce for Sec-WebSocket-Key (RFC 6455 section 4.1, point 7)."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def accept_value(key: str) -> str:
    """Compute the Sec-WebSocket-Accept that proves a key was read."""
    digest = hashlib.sha1(key.encode() + GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def request_headers(
    key: str, protocols: Sequence[str], *, compression: bool
) -> list[tuple[str, HeaderValue]]:
    """List the fields that a client sends, besides Host and the caller's own."""
    fields: list[tuple[str, HeaderValue]] = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", VERSION),
    ]
    if compression:
        fields.append(("Sec-WebSocket-Extensions", OFFER))
    if protocols:
        fields.append(("Sec-WebSocket-Protocol", ", ".join(protocols)))
    return fields


def check_response(
    response: Response, key: str, protocols: Sequence[str], *, compression: bool
) -> Agreement:
    """Check a server's 101 (RFC 6455 section 4.1, the second list).

    A server that chooses none of the subprotocols is taken, as Node does.

    Raises:
        WebSocketHandshakeError: a field is missing or wrong.
    """

    def fail(text: str) -> WebSocketHandshakeError:
        return WebSocketHandshakeError(text, response)

    headers = response.headers
    if "websocket" not in _members(headers.get("upgrade")):
        raise fail("the server's Upgrade field does not say websocket")
    if "upgrade" not in _members(headers.get("connection")):
        raise fail("the server's Connection field does not say Upgrade")
    accept = headers.get("sec-websocket-accept", "")
    if accept != accept_value(key):
        raise fail(f"the server's Sec-WebSocket-Accept is wrong: {accept!r}")
    protocol = headers.get("sec-websocket-protocol", "")
    if protocol and protocol not in protocols:
        raise fail(f"the server chose the protocol {protocol!r}, which was not offered")
    extensions = headers.get("sec-websocket-extensions", "")
    try:
        deflate = check_answer(extensions)
    except BadExtensionsError as exc:
        raise fail(str(exc)) from exc
    if deflate is not None and not compression:
        raise fail("the server chose compression, which was not offered")
    return Agreement(protocol, extensions, deflate)


# --- the server's side ------------------------------------------------------------


def check_request(request: Request) -> str:
    """Check a client's request (RFC 6455 section 4.2.1).

    Returns:
        Its Sec-WebSocket-Key.

    Raises:
        RefusedError: with 426 for another version of the protocol, else 400.
    """
    headers = request.headers
    key = headers.get("sec-websocket-key", "")
    version = headers.get("sec-websocket-version")
    if request.method != "GET":
        raise RefusedError(400, "a WebSocket is opened by GET")
    if request.http_version == "1.0":
        raise RefusedError(400, "a WebSocket needs HTTP/1.1")
    if not headers.get("host"):
        raise RefusedError(400, "the Host field is missing")
    if "websocket" not in _members(headers.get("upgrade")):
        raise RefusedError(400, "the Upgrade field does not say websocket")
    if "upgrade" not in _members(headers.get("connection")):
        raise RefusedError(400, "the Connection field does not say Upgrade")
    if version is None:
        raise RefusedError(400, "Sec-WebSocket-Version is missing")
    if version != VERSION:
        raise RefusedError(426, f"only version {VERSION} of WebSocket is spoken here")
    if not _is_key(key):
        raise RefusedError(400, "Sec-WebSocket-Key is not 16 bytes in base64")
    return str(key)


def check_origin(headers: Mapping[str, Any], origins: Container[str] | None) -> None:
    """Check where a browser's page comes from (RFC 6455 section 10.2).

    Raises:
        RefusedError: 403, it is not one of these.
    """
    origin = headers.get("origin")
    if origins is not None and origin is not None and origin not in origins:
        raise RefusedError(403, "this origin is not welcome here")


def url_of(request: Request) -> str:
    """Rebuild the URL that a client has asked for; its host is what it says."""
    is_secure = getattr(getattr(request, "socket", None), "encrypted", False)
    host = request.headers.get("host", "")
    return f"{'wss' if is_secure else 'ws'}://{host}{request.url or '/'}"


def agree(
    headers: Mapping[str, Any], subprotocols: Sequence[str], *, compression: bool
) -> Agreement:
    """Choose subprotocol and compression for a client (RFC 6455 section 4.2.2).

    The first of our own subprotocols that the client knows is taken, none if it
    knows none.

    Raises:
        RefusedError: 400, Sec-WebSocket-Extensions breaks its grammar.
    """
    offered = _split(headers.get("sec-websocket-protocol"))
    protocol = next((ours for ours in subprotocols if ours in offered), "")
    try:
        answer = accept_offers(headers.get("sec-websocket-extensions", ""))
    except BadExtensionsError as exc:
        raise RefusedError(400, str(exc)) from exc
    if answer is None or not compression:
        return Agreement(protocol)
    deflate, extensions = answer
    return Agreement(protocol, extensions, deflate)


def accept_head(
    key: str, agreement: Agreement, extra: Iterable[tuple[str, HeaderValue]] = ()
) -> bytes:
    """Write the 101 (RFC 6455 section 4.2.2, point 5)."""
    fields: list[tuple[str, HeaderValue]] = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_value(key)),
    ]
    if agreement.protocol:
        fields.append(("Sec-WebSocket-Protocol", agreement.protocol))
    if agreement.extensions:
        fields.append(("Sec-WebSocket-Extensions", agreement.extensions))
    return _head(101, [*fields, *extra])


def refusal(error: RefusedError) -> bytes:
    """Write the response that refuses a request; the connection ends after it."""
    body = f"{error}\n".encode()
    fields: list[tuple[str, HeaderValue]] = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", len(body)),
        ("Connection", "close"),
    ]
    if error.status_code == 426:
        # RFC 6455 section 4.4; RFC 9110 section 15.5.22 asks for Upgrade.
        fields[-1] = ("Connection", "close, Upgrade")
        fields += [("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION)]
    return _head(error.status_code, fields) + body


def _head(status_code: int, fields: Iterable[tuple[str, HeaderValue]]) -> bytes:
    lines = [f"HTTP/1.1 {status_code} {STATUS_CODES[status_code]}"]
    for name, value in fields:
        cleaned = clean_value(name, value)
        texts = [cleaned] if isinstance(cleaned, str) else cleaned
        lines += [f"{name}: {text}" for text in texts]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _split(field: Any) -> list[str]:
    return [item.strip() for item in str(field or "").split(",")]


def _members(field: Any) -> list[str]:
    return [item.lower() for item in _split(field)]


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False
