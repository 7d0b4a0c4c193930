"""Cases: what is read in a request, and the limits on it."""

from __future__ import annotations

from tests.interop.beside_node import ServerCase as Case
from tests.interop.server_setups import chunked, get

HELLO = get("/hello")
EXTENDED = b"2;" + b"a" * 10000 + b"\r\nhi\r\n"

CASES = [
    Case(
        "echo-get",
        "test-http-raw-headers.js",
        [get("/echo", "X-A: 1", "x-a: 2", "X-a:3")],
    ),
    Case(
        "echo-chunked",
        "test-http-parser.js",
        [chunked("/echo", b"4\r\nVary\r\n2;x=y\r\nok\r\n0\r\nX-T: 1\r\nx-t: 2\r\n\r\n")],
    ),
    Case(
        "echo-pieces",
        "test-http-parser-bad-ref.js",
        [
            b"POST /ec",
            b"ho HTTP/1.1\r\nHo",
            b"st: a\r\nX-A: ab",
            b"c\r\nContent-Length: 2\r\n\r",
            b"\nok",
        ],
    ),
    Case(
        "echo-value-blank",
        "test-http-blank-header.js",
        [get("/echo", "Cookie:", "X:  \t ")],
    ),
    Case(
        "echo-value-trimmed",
        "test-http-header-owstext.js",
        [get("/echo", "X: \t a\t - b \t")],
    ),
    Case("echo-latin", "test-http-header-obstext.js", [get("/echo", "X: D\xfcsseldorf")]),
    Case(
        "echo-empty-lines",
        "test-http-keep-alive-max-requests.js",
        [b"\r\n\r\n" + HELLO],
    ),
    Case("echo-absolute", "test-http-malformed-request.js", [get("http://a/echo")]),
    Case(
        "options-asterisk",
        "test-http-methods.js",
        [get("*", method="OPTIONS")],
        0,
        seconds=1,
    ),
    Case(
        "joined",
        "test-http-server-multiheaders2.js",
        [
            get(
                "/joined",
                *(
                    "Accept: a",
                    "Accept: b",
                    "Cookie: a=1",
                    "Cookie: b=2",
                    "X: 1",
                    "X: 2",
                ),
                *("Content-Type: a/b", "Content-Type: c/d", "Authorization: 1"),
                *(
                    "Authorization: 2",
                    "User-Agent: 1",
                    "User-Agent: 2",
                    "Via: 1",
                    "Via: 2",
                ),
                *("Referer: 1", "Referer: 2", "From: 1", "From: 2", "Max-Forwards: 1"),
                *("Max-Forwards: 2", "If-Modified-Since: 1", "If-Modified-Since: 2"),
            )
        ],
    ),
    Case(
        "joined-known",
        "test-http-incoming-matchKnownFields.js",
        [
            get(
                "/joined",
                *("Set-Cookie: a", "Set-Cookie: b", "Date: 1", "Date: 2", "Origin: 1"),
                *("Origin: 2", "Age: 1", "Age: 2", "ETag: 1", "ETag: 2", "Server: 1"),
                *("Server: 2", "Expires: 1", "Expires: 2", "Retry-After: 1"),
                *("Retry-After: 2", "Location: 1", "Location: 2", "Last-Modified: 1"),
                *(
                    "Last-Modified: 2",
                    "Proxy-Authorization: 1",
                    "Proxy-Authorization: 2",
                ),
            )
        ],
    ),
    Case(
        "joined-on-request",
        "test-http-request-join-authorization-headers.js",
        [
            get(
                "/joined",
                "Authorization: 1",
                "Authorization: 2",
                "Cookie: a",
                "Cookie: b",
            )
        ],
        setup="joining",
    ),
    Case(
        "distinct",
        "test-http-multiple-headers.js",
        [get("/distinct", "X: 1", "x: 2", "X: 3, 4")],
    ),
    Case(
        "headers-cut",
        "test-http-max-headers-count.js",
        [get("/joined", "A: 1", "B: 2", "C: 3", "D: 4")],
        setup="few",
    ),
    Case(
        "raw-headers-cut",
        "test-http-rawheaders-limit.js",
        [get("/echo", "A: 1", "B: 2", "C: 3", "D: 4")],
        setup="few",
        decided="the table's Node cuts the raw pairs too, Node 20 does not",
    ),
    *(
        Case(
            f"head-size-{size}",
            "test-http-max-http-headers.js",
            [get("/echo", "X: " + "a" * size)],
            setup="small",
        )
        # "Host", "a" and "X" are six bytes, "/echo" five.
        for size in (900, 988, 989, 990, 993, 994, 995, 1100)
    ),
    Case(
        "host-missing",
        "test-http-request-host-header.js",
        [b"GET /hello HTTP/1.1\r\n\r\n"],
    ),
    Case(
        "host-not-needed",
        "test-http-request-host-header.js",
        [b"GET /hello HTTP/1.1\r\n\r\n"],
        setup="hostless",
    ),
    Case(
        "extensions-large",
        "test-http-chunk-extensions-limit.js",
        [chunked("/echo", b"2;" + b"a" * 17000 + b"\r\nhi\r\n0\r\n\r\n")],
        answers=0,
        seconds=3,
    ),
    Case(
        "extensions-large-pieces",
        "test-http-chunk-extensions-limit.js",
        [chunked("/echo", b"2;" + b"a" * 8500), b"a" * 8500 + b"\r\nhi\r\n0\r\n\r\n"],
        answers=0,
        seconds=3,
    ),
    Case(
        "extensions-each",
        "test-http-chunk-extensions-limit.js",
        [chunked("/body", EXTENDED * 3 + b"0\r\n\r\n")],
    ),
]
