"""Heads that are refused: alike whole, byte by byte, and with bytes behind them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests._sansio.readings import bytewise, cut, read, refuse, whole
from trio_nodehttp._errors import ParseError
from trio_nodehttp._sansio.codec import MAX_HEADER_SIZE, HeadReader

Split = Callable[[bytes], list[bytes]]
SPLITS = pytest.mark.parametrize("split", [whole, bytewise])
HOST = b"Host: a\r\n"


def request(fields: bytes = b"", line: bytes = b"GET / HTTP/1.1", host: bytes = HOST) -> bytes:
    return line + b"\r\n" + host + fields + b"\r\n"


# --- bad ones -----------------------------------------------------------------------

BAD_REQUESTS = {
    # RFC 9112 section 3: the request line.
    b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n": ("HPE_INVALID_METHOD", 0),
    b"Oopsie-doopsie\r\n": ("HPE_INVALID_METHOD", 1),
    b"get / HTTP/1.1\r\n": ("HPE_INVALID_METHOD", 0),
    b"GETX / HTTP/1.1\r\n": ("HPE_INVALID_METHOD", 3),
    b"GE / HTTP/1.1\r\n": ("HPE_INVALID_METHOD", 2),
    b"GET\t/ HTTP/1.1\r\n": ("HPE_INVALID_METHOD", 3),
    b"GET\r\n\r\n": ("HPE_INVALID_METHOD", 3),
    b" GET / HTTP/1.1\r\n": ("HPE_INVALID_METHOD", 0),
    b"\nGET / HTTP/1.1\r\n": ("HPE_INVALID_METHOD", 0),
    b"\rGET / HTTP/1.1\r\n": ("HPE_INVALID_METHOD", 0),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": ("HPE_INVALID_METHOD", 2),
    b"HTTP/1.1 200 OK\r\n\r\n": ("HPE_INVALID_METHOD", 1),
    b"\x16\x03\x01\x02": ("HPE_INVALID_METHOD", 0),
    b"GET  / HTTP/1.1\r\n": ("HPE_INVALID_URL", 4),
    b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n": ("HPE_INVALID_URL", 4),
    b"GET ?a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": ("HPE_INVALID_URL", 4),
    b"GET \xe9 HTTP/1.1\r\n": ("HPE_INVALID_URL", 4),
    b"GET /\xe9 HTTP/1.1\r\n": ("HPE_INVALID_URL", 5),
    b"GET /\x7f HTTP/1.1\r\n": ("HPE_INVALID_URL", 5),
    b"GET /\t HTTP/1.1\r\n": ("HPE_INVALID_URL", 5),
    b"GET /\r\n\r\n": ("HPE_INVALID_URL", 5),
    b"GET /\n": ("HPE_INVALID_URL", 5),
    b"GET * HTTP/1.1\r\nHost: a\r\n\r\n": ("HPE_INVALID_URL", 4),
    b"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n": ("HPE_INVALID_URL", 4),
    b"GET *a HTTP/1.1\r\nHost: a\r\n\r\n": ("HPE_INVALID_URL", 4),
    b"GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n": ("HPE_INVALID_URL", 4),
    b"GET http://a,b/ HTTP/1.1\r\nHost: a\r\n\r\n": ("HPE_INVALID_URL", 4),
    # RFC 9110 section 9.3.6: a CONNECT to no port, or a bad one.
    b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n": ("HPE_INVALID_URL", 8),
    b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n": ("HPE_INVALID_URL", 8),
    b"CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n": ("HPE_INVALID_URL", 8),
    b"CONNECT a:0 HTTP/1.1\r\nHost: a\r\n\r\n": ("HPE_INVALID_URL", 8),
    b"CONNECT a:65536 HTTP/1.1\r\nHost: a\r\n\r\n": ("HPE_INVALID_URL", 8),
    b"CONNECT http://a:1/ HTTP/1.1\r\nHost: a\r\n\r\n": ("HPE_INVALID_URL", 8),
    b"GET / http/1.1\r\n": ("HPE_INVALID_CONSTANT", 6),
    b"GET /  HTTP/1.1\r\n": ("HPE_INVALID_CONSTANT", 6),
    b"GET / HTTPS/1.1\r\n": ("HPE_INVALID_CONSTANT", 10),
    b"GET / IHTTP/1.0\r\n": ("HPE_INVALID_CONSTANT", 6),
    b"GET / HTTP/2.0\r\n": ("HPE_INVALID_VERSION", 11),
    b"GET / HTTP/9.9\r\n": ("HPE_INVALID_VERSION", 11),
    b"GET / HTTP/1.2\r\n": ("HPE_INVALID_VERSION", 13),
    b"GET / HTTP/1.10\r\n": ("HPE_INVALID_VERSION", 14),
    b"GET / HTTP/1.1 \r\n": ("HPE_INVALID_VERSION", 14),
    b"GET / HTTP/1.1\n": ("HPE_INVALID_VERSION", 14),
    b"GET / HTTP/1.1\rH": ("HPE_INVALID_VERSION", 15),
    # RFC 9112 section 3.2: Host.
    request(b"Host: b\r\n"): ("HPE_INVALID_HEADER_TOKEN", None),
    request(HOST): ("HPE_INVALID_HEADER_TOKEN", None),
    request(host=b"Host:\r\n"): ("HPE_INVALID_HEADER_TOKEN", None),
    request(host=b"Host: \t\r\n"): ("HPE_INVALID_HEADER_TOKEN", None),
    request(host=b"Host: a/b\r\n"): ("HPE_INVALID_HEADER_TOKEN", None),
    request(host=b"Host: u@a\r\n"): ("HPE_INVALID_HEADER_TOKEN", None),
    request(host=b"Host: a,b\r\n"): ("HPE_INVALID_HEADER_TOKEN", None),
    request(host=b"Host: a b\r\n"): ("HPE_INVALID_HEADER_TOKEN", None),
    request(host=b"Host: a:b\r\n"): ("HPE_INVALID_HEADER_TOKEN", None),
    request(host=b"Host: a:1:2\r\n"): ("HPE_INVALID_HEADER_TOKEN", None),
    request(host=b"Host: [::1\r\n"): ("HPE_INVALID_HEADER_TOKEN", None),
    # RFC 9112 section 6.3: request codings.
    request(b"Transfer-Encoding: gzip\r\n"): ("HPE_INVALID_TRANSFER_ENCODING", None),
    request(b"Transfer-Encoding:\r\n"): ("HPE_INVALID_TRANSFER_ENCODING", None),
    request(b"Transfer-Encoding: gzip, chunked\r\n"): ("HPE_INVALID_TRANSFER_ENCODING", None),
    request(b"Transfer-Encoding: chunked, chunked\r\n"): ("HPE_INVALID_TRANSFER_ENCODING", None),
    request(b"Transfer-Encoding: chunkedchunked\r\n"): ("HPE_INVALID_TRANSFER_ENCODING", None),
    request(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked-false\r\n"): (
        "HPE_INVALID_TRANSFER_ENCODING",
        None,
    ),
    request(b"Transfer-Encoding: chunked\r\n", b"POST / HTTP/1.0"): (
        "HPE_INVALID_TRANSFER_ENCODING",
        None,
    ),
}

BAD_RESPONSES = {
    b"Oops": ("HPE_INVALID_CONSTANT", 0),
    b"HTTQ": ("HPE_INVALID_CONSTANT", 3),
    b"ICY 200 OK\r\n\r\n": ("HPE_INVALID_CONSTANT", 0),
    b"\nHTTP/1.1 200 OK\r\n\r\n": ("HPE_INVALID_CONSTANT", 0),
    b"\rHTTP/1.1 200 OK\r\n\r\n": ("HPE_INVALID_CONSTANT", 0),
    b"HTTP/2.0 200 OK\r\n": ("HPE_INVALID_VERSION", 5),
    b"HTTP/1.01 200 OK\r\n": ("HPE_INVALID_VERSION", 8),
    b"HTTP/1.1  200 OK\r\n": ("HPE_INVALID_STATUS", 9),
    b"HTTP/1.1 20 OK\r\n": ("HPE_INVALID_STATUS", 9),
    b"HTTP/1.1 abc OK\r\n": ("HPE_INVALID_STATUS", 9),
    b"HTTP/1.1 099 OK\r\n\r\n": ("HPE_INVALID_STATUS", 9),
    b"HTTP/1.1 2000 OK\r\n": ("HPE_INVALID_STATUS", 12),
    b"HTTP/1.1 200\n": ("HPE_INVALID_STATUS", 12),
    b"HTTP/1.1 200 OK\n": ("HPE_CR_EXPECTED", 15),
    b"HTTP/1.1 200 O\x00K\r\n": ("HPE_CR_EXPECTED", 14),
    b"HTTP/1.1 200 OK\rX": ("HPE_STRICT", 16),
    b"HTTP/1.1 200\rX": ("HPE_STRICT", 13),
}

# RFC 9112 sections 5 and 6: what is wrong in the fields of either kind.
BAD_FIELDS = {
    b"A: x\nB: y\r\n": ("HPE_CR_EXPECTED", 4),
    b"A: x\n\n": ("HPE_CR_EXPECTED", 4),
    b"A: x\rB: y\r\n": ("HPE_LF_EXPECTED", 5),
    b"A:\rB\r\n": ("HPE_LF_EXPECTED", 3),
    b"A : x\r\n": ("HPE_INVALID_HEADER_TOKEN", 1),
    b"A\t: x\r\n": ("HPE_INVALID_HEADER_TOKEN", 1),
    b": x\r\n": ("HPE_INVALID_HEADER_TOKEN", 0),
    b"A\r\n": ("HPE_INVALID_HEADER_TOKEN", 1),
    b"A\x00: x\r\n": ("HPE_INVALID_HEADER_TOKEN", 1),
    b"A\xe9: x\r\n": ("HPE_INVALID_HEADER_TOKEN", 1),
    b"A(: x\r\n": ("HPE_INVALID_HEADER_TOKEN", 1),
    b"A: x\r\n y\r\n": ("HPE_INVALID_HEADER_TOKEN", 6),
    b"A: x\r\n\ty\r\n": ("HPE_INVALID_HEADER_TOKEN", 6),
    b"Transfer-Encoding: chunked\r\n , gzip\r\n": ("HPE_INVALID_HEADER_TOKEN", 28),
    b"A: x\x00\r\n": ("HPE_INVALID_HEADER_TOKEN", 4),
    b"A: \x08\r\n": ("HPE_INVALID_HEADER_TOKEN", 3),
    b"A: \x0b\r\n": ("HPE_INVALID_HEADER_TOKEN", 3),
    b"A: \x7f\r\n": ("HPE_INVALID_HEADER_TOKEN", 3),
    b"A: x\r\n\rZ": ("HPE_LF_EXPECTED", 7),
    b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n": ("HPE_INVALID_CONTENT_LENGTH", None),
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n": (
        "HPE_INVALID_TRANSFER_ENCODING",
        None,
    ),
    b"Content-Length: 10\r\nTransfer-Encoding: eee, chunked\r\n": (
        "HPE_INVALID_TRANSFER_ENCODING",
        None,
    ),
    b"Content-Length: 5\r\nContent-Length: 6\r\n": ("HPE_UNEXPECTED_CONTENT_LENGTH", None),
    b"Content-Length: 5\r\nContent-Length: 5\r\n": ("HPE_UNEXPECTED_CONTENT_LENGTH", None),
    b"Content-Length: 5, 5\r\n": ("HPE_INVALID_CONTENT_LENGTH", None),
    b"Content-Length:\r\n": ("HPE_INVALID_CONTENT_LENGTH", None),
    b"Content-Length: +5\r\n": ("HPE_INVALID_CONTENT_LENGTH", None),
    b"Content-Length: -5\r\n": ("HPE_INVALID_CONTENT_LENGTH", None),
    b"Content-Length: 0x5\r\n": ("HPE_INVALID_CONTENT_LENGTH", None),
    b"Content-Length: 5 5\r\n": ("HPE_INVALID_CONTENT_LENGTH", None),
    b"Content-Length: 1_0\r\n": ("HPE_INVALID_CONTENT_LENGTH", None),
    b"Content-Length: 5\xb2\r\n": ("HPE_INVALID_CONTENT_LENGTH", None),
    b"Content-Length: 18446744073709551616\r\n": ("HPE_INVALID_CONTENT_LENGTH", None),
    b"Content-Length: 000000000000000000005\r\n": ("HPE_INVALID_CONTENT_LENGTH", None),
}


def check_refused(data: bytes, code: str, at: int | None, *, is_server: bool) -> None:
    """Refused alike whole, byte by byte, cut in two, and with bytes behind."""
    first = refuse(whole(data), is_server=is_server)
    assert first.code == code
    assert first.bytes_parsed == (len(data) if at is None else at)
    assert first.raw_packet == data
    for pieces in (
        bytewise(data),
        cut(data, [len(data) // 2]),
        whole(data + b"GET / HTTP/1.1\r\n\r\n"),
        bytewise(data + b"\x00\xff"),
    ):
        error = refuse(pieces, is_server=is_server)
        assert (error.code, error.reason) == (code, first.reason)
        assert error.bytes_parsed == first.bytes_parsed
        assert error.raw_packet.startswith(data[: error.bytes_parsed])


@pytest.mark.parametrize("data", BAD_REQUESTS)
def test_bad_requests(data: bytes) -> None:
    check_refused(data, *BAD_REQUESTS[data], is_server=True)


@pytest.mark.parametrize("data", BAD_RESPONSES)
def test_bad_responses(data: bytes) -> None:
    check_refused(data, *BAD_RESPONSES[data], is_server=False)


@pytest.mark.parametrize("fields", BAD_FIELDS)
@pytest.mark.parametrize("is_server", [True, False])
def test_bad_fields(fields: bytes, is_server: bool) -> None:
    start = b"POST / HTTP/1.1\r\nHost: a\r\n" if is_server else b"HTTP/1.1 200 OK\r\nHost: a\r\n"
    code, at = BAD_FIELDS[fields]
    data = start + fields + b"\r\n"
    check_refused(data, code, None if at is None else len(start) + at, is_server=is_server)


@SPLITS
@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n"])
@pytest.mark.parametrize("space", [b" ", b"\t"])
def test_space_before_the_first_field(line: bytes, space: bytes, split: Split) -> None:
    # RFC 9112 section 2.2: reject it, or take everything behind it for folded.
    data = line + space + b"Host: a\r\n\r\n"
    error = refuse(split(data), is_server=line.startswith(b"G"))
    assert (error.code, error.bytes_parsed) == ("HPE_UNEXPECTED_SPACE", len(line))


@pytest.mark.parametrize("is_server", [True, False])
def test_a_bad_head_is_refused_before_its_end(is_server: bool) -> None:
    """Nothing is awaited once a head cannot become good."""
    for data, (_, at) in (BAD_REQUESTS if is_server else BAD_RESPONSES).items():
        if at is not None and not data.endswith(b"\r\n\r\n"):
            # A status code is judged, and pointed at, as one piece of three bytes.
            refuse([data[: at + 3]], is_server=is_server)


# --- limits -------------------------------------------------------------------------


def head_of(size: int, *, is_server: bool) -> bytes:
    """A head whose names, values and target or reason have so many bytes."""
    start = b"GET / HTTP/1.1\r\n" if is_server else b"HTTP/1.1 200 x\r\n"
    lines = (size - 10) // 100
    fields = b"Host:  \ta\r\n" + b"".join(b"H%03d: %b\r\n" % (i, b"v" * 96) for i in range(lines))
    left = size - 1 - 5 - lines * 100 - 1
    return start + fields + b"L:" + b"v" * left + b"\r\n\r\n"


@pytest.mark.parametrize("is_server", [True, False])
@pytest.mark.parametrize(
    ("limit", "step"), [(MAX_HEADER_SIZE, 1 << 20), (MAX_HEADER_SIZE, 100), (1024, 1)]
)
def test_size_limit_is_exact(is_server: bool, limit: int, step: int) -> None:
    for size in (limit - 1, limit):
        data = head_of(size, is_server=is_server)
        reading = read(
            cut(data, range(0, len(data), step)),
            is_server=is_server,
            limit=1,
            max_header_size=limit,
        )
        if size < limit:
            assert len(reading.messages[0].pairs) == limit // 100 + 2
        else:
            assert reading.fault == ("HPE_HEADER_OVERFLOW", "Header overflow")
            # One byte too many is the last of the last value.
            error = refuse([data], is_server=is_server, max_header_size=limit)
            assert error.bytes_parsed == len(data) - 4


@SPLITS
@pytest.mark.parametrize(
    ("data", "is_server"),
    [
        (b"GET /" + b"a" * 20000, True),
        (b"GET / HTTP/1.1\r\n" + b"n" * 20000, True),
        (b"GET / HTTP/1.1\r\nn: " + b"v" * 20000, True),
        (b"GET / HTTP/1.1\r\n" + b"n:v\r\n" * 10000, True),
        # White space before a value is not counted, but bounded.
        (b"GET / HTTP/1.1\r\nn:" + b" " * 70000, True),
        (b"HTTP/1.1 200 " + b"r" * 20000, False),
    ],
)
def test_no_part_may_be_endless(data: bytes, is_server: bool, split: Split) -> None:
    reader = HeadReader(is_request=is_server, max_size=200)
    step = len(data) if split is whole else 50
    with pytest.raises(ParseError, match="Header overflow") as caught:
        _read_on(reader, data, step, is_server=is_server)
    assert caught.value.code == "HPE_HEADER_OVERFLOW"
    assert caught.value.bytes_parsed <= 4 * 200 + 16


def _read_on(reader: HeadReader, data: bytes, step: int, *, is_server: bool) -> None:
    for end in range(step, len(data) + 1, step):
        head = reader.request(data[:end]) if is_server else reader.response(data[:end], "GET")
        assert head is None


def test_the_reader_begins_anew_after_a_head_in_pieces() -> None:
    reader = HeadReader(is_request=True, max_size=100)
    data = request(b"A: " + b"b" * 60 + b"\r\n")
    for _ in range(3):
        assert reader.request(data[:40]) is None
        assert reader.request(data) is not None
    assert reader.request(request(b" folded\r\n")[:16]) is None
    with pytest.raises(ParseError, match="whitespace after"):
        reader.request(request(b" folded\r\n"))


class _Blind(HeadReader):
    """Its scan overlooks everything."""

    __slots__ = ()

    def _scan(self, data: bytes) -> None:
        del data


@pytest.mark.parametrize("is_server", [True, False])
def test_what_the_scan_overlooks_is_refused_all_the_same(is_server: bool) -> None:
    reader = _Blind(is_request=is_server)
    with pytest.raises(ParseError) as caught:
        _read_on(reader, b"?\r\n\r\n", 5, is_server=is_server)
    assert caught.value.code == "HPE_INTERNAL"
