"""Scripts for clients, one case for what one row of Node's table says on the wire."""

from __future__ import annotations

from tests.interop.beside_node import ClientCase as Case


def reply(*lines: str, body: bytes = b"", first: str = "HTTP/1.1 200 OK") -> bytes:
    """Build a response as it stands."""
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1") + body


def sized(body: bytes, *lines: str, first: str = "HTTP/1.1 200 OK") -> bytes:
    """Build a response with Content-Length."""
    return reply(f"Content-Length: {len(body)}", *lines, body=body, first=first)


def chunked(body: bytes, *lines: str) -> bytes:
    """Build a response whose body is meant to be chunked."""
    return reply("Transfer-Encoding: chunked", *lines, body=body)


CHUNKED = "Transfer-Encoding: chunked"
HELLO = sized(b"hello")

TAKEN = [
    Case("sized", "test-http-client-race.js", HELLO),
    Case("length-space", "test-http-contentLength0.js", reply("Content-Length: 0 ")),
    Case("two-replies", "test-http-extra-response.js", HELLO * 2),
    Case("no-length", "test-http-no-content-length.js", reply(body=b"Hello")),
    *(
        Case(
            f"bare-{version}",
            "test-http-response-no-headers.js",
            reply(body=b"Hello", first=f"HTTP/{version} 200 OK"),
        )
        for version in ("0.9", "1.0", "1.1")
    ),
    *(
        Case(
            f"reason-{name}",
            "test-http-response-status-message.js",
            sized(b"", first=f"HTTP/1.1 {first}"),
        )
        for name, first in (
            ("usual", "200 OK"),
            ("long", "500 Internal Server Error"),
            ("odd", "302 Moved Temporarily"),
            ("blank", "200 "),
            ("none", "200"),
            ("latin", "200 D\xfcsseldorf"),
        )
    ),
    Case("chunked", "test-http-parser.js", chunked(b"3\r\none\r\n0\r\n\r\n")),
    Case(
        "chunked-parts",
        "test-http-parser.js",
        chunked(b"3;a=b\r\none\r\n00A\r\n0123456789\r\n0\r\n\r\n"),
    ),
    Case(
        "trailers",
        "test-http-set-trailers.js",
        chunked(b"3\r\none\r\n0\r\nX-Foo: bar\r\nx-foo: baz\r\n\r\n"),
    ),
    Case(
        "raw-headers",
        "test-http-raw-headers.js",
        sized(b"", "X-A: 1", "x-a:2", "Set-Cookie: a", "X-B: \t c \t", "X-C:"),
    ),
    Case(
        "length-304",
        "test-http-allow-content-length-304.js",
        reply("Content-Length: 11", first="HTTP/1.1 304 Not Modified"),
    ),
    Case(
        "204",
        "test-http-allow-req-after-204-res.js",
        reply(first="HTTP/1.1 204 No Content"),
    ),
    Case(
        "head",
        "test-http-head-response-has-no-body-end.js",
        reply("Content-Length: 11"),
        method="HEAD",
    ),
    Case(
        "head-chunked",
        "test-http-head-response-has-no-body.js",
        reply(CHUNKED),
        method="HEAD",
    ),
    Case(
        "processing",
        "test-http-information-processing.js",
        reply(first="HTTP/1.1 102 Processing") * 2 + HELLO,
    ),
    Case(
        "hints",
        "test-http-early-hints.js",
        reply("Link: </a>; rel=preload", first="HTTP/1.1 103 Early Hints") + HELLO,
    ),
    Case(
        "continue",
        "test-http-write-callbacks.js",
        reply(first="HTTP/1.1 100 Continue") + HELLO,
    ),
    Case(
        "advertised-upgrade",
        "test-http-upgrade-advertise.js",
        sized(b"hello", "Connection: upgrade, keep-alive", "Upgrade: h2c"),
    ),
    Case(
        "old-alive",
        "test-http-1.0-keep-alive.js",
        sized(b"hello", "Connection: keep-alive", first="HTTP/1.0 200 OK"),
    ),
    Case(
        "old-chunked",
        "test-http-1.0-keep-alive.js",
        reply(CHUNKED, first="HTTP/1.0 200 OK", body=b"2\r\nhi\r\n0\r\n\r\n"),
    ),
    *(
        Case(
            f"coding-{name}",
            "test-http-invalid-te.js",
            reply(*lines, body=b"2\r\nhi\r\n0\r\n\r\n"),
        )
        for name, *lines in (
            ("gzip-chunked", "Transfer-Encoding: gzip, chunked"),
            ("gzip-chunked-lines", "Transfer-Encoding: gzip", CHUNKED),
            ("chunked-gzip", "Transfer-Encoding: chunked, gzip"),
            ("chunked-gzip-lines", CHUNKED, "Transfer-Encoding: gzip"),
            ("joined", "Transfer-Encoding: chunkedchunked"),
            ("upper", "transfer-ENCODING: CHUNKED"),
            ("identity", "Transfer-Encoding: identity"),
            ("parameter", "Transfer-Encoding: chunked;q=1"),
            ("empty", "Transfer-Encoding:"),
            ("empty-last", "Transfer-Encoding: chunked,"),
        )
    ),
    Case("status-999", "test-http-status-code.js", sized(b"hi", first="HTTP/1.1 999 Odd")),
    Case(
        "head-below-limit",
        "test-http-max-http-headers.js",
        sized(b"", "X: " + "a" * 16000),
    ),
]

REFUSED = [
    Case(
        "length-and-chunked",
        "test-http-client-error-rawbytes.js",
        reply("Content-Length: 10", CHUNKED, body=b"2\r\nhi\r\n0\r\n\r\n"),
    ),
    Case(
        "chunked-and-length",
        "test-http-client-error-rawbytes.js",
        reply(CHUNKED, "Content-Length: 10", body=b"2\r\nhi\r\n0\r\n\r\n"),
    ),
    Case(
        "length-twice",
        "test-http-response-multi-content-length.js",
        reply("Content-Length: 1", "Content-Length: 2", body=b"ab"),
    ),
    Case(
        "line-cr",
        "test-http-client-reject-cr-no-lf.js",
        reply("Foo: bar\rX: 1", "Content-Length: 0"),
    ),
    Case("line-lf", "test-http-client-reject-cr-no-lf.js", reply("Foo: bar\nX: 1")),
    Case(
        "value-control",
        "test-http-insecure-parser-per-stream.js",
        sized(b"", "X: te\x08t"),
    ),
    Case("folded", "test-http-multi-line-headers.js", sized(b"", "X: a", " b")),
    Case(
        "name-space",
        "test-http-request-smuggling-content-length.js",
        sized(b"", "X : 1"),
    ),
    Case("garbage", "test-http-server-client-error.js", b"Oopsie-doopsie\r\n\r\n"),
    Case("version", "test-http-parser.js", sized(b"", first="HTTP/5.6 200 OK")),
    Case("status-short", "test-http-parser.js", sized(b"", first="HTTP/1.1 20 OK")),
    Case("status-letters", "test-http-parser.js", sized(b"", first="HTTP/1.1 2xx OK")),
    Case(
        "head-above-limit",
        "test-http-max-http-headers.js",
        sized(b"", "X: " + "a" * 17000),
    ),
    Case("silent", "test-http-client-close-event.js", b""),
    Case("head-cut", "test-http-response-close.js", b"HTTP/1.1 200 OK\r\nX: 1"),
    Case("body-cut", "test-http-aborted.js", HELLO[:-2]),
    Case("chunk-cut", "test-http-client-aborted-event.js", chunked(b"5\r\nhel")),
    Case("chunks-cut", "test-http-abort-client.js", chunked(b"5\r\nhello\r\n")),
    *(
        Case(f"chunk-{name}", "test-http-parser.js", chunked(line + b"hi\r\n0\r\n\r\n"))
        for name, line in (
            ("size-lf", b"2\n"),
            ("size-cr", b"2\rx"),
            ("size-space", b"2 \r\n"),
            ("size-letter", b"x\r\n"),
            ("size-none", b"\r\n"),
            ("size-huge", b"F" * 17 + b"\r\n"),
            ("ext-none", b"2;\r\n"),
            ("ext-lf", b"2;a\n"),
            ("ext-cr", b"2;a\rx"),
            ("ext-control", b"2;a\x01\r\n"),
            ("ext-space", b"2;a b\r\n"),
            ("ext-value-lf", b"2;a=b\n"),
            ("ext-value-control", b"2;a=\x01\r\n"),
            ("ext-quoted-lf", b'2;a="b\n'),
            ("ext-quoted-control", b'2;a="\x01"\r\n'),
            ("ext-quoted-more", b'2;a="b"c\r\n'),
            ("ext-first", b";a\r\n"),
        )
    ),
    Case(
        "chunk-size-smuggled", "test-http-chunked-smuggling.js", chunked(b"2;\n\r\nhi\r\n0\r\n\r\n")
    ),
    *(
        Case(f"data-{name}", "test-http-parser.js", chunked(b"2\r\nhi" + end + b"0\r\n\r\n"))
        for name, end in (("lf", b"\n"), ("cr", b"\rx"), ("long", b"x\r\n"))
    ),
    *(
        Case(f"trailer-{name}", "test-http-set-trailers.js", chunked(b"2\r\nhi\r\n0\r\n" + line))
        for name, line in (
            ("lf", b"X: 1\n\r\n"),
            ("cr", b"X: 1\rY\r\n"),
            ("space", b"X : 1\r\n\r\n"),
            ("control", b"X: \x01\r\n\r\n"),
            ("folded", b"X: 1\r\n a\r\n\r\n"),
            ("no-colon", b"X\r\n\r\n"),
            ("end-cr", b"\rx"),
            ("end-lf", b"\nx"),
        )
    ),
    *(
        Case(f"head-{name}", "test-http-parser.js", reply(*lines))
        for name, *lines in (
            ("length-list", "Content-Length: 1, 1"),
            ("length-sign", "Content-Length: +1"),
            ("length-space", "Content-Length: 1 1"),
            ("length-empty", "Content-Length:"),
            ("length-huge", "Content-Length: " + "9" * 25),
            ("length-same-twice", "Content-Length: 1", "Content-Length: 1"),
            ("length-gzip", "Content-Length: 1", "Transfer-Encoding: gzip"),
            ("name-control", "X\x01: 1"),
            ("name-none", ": 1"),
            ("no-colon", "X"),
            ("value-del", "X: \x7f"),
            ("value-nul", "X: \x00"),
        )
    ),
    *(
        Case(f"first-{name}", "test-http-response-status-message.js", reply(first=first))
        for name, first in (
            ("version-only", "HTTP/1.1"),
            ("no-status", "HTTP/1.1 "),
            ("two-spaces", "HTTP/1.1  200"),
            ("tab", "HTTP/1.1\t200 OK"),
            ("tab-reason", "HTTP/1.1 200\tOK"),
            ("long-status", "HTTP/1.1 2000 OK"),
            ("minor", "HTTP/1.2 200 OK"),
            ("lower", "http/1.1 200 OK"),
            ("request", "GET / HTTP/1.1"),
            ("lf", "HTTP/1.1 200 OK\n"),
            ("cr", "HTTP/1.1 200 OK\rx"),
        )
    ),
    *(
        Case(
            f"coding-twice-{name}",
            "test-http-invalid-te.js",
            reply(*lines, body=b"2\r\nhi\r\n0\r\n\r\n"),
            decided="RFC 9112 section 6.1: chunked is applied once, or nothing is certain",
        )
        for name, *lines in (
            ("listed", "Transfer-Encoding: chunked, chunked"),
            ("lines", CHUNKED, CHUNKED),
        )
    ),
    Case(
        "ext-no-value",
        "test-http-chunk-extensions-limit.js",
        chunked(b"2;a=\r\nhi\r\n0\r\n\r\n"),
        decided="RFC 9112 section 7.1.1: a value is a token or quoted, never empty",
    ),
    *(
        Case(
            f"trailer-{name}",
            "test-http-set-trailers.js",
            chunked(b"2\r\nhi\r\n0\r\n" + line),
            decided="RFC 9110 section 6.5.1: framing does not belong into trailers",
        )
        for name, line in (
            ("length", b"Content-Length: 1\r\n\r\n"),
            ("coding", b"Transfer-Encoding: chunked\r\n\r\n"),
        )
    ),
    *(
        Case(
            f"status-{status}",
            "test-http-status-code.js",
            sized(b"hi", first=f"HTTP/1.1 {status} Odd"),
            decided="RFC 9110 section 15: status codes begin at 100",
        )
        for status in ("000", "099")
    ),
    Case(
        "version-two",
        "test-http-response-no-headers.js",
        sized(b"hi", first="HTTP/2.0 200 OK"),
        decided="RFC 9112 section 2.3: HTTP/1.1 and HTTP/1.0 are what this speaks",
    ),
    *(
        Case(
            f"reason-{byte:02x}",
            "test-http-status-reason-invalid-chars.js",
            sized(b"hi", first=f"HTTP/1.1 200 O{chr(byte)}K"),
            decided="RFC 9112 section 4: no control characters in a reason phrase",
        )
        for byte in (0x00, 0x01, 0x7F)
    ),
    Case(
        "unasked-101",
        "test-http-upgrade-advertise.js",
        reply("Connection: upgrade", "Upgrade: h2c", first="HTTP/1.1 101 Switching"),
        decided="Node just closes; here who awaits the response is told",
    ),
]

CASES = [*TAKEN, *REFUSED]
