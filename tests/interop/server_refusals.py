"""Cases: what Node refuses, and what only we refuse because the RFC says so."""

from __future__ import annotations

from tests.interop.beside_node import ServerCase as Case
from tests.interop.server_setups import chunked, get, post

RFC_HOST = "RFC 9112 section 3.2: an invalid Host or a second one MUST be refused"
RFC_TARGET = "RFC 9112 section 3.2.4: the asterisk is for OPTIONS"
RFC_CODING = "RFC 9112 section 6.3: the last coding must be chunked"
RFC_VERSION = "RFC 9112 section 2.3: HTTP/1.1 and HTTP/1.0 are what this speaks"
IN_ORDER = "pipelined requests are served one at a time, so the first is answered"


def bad(name: str, row: str, *pieces: bytes, decided: str = "") -> Case:
    """Build a case that Node refuses."""
    return Case(name, row, list(pieces), answers=0, seconds=2, decided=decided)


def lax(name: str, data: bytes, reason: str, row: str = "test-http-header-owstext.js") -> Case:
    """Build a case that Node takes and we refuse, with the reason."""
    return Case(name, row, [data], seconds=2, decided=reason)


def host(value: str) -> bytes:
    """Build a request with this Host."""
    return f"GET /echo HTTP/1.1\r\nHost: {value}\r\n\r\n".encode()


CASES = [
    bad(
        "garbage-after",
        "test-http-blank-header.js",
        get("/hello", "Cookie:") + b"\r\nhello world\r\n",
        decided=IN_ORDER,
    ),
    bad("garbage", "test-http-server-client-error.js", b"Oopsie-doopsie\r\n"),
    bad(
        "method-first-bytes",
        "test-http-server-destroy-socket-on-client-error.js",
        b"FOO /",
    ),
    bad("method-lower", "test-http-methods.js", get("/", method="get")),
    bad(
        "chunk-line-lf",
        "test-http-chunked-smuggling.js",
        chunked("/echo", b"2;\nxx\r\n4c\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n"),
    ),
    bad(
        "head-end-cr",
        "test-http-dummy-characters-smuggling.js",
        b"GET / HTTP/1.1\r\nHost: a\r\n\rZGET",
    ),
    bad(
        "chunk-line-cr",
        "test-http-dummy-characters-smuggling.js",
        chunked("/echo", b"5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n"),
    ),
    bad(
        "coding-and-length",
        "test-http-invalid-te.js",
        post(
            "/echo",
            "Content-Length: 10",
            "Transfer-Encoding: eee, chunked",
            body=b"2\r\nhi\r\n",
        ),
    ),
    bad(
        "chunked-and-length",
        "test-http-server-reject-chunked-with-content-length.js",
        post(
            "/echo",
            "Content-Length: 1",
            "Transfer-Encoding: chunked",
            body=b"0\r\n\r\n",
        ),
    ),
    bad(
        "length-twice",
        "test-http-double-content-length.js",
        post("/echo", "Content-Length: 1", "Content-Length: 2"),
    ),
    bad(
        "length-space",
        "test-http-request-smuggling-content-length.js",
        post("/echo", "Content-Length : 5", body=b"hello"),
    ),
    bad(
        "value-lf",
        "test-http-missing-header-separator-cr.js",
        get("/echo", "Dummy: x\nContent-Length: 23"),
    ),
    bad(
        "value-lf-empty",
        "test-http-missing-header-separator-cr.js",
        get("/echo", "x:\nTransfer-Encoding: chunked"),
    ),
    bad(
        "value-cr",
        "test-http-missing-header-separator-lf.js",
        get("/echo", "Dummy: x\rContent-Length: 23"),
    ),
    bad(
        "value-cr-empty",
        "test-http-missing-header-separator-lf.js",
        get("/echo", "x:\rTransfer-Encoding: chunked"),
    ),
    bad(
        "line-cr",
        "test-http-server-reject-cr-no-lf.js",
        b"GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n",
    ),
    bad(
        "coding-joined",
        "test-http-transfer-encoding-repeated-chunked.js",
        post("/echo", "Transfer-Encoding: chunkedchunked", body=b"3\r\nfoo\r\n"),
    ),
    bad(
        "coding-second-line",
        "test-http-transfer-encoding-smuggling.js",
        post(
            "/echo",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: chunked-false",
            body=b"3\r\nfoo\r\n",
        ),
    ),
    bad(
        "coding-folded",
        "test-http-transfer-encoding-smuggling.js",
        post(
            "/echo",
            "Transfer-Encoding: chunked",
            " , chunked-false",
            body=b"3\r\nfoo\r\n",
        ),
    ),
    bad(
        "value-control",
        "test-http-insecure-parser-per-stream.js",
        get("/echo", "X: te\x08t"),
    ),
    bad(
        "pipelined-garbage",
        "test-http-blank-header.js",
        get("/hello", "Connection: close") + b"garbage",
    ),
    lax("host-blank", host(" \t "), RFC_HOST),
    lax("host-path", host("a/b"), RFC_HOST, "test-http-request-host-header.js"),
    lax("host-userinfo", host("u@a"), RFC_HOST, "test-http-request-host-header.js"),
    lax("host-list", host("a, b"), RFC_HOST, "test-http-request-host-header.js"),
    lax(
        "host-twice",
        get("/echo", "Host: b"),
        RFC_HOST,
        "test-http-incoming-matchKnownFields.js",
    ),
    lax("get-asterisk", get("*"), RFC_TARGET, "test-http-malformed-request.js"),
    lax(
        "coding-empty",
        post("/echo", "Transfer-Encoding:"),
        RFC_CODING,
        "test-http-invalid-te.js",
    ),
    lax(
        "version-two",
        get("/echo", "Host: a", version="2.0"),
        RFC_VERSION,
        "test-http-1.0.js",
    ),
]
