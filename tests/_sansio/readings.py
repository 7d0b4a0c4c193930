"""Reads wire bytes through a codec, cut in any way, into what can be compared."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import attrs

from trio_nodehttp._errors import ParseError
from trio_nodehttp._sansio.codec import MAX_HEADER_SIZE
from trio_nodehttp._sansio.codec_h11 import H11Codec
from trio_nodehttp._sansio.events import RequestHead, ResponseHead
from trio_nodehttp._sansio.headers import Pairs

Head = RequestHead | ResponseHead


@attrs.define
class Message:
    """What was read of one message."""

    start: str
    pairs: Pairs
    body: bytes = b""
    trailers: Pairs = attrs.field(factory=list)
    complete: bool = False


@attrs.define
class Reading:
    """What was read of one connection: messages, then perhaps a fault."""

    messages: list[Message] = attrs.field(factory=list)
    fault: tuple[str, str] | None = None
    rest: bytes = b""

    @property
    def code(self) -> str | None:
        return self.fault and self.fault[0]


def start_line(head: Head) -> str:
    if isinstance(head, RequestHead):
        return f"{head.method} {head.target} 1.{head.minor}"
    return f"{head.version} {head.status} {head.reason}"


def whole(data: bytes) -> list[bytes]:
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut at these places; those beyond the end cut nothing."""
    edges = sorted({0, len(data), *(place for place in places if place < len(data))})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def read(
    pieces: Sequence[bytes],
    *,
    is_server: bool,
    method: str = "GET",
    limit: int | None = None,
    eof: bool = False,
    max_bytes: int = 1 << 20,
    max_header_size: int = MAX_HEADER_SIZE,
) -> Reading:
    """Feed the pieces one by one, reading all there is after each.

    Args:
        pieces: What `receive_some` returned.
        is_server: Read requests, not responses.
        method: Of the request that a response answers.
        limit: Stop reading after so many messages.
        eof: End the stream behind the pieces.
        max_bytes: Read bodies by so many.
        max_header_size: The codec's limit.
    """
    codec = H11Codec(is_server=is_server, max_header_size=max_header_size)
    reading = Reading()
    try:
        for piece in [*pieces, b""] if eof else pieces:
            codec.feed(piece)
            for _ in _advance(codec, reading, method if not is_server else None, limit, max_bytes):
                pass
    except ParseError as error:
        reading.fault = (error.code, error.reason)
    else:
        waiting = codec.buffered
        reading.rest = codec.take_rest()
        assert (len(reading.rest), codec.buffered) == (waiting, 0)
    return reading


def _advance(
    codec: H11Codec, reading: Reading, method: str | None, limit: int | None, max_bytes: int
) -> Iterator[None]:
    """Read what can be read now."""
    while True:
        messages = reading.messages
        if not messages or messages[-1].complete:
            if limit is not None and len(messages) >= limit:
                return
            head = codec.read_request() if method is None else codec.read_response(method)
            if head is None:
                return
            messages.append(Message(start_line(head), head.pairs))
        message = messages[-1]
        while (data := codec.read_body(max_bytes)) is not None:
            assert len(data) <= max_bytes
            message.body += data
            if not data:
                break
        if data is None:
            return
        assert codec.complete
        message.complete = True
        message.trailers = codec.trailers
        yield
        if codec.eof and not codec.buffered:
            return


def read_head(pieces: Sequence[bytes], *, is_server: bool = True, method: str = "GET") -> Head:
    """Read one head; the last piece completes it, and no piece before."""
    codec = H11Codec(is_server=is_server)
    heads: list[Head | None] = []
    for piece in pieces:
        codec.feed(piece)
        heads.append(codec.read_request() if is_server else codec.read_response(method))
    head = heads.pop()
    assert head is not None
    assert not any(heads)
    return head


def refuse(
    pieces: Sequence[bytes], *, is_server: bool, max_header_size: int = MAX_HEADER_SIZE
) -> ParseError:
    """Give the fault that reading a head ends in."""
    codec = H11Codec(is_server=is_server, max_header_size=max_header_size)
    for piece in pieces:
        codec.feed(piece)
        try:
            head = codec.read_request() if is_server else codec.read_response("GET")
        except ParseError as error:
            return error
        assert head is None, "it was taken"
    raise AssertionError("more was awaited")
