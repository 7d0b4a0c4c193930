"""The codec's interface, and the strict reading of heads (RFC 9112).

One answer for every way in which TCP may split the same bytes: a head is judged
byte by byte in order, and the first byte that cannot be right decides. A whole
good head costs one match of one compiled pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

from .._errors import ParseError
from .events import CHUNKED, CONTINUE, UNTIL_CLOSE, Head, RequestHead, ResponseHead
from .headers import TOKEN, Pairs
from .status import METHODS

MAX_HEADER_SIZE: Final = 16384
"""Bytes of names and values that a head may have (Node: ``http.maxHeaderSize``)."""

_METHODS: Final = {method.encode(): method for method in METHODS}
_TOKEN: Final = TOKEN.encode()
_VALUE: Final = rb"[^\x00-\x08\x0a-\x1f\x7f]*"
# The block keeps the "\n" before and the "\r" behind each line, as markers.
_BLOCK: Final = rb"\r((?:\n" + _TOKEN + rb":" + _VALUE + rb"\r)*)\n\r\n"
_match_request = re.compile(
    rb"([A-Z-]+) ([\x21-\x7e]+) HTTP/1\.([01])" + _BLOCK,
).match
_match_response = re.compile(
    rb"HTTP/(0\.9|1\.[01]) ([1-9][0-9]{2})(?: (" + _VALUE + rb"))?" + _BLOCK,
).match
_find_special = re.compile(
    rb"\n(?i:(host|connection|content-length|transfer-encoding|expect|upgrade|te"
    rb"|keep-alive)):([^\r]*)"
).findall
_match_token = re.compile(rb"(?:" + _TOKEN + rb")?").match
_match_value = re.compile(_VALUE).match
_match_url = re.compile(rb"[\x21-\x7e]*").match
# RFC 3986 section 3.2.2 less the comma, which would be a list of hosts.
_HOST: Final = r"(?:\[[0-9A-Za-z:.\-_~!$&'()*+;=]+\]|[0-9A-Za-z\-._~%!$&'()*+;=]+)(?::[0-9]*)?"
_is_host = re.compile(_HOST.encode()).fullmatch
# RFC 9112 section 3.2.2, with the userinfo that old clients still send.
_is_absolute = re.compile(
    r"[A-Za-z][A-Za-z0-9+.\-]*://(?:[0-9A-Za-z\-._~%!$&'()*+,;=:]*@)?" + _HOST + r"(?=[/?#]|\Z)"
).match
# RFC 9110 section 9.3.6: a port is a must.
_is_authority = re.compile(
    r"(?:\[[0-9A-Za-z:.\-_~!$&'()*+;=]+\]|[0-9A-Za-z\-._~%!$&'()*+;=]+):0*([1-9][0-9]{0,4})"
).fullmatch
_says_continue = re.compile(rb"(?:^|\W)100-continue(?:$|\W)").search
_keep_alive_timeout = re.compile(rb"(?i:(?:^|[,; \t])timeout=([0-9]{1,9}))").search
# White space before a value is not counted, so something must bound it.
_RAW_FACTOR: Final = 4


class Codec(Protocol):
    """Bytes to messages, for one connection; no I/O and no clock.

    ``feed`` takes what was received (``b""`` is the end of the stream). A read
    method answers None when it needs more.
    """

    eof: bool
    """The peer has ended its side."""
    complete: bool
    """The body has been read to its end, trailers included."""
    trailers: Pairs
    """The trailers; full once ``complete``."""

    def feed(self, data: bytes) -> None:
        """Take what was received."""

    def read_request(self) -> RequestHead | None:
        """Read a request head; raises ParseError."""

    def read_response(self, method: str) -> ResponseHead | None:
        """Read a response head to a request of that method; raises ParseError."""

    def read_body(self, max_bytes: int) -> bytes | None:
        """Read body bytes, ``b""`` at the end; raises ParseError when cut short."""

    def take_rest(self) -> bytes:
        """Hand out what was received and not read (for upgrades)."""

    @property
    def buffered(self) -> int:
        """How many bytes were received and not read."""

    @property
    def arrived(self) -> bool:
        """The body is known to be here to its end, read or not."""

    @property
    def begun(self) -> bool:
        """Between messages: bytes of the next one are there, not only empty lines."""


class HeadReader:
    """Reads the heads of one side of a connection.

    Args:
        is_request: Read request heads, not response heads.
        max_size: Names and values must stay below so many bytes, or 431.
    """

    __slots__ = ("_at", "_check_line", "_count", "_first", "max_size")

    def __init__(self, *, is_request: bool, max_size: int = MAX_HEADER_SIZE) -> None:
        self.max_size = max_size
        self._check_line: Callable[[bytes, int], tuple[int, int]] = (
            _check_request_line if is_request else _check_status_line
        )
        self._restart()

    def _restart(self) -> None:
        self._at = 0  # where the line begins that is not yet known to be good
        self._count = 0  # bytes of names and values before it
        self._first = True

    def request(self, data: bytes) -> RequestHead | None:
        """Read a request head from the start of the bytes.

        Returns:
            The head, of ``size`` bytes; or None while it is incomplete.

        Raises:
            ParseError: The bytes cannot become a good head.
        """
        size = self._find_size(data)
        if size == 0:
            return None
        found = _match_request(data)
        if found is None or found[1] not in _METHODS:
            self._scan(data)
            raise _fault("HPE_INTERNAL", "Invalid request head", 0, data)
        if self._at:
            self._restart()
        method, target, minor, block = found.groups()
        head = RequestHead()
        head.method = _METHODS[method]
        head.target = target.decode("latin-1")
        head.minor = 1 if minor == b"1" else 0
        head.size = size
        return _finish_request(head, block, data)

    def response(self, data: bytes, method: str) -> ResponseHead | None:
        """Read a response head from the start of the bytes.

        Args:
            data: What was received and not read.
            method: The method of the request that it answers.

        Returns:
            The head, of ``size`` bytes; or None while it is incomplete.

        Raises:
            ParseError: The bytes cannot become a good head.
        """
        size = self._find_size(data)
        if size == 0:
            return None
        found = _match_response(data)
        if found is None:
            self._scan(data)
            raise _fault("HPE_INTERNAL", "Invalid response head", 0, data)
        if self._at:
            self._restart()
        head = ResponseHead()
        head.version = found[1].decode()
        head.minor = 1 if found[1] == b"1.1" else 0
        head.status = int(found[2])
        head.reason = (found[3] or b"").decode("latin-1")
        head.size = size
        return _finish_response(head, found[4], method, data)

    def _find_size(self, data: bytes) -> int:
        """Find how long the head is; 0 while it is incomplete and good so far."""
        size = data.find(b"\r\n\r\n") + 4
        if size < 4:
            self._scan(data)
            return 0
        if size > self.max_size:
            self._scan(data)
        return size

    def _scan(self, data: bytes) -> None:
        """Find the first byte that is wrong, in a head that is incomplete or bad."""
        size = len(data)
        if self._at == 0:
            text_size, line_end = self._check_line(data, self.max_size)
            if line_end == 0:
                return
            self._at = line_end
            self._count = text_size
        at = self._at
        while at < size:
            name_end = _match_token(data, at).end()  # type: ignore[union-attr]  # always matches
            if name_end == at and data[at] == 0x0D:
                if data[at + 1 : at + 2] not in (b"", b"\n"):
                    raise _fault("HPE_LF_EXPECTED", "Expected LF after headers", at + 1, data)
                return
            _check_size(self.max_size, self._count, at, name_end - at, data)
            if name_end == size:
                return
            if name_end == at or data[name_end] != 0x3A:
                raise self._bad_name(name_end, data)
            value_end = self._scan_value(at, name_end, data)
            if value_end + 2 > size:
                return
            at = self._at = value_end + 2
            self._first = False

    def _scan_value(self, at: int, name_end: int, data: bytes) -> int:
        value_end: int = _match_value(data, name_end + 1).end()  # type: ignore[union-attr]
        value = data[name_end + 1 : value_end].lstrip(b" \t")
        count = self._count + name_end - at
        _check_size(self.max_size, count, value_end - len(value), len(value), data)
        if value_end > _RAW_FACTOR * self.max_size:
            raise _overflow(_RAW_FACTOR * self.max_size, data)
        if value_end == len(data):
            return value_end
        if data[value_end] == 0x0A:
            reason = "Missing expected CR after header value"
            raise _fault("HPE_CR_EXPECTED", reason, value_end, data)
        if data[value_end] != 0x0D:
            raise _fault("HPE_INVALID_HEADER_TOKEN", "Invalid header value char", value_end, data)
        if data[value_end + 1 : value_end + 2] not in (b"", b"\n"):
            reason = "Missing expected LF after header value"
            raise _fault("HPE_LF_EXPECTED", reason, value_end + 1, data)
        if value_end + 2 <= len(data):
            self._count = count + len(value)
        return value_end

    def _bad_name(self, at: int, data: bytes) -> ParseError:
        if at == self._at and data[at] in b" \t":
            # Obsolete line folding (RFC 9112 section 5.2), or a space before the first name.
            if self._first:
                return _fault("HPE_UNEXPECTED_SPACE", "Unexpected space after start line", at, data)
            reason = "Unexpected whitespace after header value"
            return _fault("HPE_INVALID_HEADER_TOKEN", reason, at, data)
        return _fault("HPE_INVALID_HEADER_TOKEN", "Invalid header token", at, data)


def _fault(code: str, reason: str, at: int, data: bytes) -> ParseError:
    return ParseError(code, reason, bytes_parsed=at, raw_packet=data)


def _overflow(at: int, data: bytes) -> ParseError:
    return _fault("HPE_HEADER_OVERFLOW", "Header overflow", at, data)


def _check_size(limit: int, count: int, at: int, size: int, data: bytes) -> None:
    """Check that so many bytes more, at that place, stay below the limit."""
    if count + size >= limit:
        raise _overflow(at + limit - count, data)


def _check_literal(data: bytes, at: int, literal: bytes, code: str, reason: str) -> bool:
    """Say whether the literal stands there whole; raise where it cannot."""
    part = data[at : at + len(literal)]
    if part == literal:
        return True
    if literal.startswith(part):
        return False
    good = next(i for i, byte in enumerate(part) if byte != literal[i])
    raise _fault(code, reason, at + good, data)


def _good_method_bytes(token: bytes) -> int:
    return max(n for n in range(len(token) + 1) if any(m.startswith(token[:n]) for m in _METHODS))


def _check_request_line(data: bytes, limit: int) -> tuple[int, int]:
    """Judge the start of a request.

    Returns:
        The size of the target so far, and where the line ends (or 0).
    """
    token = data[:32].split(b" ", 1)[0]
    good = len(token) if token in _METHODS else _good_method_bytes(token)
    if good < len(token) or (len(data) > good and token not in _METHODS):
        raise _fault("HPE_INVALID_METHOD", "Invalid method encountered", good, data)
    start = good + 1
    if len(data) <= start:
        return 0, 0
    if token != b"CONNECT":
        _check_target_start(data[start], start, data)
    end = _match_url(data, start).end()  # type: ignore[union-attr]  # always matches
    _check_size(limit, 0, start, end - start, data)
    if end == len(data):
        return end - start, 0
    if data[end] != 0x20:
        raise _fault("HPE_INVALID_URL", "Invalid characters in url", end, data)
    size = end - start
    at = end + 1
    if not _check_literal(data, at, b"HTTP/", "HPE_INVALID_CONSTANT", "Expected HTTP/"):
        return size, 0
    if not _check_literal(data, at + 5, b"1.", "HPE_INVALID_VERSION", "Invalid HTTP version"):
        return size, 0
    minor = data[at + 7 : at + 8]
    if minor not in (b"", b"0", b"1"):
        raise _fault("HPE_INVALID_VERSION", "Invalid HTTP version", at + 7, data)
    reason = "Expected CRLF after version"
    if minor and _check_literal(data, at + 8, b"\r\n", "HPE_INVALID_VERSION", reason):
        return size, at + 10
    return size, 0


def _check_status_line(data: bytes, limit: int) -> tuple[int, int]:
    """Judge the start of a response; answers as ``_check_request_line`` does."""
    if not _check_literal(data, 0, b"HTTP/", "HPE_INVALID_CONSTANT", "Expected HTTP/"):
        return 0, 0
    version = data[5:8]
    if not any(good.startswith(version) for good in (b"1.1", b"1.0", b"0.9")):
        raise _fault("HPE_INVALID_VERSION", "Invalid HTTP version", 5, data)
    if len(version) < 3 or not _check_literal(
        data, 8, b" ", "HPE_INVALID_VERSION", "Expected space after version"
    ):
        return 0, 0
    status = data[9:12]
    # RFC 9110 section 15: they begin at 100, and what is below is no final answer.
    if status and (not status.isdigit() or status[0] == 0x30):
        raise _fault("HPE_INVALID_STATUS", "Invalid status code", 9, data)
    if len(data) <= 12:
        return 0, 0
    if data[12] not in b" \r":
        raise _fault("HPE_INVALID_STATUS", "Invalid response status", 12, data)
    start = 13 if data[12] == 0x20 else 12
    end = _match_value(data, start).end()  # type: ignore[union-attr]  # always matches
    _check_size(limit, 0, start, end - start, data)
    if end == len(data):
        return end - start, 0
    if data[end] != 0x0D:
        raise _fault("HPE_CR_EXPECTED", "Missing expected CR after response line", end, data)
    if _check_literal(data, end + 1, b"\n", "HPE_STRICT", "Expected LF after CR"):
        return end - start, end + 2
    return end - start, 0


def _read_special(head: Head, block: bytes) -> dict[bytes, list[bytes]]:
    """Read the fields that govern the connection, and set what both sides need."""
    head._block = block
    head._pairs = None
    head.max_pairs = 0
    head.upgrade = None
    head.close = False
    head.keep_alive = head.minor == 1
    special: dict[bytes, list[bytes]] = {}
    for name, value in _find_special(block):
        special.setdefault(name.lower(), []).append(value.strip(b" \t"))
    if b"connection" in special:
        _read_connection(head, special)
    return special


def _read_connection(head: Head, special: dict[bytes, list[bytes]]) -> None:
    """Read what Connection says (RFC 9110 section 7.6.1, RFC 9112 section 9.3)."""
    joined = b",".join(special[b"connection"]).lower()
    tokens = [token.strip(b" \t") for token in joined.split(b",")]
    head.close = b"close" in tokens
    head.keep_alive = not head.close and (head.minor == 1 or b"keep-alive" in tokens)
    # RFC 9110 section 7.8: HTTP/1.0 knows no upgrades.
    if b"upgrade" in tokens and b"upgrade" in special and head.minor == 1:
        head.upgrade = b", ".join(filter(None, special[b"upgrade"])).decode("latin-1") or None


def _read_framing(special: dict[bytes, list[bytes]], head: Head, data: bytes) -> int | None:
    """Read Content-Length and Transfer-Encoding (RFC 9112 section 6)."""
    coding = special.get(b"transfer-encoding")
    lengths = special.get(b"content-length")
    if coding is not None:
        if lengths is not None:
            # Node's code is that of the field which came second.
            if list(special).index(b"content-length") > list(special).index(b"transfer-encoding"):
                reason = "Content-Length can't be present with Transfer-Encoding"
                raise _fault("HPE_INVALID_CONTENT_LENGTH", reason, head.size, data)
            reason = "Transfer-Encoding can't be present with Content-Length"
            raise _fault("HPE_INVALID_TRANSFER_ENCODING", reason, head.size, data)
        return CHUNKED if b",".join(coding).lower() == b"chunked" else UNTIL_CLOSE
    if lengths is None:
        return None
    if len(lengths) > 1:
        reason = "Content-Length already present"
        raise _fault("HPE_UNEXPECTED_CONTENT_LENGTH", reason, head.size, data)
    # Twenty digits overflow the counters of others, which would then see another length.
    if not lengths[0].isdigit() or int(lengths[0][:20]) >= 2**64 or len(lengths[0]) > 20:
        reason = "Invalid character in Content-Length"
        raise _fault("HPE_INVALID_CONTENT_LENGTH", reason, head.size, data)
    return int(lengths[0])


def _finish_request(head: RequestHead, block: bytes, data: bytes) -> RequestHead:
    # First, since the scan of an incomplete head comes upon the target first.
    _check_target(head, data)
    special = _read_special(head, block)
    head.body = 0
    head.host = None
    head.expect = None
    head.te_chunked = False
    hosts = special.pop(b"host", None)
    if hosts is not None:
        # RFC 9112 section 3.2: more than one, or a bad one, MUST be refused.
        if len(hosts) > 1 or not _is_host(hosts[0]):
            raise _fault("HPE_INVALID_HEADER_TOKEN", "Invalid Host header", head.size, data)
        head.host = hosts[0].decode("latin-1")
    if special:
        _finish_special(head, special, data)
    return head


def _finish_special(head: RequestHead, special: dict[bytes, list[bytes]], data: bytes) -> None:
    """Read the rarer fields of a request."""
    body = _read_framing(special, head, data)
    if body == UNTIL_CLOSE:
        # A request's last coding must be chunked (RFC 9112 section 6.3).
        reason = "Request has invalid `Transfer-Encoding`"
        raise _fault("HPE_INVALID_TRANSFER_ENCODING", reason, head.size, data)
    if body == CHUNKED and head.minor == 0:
        # RFC 9112 section 6.1: what speaks HTTP/1.0 does not know chunks.
        reason = "Transfer-Encoding in HTTP/1.0"
        raise _fault("HPE_INVALID_TRANSFER_ENCODING", reason, head.size, data)
    # What follows a CONNECT belongs to the tunnel (RFC 9110 section 9.3.6).
    if body is not None and head.method != "CONNECT":
        head.body = body
    if b"expect" in special and head.minor == 1:
        # RFC 9110 section 10.1.1: HTTP/1.0 knows no expectations, they MUST be ignored.
        value = b", ".join(special[b"expect"]).lower()
        head.expect = CONTINUE if _says_continue(value) else value.decode("latin-1")
    if b"te" in special:
        head.te_chunked = any(b"chunked" in value.lower() for value in special[b"te"])


def _check_target(head: RequestHead, data: bytes) -> None:
    """Check the form of the target (RFC 9112 section 3.2)."""
    target = head.target
    if head.method == "CONNECT":
        found = _is_authority(target)
        good = found is not None and int(found[1]) < 65536
    elif target[0] == "/":
        return
    elif target == "*":
        # SSDP searches with it too (UPnP Device Architecture section 1.3.2).
        good = head.method in ("OPTIONS", "M-SEARCH")
    else:
        _check_target_start(ord(target[0]), len(head.method) + 1, data)
        good = _is_absolute(target) is not None
    if not good:
        raise _fault("HPE_INVALID_URL", "Invalid characters in url", len(head.method) + 1, data)


def _check_target_start(first: int, at: int, data: bytes) -> None:
    if first not in b"/*" and not chr(first).isalpha():
        raise _fault("HPE_INVALID_URL", "Unexpected start char in url", at, data)


def _ends_chunked(coding: list[bytes]) -> bool:
    """Say whether chunked is the last coding, and applied once (RFC 9112 section 6.3)."""
    codings = [each.strip(b" \t") for each in b",".join(coding).lower().split(b",")]
    return codings[-1] == b"chunked" and codings.count(b"chunked") == 1


def _finish_response(head: ResponseHead, block: bytes, method: str, data: bytes) -> ResponseHead:
    special = _read_special(head, block)
    head.keep_alive_timeout = None
    if b"keep-alive" in special:
        hint = _keep_alive_timeout(b",".join(special[b"keep-alive"]))
        head.keep_alive_timeout = int(hint[1]) if hint else None
    head.body = 0
    if method == "CONNECT" and 200 <= head.status < 300:
        # What such a head says of a body MUST be ignored (RFC 9110 section 9.3.6).
        return head
    body = _read_framing(special, head, data)
    if head.version == "0.9":
        head.keep_alive = False
    if head.status < 200 or head.status in (204, 304) or method == "HEAD":
        return head
    if body == UNTIL_CLOSE and _ends_chunked(special[b"transfer-encoding"]):
        # Chunks of something that is coded besides (RFC 9112 section 6.3, item 4).
        body = CHUNKED
    head.body = UNTIL_CLOSE if body is None else body
    if head.body == UNTIL_CLOSE or (head.body == CHUNKED and head.minor == 0):
        # RFC 9112 section 6.1: read it, and do not use the connection again.
        head.keep_alive = False
    return head
