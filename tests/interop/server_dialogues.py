"""Cases: 1xx, keep-alive, pipelining, upgrades and timeouts."""

from __future__ import annotations

from tests.interop.beside_node import ServerCase as Case
from tests.interop.server_setups import chunked, get, sized

CLOSES = "RFC 9112 section 9.6: who sent `Connection: close` closes; Node waits"
HELLO = get("/hello")
UPGRADE = ("Connection: upgrade", "Upgrade: ws")

CASES = [
    Case("processing", "test-http-information-processing.js", [get("/processing")]),
    Case("hints", "test-http-early-hints.js", [get("/hints")]),
    Case("no-hints", "test-http-early-hints.js", [get("/no_hints")]),
    Case(
        "continue",
        "test-http-write-callbacks.js",
        [sized("/body", b"asdf", "Expect: 100-continue")[:-4], b"asdf"],
    ),
    Case("expect-other", "test-http-expect-handling.js", [get("/hello", "Expect: tea")]),
    Case("advertised", "test-http-keep-alive-timeout.js", [HELLO], setup="long"),
    Case("hinted", "test-http-keep-alive-timeout-custom.js", [get("/hinted")]),
    Case(
        "idle",
        "test-http-server-keep-alive-timeout.js",
        [HELLO],
        answers=0,
        setup="brief",
        seconds=3,
    ),
    Case(
        "idle-empty-line",
        "test-http-keep-alive-empty-line.mjs",
        [HELLO, b"\r\n"],
        answers=0,
        setup="brief",
        seconds=3,
    ),
    Case(
        "requests-limit",
        "test-http-keep-alive-max-requests.js",
        [(HELLO + b"\r\n") * 3],
        answers=3,
        setup="three",
        decided_end=CLOSES,
    ),
    Case(
        "requests-dropped",
        "test-http-keep-alive-drop-requests.js",
        [HELLO * 2],
        answers=2,
        setup="one",
        decided_end=CLOSES,
    ),
    Case("pipelined", "test-http-server.js", [HELLO * 5], answers=5),
    Case(
        "half-closed",
        "test-http-server.js",
        [HELLO + get("/chunks")],
        answers=0,
        half_close=True,
        seconds=3,
    ),
    Case(
        "escape",
        "test-http-malformed-request.js",
        [get("/echo?foo=%99bar")],
        answers=0,
        half_close=True,
        seconds=3,
    ),
    Case(
        "unread-body",
        "test-http-dump-req-when-res-ends.js",
        [sized("/hello", b"x" * 50_000) + HELLO],
        answers=2,
    ),
    Case(
        "unread-chunks",
        "test-http-dump-req-when-res-ends.js",
        [chunked("/hello", b"3\r\nabc\r\n0\r\n\r\n") + HELLO],
        answers=2,
    ),
    Case("upgrade-alone", "test-http-upgrade-advertise.js", [get("/echo", "Upgrade: ws")]),
    Case(
        "upgrade-unheard",
        "test-http-upgrade-advertise.js",
        [get("/echo", *UPGRADE)],
    ),
    Case(
        "connect-unheard",
        "test-http-connect.js",
        [get("a:80", method="CONNECT")],
        0,
        seconds=3,
    ),
    Case(
        "head-delayed",
        "test-http-server-headers-timeout-delayed-headers.js",
        [],
        answers=0,
        setup="heads",
        seconds=5,
    ),
    Case(
        "head-interrupted",
        "test-http-server-headers-timeout-interrupted-headers.js",
        [b"GET / HTTP/1.1\r\nHost: a\r\nX-C"],
        answers=0,
        setup="heads",
        seconds=5,
    ),
    Case(
        "head-pipelined",
        "test-http-server-headers-timeout-pipelining.js",
        [HELLO + b"GET / HTTP/1.1\r\nHost: a\r\nX-C"],
        answers=0,
        setup="heads",
        seconds=5,
    ),
    Case(
        "request-delayed",
        "test-http-server-request-timeout-delayed-headers.js",
        [],
        answers=0,
        setup="whole",
        seconds=5,
    ),
    Case(
        "request-interrupted",
        "test-http-server-request-timeout-interrupted-headers.js",
        [b"GET / HTTP/1.1\r\nHost: a\r\nX-C"],
        answers=0,
        setup="whole",
        seconds=5,
    ),
    Case(
        "request-body-interrupted",
        "test-http-server-request-timeout-interrupted-headers.js",
        [sized("/body", b"x" * 100)[:-50]],
        answers=0,
        setup="whole",
        seconds=5,
    ),
]
