"""What bare h11 lets through is answered with Node's bare 400 and nothing else.

Every case is sent whole and byte by byte to a server on a real socket. The cases
are plain data, so that they serve any other stream as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from tests.interop import peers, wire

BARE_400 = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
BARE_413 = b"HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\n\r\n"
BARE_431 = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"
# Longer ones only differ in size, and cost a system call for each byte.
BYTEWISE_LIMIT = 2000


@attrs.frozen
class Case:
    """Bytes that a server must refuse, why, and with which bytes."""

    name: str
    data: bytes
    section: str
    reply: bytes = BARE_400


def get(*lines: bytes, target: bytes = b"/", version: bytes = b"HTTP/1.1") -> bytes:
    """Build the head of a GET from header lines."""
    first = b"GET " + target + b" " + version
    return b"\r\n".join((first, *lines, b"", b""))


def post(*lines: bytes, body: bytes = b"") -> bytes:
    """Build a POST with a Host from header lines and a body."""
    return b"\r\n".join((b"POST / HTTP/1.1", b"Host: a", *lines, b"", body))


def chunked(body: bytes) -> bytes:
    """Build a POST whose body is meant to be chunked."""
    return post(b"Transfer-Encoding: chunked", body=body)


def trailer(line: bytes) -> bytes:
    """Build a chunked POST with one trailer line."""
    return chunked(b"2\r\nhi\r\n0\r\n" + line + b"\r\n\r\n")


def host(value: bytes) -> bytes:
    """Build a GET with this Host."""
    return get(b"Host: " + value)


FOLDED = "RFC 9112 section 5.2"
CHUNKS = "RFC 9112 section 7.1"
LINES = "RFC 9112 section 2.2"
FRAMING = "RFC 9112 section 6.3"
HOST = "RFC 9112 section 3.2"
NAMES = "RFC 9112 section 5.1"
VALUES = "RFC 9110 section 5.5"
TRAILERS = "RFC 9110 section 6.5.1"
VERSION = "RFC 9112 section 2.3"
TARGET = "RFC 9112 section 3.2"

CASES = [
    # Inside h11, unseen after parsing.
    Case("fold-space", get(b"Host: a", b"X: 1", b" 2"), FOLDED),
    Case("fold-tab", get(b"Host: a", b"X: 1", b"\t2"), FOLDED),
    Case("fold-empty", get(b"Host: a", b"X:", b" 2"), FOLDED),
    Case("fold-first", get(b" Host: a"), FOLDED),
    Case(
        "fold-transfer-encoding",
        post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"),
        FOLDED,
    ),
    Case(
        "fold-after-chunked",
        post(b"Transfer-Encoding: chunked", b" , chunked-false", body=b"0\r\n\r\n"),
        FOLDED,
    ),
    Case("chunk-ext-cr", chunked(b"2;a=\rb\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-ext-lf", chunked(b"2;\nxx\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-ext-control", chunked(b"2;a=\x01\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-ext-nul", chunked(b"2;a\x00\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-ext-del", chunked(b'2;a="\x7f"\r\nhi\r\n0\r\n\r\n'), CHUNKS),
    Case("chunk-ext-empty", chunked(b"2;\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-ext-empty-last", chunked(b"2\r\nhi\r\n0;\r\n\r\n"), CHUNKS),
    Case("chunk-ext-open-quote", chunked(b'2;a="b\r\nhi\r\n0\r\n\r\n'), CHUNKS),
    Case("chunk-ext-no-value", chunked(b"2;a=\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-size-space", chunked(b"2 \r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-size-tab", chunked(b"2\t\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-size-space-last", chunked(b"2\r\nhi\r\n0 \r\n\r\n"), CHUNKS),
    Case("chunk-size-space-before", chunked(b" 2\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-size-sign", chunked(b"+2\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-size-minus", chunked(b"-2\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-size-prefix", chunked(b"0x2\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-size-underscore", chunked(b"0_2\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-size-none", chunked(b"\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-size-huge", chunked(b"F" * 17 + b"\r\nhi\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-line-lf", chunked(b"2\nhi\r\n0\r\n\r\n"), LINES),
    Case("chunk-line-cr-cr", chunked(b"2\r\r;hi\r\n0\r\n\r\n"), LINES),
    Case("chunk-data-lf", chunked(b"2\r\nhi\n0\r\n\r\n"), LINES),
    Case("chunk-data-long", chunked(b"2\r\nhix\r\n0\r\n\r\n"), CHUNKS),
    Case("chunk-last-lf", chunked(b"2\r\nhi\r\n0\n\r\n"), LINES),
    Case("trailer-lf", chunked(b"2\r\nhi\r\n0\r\nX: 1\n\r\n"), LINES),
    Case("trailer-end-lf", chunked(b"2\r\nhi\r\n0\r\nX: 1\r\n\nGET"), LINES),
    Case("line-lf", b"GET / HTTP/1.1\nHost: a\n\n", LINES),
    Case("line-first-lf", b"GET / HTTP/1.1\nHost: a\r\n\r\n", LINES),
    Case("line-header-lf", b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", LINES),
    Case("line-value-lf", get(b"Host: a", b"X: 1\nContent-Length: 5"), LINES),
    Case("line-empty-value-lf", get(b"Host: a", b"X:\nY: 1"), LINES),
    Case("line-value-cr", get(b"Host: a", b"X: 1\rContent-Length: 5"), LINES),
    Case("line-empty-value-cr", get(b"Host: a", b"X:\rY: 1"), LINES),
    Case("line-end-cr", b"GET / HTTP/1.1\r\nHost: a\r\n\rZGET", LINES),
    Case("line-end-lf", b"GET / HTTP/1.1\r\nHost: a\r\n\nGET", LINES),
    # Visible on the event.
    Case(
        "length-and-chunked",
        post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        FRAMING,
    ),
    Case(
        "chunked-and-length",
        post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
        FRAMING,
    ),
    Case(
        "length-and-identity",
        post(b"Content-Length: 1", b"Transfer-Encoding: identity", body=b"a"),
        FRAMING,
    ),
    Case("coding-unknown", post(b"Transfer-Encoding: gzip"), FRAMING),
    Case("coding-identity", post(b"Transfer-Encoding: identity"), FRAMING),
    Case("coding-twice", post(b"Transfer-Encoding: chunked, chunked"), FRAMING),
    Case("coding-joined", post(b"Transfer-Encoding: chunkedchunked"), FRAMING),
    Case("coding-not-last", post(b"Transfer-Encoding: chunked, gzip"), FRAMING),
    Case("coding-parameter", post(b"Transfer-Encoding: chunked;q=1"), FRAMING),
    Case("coding-quoted", post(b'Transfer-Encoding: "chunked"'), FRAMING),
    Case("coding-empty", post(b"Transfer-Encoding:"), FRAMING),
    Case("coding-vt", post(b"Transfer-Encoding: \x0bchunked"), FRAMING),
    Case(
        "coding-two-lines",
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked-false"),
        FRAMING,
    ),
    Case("version-9-9", get(b"Host: a", version=b"HTTP/9.9"), VERSION),
    Case("version-2-0", get(b"Host: a", version=b"HTTP/2.0"), VERSION),
    Case("version-1-2", get(b"Host: a", version=b"HTTP/1.2"), VERSION),
    Case("version-0-9", get(b"Host: a", version=b"HTTP/0.9"), VERSION),
    Case("version-long", get(b"Host: a", version=b"HTTP/1.10"), VERSION),
    Case("version-lower", get(b"Host: a", version=b"http/1.1"), VERSION),
    *(
        Case(f"value-{byte:02x}", get(b"Host: a", b"X: a%cb" % byte), VALUES)
        for byte in (0x00, 0x01, 0x07, 0x08, 0x0B, 0x0C, 0x1B, 0x1F, 0x7F)
    ),
    Case("host-empty", host(b""), HOST),
    Case("host-blank", host(b" \t "), HOST),
    Case("host-path", host(b"a/b"), HOST),
    Case("host-query", host(b"a?b"), HOST),
    Case("host-userinfo", host(b"user@a"), HOST),
    Case("host-list", host(b"a, b"), HOST),
    Case("host-space", host(b"a b"), HOST),
    Case("host-port", host(b"a:b"), HOST),
    Case("host-bracket", host(b"[::1"), HOST),
    Case("host-twice", get(b"Host: a", b"Host: a"), HOST),
    Case("host-twice-differing", get(b"Host: a", b"host: b"), HOST),
    Case("target-asterisk", get(b"Host: a", target=b"*"), TARGET),
    Case("target-relative", get(b"Host: a", target=b"foo"), TARGET),
    Case("target-authority", get(b"Host: a", target=b"a:80"), TARGET),
    Case("target-space", get(b"Host: a", target=b"/a b"), TARGET),
    Case("target-control", get(b"Host: a", target=b"/a\x01b"), TARGET),
    Case("target-del", get(b"Host: a", target=b"/a\x7fb"), TARGET),
    Case("target-latin", get(b"Host: a", target=b"/\xe9"), TARGET),
    Case("preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "RFC 9113 section 3.4"),
    Case("preface-1-1", b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", "RFC 9113 section 11.6"),
    *(
        Case(f"trailer-{name.decode()}", trailer(name + b": " + value), TRAILERS)
        for name, value in (
            (b"Content-Length", b"5"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Host", b"b"),
        )
    ),
    Case("trailer-fold", trailer(b"X: 1\r\n 2"), FOLDED),
    Case("trailer-space", trailer(b"X : 1"), NAMES),
    Case("trailer-control", trailer(b"X: a\x01b"), VALUES),
    Case("trailer-no-colon", trailer(b"X"), NAMES),
    Case("length-list", post(b"Content-Length: 5, 5", body=b"hello"), FRAMING),
    Case(
        "length-twice",
        post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello"),
        FRAMING,
    ),
    Case("length-sign", post(b"Content-Length: +5", body=b"hello"), FRAMING),
    Case("length-minus", post(b"Content-Length: -5", body=b"hello"), FRAMING),
    Case("length-empty", post(b"Content-Length:", body=b"hello"), FRAMING),
    Case("length-space", post(b"Content-Length: 1 2", body=b"hello"), FRAMING),
    Case("length-hex", post(b"Content-Length: 0x5", body=b"hello"), FRAMING),
    Case("length-huge", post(b"Content-Length: " + b"9" * 25), FRAMING),
    # Node says so at once, without waiting for the end of the head.
    Case("name-space", get(b"Host: a", b"X : 1"), NAMES),
    Case("name-empty", get(b"Host: a", b": 1"), NAMES),
    Case("name-delimiter", get(b"Host: a", b"X@: 1"), NAMES),
    Case("name-latin", get(b"Host: a", b"X\xe9: 1"), NAMES),
    Case("name-no-colon", get(b"Host: a", b"X"), NAMES),
    Case("method-garbage", b"Oopsie-doopsie\r\n", "RFC 9112 section 3"),
    Case("method-unknown", b"FOO /", "RFC 9110 section 9.1"),
    Case("method-lower", b"get /", "RFC 9110 section 9.1"),
    # The other two bare replies, where what came is too much.
    Case("ext-size", chunked(b"2;" + b"a" * 17000 + b"\r\n"), CHUNKS, BARE_413),
    Case("head-size", get(b"Host: a", b"X: " + b"a" * 17000), LINES, BARE_431),
]


@pytest.fixture(scope="module")
def server() -> Iterator[peers.Peer]:
    with peers.run_peer(peers.ours("our_server", {"handler": "echo"})) as peer:
        yield peer


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_refused_with_the_bare_reply(server: peers.Peer, case: Case) -> None:
    told = wire.ask(server.address, [case.data], seconds=3)
    assert told.data == case.reply, case.section
    assert told.closed
    # Unread bytes would turn the end into a reset, which can eat the reply.
    assert not told.error


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if len(case.data) < BYTEWISE_LIMIT],
    ids=lambda case: case.name,
)
def test_refused_byte_by_byte(server: peers.Peer, case: Case) -> None:
    pieces = wire.split(case.data, bytewise=True)
    told = wire.ask(server.address, pieces, seconds=3)
    assert told.data == case.reply, case.section
    assert told.closed


def test_names_are_told_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
