"""Rows of Node's page: what a server and its responses are told, on live servers."""

from __future__ import annotations

import math
import socket as stdlib_socket
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import ask, dialled, hello, listening, serving, settle, undated
from tests.node.sides import outgoing

Request = http.IncomingMessage
Response = http.ServerResponse
UPLOAD = b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: %b\r\nContent-Length: 4\r\n\r\n"


# --- events that answer ----------------------------------------------------------------


@pytest.mark.node_api("Server|Server", "http|http.createServer([options][, requestListener])")
async def test_a_server_is_made_with_a_handler_and_options() -> None:
    server = http.create_server(hello, keep_alive_timeout=7)
    assert isinstance(server, http.Server)
    assert server.keep_alive_timeout == 7
    async with listening(server), dialled(server) as client:
        answer = await client.get()
        assert (answer.status, answer.body) == (200, b"hello")
        assert answer.headers["keep-alive"] == "timeout=7"


@pytest.mark.node_api("Server|checkContinue", "ServerResponse|response.writeContinue()")
async def test_check_continue_decides_whether_the_body_is_sent() -> None:
    plain: list[str] = []

    async def handler(request: Request, response: Response) -> None:
        plain.append(request.url)

    server = http.create_server(handler)

    @server.on("check_continue")
    async def check(request: Request, response: Response) -> None:
        assert request.headers["expect"] == "100-continue"
        await response.write_continue()
        await response.end(await request.read())

    async with listening(server), dialled(server) as client:
        await client.send(UPLOAD % b"100-continue")
        assert await client.line() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"body")
        assert (await client.answer()).body == b"body"
        assert plain == []


@pytest.mark.node_api("Server|checkExpectation")
async def test_check_expectation_answers_other_expectations() -> None:
    async with serving(hello) as served:

        @served.server.on("check_expectation")
        async def check(request: Request, response: Response) -> None:
            response.status_code = 299
            await response.end(request.headers["expect"])

        client = await served.connect()
        await client.send(UPLOAD % b"a-miracle" + b"body")
        answer = await client.answer()
        assert (answer.status, answer.body) == (299, b"a-miracle")
    async with serving(hello) as unasked:
        client = await unasked.connect()
        await client.send(UPLOAD % b"a-miracle" + b"body")
        assert (await client.answer()).status == 417


@pytest.mark.node_api("Server|connect")
async def test_connect_hands_the_stream_over() -> None:
    async with serving(hello) as served:

        @served.server.on("connect")
        async def tunnel(request: Request, stream: Any) -> None:
            assert (request.method, request.url) == ("CONNECT", "b.test:443")
            assert stream.head == b"early"
            await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
            while data := await stream.receive_some():
                await stream.send_all(data.upper())

        client = await served.connect()
        await client.send(b"CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\nearly")
        assert await client.line() == b"HTTP/1.1 200 OK\r\n\r\n"
        assert await client.take(5) == b"EARLY"
        await client.send(b"late")
        assert await client.take(4) == b"LATE"
    async with serving(hello) as unasked:
        client = await unasked.connect()
        await client.send(b"CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n")
        assert await client.until_end() == b""


@pytest.mark.node_api("Server|dropRequest", "Server|server.maxRequestsPerSocket")
async def test_requests_beyond_the_limit_of_a_socket_are_dropped() -> None:
    dropped: list[tuple[str, bool]] = []
    async with serving(hello, max_requests_per_socket=2) as served:
        assert served.server.max_requests_per_socket == 2
        served.server.on(
            "drop_request",
            lambda request, socket: dropped.append((request.url, isinstance(socket, http.Socket))),
        )
        client = await served.connect()
        await client.send(ask("/1"), ask("/2"), ask("/3"))
        first, second, third = [await client.answer() for _ in range(3)]
        assert [first.status, second.status, third.status] == [200, 200, 503]
        assert first.headers["keep-alive"] == "timeout=5, max=2"
        assert second.headers["connection"] == "close"
        assert dropped == [("/3", True)]


# --- limits ------------------------------------------------------------------------------


@pytest.mark.node_api("Server|server.maxHeadersCount")
async def test_headers_beyond_the_count_are_left_out() -> None:
    seen: list[list[str]] = []

    async def handler(request: Request, response: Response) -> None:
        seen.append([name for name, _ in request.raw_headers])
        await response.end()

    async with serving(handler, max_headers_count=2) as served:
        client = await served.connect()
        await client.get("/", "A: 1", "B: 2")
        served.server.max_headers_count = 0
        await (await served.connect()).get("/", "A: 1", "B: 2")
        assert seen == [["Host", "A"], ["Host", "A", "B"]]


@pytest.mark.node_api("Server|server.keepAliveTimeout", "http.createServer|keepAliveTimeout")
async def test_an_idle_connection_is_closed(autojump_clock: Any) -> None:
    async with serving(hello, keep_alive_timeout=3, keep_alive_timeout_buffer=0.5) as served:
        assert served.server.keep_alive_timeout == 3
        client = await served.connect()
        assert (await client.get()).headers["keep-alive"] == "timeout=3"
        begun = trio.current_time()
        assert await client.until_end() == b""
        assert trio.current_time() - begun == pytest.approx(3.5)


@pytest.mark.node_api("Server|timeout", "Server|server.timeout")
async def test_silence_closes_a_socket_unless_it_is_answered(autojump_clock: Any) -> None:
    async def sleep(request: Request, response: Response) -> None:
        await trio.sleep(20)
        await response.end("late")

    async with serving(sleep, timeout=2) as served:
        assert served.server.timeout == 2
        client = await served.connect()
        await client.send(ask())
        assert await client.until_end() == b""
        assert trio.current_time() == pytest.approx(2, abs=0.1)
    told: list[Any] = []
    async with serving(sleep, timeout=2) as served:

        @served.server.on("timeout")
        async def note(socket: http.Socket) -> None:
            told.append(socket.destroyed)

        client = await served.connect()
        await client.send(ask())
        assert (await client.answer()).body == b"late"
        assert told[:1] == [False]


@pytest.mark.node_api("http.createServer|maxHeaderSize")
async def test_a_head_that_is_too_large_is_refused() -> None:
    async with serving(hello, max_header_size=100) as served:
        client = await served.connect()
        assert (await client.get("/", "X: " + "x" * 50)).status == 200
        assert (await client.get("/", "X: " + "x" * 100)).status == 431
        assert await client.until_end() == b""


@pytest.mark.node_api("http.createServer|requireHostHeader")
async def test_host_is_required_unless_it_is_not() -> None:
    bare = b"GET / HTTP/1.1\r\n\r\n"
    for require, status in ((True, 400), (False, 200)):
        async with serving(hello, require_host_header=require) as served:
            client = await served.connect()
            await client.send(bare)
            assert (await client.answer()).status == status


@pytest.mark.node_api("http.createServer|joinDuplicateHeaders")
async def test_repeated_headers_are_joined_when_asked() -> None:
    async def handler(request: Request, response: Response) -> None:
        await response.end(request.headers["user-agent"])

    for join, expected in ((False, b"a"), (True, b"a, b")):
        async with serving(handler, join_duplicate_headers=join) as served:
            client = await served.connect()
            answer = await client.get("/", "User-Agent: a", "User-Agent: b")
            assert answer.body == expected


@pytest.mark.node_api("http.createServer|uniqueHeaders")
async def test_unique_headers_are_sent_on_one_line() -> None:
    async def handler(request: Request, response: Response) -> None:
        response.set_header("X-One", ["a", "b"]).set_header("X-Two", ["c", "d"])
        await response.end()

    async with serving(handler, unique_headers=["x-one"]) as served:
        client = await served.connect()
        await client.send(ask())
        head = undated(await client.line())
        assert b"\r\nX-One: a; b\r\nX-Two: c\r\nX-Two: d\r\n" in head


@pytest.mark.node_api("http.createServer|insecureHTTPParser")
async def test_there_is_no_lenient_parser() -> None:
    with pytest.raises(http.ParserUnavailableError) as caught:
        http.create_server(hello, insecure_http_parser=True)
    assert caught.value.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"
    async with serving(hello, insecure_http_parser=False) as served:
        client = await served.connect()
        await client.send(ask("/", "X : space before the colon"))
        assert (await client.answer()).status == 400


# --- options of the socket -------------------------------------------------------------------


def option(socket: http.Socket, level: int, name: int) -> int:
    stream = socket.stream
    assert isinstance(stream, trio.SocketStream)
    value = stream.getsockopt(level, name)
    assert isinstance(value, int)
    return value


@pytest.mark.node_api(
    "http.createServer|noDelay",
    "http.createServer|keepAlive",
    "http.createServer|keepAliveInitialDelay",
)
async def test_options_of_the_accepted_socket() -> None:
    tcp = stdlib_socket.IPPROTO_TCP

    async def found(**options: Any) -> tuple[bool, bool, int]:
        accepted: list[tuple[bool, bool, int]] = []

        async def handler(request: Request, response: Response) -> None:
            no_delay = option(request.socket, tcp, stdlib_socket.TCP_NODELAY)
            level = stdlib_socket.SOL_SOCKET
            alive = option(request.socket, level, stdlib_socket.SO_KEEPALIVE)
            idle = option(request.socket, tcp, stdlib_socket.TCP_KEEPIDLE)
            accepted.append((bool(no_delay), bool(alive), idle))
            await response.end()

        server = http.create_server(handler, **options)
        async with listening(server), dialled(server) as client:
            await client.get()
        return accepted[0]

    no_delay, keep_alive, usual = await found()
    assert (no_delay, keep_alive) == (True, False)
    assert await found(no_delay=False) == (False, False, usual)
    assert await found(keep_alive=True, keep_alive_initial_delay=77) == (True, True, 77)


# --- responses -------------------------------------------------------------------------------


@pytest.mark.node_api("ServerResponse|ServerResponse")
async def test_a_handler_gets_a_response() -> None:
    async with outgoing("server") as live:
        assert isinstance(live.message, http.ServerResponse)
        assert live.message.req.method == "POST"


@pytest.mark.node_api(
    "ServerResponse|response.writeProcessing()",
    "ServerResponse|response.writeEarlyHints(hints[, callback])",
)
async def test_informational_responses_precede_the_final_one() -> None:
    link = "</a.css>; rel=preload; as=style"

    async def handler(request: Request, response: Response) -> None:
        await response.write_processing()
        await response.write_early_hints({"link": [link, "</b.js>; rel=preload"], "X-Id": "7"})
        with pytest.raises(http.InvalidArgValueError):
            await response.write_early_hints({"link": "no link"})
        await response.end("done")

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask())
        assert await client.line() == b"HTTP/1.1 102 Processing\r\n\r\n"
        hints = f"Link: {link}, </b.js>; rel=preload\r\nX-Id: 7\r\n\r\n".encode()
        assert await client.line() == b"HTTP/1.1 103 Early Hints\r\n" + hints
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"done")
        assert "link" not in answer.headers


@pytest.mark.node_api(
    "ServerResponse|response.statusCode",
    "ServerResponse|response.statusMessage",
    "ServerResponse|response.sendDate",
    "ServerResponse|response.writeHead(statusCode[, statusMessage][, headers])",
)
async def test_the_start_line_and_the_date() -> None:
    async with outgoing("server") as live:
        response = live.message
        assert isinstance(response, http.ServerResponse)
        assert (response.status_code, response.status_message, response.send_date) == (
            200,
            "",
            True,
        )
        response.status_code, response.status_message = 404, "Lost"
        response.send_date = False
        await response.end()
        start = b"HTTP/1.1 404 Lost\r\n"
        assert (await live.peer.seen()).startswith(start + b"Connection: keep-alive\r\n")
        assert b"Date" not in await live.peer.seen()
    async with outgoing("server") as live:
        response = live.message
        assert isinstance(response, http.ServerResponse)
        response.set_header("X-A", "set")
        assert response.write_head(201, "Made", {"X-A": "given", "X-B": "2"}) is response
        with pytest.raises(http.HeadersSentError):
            response.write_head(200)
        await response.end()
        assert b"\r\nDate: " in await live.peer.seen()
        assert (await live.peer.lines())[:3] == ["HTTP/1.1 201 Made", "X-A: given", "X-B: 2"]


@pytest.mark.node_api("ServerResponse|response.strictContentLength")
async def test_a_strict_response_keeps_its_word_about_the_length() -> None:
    async with outgoing("server") as live:
        response = live.message
        assert response.strict_content_length is False
        response.strict_content_length = True
        response.set_header("Content-Length", 3)
        await response.write("ab")
        for wrong in (response.write("cd"), response.end(), response.end("cd")):
            with pytest.raises(http.ContentLengthMismatchError) as caught:
                await wrong
            assert caught.value.code == "ERR_HTTP_CONTENT_LENGTH_MISMATCH"
        await response.end("c")
        assert await live.peer.body() == b"abc"


@pytest.mark.node_api("http.createServer|highWaterMark")
async def test_the_high_water_mark_bounds_what_is_read_at_once() -> None:
    read: list[int] = []

    async def handler(request: Request, response: Response) -> None:
        assert request.socket.readable_high_water_mark == 100
        assert response.writable_high_water_mark == 100
        read.extend([len(chunk) async for chunk in request])
        await response.end()

    async with serving(handler, high_water_mark=100) as served:
        client = await served.connect()
        await client.send(ask(method="POST", body="x" * 2000))
        assert (await client.answer()).status == 200
        assert sum(read) == 2000
        assert max(read) <= 400


@pytest.mark.node_api("http.createServer|keepAliveTimeout")
@pytest.mark.parametrize("limit", [0, None, math.inf])
async def test_no_limit_keeps_an_idle_connection(limit: Any, autojump_clock: Any) -> None:
    async with serving(hello, keep_alive_timeout=limit) as served:
        client = await served.connect()
        assert "keep-alive" not in (await client.get()).headers
        await trio.sleep(10_000)
        assert await client.is_open()
        assert (await client.get()).body == b"hello"
        await settle()
