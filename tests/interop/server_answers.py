"""Cases: how an answer is framed, and what its head says."""

from __future__ import annotations

from tests.interop.beside_node import ServerCase as Case
from tests.interop.server_setups import get

OLD = "Connection: keep-alive"
HELLO = get("/hello")

CASES = [
    Case("old-chunks", "test-http-1.0.js", [get("/chunks", version="1.0")]),
    Case("old-hello", "test-http-1.0.js", [get("/hello", version="1.0")]),
    Case("old-version", "test-http-1.0.js", [get("/echo", version="1.0")]),
    Case("close-chunks", "test-http-1.0.js", [get("/chunks", "Connection: close")]),
    *(
        Case(
            f"old-alive-{path}",
            "test-http-1.0-keep-alive.js",
            [get(f"/{path}", OLD, version="1.0")],
        )
        for path in ("kept", "kept_sized", "kept_chunked", "hello", "chunks", "sized")
    ),
    Case(
        "old-alive-te",
        "test-http-1.0-keep-alive.js",
        [get("/kept", OLD, "TE: chunked", version="1.0")],
    ),
    Case(
        "old-alive-two",
        "test-http-1.0-keep-alive.js",
        [get("/kept_sized", OLD, version="1.0") * 2],
        answers=2,
    ),
    Case(
        "old-wget",
        "test-http-wget.js",
        [get("/kept", "Connection: Keep-Alive", version="1.0")],
    ),
    *(
        Case(
            f"old-{method.lower()}",
            "test-http-request-methods.js",
            [get("/hello", version="1.0", method=method)],
        )
        for method in ("DELETE", "PATCH", "PURGE")
    ),
    Case("query", "test-http-server-method.query.js", [get("/echo", method="QUERY")]),
    *(
        Case(
            f"head-{path}",
            "test-http-head-response-has-no-body-end.js",
            [get(f"/{path}", method="HEAD") + HELLO],
            answers=2,
        )
        for path in ("explicit", "explicit_body", "hello", "empty", "sized")
    ),
    Case(
        "head-chunks",
        "test-http-head-response-has-no-body.js",
        [get("/chunks", method="HEAD") + HELLO],
        answers=2,
    ),
    Case("explicit", "test-http-head-response-has-no-body.js", [get("/explicit")]),
    Case("explicit-body", "test-http-write-head.js", [get("/explicit_body")]),
    Case("empty", "test-http-automatic-headers.js", [get("/empty")]),
    Case("lookalikes", "test-http-automatic-headers.js", [get("/lookalikes")]),
    Case("chunks", "test-http-write-empty-string.js", [get("/chunks")]),
    Case("sized", "test-http-content-length-mismatch.js", [get("/sized")]),
    Case("undated", "test-http-1.0.js", [get("/undated")]),
    *(
        Case(
            f"status-{code}",
            "test-http-status-code.js",
            [get(f"/status/{code}") + HELLO],
            2,
        )
        for code in (202, 204, 300, 304, 404, 451, 500, 220)
    ),
    *(
        Case(
            f"written-{code}",
            "test-http-write-head.js",
            [get(f"/written_status/{code}")],
        )
        for code in (200, 204, 304, 220)
    ),
    *(
        Case(
            f"chunked-{code}",
            "test-http-chunked-304.js",
            [get(f"/chunked_status/{code}")],
        )
        for code in (204, 304, 200)
    ),
    Case(
        "not-modified",
        "test-http-allow-content-length-304.js",
        [get("/not_modified") + HELLO],
        answers=2,
    ),
    Case("reason", "test-http-status-message.js", [get("/reason")]),
    Case("latin", "test-http-server-non-utf8-header.js", [get("/latin")]),
    Case("cases", "test-http-multiple-headers.js", [get("/cases")]),
    Case("cases-unique", "test-http-multiple-headers.js", [get("/cases")], setup="unique"),
    Case("overridden", "test-http-write-head.js", [get("/overridden")]),
    Case(
        "flat",
        "test-http-write-head-after-set-header.js",
        [get("/flat")],
        decided="the table's Node sends both lines, Node 20 loses the first",
    ),
    Case("own-chunks", "test-http-raw-headers.js", [get("/own_chunks")]),
    Case("announced", "test-http-raw-headers.js", [get("/announced")]),
    Case("trailers", "test-http-set-trailers.js", [get("/trailers")]),
    Case("old-trailers", "test-http-set-trailers.js", [get("/trailers", version="1.0")]),
    Case("removed", "test-http-remove-header-stays-removed.js", [get("/removed")]),
    Case(
        "unconnected",
        "test-http-remove-connection-header-persists-connection.js",
        [get("/unconnected") * 2],
        answers=2,
    ),
    Case(
        "old-unconnected",
        "test-http-remove-connection-header-persists-connection.js",
        [get("/unconnected", version="1.0")],
    ),
    Case("closing", "test-http-keep-alive-close-on-header.js", [get("/closing")]),
]
