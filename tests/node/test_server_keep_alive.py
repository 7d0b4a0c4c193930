"""Rows of Node's tables: when a server keeps a connection."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import (
    Client,
    ask,
    dialled,
    echo,
    hello,
    listening,
    serving,
    settle,
    undated,
)

Request = http.IncomingMessage
Response = http.ServerResponse


@pytest.mark.node("test-http-1.0-keep-alive.js")
@pytest.mark.parametrize(
    ("head", "response_headers", "chunks", "stays"),
    [
        ("Connection: keep-alive", {"Connection": "keep-alive"}, ["OK"], False),
        ("Connection: keep-alive", {"Content-Length": 2}, ["OK"], True),
        (
            "Connection: keep-alive",
            {"Connection": "keep-alive", "Transfer-Encoding": "chunked"},
            ["OK"],
            True,
        ),
        ("Connection: keep-alive, TE\r\nTE: chunked", {}, ["O", "K"], True),
        ("X-Nothing: 1", {"Content-Length": 2}, ["OK"], False),
        ("Connection: close", {"Content-Length": 2}, ["OK"], False),
    ],
)
async def test_http_1_0_stays_where_the_body_tells_its_end(
    head: str,
    response_headers: dict[str, Any],
    chunks: list[str],
    stays: bool,
    autojump_clock: Any,
) -> None:
    async def handler(request: Request, response: Response) -> None:
        response.write_head(200, response_headers)
        for chunk in chunks:
            await response.write(chunk)
        await response.end()

    async with serving(handler) as served:
        client = await served.connect()
        request = f"GET / HTTP/1.0\r\n{head}\r\n\r\n".encode()
        await client.send(request)
        if not stays:
            reply = undated(await client.until_end())
            assert reply.partition(b"\r\n\r\n")[2] == b"OK"
            return
        for _ in range(2):
            answer = await client.answer()
            assert answer.body == b"OK"
            assert answer.headers["connection"] == "keep-alive"
            assert await client.is_open()
            await client.send(request)


@pytest.mark.node("test-http-wget.js")
async def test_wget_gets_a_raw_body(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        response.write_head(200, {"Content-Type": "text/plain"})
        await response.write("hello ")
        await response.write("world\n")
        await response.end()

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
        reply = undated(await client.until_end())
    head, _, body = reply.partition(b"\r\n\r\n")
    assert body == b"hello world\n"
    assert b"chunked" not in head


@pytest.mark.node("test-http-keep-alive-max-requests.js")
@pytest.mark.node_api("Server|server.maxRequestsPerSocket")
async def test_the_last_request_of_a_socket_says_so(autojump_clock: Any) -> None:
    async with serving(echo) as served:
        served.server.max_requests_per_socket = 3
        for _ in range(2):
            client = await served.connect()
            for number in (1, 2):
                await client.send(b"\r\n\r\n", ask(f"/{number}"))
                answer = await client.answer()
                assert answer.headers["connection"] == "keep-alive"
                assert answer.headers["keep-alive"] == "timeout=5, max=3"
            last = await client.get("/3")
            assert last.headers["connection"] == "close"
            assert "keep-alive" not in last.headers
            assert last.body == b"GET /3 "
            assert await client.until_end() == b""


@pytest.mark.node("test-http-keep-alive-drop-requests.js")
@pytest.mark.node_api("Server|dropRequest")
async def test_what_is_pipelined_beyond_the_last_is_dropped(autojump_clock: Any) -> None:
    seen = []
    dropped = []

    async def handler(request: Request, response: Response) -> None:
        seen.append(request.url)
        await response.end()

    async with serving(handler, max_requests_per_socket=1) as served:
        served.server.on("drop_request", lambda *args: dropped.append(args))
        client = await served.connect()
        await client.send(ask("/1"), ask("/2"), ask("/3"))
        first = await client.answer()
        assert (first.status, first.headers["connection"]) == (200, "close")
        assert [(await client.answer()).status for _ in range(2)] == [503, 503]
        assert await client.until_end() == b""
    assert seen == ["/1"]
    assert [request.url for request, _ in dropped] == ["/2", "/3"]
    assert all(request.socket is socket for request, socket in dropped)


@pytest.mark.parametrize("end", [False, True])
async def test_what_comes_while_the_last_is_answered_is_dropped_too(
    end: bool, autojump_clock: Any
) -> None:
    dropped = []

    async def handler(request: Request, response: Response) -> None:
        await trio.sleep(1)
        await response.end()

    async with serving(handler, max_requests_per_socket=1) as served:
        served.server.on("drop_request", lambda request, _: dropped.append(request.url))
        client = await served.connect()
        await client.send(ask("/1"))
        await settle()
        await client.send(ask("/2"), ask("/3")[:9])
        if end:
            await client.end()
        assert (await client.answer()).status == 200
        start, date, *rest = (await client.until_end()).split(b"\r\n")
        assert (start, date[:6]) == (b"HTTP/1.1 503 Service Unavailable", b"Date: ")
        assert rest[:2] == [b"Connection: close", b"Transfer-Encoding: chunked"]
    assert dropped == ["/2"]


@pytest.mark.node("test-http-server-keep-alive-max-requests-null.js")
async def test_none_is_no_limit_of_requests(autojump_clock: Any) -> None:
    async with serving(echo, max_requests_per_socket=None) as served:
        client = await served.connect()
        await client.send(ask("/", method="POST", body="x") * 4)
        for _ in range(4):
            answer = await client.answer()
            assert answer.headers["connection"] == "keep-alive"
            assert answer.headers["keep-alive"] == "timeout=5"
        assert await client.is_open()


@pytest.mark.node("test-http-keep-alive-timeout.js")
@pytest.mark.node_api("Server|server.keepAliveTimeout")
@pytest.mark.parametrize("seconds", [12.01, 12.99, 12])
async def test_the_timeout_is_announced_in_whole_seconds(
    seconds: float, autojump_clock: Any
) -> None:
    async with serving(hello) as served:
        served.server.keep_alive_timeout = seconds
        client = await served.connect()
        assert (await client.get()).headers["keep-alive"] == "timeout=12"


@pytest.mark.node("test-http-keep-alive-timeout-custom.js")
@pytest.mark.node_api("http.createServer|keepAliveTimeout")
async def test_a_handler_may_announce_another_timeout(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        response.set_header("Keep-Alive", "timeout=50")
        await response.end()

    async with serving(handler, keep_alive_timeout=12.01) as served:
        client = await served.connect()
        await client.send(ask())
        head = await client.line()
    assert head.lower().count(b"keep-alive: ") == 1
    assert b"Keep-Alive: timeout=50\r\n" in head


@pytest.mark.node("test-http-keep-alive-timeout-buffer.js")
async def test_the_server_waits_longer_than_it_says(autojump_clock: Any) -> None:
    assert http.create_server().keep_alive_timeout_buffer == 1
    async with serving(hello, keep_alive_timeout=0.1) as served:
        for buffer in (1.0, 3.0):
            served.server.keep_alive_timeout_buffer = buffer
            client = await served.connect()
            begun = trio.current_time()
            assert (await client.get()).status == 200
            assert await client.until_end() == b""
            assert trio.current_time() - begun == pytest.approx(0.1 + buffer)


@pytest.mark.node("test-http-keep-alive-timeout-race-condition.js")
async def test_a_client_leaves_a_dying_connection_alone(mock_clock: Any) -> None:
    async with serving(hello, keep_alive_timeout=2) as served:
        async with served.agent(keep_alive=True) as agent:
            for number in (1, 2):
                async with http.get("http://a.test/", agent=agent, retry_stale=False) as response:
                    assert await response.text() == "hello"
                assert served.server._session_count == number
                mock_clock.jump(2)  # nothing runs meanwhile, as if the loop were blocked
        assert isinstance(agent, http.Agent)


@pytest.mark.node_api("http.createServer|keepAlive", "http.createServer|keepAliveInitialDelay")
@pytest.mark.node_api("http.createServer|noDelay")
async def test_options_of_tcp() -> None:
    seen: list[list[int]] = []

    async def handler(request: Request, response: Response) -> None:
        stream = request.socket.stream
        assert isinstance(stream, trio.SocketStream)
        tcp, sol = trio.socket.IPPROTO_TCP, trio.socket.SOL_SOCKET
        options = [
            (tcp, trio.socket.TCP_NODELAY),
            (sol, trio.socket.SO_KEEPALIVE),
            (tcp, trio.socket.TCP_KEEPIDLE),
        ]
        seen.append([int(stream.getsockopt(*option)) for option in options])
        await response.end()

    server = http.create_server(handler, keep_alive=True, keep_alive_initial_delay=123)
    async with listening(server):
        async with dialled(server) as client:
            await client.get()
        server.no_delay = False
        server.keep_alive = False
        async with dialled(server) as client:
            await client.get()
            assert isinstance(client, Client)
    assert [bool(flag) for flag in seen[0][:2]] == [True, True]
    assert seen[0][2] == 123
    assert [bool(flag) for flag in seen[1][:2]] == [False, False]
