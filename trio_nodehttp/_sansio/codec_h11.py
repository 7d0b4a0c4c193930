"""The codec on h11, and the only module that knows it.

Heads are read by ``HeadReader``. Where a request announces a body, h11 reads its head
too, and both must agree on the framing before a byte of the body is believed: that is
where requests are smuggled (RFC 9112 section 11.2). Bodies pass by h11, which copies
them at more than twice the cost of receiving them.
"""

from __future__ import annotations

import re
from typing import Final

import h11

from .._errors import ParseError
from .codec import MAX_HEADER_SIZE, HeadReader
from .events import CHUNKED, UNTIL_CLOSE, Head, RequestHead, ResponseHead
from .headers import TOKEN, Pairs

MAX_EXTENSIONS: Final = 16384
"""Bytes of chunk extensions that one chunk may have; more is answered 413."""

_TOKEN: Final = TOKEN.encode()
_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*'
# RFC 9112 section 7.1.1, without the white space that only attackers send.
_match_size = re.compile(
    rb"([0-9A-Fa-f]{1,16})((?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb'"))?)*)\r\n'
).match
# The longest start of such a line, less its end.
_match_size_start = re.compile(
    rb"(?:[0-9A-Fa-f]{1,16}((?:;(?:"
    + (_TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb'["\\]?)?)?)?)*))?')
).match
_match_trailer = re.compile(rb"(" + _TOKEN + rb"):([^\x00-\x08\x0a-\x1f\x7f]*)\r\n").match
_match_trailer_start = re.compile(rb"(?:" + _TOKEN + rb"(:[^\x00-\x08\x0a-\x1f\x7f]*)?)?").match
# RFC 9110 section 6.5.1: framing, routing and authentication. Fields that describe
# the content are let through, as by llhttp: nobody reads them in trailers.
_FORBIDDEN_TRAILERS: Final = frozenset(
    (
        b"transfer-encoding content-length host connection te trailer upgrade expect "
        b"authorization proxy-authorization max-forwards"
    ).split()
)


_NO_LIMIT: Final = 2**62  # sizes were checked before


class H11Codec:
    """Reads the messages of one connection; see ``Codec``.

    Args:
        is_server: Read requests, not responses.
        max_header_size: Bytes of names and values that a head may have.
    """

    __slots__ = (
        "_buffer",
        "_chunks",
        "_heads",
        "_left",
        "_max_header_size",
        "complete",
        "eof",
        "trailers",
    )

    def __init__(self, *, is_server: bool, max_header_size: int = MAX_HEADER_SIZE) -> None:
        self._heads = HeadReader(is_request=is_server, max_size=max_header_size)
        self._max_header_size = max_header_size
        self._buffer = b""
        self._left = 0  # bytes of body to come, or CHUNKED, or UNTIL_CLOSE
        self._chunks: _ChunkReader | None = None
        self.eof = False
        self.complete = True
        self.trailers: Pairs = []

    @property
    def buffered(self) -> int:
        """How many bytes were received and not read."""
        return len(self._buffer) + (0 if self._chunks is None else self._chunks.buffered)

    @property
    def arrived(self) -> bool:
        """The body is known to be here to its end, read or not."""
        return self.complete or 0 <= self._left <= len(self._buffer)

    @property
    def begun(self) -> bool:
        """Between messages: bytes of the next one are there, not only empty lines."""
        return bool(self._buffer) and bool(self._buffer.lstrip(b"\r\n"))

    def feed(self, data: bytes) -> None:
        """Take what was received; ``b""`` says that the peer ended its side."""
        if not data:
            self.eof = True
        elif self._buffer:
            self._buffer += data
        else:
            self._buffer = data

    def take_rest(self) -> bytes:
        """Hand out what was received and not read."""
        rest, self._buffer = self._buffer, b""
        if self._chunks is not None:
            rest = self._chunks.take_rest() + rest
        return rest

    def _skip_empty_lines(self) -> bytes:
        """Skip them and give what follows; a lone CR may still become one."""
        data = self._buffer
        if data.startswith(b"\r"):
            at = 0
            while data.startswith(b"\r\n", at):
                at += 2
            data = self._buffer = data[at:]
            if data == b"\r" and not self.eof:
                return b""
        return data

    def read_request(self) -> RequestHead | None:
        """Read a request head; empty lines before it are skipped (RFC 9112 section 2.2).

        Returns:
            The head, or None while it is incomplete.

        Raises:
            ParseError: The bytes are no request, or end inside its head.
        """
        data = self._skip_empty_lines()
        if not data:
            return None
        head = self._heads.request(data)
        if head is None:
            if self.eof:
                raise ParseError(
                    "HPE_INVALID_EOF_STATE",
                    "Invalid EOF state",
                    bytes_parsed=len(data),
                    raw_packet=data,
                )
            return None
        if head.body:
            engine = h11.Connection(h11.SERVER, max_incomplete_event_size=_NO_LIMIT)
            block = data[: head.size]
            if head.host is None:  # h11 insists; whether we do is the server's option
                block = block[:-2] + b"Host: -\r\n\r\n"
            _agree(engine, block, head)
        self._begin_body(head.size, head.body)
        return head

    def read_response(self, method: str) -> ResponseHead | None:
        """Read a response head; empty lines before it are skipped, as by Node.

        Args:
            method: The method of the request that it answers.

        Returns:
            The head, or None while it is incomplete.

        Raises:
            ParseError: The bytes are no response.
        """
        data = self._skip_empty_lines()
        head = self._heads.response(data, method) if data else None
        if head is not None:
            self._begin_body(head.size, head.body)
        return head

    def _begin_body(self, head_size: int, body: int) -> None:
        self._buffer = self._buffer[head_size:]
        self._left = body
        self.complete = body == 0
        if self.trailers:
            self.trailers = []
        if body == CHUNKED:
            self._chunks = _ChunkReader(self._max_header_size)

    def read_body(self, max_bytes: int) -> bytes | None:
        """Read body bytes.

        Args:
            max_bytes: At most so many; one at least.

        Returns:
            Bytes; ``b""`` at the end; None when more must be received first.

        Raises:
            ParseError: A chunk line or trailer is wrong, or the stream ended early
                (``HPE_INVALID_EOF_STATE``).
        """
        if self.complete:
            return b""
        if self._left == CHUNKED:
            return self._read_chunked(max_bytes)
        data = self._buffer
        if not data:
            if not self.eof:
                return None
            if self._left == UNTIL_CLOSE:
                self.complete = True
                return b""
            raise _cut_short()
        if self._left >= 0:
            max_bytes = min(max_bytes, self._left)
        if len(data) > max_bytes:
            self._buffer = data[max_bytes:]
            data = data[:max_bytes]
        else:
            self._buffer = b""
        if self._left >= 0:
            self._left -= len(data)
            self.complete = self._left == 0
        return data

    def _read_chunked(self, max_bytes: int) -> bytes | None:
        chunks = self._chunks
        assert chunks is not None
        if self._buffer:
            chunks.feed(self._buffer)
            self._buffer = b""
        data = chunks.read(max_bytes)
        if data is None and self.eof:
            raise _cut_short()
        if data == b"":
            self.trailers = chunks.trailers
            self._buffer = chunks.take_rest()
            self._chunks = None
            self.complete = True
        return data


def _agree(engine: h11.Connection, block: bytes, head: Head) -> None:
    """Let h11 read a head that announces a body; it must see the same framing.

    Raises:
        ParseError: h11 refuses the head, or frames its body otherwise.
    """
    try:
        engine.receive_data(block)
        event = engine.next_event()
    except h11.RemoteProtocolError as error:
        raise ParseError(
            "HPE_INVALID_HEADER_TOKEN", str(error), bytes_parsed=len(block), raw_packet=block
        ) from error
    assert isinstance(event, (h11.Request, h11.Response))
    body = 0
    for name, value in event.headers:
        if name == b"content-length":
            body = int(value)
        elif name == b"transfer-encoding":
            body = CHUNKED
    if body != head.body:
        raise ParseError(
            "HPE_INTERNAL", "Ambiguous framing", bytes_parsed=len(block), raw_packet=block
        )


def _cut_short() -> ParseError:
    return ParseError("HPE_INVALID_EOF_STATE", "Invalid EOF state")


def _judge_size(good: bytes, wrong: int) -> tuple[str, str]:
    """Say in Node's words what is wrong behind the good start of a chunk's line."""
    if good.endswith(b"\r"):
        return "HPE_STRICT", "Expected LF after chunk size"
    if wrong == 0x0A and good and good.count(b'"') % 2 == 0:
        return "HPE_CR_EXPECTED", "Missing expected CR after chunk size"
    if b";" in good:
        return "HPE_STRICT", "Invalid character in chunk extensions"
    return "HPE_INVALID_CHUNK_SIZE", "Invalid character in chunk size"


def _judge_trailer(good: bytes, wrong: int) -> tuple[str, str]:
    """Say in Node's words what is wrong behind the good start of a trailer's line."""
    if good == b"\r":
        return "HPE_STRICT", "Expected LF after headers"
    if good.endswith(b"\r"):
        return "HPE_LF_EXPECTED", "Missing expected LF after header value"
    if wrong == 0x0A and b":" in good:
        return "HPE_CR_EXPECTED", "Missing expected CR after header value"
    return "HPE_INVALID_HEADER_TOKEN", "Invalid header token"


# What a chunked body has next, where it is not bytes of a chunk.
_CRLF_DUE: Final = 0
_SIZE_DUE: Final = -1
_TRAILER_DUE: Final = -2
_ENDED: Final = -3


# Below what malloc returns to the system at once (128 KiB), which costs more than a copy.
_MAX_COPY: Final = 126976


class _ChunkReader:
    """Decodes one chunked body by RFC 9112's grammar (section 7.1)."""

    __slots__ = ("_at", "_data", "_left", "_max_trailer_size", "_trailer_size", "trailers")

    def __init__(self, max_trailer_size: int) -> None:
        self._data = b""
        self._at = 0  # what lies before was handed out
        self._left = _SIZE_DUE  # bytes of the chunk to come, or what is due
        self._trailer_size = 0
        self._max_trailer_size = max_trailer_size
        self.trailers: Pairs = []

    def feed(self, data: bytes) -> None:
        """Take more of the body."""
        self._data = self._data[self._at :] + data
        self._at = 0

    @property
    def buffered(self) -> int:
        """How many bytes were taken and not handed out."""
        return len(self._data) - self._at

    def take_rest(self) -> bytes:
        """Hand out what was not decoded: at the end, what lies behind the body."""
        rest, self._data = self._data[self._at :], b""
        self._at = 0
        return rest

    def read(self, max_bytes: int) -> bytes | None:
        """Hand out decoded bytes, ``b""`` at the end, None when it needs more.

        Raises:
            ParseError: At the first byte that the grammar does not allow, once all
                bytes before it were handed out.
        """
        data, left = self._data, self._left
        if self._at == 0 and 0 < len(data) <= min(left, max_bytes):
            self._at = len(data)
            self._left -= len(data)
            return data
        pieces: list[memoryview] = []
        view = memoryview(data)  # so that joining is the only copy
        room = min(max_bytes, _MAX_COPY)
        while room and self._at < len(view) and self._left != _ENDED:
            if self._left > 0:
                piece = view[self._at : self._at + min(self._left, room)]
                pieces.append(piece)
                room -= len(piece)
                self._at += len(piece)
                self._left -= len(piece)
                continue
            try:
                if not self._step():
                    break
            except ParseError:
                if pieces:
                    break
                raise
        if pieces:
            return b"".join(pieces)
        return b"" if self._left == _ENDED else None

    def _step(self) -> bool:
        """Check what stands between chunks; False while it is incomplete."""
        if self._left == _CRLF_DUE:
            return self._step_crlf()
        if self._left == _SIZE_DUE:
            return self._step_size()
        return self._step_trailer()

    def _step_crlf(self) -> bool:
        seen = self._data[self._at : self._at + 2]
        if seen == b"\r\n":
            self._at += 2
            self._left = _SIZE_DUE
            return True
        if seen == b"\r":
            return False
        if seen[:1] == b"\n":
            raise self._fault("HPE_CR_EXPECTED", "Missing expected CR after chunk data", 0)
        raise self._fault("HPE_STRICT", "Expected LF after chunk data", 0)

    def _step_size(self) -> bool:
        data, at = self._data, self._at
        found = _match_size(data, at)
        if found is None:
            start = _match_size_start(data, at)
            assert start is not None  # it may be empty
            if len(start[1] or b"") > MAX_EXTENSIONS:
                raise self._extensions_overflow()
            good = start.end()
            if data.startswith(b"\r", good) and _match_size(data[at:good] + b"\r\n"):
                good += 1
            if good < len(data):
                raise self._fault(*_judge_size(data[at:good], data[good]), good - at)
            return False
        if len(found[2]) > MAX_EXTENSIONS:
            raise self._extensions_overflow()
        self._at = found.end()
        self._left = int(found[1], 16) or _TRAILER_DUE
        return True

    def _step_trailer(self) -> bool:
        data, at = self._data, self._at
        if data.startswith(b"\r\n", at):
            self._at += 2
            self._left = _ENDED
            return True
        found = _match_trailer(data, at)
        if found is None:
            start = _match_trailer_start(data, at)
            assert start is not None  # it may be empty
            good = start.end()
            self._check_trailer_size(good - at)
            if data.startswith(b"\r", good) and (start[1] is not None or good == at):
                good += 1
            if good < len(data):
                raise self._fault(*_judge_trailer(data[at:good], data[good]), good - at)
            return False
        size = found.end() - at
        self._check_trailer_size(size)
        if found[1].lower() in _FORBIDDEN_TRAILERS:
            raise self._fault("HPE_INVALID_HEADER_TOKEN", "Forbidden trailer field", 0)
        self.trailers.append((found[1].decode(), found[2].decode("latin-1").strip(" \t")))
        self._trailer_size += size
        self._at = found.end()
        return True

    def _check_trailer_size(self, size: int) -> None:
        if self._trailer_size + size >= self._max_trailer_size:
            raise self._fault("HPE_HEADER_OVERFLOW", "Header overflow", 0)

    def _fault(self, code: str, reason: str, offset: int) -> ParseError:
        return ParseError(code, reason, bytes_parsed=self._at + offset, raw_packet=self._data)

    def _extensions_overflow(self) -> ParseError:
        return self._fault("HPE_CHUNK_EXTENSIONS_OVERFLOW", "Chunk extensions overflow", 0)
