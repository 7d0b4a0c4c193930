"""Whole messages through the codec: every case whole, byte by byte, with bytes behind."""

from __future__ import annotations

from collections.abc import Callable

import h11
import pytest

from tests._sansio.readings import Message, bytewise, cut, read, whole
from trio_nodehttp._errors import ParseError
from trio_nodehttp._sansio.codec import HeadReader
from trio_nodehttp._sansio.codec_h11 import MAX_EXTENSIONS, H11Codec

Split = Callable[[bytes], list[bytes]]
BOTH = pytest.mark.parametrize("is_server", [True, False])
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
REPLY = b"HTTP/1.1 200 OK\r\nHost: a\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def start(*, is_server: bool) -> bytes:
    return POST if is_server else REPLY


def line(*, is_server: bool) -> str:
    return "POST / 1.1" if is_server else "1.1 200 OK"


def fives(data: bytes) -> list[bytes]:
    return cut(data, range(0, len(data), 5))


SPLITS = (whole, bytewise, fives)


# --- good bodies --------------------------------------------------------------------

CODED = {
    b"0\r\n\r\n": b"",
    b"000\r\n\r\n": b"",
    b"5\r\nhello\r\n0\r\n\r\n": b"hello",
    b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n": b"hello world",
    b"00a\r\n0123456789\r\n00\r\n\r\n": b"0123456789",
    b"A\r\n0123456789\r\n0\r\n\r\n": b"0123456789",
    b"5;ext\r\nhello\r\n0;a;b=c\r\n\r\n": b"hello",
    b'5;a="b c\\"d\\\\";e\r\nhello\r\n0\r\n\r\n': b"hello",
    b'5;a=""\r\nhello\r\n0\r\n\r\n': b"hello",
    b"2\r\n\r\n\r\n0\r\n\r\n": b"\r\n",
    b"1a\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n": b"x" * 26,
}


@BOTH
@pytest.mark.parametrize("coded", CODED)
@pytest.mark.parametrize("max_bytes", [1, 3, 1 << 20])
def test_chunked_bodies(coded: bytes, max_bytes: int, is_server: bool) -> None:
    data = start(is_server=is_server) + CHUNKED + coded
    for split in SPLITS:
        for rest in (b"", b"X", b"\r\n", b"GET / HTTP/1.1\r\n"):
            reading = read(split(data + rest), is_server=is_server, limit=1, max_bytes=max_bytes)
            assert reading.messages == [
                Message(
                    line(is_server=is_server),
                    [("Host", "a"), ("Transfer-Encoding", "chunked")],
                    CODED[coded],
                    [],
                    complete=True,
                )
            ]
            assert (reading.fault, reading.rest) == (None, rest)


@BOTH
@pytest.mark.parametrize("max_bytes", [1, 4, 1 << 20])
@pytest.mark.parametrize("body", [b"", b"h", b"hello\r\n0\r\n"])
def test_bodies_with_a_length(body: bytes, max_bytes: int, is_server: bool) -> None:
    data = start(is_server=is_server) + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    for split in SPLITS:
        for rest in (b"", b"X"):
            pieces = split(data + rest)
            reading = read(pieces, is_server=is_server, limit=1, max_bytes=max_bytes)
            assert [message.body for message in reading.messages] == [body]
            assert reading.messages[0].complete
            assert (reading.fault, reading.rest) == (None, rest)


def test_a_body_until_the_end_of_the_stream() -> None:
    for split in SPLITS:
        pieces = split(REPLY + b"\r\nall\r\n\r\nof it")
        reading = read(pieces, is_server=False)
        assert (reading.messages[0].body, reading.messages[0].complete) == (
            b"all\r\n\r\nof it",
            False,
        )
        reading = read(pieces, is_server=False, eof=True)
        assert (reading.messages[0].body, reading.messages[0].complete) == (
            b"all\r\n\r\nof it",
            True,
        )


def test_pipelined_messages() -> None:
    data = (
        POST + CHUNKED + b"3\r\nabc\r\n0\r\nT: 1\r\n\r\n"
        b"GET /2 HTTP/1.0\r\n\r\n\r\n\r\n" + POST + b"Content-Length: 2\r\n\r\nde"
        b"GET /4 HTTP/1.1\r\n\r\n\r\n"
    )
    for split in SPLITS:
        reading = read(split(data), is_server=True, eof=True)
        assert [(each.start, each.body, each.trailers) for each in reading.messages] == [
            ("POST / 1.1", b"abc", [("T", "1")]),
            ("GET /2 1.0", b"", []),
            ("POST / 1.1", b"de", []),
            ("GET /4 1.1", b"", []),
        ]
        assert (reading.fault, reading.rest) == (None, b"")


@BOTH
def test_empty_lines_before_a_message_are_skipped(is_server: bool) -> None:
    for split in SPLITS:
        data = b"\r\n" * 3 + start(is_server=is_server) + b"Content-Length: 0\r\n\r\n"
        reading = read(split(data), is_server=is_server, limit=1)
        assert [each.start for each in reading.messages] == [line(is_server=is_server)]
        assert read(split(b"\r\n\r"), is_server=is_server).rest == b"\r"


@BOTH
def test_an_end_between_messages_is_no_fault(is_server: bool) -> None:
    for data in (b"", b"\r\n"):
        assert read(whole(data), is_server=is_server, eof=True).fault is None


def test_a_request_that_ends_in_its_head() -> None:
    for split in SPLITS:
        reading = read(split(POST), is_server=True, eof=True)
        assert reading.fault == ("HPE_INVALID_EOF_STATE", "Invalid EOF state")
        assert read(split(b"\r"), is_server=True, eof=True).code == "HPE_INVALID_METHOD"


def test_a_response_that_ends_in_its_head_is_left_to_the_connection() -> None:
    assert read([REPLY], is_server=False, eof=True).fault is None
    codec = H11Codec(is_server=False)
    codec.feed(REPLY)
    codec.feed(b"")
    assert codec.read_response("GET") is None
    assert codec.eof
    assert codec.buffered == len(REPLY)


@BOTH
@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 5\r\n\r\n",
        b"Content-Length: 5\r\n\r\nhell",
        CHUNKED,
        CHUNKED + b"5",
        CHUNKED + b"5\r\nhell",
        CHUNKED + b"5\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\nT: 1\r\n\r",
    ],
)
def test_a_body_cut_short(body: bytes, is_server: bool) -> None:
    for split in SPLITS:
        pieces = split(start(is_server=is_server) + body)
        assert read(pieces, is_server=is_server).fault is None
        reading = read(pieces, is_server=is_server, eof=True)
        assert reading.fault == ("HPE_INVALID_EOF_STATE", "Invalid EOF state")
        assert reading.messages[0].body == body.partition(b"\r\n\r\n")[2].lstrip(b"5\r\n")[:5]


def test_reading_on_after_the_end_gives_nothing() -> None:
    codec = H11Codec(is_server=True)
    assert codec.complete
    assert codec.read_body(1) == b""
    assert codec.read_request() is None


def test_begun_says_whether_a_message_is_under_way() -> None:
    codec = H11Codec(is_server=True)
    for data, begun in ((b"\r", False), (b"\n", False), (b"\r\nG", True), (b"ET / H", True)):
        codec.feed(data)
        assert codec.read_request() is None
        assert codec.begun is begun


# --- trailers -----------------------------------------------------------------------


@BOTH
def test_trailers(is_server: bool) -> None:
    data = start(is_server=is_server) + CHUNKED + b"1\r\nx\r\n0\r\nA: 1\r\na:\t2 \r\nB:\r\n\r\n"
    for split in SPLITS:
        reading = read(split(data), is_server=is_server)
        assert reading.messages[0].trailers == [("A", "1"), ("a", "2"), ("B", "")]


@BOTH
def test_trailers_of_one_message_are_not_those_of_the_next(is_server: bool) -> None:
    codec = H11Codec(is_server=is_server)
    first = start(is_server=is_server) + CHUNKED + b"0\r\nA: 1\r\n\r\n"
    codec.feed(first + start(is_server=is_server) + CHUNKED + b"0\r\n\r\n")
    heads = []
    for trailers in ([("A", "1")], []):
        heads.append(codec.read_request() if is_server else codec.read_response("GET"))
        assert codec.trailers == []
        assert codec.read_body(9) == b""
        assert codec.trailers == trailers
    assert None not in heads


# --- bad chunks ---------------------------------------------------------------------

BAD_CHUNKS = {
    # RFC 9112 section 7.1: sizes.
    b"x": "HPE_INVALID_CHUNK_SIZE",
    b"\r\n": "HPE_INVALID_CHUNK_SIZE",
    b"-5\r\n": "HPE_INVALID_CHUNK_SIZE",
    b"+5\r\n": "HPE_INVALID_CHUNK_SIZE",
    b"0x5\r\n": "HPE_INVALID_CHUNK_SIZE",
    b"5 \r\n": "HPE_INVALID_CHUNK_SIZE",
    b" 5\r\n": "HPE_INVALID_CHUNK_SIZE",
    b"5\t;a\r\n": "HPE_INVALID_CHUNK_SIZE",
    b"5_0\r\n": "HPE_INVALID_CHUNK_SIZE",
    b"\xb2\r\n": "HPE_INVALID_CHUNK_SIZE",
    b"00000000000000005\r\n": "HPE_INVALID_CHUNK_SIZE",
    b"fffffffffffffffff\r\n": "HPE_INVALID_CHUNK_SIZE",
    b"5\n": "HPE_CR_EXPECTED",
    b"5\rX": "HPE_STRICT",
    b"5\r\r;ABCD\r\n": "HPE_STRICT",
    # Section 7.1.1: extensions.
    b"5;\r\n": "HPE_STRICT",
    b"5;;\r\n": "HPE_STRICT",
    b"5; a\r\n": "HPE_STRICT",
    b"5;a b\r\n": "HPE_STRICT",
    b"5;a=\r\n": "HPE_STRICT",
    b"5;a=b=c\r\n": "HPE_STRICT",
    b'5;a="b\r\n': "HPE_STRICT",
    b'5;a="b"c\r\n': "HPE_STRICT",
    b'5;a="\x00"\r\n': "HPE_STRICT",
    b'5;a="\\\x01"\r\n': "HPE_STRICT",
    b"5;a\x00\r\n": "HPE_STRICT",
    b"5;a\rb\r\n": "HPE_STRICT",
    b"2;\nxx\r\n": "HPE_CR_EXPECTED",
    b"5;a\n": "HPE_CR_EXPECTED",
    # What follows a chunk.
    b"5\r\nhelloX": "HPE_STRICT",
    b"5\r\nhello\rX": "HPE_STRICT",
    b"5\r\nhello\n": "HPE_CR_EXPECTED",
    b"5\r\nhello\r\n\r\n": "HPE_INVALID_CHUNK_SIZE",
    # Section 7.1.2: trailers.
    b"0\r\n\rX": "HPE_STRICT",
    b"0\r\n\n": "HPE_INVALID_HEADER_TOKEN",
    b"0\r\nA\r\n": "HPE_INVALID_HEADER_TOKEN",
    b"0\r\nA : b\r\n": "HPE_INVALID_HEADER_TOKEN",
    b"0\r\n A: b\r\n": "HPE_INVALID_HEADER_TOKEN",
    b"0\r\nA: b\r\n c\r\n": "HPE_INVALID_HEADER_TOKEN",
    b"0\r\nA: \x00\r\n": "HPE_INVALID_HEADER_TOKEN",
    b"0\r\nA: b\rc": "HPE_LF_EXPECTED",
    b"0\r\nA: b\n": "HPE_CR_EXPECTED",
    # RFC 9110 section 6.5.1: fields that may be no trailers.
    b"0\r\nTransfer-Encoding: chunked\r\n": "HPE_INVALID_HEADER_TOKEN",
    b"0\r\ncontent-length: 5\r\n": "HPE_INVALID_HEADER_TOKEN",
    b"0\r\nHost: b\r\n": "HPE_INVALID_HEADER_TOKEN",
    b"0\r\nConnection: close\r\n": "HPE_INVALID_HEADER_TOKEN",
    b"0\r\nAuthorization: x\r\n": "HPE_INVALID_HEADER_TOKEN",
}


@BOTH
@pytest.mark.parametrize("coded", BAD_CHUNKS)
def test_bad_chunks(coded: bytes, is_server: bool) -> None:
    data = start(is_server=is_server) + CHUNKED + coded
    readings = [
        read(split(data + rest), is_server=is_server, eof=eof)
        for split in SPLITS
        for rest in (b"", b"hello\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n")
        for eof in (True, False)
    ]
    assert {reading.code for reading in readings} == {BAD_CHUNKS[coded]}
    assert len({reading.fault for reading in readings}) == 1
    for reading in readings:
        assert len(reading.messages) == 1
        assert reading.messages[0].body == (b"hello" if b"hello" in coded else b"")
        assert not reading.messages[0].complete


@BOTH
def test_what_precedes_a_fault_is_handed_out_first(is_server: bool) -> None:
    codec = H11Codec(is_server=is_server)
    codec.feed(start(is_server=is_server) + CHUNKED + b"5\r\nhello\r\n3\r\nabc\r\n!rest")
    assert codec.read_request() if is_server else codec.read_response("GET")
    assert codec.buffered == 23
    assert codec.read_body(99) == b"helloabc"
    assert codec.buffered == 5
    for _ in range(2):
        with pytest.raises(ParseError) as caught:
            codec.read_body(99)
        assert caught.value.raw_packet.endswith(b"!rest")
        assert caught.value.raw_packet[caught.value.bytes_parsed :] == b"!rest"
    assert codec.take_rest() == b"!rest"


# --- limits -------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("kind", [b";%b", b';n="%b"', b";n=%b"])
def test_extensions_limit_is_exact(kind: bytes, extra: int, is_server: bool) -> None:
    extension = kind % (b"x" * (MAX_EXTENSIONS - len(kind) + 2 + extra))
    assert len(extension) == MAX_EXTENSIONS + extra
    data = start(is_server=is_server) + CHUNKED + b"5" + extension + b"\r\nhello\r\n0\r\n\r\n"
    for step in (1 << 20, 8500, 997):
        reading = read(cut(data, range(0, len(data), step)), is_server=is_server)
        if extra:
            assert reading.code == "HPE_CHUNK_EXTENSIONS_OVERFLOW"
            assert reading.messages[0].body == b""
        else:
            assert reading.fault is None
            assert reading.messages[0].body == b"hello"


@BOTH
def test_extensions_are_refused_before_their_line_ends(is_server: bool) -> None:
    data = start(is_server=is_server) + CHUNKED + b"5;" + b"x" * MAX_EXTENSIONS
    assert read([data], is_server=is_server).code == "HPE_CHUNK_EXTENSIONS_OVERFLOW"
    assert read([data[:-1]], is_server=is_server).fault is None


@BOTH
def test_extensions_are_counted_for_each_chunk(is_server: bool) -> None:
    chunk = b"5;" + b"x" * 10000 + b"\r\nhello\r\n"
    data = start(is_server=is_server) + CHUNKED + chunk * 3 + b"0\r\n\r\n"
    for step in (1 << 20, 1000):
        reading = read(cut(data, range(0, len(data), step)), is_server=is_server)
        assert (reading.fault, reading.messages[0].body) == (None, b"hello" * 3)


@BOTH
@pytest.mark.parametrize("extra", [0, 1])
def test_trailers_limit(extra: int, is_server: bool) -> None:
    lines = b"A: " + b"x" * 40 + b"\r\n" + b"B: " + b"y" * (46 + extra) + b"\r\n"
    assert len(lines) == 96 + extra
    data = start(is_server=is_server) + CHUNKED + b"0\r\n" + lines + b"\r\n"
    for split in SPLITS:
        reading = read(split(data), is_server=is_server, max_header_size=97)
        assert reading.code == ("HPE_HEADER_OVERFLOW" if extra else None)
    endless = data.replace(b"y", b"y" * 1000)[:-4]
    assert read([endless], is_server=is_server, max_header_size=97).code == "HPE_HEADER_OVERFLOW"


# --- h11, the second reader ---------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 2\r\n\r\n", b"ab"),
        (CHUNKED, b"2\r\nab\r\n0\r\n\r\n"),
    ],
)
def test_a_body_without_host_is_read_all_the_same(head: bytes, body: bytes) -> None:
    for split in SPLITS:
        reading = read(split(b"POST / HTTP/1.1\r\n" + head + body), is_server=True)
        assert [each.body for each in reading.messages] == [b"ab"]
        assert ("Host", "-") not in reading.messages[0].pairs


class _Reader:
    """Takes the place of our own strict reading, which lets nothing of this through."""

    def __init__(self, body: int) -> None:
        self.body = body

    def request(self, data: bytes) -> object:
        head = HeadReader(is_request=True).request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert head is not None
        head.size, head.body = len(data), self.body
        return head


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", "HPE_INTERNAL", "Ambiguous framing"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n",
            "HPE_INTERNAL",
            "Ambiguous framing",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            "HPE_INVALID_HEADER_TOKEN",
            "bad Content-Length",
        ),
    ],
)
def test_two_readers_that_disagree_refuse(
    data: bytes, code: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = H11Codec(is_server=True)
    monkeypatch.setattr(codec, "_heads", _Reader(5))
    codec.feed(data)
    with pytest.raises(ParseError) as caught:
        codec.read_request()
    assert (caught.value.code, caught.value.reason) == (code, reason)
    assert (caught.value.bytes_parsed, caught.value.raw_packet) == (len(data), data)
    if code != "HPE_INTERNAL":
        assert isinstance(caught.value.__cause__, h11.RemoteProtocolError)
