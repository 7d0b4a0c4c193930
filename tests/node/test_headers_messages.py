"""Rows of Node's tables: the headers of messages, as set and as they arrive."""

from __future__ import annotations

from typing import Any

import pytest

import trio_nodehttp as http
from tests._server.kit import ask, hello, serving, undated

Request = http.IncomingMessage
Response = http.ServerResponse
URL = "http://a.test/"


@pytest.mark.node("test-http-multiple-headers.js")
@pytest.mark.node_api(
    "OutgoingMessage|outgoingMessage.appendHeader(name, value)",
    "OutgoingMessage|outgoingMessage.addTrailers(headers)",
    "ClientRequest|request.getRawHeaderNames()",
    "IncomingMessage|message.headersDistinct",
    "IncomingMessage|message.trailersDistinct",
    "IncomingMessage|message.rawTrailers",
    "http.createServer|uniqueHeaders",
    "http.request|uniqueHeaders",
)
async def test_several_values_for_a_name(autojump_clock: Any) -> None:
    seen: list[Any] = []

    async def handler(request: Request, response: Response) -> None:
        body = await request.read()
        seen.append((request.raw_headers, request.headers, request.headers_distinct))
        seen.append((request.raw_trailers, request.trailers, request.trailers_distinct, body))
        response.set_header("X-Res-a", "AAA")
        response.append_header("x-res-a", ["BBB", "CCC"])
        response.set_header("X-Res-b", ["DDD", "EEE"])
        response.append_header("x-RES-b", ["FFF", "GGG"])
        response.remove_header("date")
        response.set_header("X-Res-c", ["HHH", "III"])
        response.set_header("X-Res-d", ["JJJ", "KKK", "LLL"])
        response.write_head(200, {"Transfer-Encoding": "chunked"})
        response.add_trailers(
            {
                "X-Res-X": "XXX",
                "X-Res-Y": ["YYY1", "YYY2"],
                "x-res-d": ["MMM", "NNN"],
            }
        )
        await response.write("response")
        await response.end()
        assert response.get_header("X-RES-A") == ["AAA", "BBB", "CCC"]
        assert response.get_headers()["x-res-b"] == ["DDD", "EEE", "FFF", "GGG"]
        with pytest.raises(http.HeadersSentError) as caught:
            response.append_header("X-Res-a", "DDD")
        assert caught.value.code == "ERR_HTTP_HEADERS_SENT"

    options: dict[str, Any] = {"unique_headers": ["x-res-b", "X-RES-D", "x-req-a"]}
    async with serving(handler, **options) as served, served.agent() as agent:
        request = http.request(
            URL,
            method="POST",
            headers=[("Connection", "close")],
            unique_headers=["x-req-b", "x-req-Y"],
            agent=agent,
        )
        async with request:
            request.set_header("Host", "a.test")
            request.set_header("X-Req-a", "eee")
            request.append_header("X-Req-a", ["fff", "ggg", "hhh"])
            request.set_header("X-Req-b", "iii")
            request.append_header("X-Req-b", ["jjj", "kkk"])
            request.set_header("x-req-c", "old")
            request.set_header("X-REQ-C", ["lll", "mmm"])
            request.add_trailers({"x-req-X": ["xxx"], "X-req-Y": ["yyy", "zzz"], "z": "aaa"})
            await request.write("body")
            await request.end()
            assert request.get_raw_header_names() == [
                "Connection",
                "Host",
                "X-Req-a",
                "X-Req-b",
                "X-REQ-C",
            ]
            assert request.get_header_names() == [
                "connection",
                "host",
                "x-req-a",
                "x-req-b",
                "x-req-c",
            ]
            assert request.get_header("x-req-B") == ["iii", "jjj", "kkk"]
            with pytest.raises(http.HeadersSentError):
                request.append_header("X-Req-a", "ggg")
            response = await request.get_response()
            assert await response.text() == "response"
            assert [pair for pair in response.raw_headers if pair[0].startswith("X-")] == [
                ("X-Res-a", "AAA"),
                ("X-Res-a", "BBB"),
                ("X-Res-a", "CCC"),
                ("X-Res-b", "DDD; EEE; FFF; GGG"),
                ("X-Res-c", "HHH"),
                ("X-Res-c", "III"),
                ("X-Res-d", "JJJ; KKK; LLL"),
            ]
            assert response.headers["x-res-a"] == "AAA, BBB, CCC"
            assert response.headers_distinct["x-res-c"] == ["HHH", "III"]
            assert response.headers_distinct["x-res-b"] == ["DDD; EEE; FFF; GGG"]
            assert response.raw_trailers == [
                ("X-Res-X", "XXX"),
                ("X-Res-Y", "YYY1"),
                ("X-Res-Y", "YYY2"),
                ("x-res-d", "MMM; NNN"),
            ]
            assert dict(response.trailers) == {
                "x-res-x": "XXX",
                "x-res-y": "YYY1, YYY2",
                "x-res-d": "MMM; NNN",
            }
            assert response.trailers_distinct["x-res-y"] == ["YYY1", "YYY2"]
    (raw, joined, distinct), (raw_trailers, trailers, distinct_trailers, body) = seen
    assert raw == [
        ("Connection", "close"),
        ("Host", "a.test"),
        ("X-Req-a", "eee"),
        ("X-Req-a", "fff"),
        ("X-Req-a", "ggg"),
        ("X-Req-a", "hhh"),
        ("X-Req-b", "iii; jjj; kkk"),
        ("X-REQ-C", "lll"),
        ("X-REQ-C", "mmm"),
        ("Transfer-Encoding", "chunked"),
    ]
    assert joined["x-req-a"] == "eee, fff, ggg, hhh"
    assert distinct["x-req-a"] == ["eee", "fff", "ggg", "hhh"]
    assert distinct["x-req-b"] == ["iii; jjj; kkk"]
    assert raw_trailers == [("x-req-X", "xxx"), ("X-req-Y", "yyy; zzz"), ("z", "aaa")]
    assert dict(trailers) == {"x-req-x": "xxx", "x-req-y": "yyy; zzz", "z": "aaa"}
    assert distinct_trailers == {"x-req-x": ["xxx"], "x-req-y": ["yyy; zzz"], "z": ["aaa"]}
    assert body == b"body"


@pytest.mark.node("test-http-mutable-headers.js")
@pytest.mark.node_api(
    "ServerResponse|response.getHeader(name)",
    "ServerResponse|response.getHeaders()",
    "ServerResponse|response.getHeaderNames()",
    "ServerResponse|response.hasHeader(name)",
    "ServerResponse|response.removeHeader(name)",
    "ServerResponse|response.setHeader(name, value)",
    "ServerResponse|response.statusCode",
    "OutgoingMessage|outgoingMessage.getHeader(name)",
    "OutgoingMessage|outgoingMessage.hasHeader(name)",
)
async def test_the_table_of_headers(autojump_clock: Any) -> None:
    cookies = ["foo=bar", "bar=baz", "baz=quux"]

    def check_empty(response: Response) -> None:
        wrong: Any
        assert response.get_headers() == {}
        assert response.get_header_names() == response.get_raw_header_names() == []
        assert response.has_header("Connection") is False
        assert response.get_header("Date") is None
        for wrong in (None, 1, True, ["a"], {}):
            for method in (response.has_header, response.get_header, response.remove_header):
                with pytest.raises(http.InvalidArgTypeError, match="name must be") as caught:
                    method(wrong)
                assert caught.value.code == "ERR_INVALID_ARG_TYPE"
            with pytest.raises(http.InvalidHTTPTokenError):
                response.set_header(wrong, "value")
        with pytest.raises(http.InvalidHeaderValueError) as missing:
            response.set_header("someHeader", None)  # type: ignore[arg-type]
        assert missing.value.code == "ERR_HTTP_INVALID_HEADER_VALUE"
        assert response.get_headers() == {}

    async def headers(request: Request, response: Response) -> None:
        check_empty(response)
        response.set_header("x-test-header", "testing")
        response.set_header("X-TEST-HEADER2", "testing")
        response.set_header("set-cookie", cookies)
        response.set_header("x-test-array-header", [1, 2, 3])  # type: ignore[list-item]
        names = ["x-test-header", "x-test-header2", "set-cookie", "x-test-array-header"]
        assert response.get_header_names() == names
        assert response.get_raw_header_names()[1] == "X-TEST-HEADER2"
        assert response.get_header("X-Test-Header") == "testing"
        assert response.get_header("SET-COOKIE") == cookies
        assert response.get_headers() == {
            "x-test-header": "testing",
            "x-test-header2": "testing",
            "set-cookie": cookies,
            "x-test-array-header": ["1", "2", "3"],
        }
        response.get_headers().clear()
        assert response.has_header("X-TEST-header2") is True
        response.remove_header("x-Test-Header2")
        assert response.has_header("x-test-header2") is False
        assert response.get_header_names() == [names[0], *names[2:]]
        response.send_date = False
        await response.end("hen een")

    async def write_head(request: Request, response: Response) -> None:
        response.status_code = 404
        response.set_header("x-foo", "keyboard cat")
        response.write_head(200, {"x-foo": "bar", "x-bar": "baz"})
        response.status_code = 404
        await response.end("hen een")

    async with (
        serving(headers) as served,
        served.agent() as agent,
        http.request(URL, headers={"X-foo": "bar"}, agent=agent) as request,
    ):
        assert request.get_header_names() == ["x-foo", "host"]
        assert request.get_headers() == {"x-foo": "bar", "host": "a.test"}
        assert request.has_header("x-FOO") is True
        request.remove_header("x-foo")
        assert request.has_header("x-foo") is False
        await request.end()
        response = await request.get_response()
        assert response.raw_headers[:7] == [
            ("x-test-header", "testing"),
            *(("set-cookie", cookie) for cookie in cookies),
            ("x-test-array-header", "1"),
            ("x-test-array-header", "2"),
            ("x-test-array-header", "3"),
        ]
        assert response.headers["set-cookie"] == cookies
        assert response.headers["x-test-array-header"] == "1, 2, 3"
        assert "date" not in response.headers
    async with (
        serving(write_head) as served,
        served.agent() as agent,
        http.get(URL, agent=agent) as response,
    ):
        assert response.status_code == 200
        assert response.headers["x-foo"] == "bar"
        assert response.headers["x-bar"] == "baz"


@pytest.mark.node("test-http-raw-headers.js")
@pytest.mark.node_api("IncomingMessage|message.rawHeaders", "IncomingMessage|message.trailers")
async def test_raw_headers_and_trailers(autojump_clock: Any) -> None:
    seen: list[Any] = []

    async def handler(request: Request, response: Response) -> None:
        await request.read()
        seen.append((request.raw_headers, dict(request.headers)))
        seen.append((request.raw_trailers, dict(request.trailers)))
        response.set_header("Trailer", "x-foo")
        response.add_trailers([("x-fOo", "xOxOxOx"), ("x-foO", "OxOxOxO"), ("X-fOo", "xOxOxOx")])
        await response.end("x f o o")

    async with (
        serving(handler) as served,
        served.agent(keep_alive=True) as agent,
        http.request(URL, method="POST", agent=agent) as request,
    ):
        request.add_trailers([("x-bAr", "yOyOyOy"), ("x-baR", "OyOyOyO"), ("X-bAr", "yOyOyOy")])
        request.set_header("transfer-ENCODING", "CHUNKED")
        request.set_header("x-BaR", "yoyoyo")
        await request.end("y b a r")
        response = await request.get_response()
        assert await response.text() == "x f o o"
    assert [name for name, _ in response.raw_headers] == [
        "Trailer",
        "Date",
        "Connection",
        "Keep-Alive",
        "Transfer-Encoding",
    ]
    assert response.headers["transfer-encoding"] == "chunked"
    assert response.raw_trailers == [
        ("x-fOo", "xOxOxOx"),
        ("x-foO", "OxOxOxO"),
        ("X-fOo", "xOxOxOx"),
    ]
    assert dict(response.trailers) == {"x-foo": "xOxOxOx, OxOxOxO, xOxOxOx"}
    (raw, joined), (raw_trailers, trailers) = seen
    assert raw == [
        ("Host", "a.test"),
        ("transfer-ENCODING", "CHUNKED"),
        ("x-BaR", "yoyoyo"),
        ("Connection", "keep-alive"),
    ]
    assert joined == {name.lower(): value for name, value in raw}
    assert raw_trailers == [("x-bAr", "yOyOyOy"), ("x-baR", "OyOyOyO"), ("X-bAr", "yOyOyOy")]
    assert trailers == {"x-bar": "yOyOyOy, OyOyOyO, yOyOyOy"}


@pytest.mark.node("test-http-raw-headers.js")
async def test_what_arrives_keeps_case_order_and_repeats(autojump_clock: Any) -> None:
    seen: list[Any] = []

    async def handler(request: Request, response: Response) -> None:
        seen.append((request.raw_headers, dict(request.headers)))
        await response.end()

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask("/", "x-BaR: yoyoyo", "X-bAr: more", "x-bar: most"))
        await client.answer()
    assert seen == [
        (
            [("Host", "a.test"), ("x-BaR", "yoyoyo"), ("X-bAr", "more"), ("x-bar", "most")],
            {"host": "a.test", "x-bar": "yoyoyo, more, most"},
        )
    ]


# --- pieces of a body that are none ---------------------------------------------------


@pytest.mark.node("test-http-outgoing-end-types.js")
@pytest.mark.node("test-http-outgoing-write-types.js")
@pytest.mark.node("test-http-res-write-end-dont-take-array.js")
@pytest.mark.node_api("ServerResponse|response.write(chunk[, encoding][, callback])")
async def test_what_may_be_a_piece_of_a_body(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        response.send_date = False
        wrong: Any
        for wrong in (["Throws."], [], ("a",), {}, 1, object()):
            for method in (response.write, response.end):
                with pytest.raises(http.InvalidArgTypeError, match="chunk must be") as caught:
                    await method(wrong)
                assert caught.value.code == "ERR_INVALID_ARG_TYPE"
                assert isinstance(caught.value, TypeError)
        with pytest.raises(http.InvalidArgTypeError):
            await response.write(None)
        assert not response.headers_sent
        if request.url == "/end":
            await response.end("good")
        else:
            for good in ("te", b"s", bytearray(b"t"), memoryview(b"!")):
                await response.write(good)
            await response.end(bytearray(b"."))

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask("/end"), ask("/", "Connection: close"))
        reply = await client.until_end()
    first, _, second = reply.partition(b"good")
    assert first == (
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n"
        b"Content-Length: 4\r\n\r\n"
    )
    assert second.partition(b"\r\n\r\n")[2] == (
        b"2\r\nte\r\n1\r\ns\r\n1\r\nt\r\n1\r\n!\r\n1\r\n.\r\n0\r\n\r\n"
    )


async def test_hello_needs_no_date(autojump_clock: Any) -> None:
    """The Date line that these tests leave out is well formed."""
    async with serving(hello) as served:
        client = await served.connect()
        await client.send(ask("/", "Connection: close"))
        assert undated(await client.until_end()) == (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
        )
