"""Rows of Node's tables: the head that a handler writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import attrs
import pytest

import trio_nodehttp as http
from tests._server.kit import ask, serving

Request = http.IncomingMessage
Response = http.ServerResponse
URL = "http://a.test/"


@attrs.frozen
class Wire:
    """A response as raw bytes, and as our client shows it."""

    start: str
    lines: list[str]
    body: bytes
    message: http.IncomingMessage


async def respond(write: Callable[[Response], Any]) -> Wire:
    """Let a handler write a response, ended by us; get it twice, raw and through the client."""

    async def handler(request: Request, response: Response) -> None:
        response.send_date = False
        ending = write(response)
        if ending is not None:
            await ending

    async with serving(handler, on_error="raise") as served, served.agent() as agent:
        client = await served.connect()
        await client.send(ask("/", "Connection: close"))
        head, _, body = (await client.until_end()).partition(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")
        async with http.get(URL, agent=agent) as message:
            await message.read()
    return Wire(start, lines, body, message)


@pytest.mark.node("test-http-response-setheaders.js")
@pytest.mark.node_api("OutgoingMessage|outgoingMessage.setHeaders(headers)")
async def test_set_headers_takes_mappings(autojump_clock: Any) -> None:
    cookies = ["a=b", "c=d"]

    def write(response: Response) -> None:
        wrong: Any
        for wrong in (["foo", "1"], [("foo", "1")], (), None, "foo: 1", 123, True, object()):
            with pytest.raises(http.InvalidArgTypeError, match="headers must be") as caught:
                response.set_headers(wrong)
            assert caught.value.code == "ERR_INVALID_ARG_TYPE"
        with pytest.raises(http.InvalidCharError):
            response.set_headers({"good": "x", "bad": "\n"})
        assert response.get_header_names() == []
        assert response.set_headers({"foo": "1", "bar": 2}) is response
        response.set_headers(http.Headers([("Set-Cookie", "a=b"), ("set-cookie", "c=d")]))
        response.write_head(200, {"foo": "3"})
        with pytest.raises(http.HeadersSentError) as sent:
            response.set_headers({"foo": "4"})
        assert sent.value.code == "ERR_HTTP_HEADERS_SENT"

    wire = await respond(write)
    assert wire.lines[:4] == ["foo: 3", "bar: 2", "set-cookie: a=b", "set-cookie: c=d"]
    assert wire.message.headers["set-cookie"] == cookies
    assert wire.message.headers["foo"] == "3"


@pytest.mark.node("test-http-response-splitting.js")
@pytest.mark.parametrize(
    "value",
    [
        "foo \u0d0abar",
        "foo \u280abar",
        "foo \u010d\u010abar",
        unquote("/welcome?lang=bar%c4%8d%c4%8aContent\u2010Length:%200"),
        unquote("%E5%98%8A%E5%98%8DSet-Cookie: foo=bar"),
        "foo\r\nbar",
        "foo\nbar",
        "foo\rbar",
    ],
)
async def test_no_value_splits_the_head(value: str, autojump_clock: Any) -> None:
    def write(response: Response) -> Any:
        headers: Any
        for headers in (
            {"X": value},
            [("a", "b"), ("X", value)],
            ["X", value],
            {"X": ["a", value]},
        ):
            with pytest.raises(http.InvalidCharError) as caught:
                response.write_head(200, headers)
            assert caught.value.code == "ERR_INVALID_CHAR"
            with pytest.raises(http.InvalidCharError):
                response.add_trailers(headers)
        with pytest.raises(http.InvalidCharError):
            response.set_header("X", value)
        assert not response.headers_sent
        assert response.get_headers() == {}
        return response.end("ok")

    wire = await respond(write)
    assert wire.start == "HTTP/1.1 200 OK"
    assert wire.lines == ["Connection: close", "Content-Length: 2"]
    assert wire.body == b"ok"


@pytest.mark.node("test-http-server-non-utf8-header.js")
@pytest.mark.parametrize("length", [False, True])
@pytest.mark.parametrize("repeated", [False, True])
async def test_raw_bytes_as_latin_1(length: bool, repeated: bool, autojump_clock: Any) -> None:
    name = "b\u00e5r.txt".encode().decode("latin-1")
    value = f'filename="{name}"'

    def write(response: Response) -> Any:
        headers: dict[str, Any] = {"Content-Disposition": [value] if repeated else value}
        if length:
            headers["Content-Length"] = 5
        return response.write_head(200, headers).end("hello")

    wire = await respond(write)
    assert wire.lines[0].encode("latin-1") == (b'Content-Disposition: filename="b\xc3\xa5r.txt"')
    assert wire.message.headers["content-disposition"] == value
    assert wire.body.endswith(b"hello" if length else b"5\r\nhello\r\n0\r\n\r\n")


@pytest.mark.node("test-http-status-reason-invalid-chars.js")
@pytest.mark.node_api("ServerResponse|response.statusMessage")
@pytest.mark.parametrize(
    "reason",
    ["OK\r\nContent-Type: text/html\r\n", "OK\u010d\u010aX: y", "O\u010aK", "O\u010dK", "\0"],
)
async def test_a_reason_with_a_line_end(reason: str, autojump_clock: Any) -> None:
    def write(response: Response) -> Any:
        with pytest.raises(http.InvalidCharError, match="Invalid character in statusMessage"):
            response.write_head(200, reason, {"X": "y"})
        assert response.get_headers() == {}
        response.status_message = reason
        with pytest.raises(
            http.InvalidCharError, match="Invalid character in statusMessage"
        ) as caught:
            response.write_head(200)
        assert caught.value.code == "ERR_INVALID_CHAR"
        response.status_message = "good"
        return response.end()

    wire = await respond(write)
    assert wire.start == "HTTP/1.1 200 good"
    assert wire.lines == ["Connection: close", "Content-Length: 0"]


@pytest.mark.node("test-http-status-reason-invalid-chars.js")
async def test_a_reason_assigned_is_checked_at_the_end_too(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        response.status_message = "OK\r\nX: y"
        with pytest.raises(http.InvalidCharError):
            await response.end()
        response.status_message = "OK"
        await response.end("fine")

    async with serving(handler) as served:
        client = await served.connect()
        assert (await client.get()).body == b"fine"


@pytest.mark.node("test-http-write-head-2.js")
@pytest.mark.node_api("ServerResponse|response.writeHead(statusCode[, statusMessage][, headers])")
async def test_write_head_with_a_flat_list(autojump_clock: Any) -> None:
    def write(response: Response) -> Any:
        response.set_header("test", "old")
        with pytest.raises(http.InvalidArgValueError) as caught:
            response.write_head(200, ["test", "1", "odd"])
        assert caught.value.code == "ERR_INVALID_ARG_VALUE"
        assert response.get_header("test") == "old"
        response.write_head(200, None, ["Test", "1", "Content-Length", "2"])
        assert response.status_message == "OK"
        return response.end("ok")

    wire = await respond(write)
    assert wire.start == "HTTP/1.1 200 OK"
    assert wire.lines == ["Test: 1", "Content-Length: 2", "Connection: close"]
    assert (wire.message.status_message, wire.body) == ("OK", b"ok")


@pytest.mark.node("test-http-write-head-after-set-header.js")
@pytest.mark.parametrize("before", [False, True])
async def test_write_head_keeps_repeats(before: bool, autojump_clock: Any) -> None:
    def write(response: Response) -> Any:
        if before:
            response.set_header("X-test", "value")
        return response.write_head(200, ["Set-Cookie", "a", "Set-Cookie", "b"]).end()

    wire = await respond(write)
    expected = ["Set-Cookie: a", "Set-Cookie: b", "Connection: close", "Transfer-Encoding: chunked"]
    assert wire.lines == (["X-test: value", *expected] if before else expected)
    assert wire.message.headers["set-cookie"] == ["a", "b"]
    assert wire.body == b"0\r\n\r\n"


@pytest.mark.node("test-http-write-head.js")
@pytest.mark.node_api(
    "ServerResponse|response.writeHead(statusCode[, statusMessage][, headers])",
    "ServerResponse|response.headersSent",
)
async def test_write_head_overrides(autojump_clock: Any) -> None:
    def write(response: Response) -> Any:
        response.set_header("test", "1")
        wrong: Any
        for wrong in (0, None, ["a"], b"a"):
            with pytest.raises(http.InvalidHTTPTokenError) as token:
                response.set_header(wrong, "x")
            assert token.value.code == "ERR_INVALID_HTTP_TOKEN"
        missing: Any = None
        with pytest.raises(http.InvalidHeaderValueError) as value:
            response.set_header("foo", missing)
        assert value.value.code == "ERR_HTTP_INVALID_HEADER_VALUE"
        with pytest.raises(http.InvalidArgValueError):
            response.write_head(200, ["invalid", "headers", "args"])
        for status in (99, 1000, -1, 0, "200", None, True):
            with pytest.raises(http.InvalidStatusCodeError) as code:
                response.write_head(status)  # type: ignore[arg-type]
            assert code.value.code == "ERR_HTTP_INVALID_STATUS_CODE"
        assert not response.headers_sent
        response.write_head(200, {"Test": "2"})
        assert response.headers_sent
        with pytest.raises(http.HeadersSentError) as sent:
            response.write_head(100, {})
        assert sent.value.code == "ERR_HTTP_HEADERS_SENT"
        return response.end()

    wire = await respond(write)
    assert wire.lines[0] == "Test: 2"
    assert "test: 1" not in wire.lines


@pytest.mark.node("test-http-write-head.js")
async def test_a_status_that_is_not_standard(autojump_clock: Any) -> None:
    wire = await respond(lambda response: response.write_head(220).end())
    assert wire.start == "HTTP/1.1 220 unknown"
    assert (wire.message.status_code, wire.message.status_message) == (220, "unknown")
