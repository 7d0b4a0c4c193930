"""Rows of Node's tables: how a server listens, pipelines, closes and ends."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import Client, ask, dialled, hello, listening, serving, settle, undated

Request = http.IncomingMessage
Response = http.ServerResponse


async def soon(happened: Callable[[], bool]) -> None:
    """Wait for something on real sockets that takes no time by the clock."""
    for _ in range(10_000):
        if happened():
            return
        await trio.lowlevel.checkpoint()
    raise AssertionError("it did not happen")


@pytest.mark.node("test-http-listening.js")
@pytest.mark.node_api("Server|server.listening", "Server|close")
async def test_listening_tells_the_truth() -> None:
    server = http.create_server(hello)
    seen = [server.listening]
    server.on("listening", lambda: seen.append(server.listening))
    server.on("close", lambda: seen.append(server.listening))
    async with listening(server):
        async with dialled(server) as client:
            await client.get()
            await client.send(b"GET")
            await soon(lambda: [each.idle for each in server._sessions] == [False])
            await server.close()
            assert not server.listening
            assert seen == [False, True]  # it is closed with its last connection
        await settle()
        assert seen == [False, True, False]


@pytest.mark.node("test-http-server.js", decided="what Node tells close()'s callback is raised")
@pytest.mark.node_api("ServerResponse|response.req", "Server|server.close([callback])")
async def test_four_requests_on_one_connection() -> None:
    for wrong in ("x", 1, True, ["a"]):
        with pytest.raises(TypeError):
            http.create_server(wrong)  # type: ignore[arg-type]
    urls = []

    async def handler(request: Request, response: Response) -> None:
        assert response.req is request
        assert request.method == "GET"
        urls.append(request.url)
        await response.end(request.headers.get("x-x", "no"))

    server = http.create_server(handler)
    async with listening(server), dialled(server) as client:
        await client.send(ask("/hello", "X-X: foo"))
        assert (await client.answer()).body == b"foo"
        await client.send(ask("/quit", "X-X: bar"))
        assert (await client.answer()).body == b"bar"
        await client.send(ask("/one", "X-X: 1"), ask("/two", "X-X: 2"))
        await client.end()
        assert [(await client.answer()).body for _ in range(2)] == [b"1", b"2"]
        assert await client.until_end() == b""
        assert urls == ["/hello", "/quit", "/one", "/two"]
        assert await server.close() is server
        with pytest.raises(http.ServerNotRunningError) as caught:
            await server.close()
        assert caught.value.code == "ERR_SERVER_NOT_RUNNING"


@pytest.mark.node("test-http-unix-socket.js")
async def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "http.sock")

    async def handler(request: Request, response: Response) -> None:
        headers = {"Content-Type": "text/plain", "Connection": "close"}
        response.write_head(200, headers)
        await response.write("hello ")
        await response.write("world\n")
        await response.end()

    server = http.create_server(handler)
    async with listening(server, path=path):
        assert server.address == path
        assert server.url == ""
        async with http.get(socket_path=path, path="/hello", agent=None) as response:
            assert response.headers["content-type"] == "text/plain"
            assert await response.text() == "hello world\n"
        await server.close()
        with pytest.raises(http.ServerNotRunningError):
            await server.close()


@pytest.mark.node("test-http-server-async-dispose.js")
@pytest.mark.node_api("Server|server[Symbol.asyncDispose]()", "Server|connection")
async def test_leaving_the_block_of_a_server_closes_it() -> None:
    told: list[object] = []
    server = http.create_server(hello)
    server.on("close", lambda: told.append("close"))
    server.on("connection", lambda socket: told.append(socket.local_port))
    async with trio.open_nursery() as nursery:
        async with server:
            await nursery.start(server.listen, 0, "127.0.0.1")
            assert isinstance(server.address, tuple)
            stream = await trio.open_tcp_stream(*server.address)
            client = Client(stream)
            assert (await client.get()).body == b"hello"
            assert server.listening
            assert server._sweep is not None
            assert told == [server.address[1]]
        # Nobody but the block has closed anything.
        assert not server.listening
        assert server.connections == 0
        assert server._sweep is None
        assert told == [server.address[1], "close"]
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream(*server.address)
        assert await client.until_end() == b""
        await stream.aclose()


@pytest.mark.node("test-http-server-close-all.js")
@pytest.mark.node_api("Server|server.closeAllConnections()")
async def test_close_all_connections_and_close(mock_clock: Any) -> None:
    server = http.create_server(hello, headers_timeout=0, keep_alive_timeout=0)
    told = []
    server.on("close", lambda: told.append(trio.current_time()))
    async with listening(server), dialled(server) as idle, dialled(server) as started:
        await idle.get()
        await started.send(b"GET / HTTP/1.1")
        await soon(lambda: sorted(each.idle for each in server._sessions) == [False, True])
        server.close_all_connections()
        await server.close()
        await soon(lambda: server.connections == 0)
        assert await idle.until_end() == b""
        assert await started.until_end() == b""
        await settle()
        assert told == [0.0]  # no time has passed


@pytest.mark.node("test-http-server-close-idle.js")
@pytest.mark.node_api("Server|server.closeIdleConnections()")
async def test_close_keeps_a_half_sent_request(mock_clock: Any) -> None:
    told = []
    server = http.create_server(hello)
    server.on("close", lambda: told.append(trio.current_time()))
    async with listening(server), dialled(server) as idle, dialled(server) as started:
        await idle.get()
        await started.send(b"GET / HTTP/1.1")
        await soon(lambda: sorted(each.idle for each in server._sessions) == [False, True])
        await server.close()
        assert not server.listening
        await soon(lambda: server.connections == 1)  # at once: no time has passed
        assert await idle.until_end() == b""
        mock_clock.jump(0.5)
        await settle()
        server.close_idle_connections()
        await settle()
        assert server.connections == 1
        assert told == []
        server.close_all_connections()
        await soon(lambda: server.connections == 0)
        assert await started.until_end() == b""
        await settle()
        assert told == [0.5]


@pytest.mark.node("test-http-server-close-idle-wait-response.js")
async def test_close_idle_connections_waits_for_a_response(autojump_clock: Any) -> None:
    async def slow(request: Request, response: Response) -> None:
        await trio.sleep(1)
        await response.write_head(204).end()

    async with serving(slow) as served:
        client = await served.connect()
        await client.send(ask())
        await trio.sleep(0.5)
        served.server.close_idle_connections()
        assert (await client.answer()).status == 204
        assert trio.current_time() == pytest.approx(1)
        served.server.close_idle_connections()
        assert not await client.is_open()


@pytest.mark.node("test-http-req-res-close.js")
@pytest.mark.node_api("IncomingMessage|close", "ServerResponse|close", "ServerResponse|finish")
@pytest.mark.parametrize("delay", [0, 0.1])
@pytest.mark.parametrize("reads", [False, True])
async def test_what_closes_first(reads: bool, delay: float, autojump_clock: Any) -> None:
    order: list[tuple[str, bool]] = []

    async def handler(request: Request, response: Response) -> None:
        request.on("end", lambda: order.append(("request end", request.destroyed)))
        request.on("close", lambda: order.append(("request close", request.destroyed)))
        response.on("finish", lambda: order.append(("response finish", response.destroyed)))
        response.on("close", lambda: order.append(("response close", response.destroyed)))
        if reads:
            await request.resume()
        await trio.sleep(delay)
        await response.end("asd")

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask("/", body="foobar", method="POST"))
        assert (await client.answer()).body == b"asd"
        await settle()
    end, finish = ("request end", False), ("response finish", False)
    closed, request_closed = ("response close", True), ("request close", True)
    if reads:
        assert order == [end, finish, request_closed, closed]
    else:
        assert order == [finish, closed, end, request_closed]


@pytest.mark.node("test-http-pipeline-requests-connection-leak.js")
async def test_ten_thousand_pipelined_requests(autojump_clock: Any) -> None:
    ended = 0
    big = b"16.*1024" * 2048

    def count() -> None:
        nonlocal ended
        ended += 1

    async def handler(request: Request, response: Response) -> None:
        response.on("finish", count)
        await response.end(big)

    async with serving(handler, buffer_size=1 << 20) as served:
        client = await served.connect()
        size = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, ask() * 10000)
            while ended < 10000:
                size += len(await client.stream.receive_some())
        assert served.server._session_count == 1
        while size < 10000 * len(big):
            size += len(await client.stream.receive_some())


@pytest.mark.node(
    "test-http-incoming-pipelined-socket-destroy.js",
    decided="requests are served one after the other, so none is behind a destroyed socket",
)
@pytest.mark.parametrize("seed", range(8))
async def test_handlers_that_destroy_their_socket(
    seed: int, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []
    rng = random.Random(seed)  # noqa: S311 - picks a case

    async def handler(request: Request, response: Response) -> None:
        calls.append(request.url)
        await trio.sleep(rng.random() / 10)
        which = rng.choice(["socket", "response", "chunks"])
        if which == "socket":
            request.socket.destroy()
        elif which == "response":
            response.destroy()
        else:
            await response.write("a")
            await trio.sleep(rng.random() / 10)
            await response.end("b")

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(*[ask(f"/{number}") for number in range(13)])
        await client.until_end()
        await settle()
        # Behind a destroyed socket nothing is served; nothing is served twice.
        assert calls == [f"/{number}" for number in range(len(calls))]
        assert 1 <= len(calls) <= 13
        assert served.server.connections == 0
    assert not caplog.records


@pytest.mark.node("test-http-pipeline-socket-parser-typeerror.js")
@pytest.mark.node_api("Server|upgrade")
async def test_an_upgrade_behind_pipelined_requests(autojump_clock: Any) -> None:
    order = []

    async def handler(request: Request, response: Response) -> None:
        order.append(request.url)
        await trio.sleep(0.1)
        await response.end(request.url)

    server = http.create_server(handler)

    @server.on("upgrade")
    async def upgrade(request: Request, stream: Any) -> None:
        order.append(f"upgrade {stream.head!r}")
        await stream.send_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        await stream.aclose()

    async with listening(server), dialled(server) as client:
        upgrade_head = ask("/up", "Connection: upgrade", "Upgrade: whatever")
        await client.send(ask("/1"), ask("/2"), upgrade_head, b"extra bytes")
        with trio.fail_after(1):
            assert [(await client.answer()).body for _ in range(2)] == [b"/1", b"/2"]
            assert await client.until_end() == b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    assert order == ["/1", "/2", "upgrade b'extra bytes'"]


@pytest.mark.node("test-http-highwatermark.js")
async def test_requests_wait_behind_a_response_that_nobody_reads(autojump_clock: Any) -> None:
    """Node's file never gets there, since it sends no Host; this is what it is after."""
    urls = []
    mark = 0

    async def handler(request: Request, response: Response) -> None:
        nonlocal mark
        urls.append(request.url)
        mark = response.writable_high_water_mark
        await response.end(b"x" * (100 * mark))

    async with serving(handler) as served:
        bare = await served.connect()
        await bare.send(b"GET / HTTP/1.1\r\n\r\n" * 2)
        await bare.end()
        reply = undated(await bare.until_end())
        assert reply.startswith(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n")
        assert reply.count(b"HTTP/1.1") == 1
        assert not urls

        client = await served.connect()
        await client.send(ask("/1"), ask("/2"))
        await settle()
        assert urls == ["/1"]  # the write waits, and so does the next request
        assert len((await client.answer()).body) == 100 * mark
        await settle()
        assert urls == ["/1", "/2"]
        assert len((await client.answer()).body) == 100 * mark
        await client.end()
        assert await client.until_end() == b""


class MyIncomingMessage(http.IncomingMessage):
    """A request class of the user's own."""

    def get_user_agent(self) -> str:
        return self.headers.get("user-agent", "unknown")


class MyServerResponse(http.ServerResponse):
    """A response class of the user's own."""

    def status(self, code: int) -> http.ServerResponse:
        return self.write_head(code, {"Content-Type": "text/plain"})


@pytest.mark.node("test-http-server-options-incoming-message.js")
@pytest.mark.node("test-http-server-options-server-response.js")
@pytest.mark.node_api("http.createServer|IncomingMessage", "http.createServer|ServerResponse")
async def test_classes_of_your_own(autojump_clock: Any) -> None:
    async def handler(request: MyIncomingMessage, response: MyServerResponse) -> None:
        assert isinstance(request, MyIncomingMessage)
        assert isinstance(response, MyServerResponse)
        await response.status(201).end(request.get_user_agent())

    options: dict[str, Any] = {
        "incoming_message_class": MyIncomingMessage,
        "server_response_class": MyServerResponse,
    }
    async with serving(handler, **options) as served:
        client = await served.connect()
        assert (await client.get()).body == b"unknown"
        answer = await client.get("/", "User-Agent: node-test")
        assert (answer.status, answer.body) == (201, b"node-test")


@pytest.mark.node("test-http-server-options-highwatermark.js")
@pytest.mark.node_api("http.createServer|highWaterMark")
@pytest.mark.parametrize("options", [{}, {"high_water_mark": 17000}])
async def test_the_high_water_mark_holds_for_both(
    options: dict[str, int], autojump_clock: Any
) -> None:
    marks = []

    async def handler(request: Request, response: Response) -> None:
        marks.append(request.socket.readable_high_water_mark)
        marks.append(response.writable_high_water_mark)
        await response.end()

    async with serving(handler, **options) as served:
        await (await served.connect()).get()
    assert marks == [options.get("high_water_mark", 65536)] * 2


@pytest.mark.node("test-http-server-optimize-empty-requests.js")
async def test_empty_requests_may_be_ended_at_once(autojump_clock: Any) -> None:
    seen: list[tuple[str | None, bool, bool]] = []
    events: list[str] = []

    async def handler(request: Request, response: Response) -> None:
        request.on("data", lambda data: events.append("data"))
        request.on("end", lambda: events.append("end"))
        seen.append((request.url, not request.readable, request.destroyed))
        assert await request.read() in (b"", b"x")
        await response.end()

    async with serving(handler, optimize_empty_requests=True) as served:
        client = await served.connect()
        for method in ("GET", "HEAD", "POST", "DELETE"):
            await client.send(ask("/bare", method=method))
            await client.answer(method)
        assert seen == [("/bare", True, True)] * 4
        assert not events
        await client.send(ask("/0", "Content-Length: 0", method="GET"))
        await client.answer()
        await client.send(ask("/1", method="POST", body="x"))
        await client.answer()
        await client.send(ask("/2", "Transfer-Encoding: chunked", method="POST"), b"0\r\n\r\n")
        await client.answer()
    assert seen[4:] == [(f"/{number}", False, False) for number in range(3)]
    assert events == ["end", "data", "end", "end"]
    assert isinstance(client, Client)
