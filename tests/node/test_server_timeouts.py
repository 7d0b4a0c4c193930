"""Rows of Node's tables: the times that a server gives its clients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import TIMED_OUT, ask, echo, hello, serving, settle
from trio_nodehttp.testing import MemoryStream

Request = http.IncomingMessage
Response = http.ServerResponse
START = b"GET / HTTP/1.1\r\nHost: a\r\n"


async def never(request: Request, response: Response) -> None:
    raise AssertionError("the handler was called")


@pytest.mark.node("test-http-server-timeouts-validation.js")
@pytest.mark.node_api(
    "http.createServer|headersTimeout",
    "http.createServer|requestTimeout",
    "Server|server.headersTimeout",
    "Server|server.requestTimeout",
)
def test_defaults_and_ranges() -> None:
    assert (http.create_server().headers_timeout, http.create_server().request_timeout) == (60, 300)
    assert http.create_server(request_timeout=10).headers_timeout == 10
    assert http.create_server(request_timeout=90).headers_timeout == 60
    assert http.create_server(request_timeout=0).headers_timeout == 60
    assert http.create_server(request_timeout=math.inf).headers_timeout == 60
    both = http.create_server(request_timeout=1000, headers_timeout=800)
    assert (both.headers_timeout, both.request_timeout) == (800, 1000)
    with pytest.raises(http.OutOfRangeError, match="headers_timeout") as caught:
        http.create_server(request_timeout=60, headers_timeout=100)
    assert caught.value.code == "ERR_OUT_OF_RANGE"


@pytest.mark.node("test-http-server-headers-timeout-delayed-headers.js")
@pytest.mark.node("test-http-server-request-timeout-delayed-headers.js")
@pytest.mark.node("test-http-server-headers-timeout-interrupted-headers.js")
@pytest.mark.node("test-http-server-request-timeout-interrupted-headers.js")
@pytest.mark.node_api("http.createServer|connectionsCheckingInterval")
@pytest.mark.parametrize("sent", [b"", START + b"Connection: close\r\nX-CRASH: "])
@pytest.mark.parametrize(
    "options",
    [
        {"headers_timeout": 2, "request_timeout": 0},
        {"headers_timeout": 0, "request_timeout": 2},
    ],
)
async def test_silence_before_the_end_of_a_head(
    sent: bytes, options: dict[str, Any], autojump_clock: Any
) -> None:
    told = []

    async def on_timeout(socket: Any) -> None:
        told.append(socket)

    more: dict[str, Any] = {"keep_alive_timeout": 0, "connections_checking_interval": 0.5}
    async with serving(never, **options, **more) as served:
        served.server.on("timeout", on_timeout)
        client = await served.connect()
        if sent:
            await client.send(sent)
        await trio.sleep(1.999)
        assert await client.is_open()
        assert await client.until_end() == TIMED_OUT
        assert trio.current_time() == pytest.approx(2)
    assert not told


@pytest.mark.node("test-http-server-headers-timeout-keepalive.js")
@pytest.mark.node("test-http-server-request-timeout-keepalive.js")
@pytest.mark.parametrize(
    "options",
    [
        {"headers_timeout": 5, "request_timeout": 0},
        {"headers_timeout": 0, "request_timeout": 5},
    ],
)
async def test_idle_time_does_not_count(options: dict[str, Any], autojump_clock: Any) -> None:
    async with serving(hello, keep_alive_timeout=0, **options) as served:
        client = await served.connect()
        await client.send(START)
        await trio.sleep(2)
        await client.send(b"\r\n")
        assert (await client.answer()).status == 200
        await trio.sleep(7.5)
        assert await client.is_open()
        begun = trio.current_time()
        for piece in (START, b"X-One: 1\r\n", b"X-Two"):
            await client.send(piece)
            await trio.sleep(1.6)
        assert await client.until_end() == TIMED_OUT
        assert trio.current_time() - begun == pytest.approx(5)


@pytest.mark.node("test-http-server-headers-timeout-pipelining.js")
async def test_the_head_of_a_pipelined_request_has_its_time(autojump_clock: Any) -> None:
    async with serving(hello, headers_timeout=2, request_timeout=0, keep_alive_timeout=0) as served:
        client = await served.connect()
        await client.send(ask("/one"), b"GET /two HTTP/1.1\r\nHost")
        assert (await client.answer()).body == b"hello"
        assert await client.until_end() == TIMED_OUT
        assert trio.current_time() == pytest.approx(2)


@pytest.mark.node("test-http-keep-alive-empty-line.mjs")
@pytest.mark.parametrize("pieces", [[b"\r\n"], [b"\r", b"\n"]])
async def test_an_empty_line_is_no_request(pieces: list[bytes], autojump_clock: Any) -> None:
    options: dict[str, Any] = {"headers_timeout": 0.1, "connections_checking_interval": 0.1}
    async with serving(
        hello, keep_alive_timeout=0.3, keep_alive_timeout_buffer=0, **options
    ) as served:
        client = await served.connect()
        await client.get()
        await trio.sleep(0.2)
        for piece in pieces:
            await client.send(piece)
            await settle()
        assert await client.until_end() == b""
        assert trio.current_time() == pytest.approx(0.3)


@pytest.mark.node("test-http-server-keep-alive-timeout-slow-client-headers.js")
async def test_the_idle_time_ends_with_the_first_byte(autojump_clock: Any) -> None:
    told = []

    async def on_timeout(socket: Any) -> None:
        told.append(trio.current_time())

    async with serving(hello, keep_alive_timeout=0.1, keep_alive_timeout_buffer=0) as served:
        served.server.on("timeout", on_timeout)
        client = await served.connect()
        for _ in range(2):
            for piece in (b"G", b"ET / HTTP/1.1\r\nHo", b"st: a\r\n", b"\r\n"):
                await client.send(piece)
                await trio.sleep(0.075)
            assert (await client.answer()).status == 200
        assert told == []
        await trio.sleep(5)
        assert told == [pytest.approx(0.625)]  # once, although nobody closes it
        assert await client.is_open()
        assert (await client.get()).status == 200


@pytest.mark.node("test-http-server-keep-alive-timeout-slow-server.js")
async def test_the_idle_time_does_not_hold_for_handlers(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        await trio.sleep(0.5 if request.url == "/slow" else 0)
        await response.end()

    async with serving(handler, keep_alive_timeout=0.2, keep_alive_timeout_buffer=0) as served:
        client = await served.connect()
        assert (await client.get("/")).status == 200
        await trio.sleep(0.15)
        assert (await client.get("/slow")).status == 200
        assert trio.current_time() == pytest.approx(0.65)


@pytest.mark.node(
    "test-http-server-keep-alive-timeout.js",
    decided="requests are served one after the other, so those behind an open one wait",
)
@pytest.mark.node_api("Server|server.setTimeout([msecs][, callback])")
@pytest.mark.parametrize("ends", [True, False])
async def test_the_timeout_event_of_pipelined_requests(ends: bool, autojump_clock: Any) -> None:
    urls = []
    told = []

    async def handler(request: Request, response: Response) -> None:
        urls.append(request.url)
        if ends:
            await response.end()
        else:
            await request.disconnected.wait()

    async def on_timeout(socket: http.Socket) -> None:
        told.append(trio.current_time())
        socket.destroy()

    async with serving(handler, keep_alive_timeout=0.05, keep_alive_timeout_buffer=0) as served:
        assert served.server.set_timeout(0.5, on_timeout) is served.server
        client = await served.connect()
        await client.send(ask("/1"), ask("/2"), ask("/3"))
        await client.until_end()
        assert told == [pytest.approx(0.05 if ends else 0.5)]
        assert urls == (["/1", "/2", "/3"] if ends else ["/1"])


@pytest.mark.node("test-http-keep-alive-large-write.js")
@pytest.mark.node_api("Server|server.timeout", "Server|timeout")
async def test_a_large_write_is_no_silence(autojump_clock: Any) -> None:
    told = []

    finished = []

    async def handler(request: Request, response: Response) -> None:
        await response.end(b"x" * 3_000_000)
        finished.append(trio.current_time())

    async def on_timeout(socket: http.Socket) -> None:
        told.append(trio.current_time())

    async with serving(handler, timeout=0.5, keep_alive_timeout=0.2) as served:
        served.server.on("timeout", on_timeout)
        client = await served.connect()
        await client.send(ask())
        assert isinstance(client.stream, MemoryStream)
        left = 3_000_000
        while left > 0:
            await trio.sleep(0.05)  # 2.5 seconds in all
            left -= len(await client.stream.receive_some())
        assert told == []
        assert finished[0] > 2
        await trio.sleep(2)
        assert told == [pytest.approx(finished[0] + 1.2)]


@pytest.mark.node("test-http-server-consumed-timeout.js")
@pytest.mark.node_api("IncomingMessage|message.setTimeout(msecs[, callback])")
async def test_a_request_whose_body_arrives_is_not_silent(autojump_clock: Any) -> None:
    told = []

    async def handler(request: Request, response: Response) -> None:
        request.set_timeout(0.2, lambda: told.append("silent"))
        assert len(await request.read()) == 40
        await response.end()

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask("/", "Content-Length: 40", method="POST"))
        for _ in range(40):
            await client.send(b".")
            await trio.sleep(0.025)
        assert (await client.answer()).status == 200
    assert not told


@pytest.mark.node("test-http-set-timeout-server.js")
@pytest.mark.node_api(
    "ServerResponse|response.setTimeout(msecs[, callback])",
    "IncomingMessage|message.setTimeout(msecs[, callback])",
)
async def test_whom_silence_is_told(autojump_clock: Any) -> None:
    told: list[tuple[str, Any]] = []

    async def on_timeout(socket: http.Socket) -> None:
        told.append(("server", socket))
        socket.destroy()

    async def handler(request: Request, response: Response) -> None:
        socket = request.socket

        def tell(who: str) -> Any:
            # Told while the socket is still there, for the observer to decide.
            return lambda: told.append((f"{who} {request.url}", socket.destroyed or request.socket))

        if "server" not in request.url:
            assert request.set_timeout(0.05, tell("request")) is request
            assert response.set_timeout(0.05, tell("response")) is response
        if request.url == "/1":
            await response.end()
        await request.disconnected.wait()

    sockets: list[http.Socket] = []
    async with serving(handler) as served:
        served.server.on("connection", sockets.append)
        assert served.server.set_timeout(0.05, on_timeout) is served.server
        # Nothing was set by the handler: only the server is told.
        client = await served.connect()
        await client.send(ask("/server"))
        await client.until_end()
        assert told == [("server", sockets[0])]
        assert trio.current_time() == pytest.approx(0.05)
        told.clear()
        # A request that is not complete, and one that is.
        client = await served.connect()
        await client.send(ask("/post", "Content-Length: 1", method="POST"))
        await client.until_end()
        assert len(told) == 3
        assert dict(told) == dict.fromkeys(
            ["server", "request /post", "response /post"], sockets[1]
        )
        assert trio.current_time() == pytest.approx(0.1)
        told.clear()
        client = await served.connect()
        await client.send(ask("/get"))
        await client.until_end()
        assert len(told) == 2
        assert dict(told) == dict.fromkeys(["server", "response /get"], sockets[2])


@pytest.mark.node("test-http-set-timeout-server.js")
async def test_silence_is_told_to_the_response_in_hand(autojump_clock: Any) -> None:
    told = []

    async def on_timeout(socket: http.Socket) -> None:
        told.append("server")
        socket.destroy()

    async def handler(request: Request, response: Response) -> None:
        response.set_timeout(0.05, lambda: told.append(f"response {request.url}"))
        if request.url in ("/1", "/last"):
            await response.end()
        else:
            await request.disconnected.wait()

    async with serving(handler, keep_alive_timeout=0.05, keep_alive_timeout_buffer=0) as served:
        served.server.set_timeout(0.05, on_timeout)
        client = await served.connect()
        await client.send(ask("/1"), ask("/2"), ask("/3"))
        await client.until_end()
        assert sorted(told) == ["response /2", "server"]
        told.clear()
        client = await served.connect()
        await client.send(ask("/last"))
        await client.until_end()
        assert told == ["server"]


@pytest.mark.node("test-http-set-timeout.js")
async def test_a_timeout_of_the_connection(autojump_clock: Any) -> None:
    told = []

    async def handler(request: Request, response: Response) -> None:
        socket = request.socket

        def on_timeout() -> None:
            told.append(trio.current_time())
            socket.destroy()

        socket.set_timeout(0.5)
        socket.on("timeout", on_timeout)
        await request.disconnected.wait()

    async with serving(handler) as served, served.agent() as agent:
        with pytest.raises(http.SocketHangUpError) as caught:
            async with http.get("http://a.test/", agent=agent):
                pass
        assert caught.value.code == "ECONNRESET"
    assert told == [pytest.approx(0.5)]


async def test_times_of_a_body_that_stalls(autojump_clock: Any) -> None:
    async with serving(echo, request_timeout=3) as served:
        client = await served.connect()
        await client.send(ask("/", "Content-Length: 9", method="POST"), b"x")
        assert await client.until_end() == TIMED_OUT
        assert trio.current_time() == pytest.approx(3)
