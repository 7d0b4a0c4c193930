"""What users of other servers ran into, and what this one promises: on a fake clock."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import (
    TIMED_OUT,
    Client,
    ask,
    echo,
    hello,
    serving,
    settle,
)

Request = http.IncomingMessage
Response = http.ServerResponse


@pytest.mark.parametrize("how", ["silent", "stall", "drip"])
async def test_promise_14_slow_heads_end_at_the_documented_second(
    how: str, autojump_clock: Any
) -> None:
    async with serving(hello, headers_timeout=7, keep_alive_timeout=3) as served:
        client = await served.connect()

        async def drip(task_status: trio.TaskStatus[None]) -> None:
            task_status.started()
            for byte in b"GET / HTTP/1.1\r\nHost: " + b"x" * 100:
                await client.send(bytes([byte]))
                await trio.sleep(0.5)

        async with trio.open_nursery() as nursery:
            if how == "stall":
                await client.send(b"GET / HTTP/1.1\r\nHos")
            elif how == "drip":
                await nursery.start(drip)
            assert await client.until_end() == TIMED_OUT
            assert trio.current_time() == pytest.approx(7)
            nursery.cancel_scope.cancel()
        idle = await served.connect()
        begun = trio.current_time()
        await idle.get()
        assert await idle.until_end() == b""
        assert trio.current_time() - begun == pytest.approx(3 + 1)


async def test_promise_15_an_upload_may_take_as_long_as_it_makes_progress(
    autojump_clock: Any,
) -> None:
    async def count(request: Request, response: Response) -> None:
        size = 0
        async for data in request:
            size += len(data)
        await response.end(str(size))

    async with serving(count, request_timeout=10) as served:
        client = await served.connect()
        await client.send(ask("/", f"Content-Length: {600 * 200}", method="POST"))
        for _ in range(600):
            await client.send(b"x" * 200)  # 200 bytes a second for 10 minutes
            await trio.sleep(1)
        assert (await client.answer()).body == b"120000"
        begun = trio.current_time()
        await client.send(ask("/", "Content-Length: 9999", method="POST"), b"x" * 2000)
        assert await client.until_end() == TIMED_OUT
        assert trio.current_time() - begun == pytest.approx(10)
        # Dripping is no progress; and `None` makes the limit absolute.
        for options in ({"min_body_progress": 1024}, {"min_body_progress": None}):
            served.server.min_body_progress = options["min_body_progress"]
            client = await served.connect()
            begun = trio.current_time()
            await client.send(ask("/", "Content-Length: 99999", method="POST"))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(drip_body, client, 90 if options["min_body_progress"] else 2000)
                assert await client.until_end() == TIMED_OUT
                nursery.cancel_scope.cancel()
            assert trio.current_time() - begun == pytest.approx(10)


async def drip_body(client: Client, size: int) -> None:
    while True:
        await client.send(b"x" * size)
        await trio.sleep(1)


CORPUS = [
    b"\x00" * 100,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET  / HTTP/1.1\r\n\r\n",
    b"\xff\xfe GET / HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20000,
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\nx",
]


@pytest.mark.parametrize("junk", CORPUS)
async def test_promise_16_no_bytes_leave_their_connection(
    junk: bytes, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(echo) as served:
        served.server.on("upgrade", upgrade_and_fail)
        good = await served.connect()
        assert (await good.get("/1")).status == 200
        bad = await served.connect()
        await bad.send(junk)
        await settle()
        bad.leave()
        assert (await good.get("/2")).body == b"GET /2 "
        await settle()
        assert served.server.connections == 1
    assert len(caplog.records) <= 1
    assert not any(record.exc_info for record in caplog.records if b"Upgrade" not in junk)


async def upgrade_and_fail(request: Request, stream: Any) -> None:
    assert await stream.receive_some() == b"\x81"  # the byte behind the head
    raise RuntimeError("as a handler of frames might")


@pytest.mark.parametrize("on_error", ["log", "raise"])
async def test_promise_16_a_handlers_error_is_logged_or_raised(
    on_error: Any, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: Request, response: Response) -> None:
        raise LookupError("mine")

    async with trio.open_nursery() as nursery:
        server = http.create_server(fail, on_error=on_error)
        caught: list[BaseException] = []

        async def listen(task_status: Any) -> None:
            try:
                await server.listen(0, "127.0.0.1", task_status=task_status)
            except LookupError as error:
                caught.append(error)

        await nursery.start(listen)
        assert isinstance(server.address, tuple)
        async with await trio.open_tcp_stream(*server.address) as stream:
            client = Client(stream)
            await client.send(ask("/", "Connection: close"))
            reply = await client.until_end()
        if on_error == "raise":
            assert reply == b""
            await settle()
            assert [str(error) for error in caught] == ["mine"]
            assert not caplog.records
        else:
            assert reply.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
            assert b"mine" not in reply
            assert not caught
            assert [record.levelname for record in caplog.records] == ["ERROR"]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("peer", ["reads nothing", "sends nothing", "sends half a body"])
async def test_promise_17_drain_returns_whatever_peers_do(peer: str, autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        await request.read()
        while True:
            await response.write(b"x" * 100_000)

    async with serving(handler) as served:
        client = await served.connect()
        if peer == "reads nothing":
            await client.send(ask())
        elif peer == "sends half a body":
            await client.send(ask("/", "Content-Length: 9", method="POST"), b"half")
        await settle()
        report = await served.server.drain(1)
        # A client that said nothing yet has half a second to do so.
        silent = peer == "sends nothing"
        assert trio.current_time() == pytest.approx(0.5 if silent else 1)
        assert (report.finished, report.cancelled) == ((1, 0) if silent else (0, 1))
        assert report.duration == pytest.approx(trio.current_time())
        await client.until_end()
        assert served.server.connections == 0


async def test_promise_17_drain_does_not_wait_for_a_shield(autojump_clock: Any) -> None:
    async def stubborn(request: Request, response: Response) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(100)

    async with serving(stubborn) as served:
        client = await served.connect()
        await client.send(ask())
        await settle()
        report = await served.server.drain(2)
        assert 2 <= trio.current_time() <= 3
        assert report.cancelled == 1
        assert await client.until_end() == b""


@pytest.mark.parametrize("polite", [True, False])
async def test_promise_18_streams_are_told_to_end(polite: bool, autojump_clock: Any) -> None:
    ended: list[str] = []
    server = http.create_server()

    @server.on("request")
    async def events(request: Request, response: Response) -> None:
        try:
            response.set_header("Content-Type", "text/event-stream")
            await response.write("data: 1\n\n")
            if polite:
                await server.draining.wait()
                await response.end("data: bye\n\n")
            else:
                await trio.sleep_forever()
        finally:
            ended.append(request.url)

    async with serving() as served:
        served.network.listen("sse.test", 80, server.serve_stream)
        clients = [Client(await served.network.connect("sse.test")) for _ in range(3)]
        for number, client in enumerate(clients):
            await client.send(ask(f"/{number}"))
        await settle()
        report = await server.drain(5 if polite else 0)
        assert trio.current_time() < 1
        assert sorted(ended) == ["/0", "/1", "/2"]
        assert (report.finished, report.cancelled) == ((3, 0) if polite else (0, 3))
        for client in clients:
            assert (b"bye" in await client.until_end()) is polite


async def test_promise_19_the_order_of_stopping(autojump_clock: Any) -> None:
    order: list[str] = []
    goes_on = trio.Event()

    async def handler(request: Request, response: Response) -> None:
        if request.url == "/slow":
            await goes_on.wait()
        await response.end(request.url)

    async with serving(handler) as served:
        server = served.server
        idle, busy, stuck = [await served.connect() for _ in range(3)]
        await idle.get()
        await busy.send(ask("/slow"))
        await stuck.send(b"GET / HT")
        await settle()

        async def drain() -> None:
            report = await server.drain(3)
            order.append(f"drained {report.finished} {report.cancelled}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            assert await idle.until_end() == b""
            order.append("idle closed")
            assert server.draining.is_set()
            await trio.sleep(1)
            assert await busy.is_open()
            goes_on.set()
            answer = await busy.answer()
            assert (answer.body, answer.headers["connection"]) == (b"/slow", "close")
            assert await busy.until_end() == b""
            order.append("busy answered")
            assert await stuck.until_end() == b""
            order.append("stuck cut")
            assert trio.current_time() == pytest.approx(3)
    assert order == ["idle closed", "busy answered", "stuck cut", "drained 2 1"]


@pytest.mark.parametrize("scope", ["ignore", "server", "handler"])
async def test_promise_20_a_departure_cancels_only_who_asked(
    scope: str, autojump_clock: Any
) -> None:
    log: list[str] = []

    async def work(request: Request) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
            log.append("committed")
        await trio.sleep(5)
        log.append("went on")

    async def handler(request: Request, response: Response) -> None:
        if scope == "handler":
            async with request.cancel_on_disconnect() as cancel_scope:
                await work(request)
            log.append(f"cancelled {cancel_scope.cancelled_caught}")
        else:
            await work(request)
        log.append(f"aborted {request.aborted}")

    options = {"on_disconnect": "cancel"} if scope == "server" else {}
    assert http.create_server().on_disconnect == "ignore"
    async with serving(handler, **options) as served:  # type: ignore[arg-type]
        client = await served.connect()
        await client.send(ask())
        await settle()
        client.leave()
        await trio.sleep(10)
        assert served.server.connections == 0
    if scope == "ignore":
        assert log == ["committed", "went on", "aborted True"]
    elif scope == "server":
        assert log == ["committed"]
    else:
        assert log == ["committed", "cancelled True", "aborted True"]


@pytest.mark.parametrize("scope", ["server", "handler", "handler that ends"])
async def test_promise_20_a_response_that_a_departure_cut_is_not_ended(
    scope: str, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trio_nodehttp.access")

    async def stream(response: Response) -> None:
        for _ in range(9):
            await response.write("part ")
            await trio.sleep(1)
        await response.end("the end")

    async def handler(request: Request, response: Response) -> None:
        if scope == "server":
            await stream(response)
        else:
            async with request.cancel_on_disconnect():
                await stream(response)
        if scope == "handler that ends":
            await response.end("farewell")

    options = {"on_disconnect": "cancel"} if scope == "server" else {}
    async with serving(handler, **options) as served:  # type: ignore[arg-type]
        client = await served.connect()
        await client.send(ask())
        await settle()
        await client.end()  # its own side only: it would believe what it reads
        reply = await client.until_end()
    (record,) = [vars(one) for one in caplog.records if one.name == "trio_nodehttp.access"]
    ended = scope == "handler that ends"
    assert reply.endswith(b"\r\n0\r\n\r\n") == ended
    assert record["outcome"] == ("ok" if ended else "client-gone")


@pytest.mark.parametrize("step", [1, 7, 100, 4096, 100_000])
@pytest.mark.parametrize("complete", [True, False])
async def test_promise_21_one_verdict_for_every_split(
    step: int, complete: bool, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 5000 + (b"\r\n\r\n" if complete else b"")
    async with serving(hello, max_header_size=4096) as served:
        client = await served.connect()
        for at in range(0, len(head), step):
            try:
                await client.send(head[at : at + step])
            except trio.BrokenResourceError:
                break
            if step == 1 and at == 4000:
                assert await client.is_open()
        reply = await client.until_end()
    first = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"
    assert reply == first
    (record,) = caplog.records
    assert "HPE_HEADER_OVERFLOW" in record.getMessage()
    assert "4096" in record.getMessage()
