"""Heads, read strictly: every case whole, byte by byte and with bytes behind it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests._sansio.readings import bytewise, read_head, whole
from trio_nodehttp._sansio.codec import HeadReader
from trio_nodehttp._sansio.events import CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead
from trio_nodehttp._sansio.status import METHODS

Split = Callable[[bytes], list[bytes]]
SPLITS = pytest.mark.parametrize("split", [whole, bytewise])
HOST = b"Host: a\r\n"


def request(fields: bytes = b"", line: bytes = b"GET / HTTP/1.1", host: bytes = HOST) -> bytes:
    return line + b"\r\n" + host + fields + b"\r\n"


def response(fields: bytes = b"", line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return line + b"\r\n" + fields + b"\r\n"


def read_request(data: bytes, split: Split = whole) -> RequestHead:
    head = read_head(split(data))
    assert isinstance(head, RequestHead)
    return head


def read_response(data: bytes, split: Split = whole, method: str = "GET") -> ResponseHead:
    head = read_head(split(data), is_server=False, method=method)
    assert isinstance(head, ResponseHead)
    return head


# --- good requests ------------------------------------------------------------------


@SPLITS
def test_plain_request(split: Split) -> None:
    data = b"GET /a?b=c HTTP/1.1\r\nHost: example.com:80\r\nX-Y:  z \t\r\nx-y:\r\n\r\n"
    head = read_request(data, split)
    assert (head.method, head.target, head.minor) == ("GET", "/a?b=c", 1)
    assert head.pairs == [("Host", "example.com:80"), ("X-Y", "z"), ("x-y", "")]
    assert (head.host, head.body, head.size) == ("example.com:80", 0, len(data))
    assert (head.close, head.keep_alive, head.upgrade) == (False, True, None)
    assert (head.expect, head.te_chunked) == (None, False)


def test_bytes_behind_a_head_are_not_its_own() -> None:
    reader = HeadReader(is_request=True)
    data = request()
    for trailing in (b"", b"\r", b"body", b"\x00" * 20000, data):
        head = reader.request(data + trailing)
        assert head is not None
        assert head.size == len(data)


@SPLITS
def test_request_without_fields(split: Split) -> None:
    head = read_request(request(host=b""), split)
    assert (head.pairs, head.host) == ([], None)


@SPLITS
@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_known(method: str, split: Split) -> None:
    target = "a:1" if method == "CONNECT" else "/"
    head = read_request(request(line=f"{method} {target} HTTP/1.1".encode()), split)
    assert (head.method, head.target) == (method, target)


@SPLITS
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("GET", '//a/../b?c#d[]{}|\\^"<>`%zz'),
        ("OPTIONS", "*"),
        ("M-SEARCH", "*"),
        ("GET", "http://example.com"),
        ("GET", "http://example.com:8080/a"),
        ("GET", "https://[::1]:/?q"),
        ("GET", "http://user:pass@example.com/"),
        ("GET", "x+y-z.1://host#f"),
        ("CONNECT", "example.com:443"),
        ("CONNECT", "[2001:db8::1]:00443"),
        ("CONNECT", "home_0.netscape.com:65535"),
    ],
)
def test_targets(method: str, target: str, split: Split) -> None:
    assert (
        read_request(request(line=f"{method} {target} HTTP/1.1".encode()), split).target == target
    )


@SPLITS
def test_values_keep_what_lies_within(split: Split) -> None:
    head = read_request(request(b"X:\t a\tb  c\xe9\x80 \t\r\n!#$%&'*+-.^_`|~0aZ:1\r\n"), split)
    assert head.pairs[1:] == [("X", "a\tb  c\xe9\x80"), ("!#$%&'*+-.^_`|~0aZ", "1")]


@SPLITS
@pytest.mark.parametrize(
    ("minor", "fields", "close", "keep_alive"),
    [
        (1, b"", False, True),
        (1, b"Connection: close\r\n", True, False),
        (1, b"connection: Foo,CLOSE\t\r\n", True, False),
        (1, b"Connection: foo\r\nConnection: close\r\n", True, False),
        (1, b"Connection: closed\r\n", False, True),
        (1, b"Connection: keep-alive, close\r\n", True, False),
        (0, b"", False, False),
        (0, b"Connection: Keep-Alive\r\n", False, True),
        (0, b"Connection: keep-alive, close\r\n", True, False),
    ],
)
def test_persistence(
    minor: int, fields: bytes, close: bool, keep_alive: bool, split: Split
) -> None:
    head = read_request(request(fields, f"GET / HTTP/1.{minor}".encode()), split)
    assert (head.minor, head.close, head.keep_alive) == (minor, close, keep_alive)
    reply = read_response(
        response(fields + b"Content-Length: 0\r\n", f"HTTP/1.{minor} 200 OK".encode()), split
    )
    assert (reply.minor, reply.close, reply.keep_alive) == (minor, close, keep_alive)


@SPLITS
@pytest.mark.parametrize(
    ("fields", "minor", "upgrade"),
    [
        (b"Connection: upgrade\r\nUpgrade: WebSocket\r\n", 1, "WebSocket"),
        (b"Connection: keep-alive, Upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n", 1, "a, b"),
        (b"Connection: upgrade\r\n", 1, None),
        (b"Upgrade: websocket\r\n", 1, None),
        (b"Connection: upgrade\r\nUpgrade:\r\nUpgrade: \r\n", 1, None),
        (b"Connection: upgrade\r\nUpgrade:\r\nUpgrade: a\r\n", 1, "a"),
        # RFC 9110 section 7.8: MUST be ignored.
        (b"Connection: upgrade\r\nUpgrade: websocket\r\n", 0, None),
    ],
)
def test_upgrade_needs_both_fields(
    fields: bytes, minor: int, upgrade: str | None, split: Split
) -> None:
    line = f"GET / HTTP/1.{minor}".encode()
    assert read_request(request(fields, line), split).upgrade == upgrade


@SPLITS
def test_expect_and_te(split: Split) -> None:
    head = read_request(request(b"Expect: 100-Continue\r\nTE: trailers, Chunked\r\n"), split)
    assert (head.expect, head.te_chunked) == ("100-continue", True)
    head = read_request(request(b"Expect: a\r\nexpect: B\r\nte: trailers\r\n"), split)
    assert (head.expect, head.te_chunked) == ("a, b", False)
    head = read_request(request(b"Expect: a\r\nExpect: 100-continue;q\r\n"), split)
    assert head.expect == "100-continue"
    # RFC 9110 section 10.1.1: MUST be ignored.
    assert read_request(request(b"Expect: a\r\n", b"GET / HTTP/1.0"), split).expect is None


@SPLITS
@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"Content-Length: 0\r\n", 0),
        (b"content-length:\t007 \r\n", 7),
        (b"Content-Length: 18446744073709551615\r\n", 2**64 - 1),
        (b"Transfer-Encoding: chunked\r\n", CHUNKED),
        (b"TRANSFER-ENCODING:\t Chunked \r\n", CHUNKED),
    ],
)
def test_framing_of_both_kinds(fields: bytes, body: int, split: Split) -> None:
    assert read_request(request(fields, b"POST / HTTP/1.1"), split).body == body
    assert read_response(response(fields), split).body == body


@SPLITS
@pytest.mark.parametrize("fields", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_connect_has_no_body(fields: bytes, split: Split) -> None:
    head = read_request(request(fields, b"CONNECT a:1 HTTP/1.1"), split)
    assert (head.body, head.pairs[1][0]) == (0, fields.partition(b":")[0].decode())


@SPLITS
@pytest.mark.parametrize(
    "host", [b"a", b"A.b:", b"a:1", b"[::1]:80", b"1.2.3.4", b"%41-_~!$&'()*+;=", b"[v1.a:b]"]
)
def test_good_hosts(host: bytes, split: Split) -> None:
    head = read_request(request(host=b"Host: " + host + b"\r\n"), split)
    assert head.host == host.decode()


# --- good responses -----------------------------------------------------------------


@SPLITS
@pytest.mark.parametrize(
    ("line", "version", "status", "reason"),
    [
        (b"HTTP/1.1 200 OK", "1.1", 200, "OK"),
        (b"HTTP/1.1 200", "1.1", 200, ""),
        (b"HTTP/1.1 200 ", "1.1", 200, ""),
        (b"HTTP/1.0 404 Not  Found\t\xe9", "1.0", 404, "Not  Found\t\xe9"),
        (b"HTTP/0.9 999 x", "0.9", 999, "x"),
    ],
)
def test_status_lines(line: bytes, version: str, status: int, reason: str, split: Split) -> None:
    head = read_response(response(b"A: b\r\n", line), split)
    assert (head.version, head.status, head.reason) == (version, status, reason)
    assert (head.pairs, head.body, head.keep_alive) == ([("A", "b")], UNTIL_CLOSE, False)


@SPLITS
def test_http_0_9_is_never_kept(split: Split) -> None:
    head = read_response(response(b"Content-Length: 3\r\n", b"HTTP/0.9 200 OK"), split)
    assert (head.body, head.keep_alive, head.minor) == (3, False, 0)
    fields = b"Connection: keep-alive\r\nContent-Length: 3\r\n"
    assert not read_response(response(fields, b"HTTP/0.9 200 OK"), split).keep_alive


@SPLITS
@pytest.mark.parametrize(
    ("status", "method"),
    [(100, "GET"), (101, "GET"), (103, "GET"), (204, "GET"), (304, "GET"), (200, "HEAD")],
)
def test_responses_without_a_body(status: int, method: str, split: Split) -> None:
    line = f"HTTP/1.1 {status} x".encode()
    for fields in (b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"):
        head = read_response(response(fields, line), split, method)
        assert (head.body, head.keep_alive) == (0, True)


@SPLITS
@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: gzip\r\n",
        # RFC 9110 section 9.3.6: a client MUST ignore them.
        b"Content-Length: x\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_an_accepted_connect_has_no_body(fields: bytes, split: Split) -> None:
    assert read_response(response(fields), split, "CONNECT").body == 0


@SPLITS
def test_a_refused_connect_has_one(split: Split) -> None:
    data = response(b"Content-Length: 5\r\n", b"HTTP/1.1 407 x")
    assert read_response(data, split, "CONNECT").body == 5
    assert read_response(response(line=b"HTTP/1.1 100 x"), split, "CONNECT").body == 0


@SPLITS
@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"Transfer-Encoding: gzip\r\n", UNTIL_CLOSE),
        (b"Transfer-Encoding:\r\n", UNTIL_CLOSE),
        (b"Transfer-Encoding: gzip, chunked\r\n", CHUNKED),
        (b"Transfer-Encoding: gzip\r\nTransfer-Encoding:\tchunked\r\n", CHUNKED),
        (b"Transfer-Encoding: chunked, gzip\r\n", UNTIL_CLOSE),
        (b"Transfer-Encoding: chunked, chunked\r\n", UNTIL_CLOSE),
        (b"Transfer-Encoding: xchunked\r\n", UNTIL_CLOSE),
    ],
)
def test_the_last_coding_of_a_response_decides(fields: bytes, body: int, split: Split) -> None:
    head = read_response(response(fields), split)
    assert (head.body, head.keep_alive) == (body, body == CHUNKED)


@SPLITS
def test_chunks_from_http_1_0_are_read_and_end_the_connection(split: Split) -> None:
    fields = b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"
    head = read_response(response(fields, b"HTTP/1.0 200 OK"), split)
    assert (head.body, head.keep_alive) == (CHUNKED, False)


@SPLITS
@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (b"timeout=5", 5),
        (b"max=3, Timeout=12", 12),
        (b"xtimeout=5", None),
        (b"timeout=", None),
        (b"max=1", None),
    ],
)
def test_keep_alive_hint(value: bytes, hint: int | None, split: Split) -> None:
    head = read_response(response(b"Keep-Alive: " + value + b"\r\n"), split)
    assert head.keep_alive_timeout == hint


# --- pairs --------------------------------------------------------------------------


def test_pairs_are_cut_to_the_most_asked_for() -> None:
    head = read_request(request(b"A: 1\r\nB: 2\r\n"))
    head.max_pairs = 2
    assert head.pairs == [("Host", "a"), ("A", "1")]
    assert head.pairs is head.pairs
