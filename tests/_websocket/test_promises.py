"""What must hold whatever the bytes and whenever the cancellation, with a real server."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._websocket.scopes import answer_close, make
from tests._websocket.wire import (
    CLOSE,
    PING,
    TEXT,
    Frame,
    Opening,
    Peer,
    close_payload,
    frame,
)
from trio_nodehttp._memory import MemoryStream, memory_pipe
from trio_nodehttp._websocket.accept import accept_websocket
from trio_nodehttp._websocket.websocket import WebSocket
from trio_nodehttp.testing import MemoryNetwork

REQUEST = (
    b"GET /chat HTTP/1.1\r\n"
    b"Host: example.com\r\n"
    b"Connection: Upgrade\r\n"
    b"Upgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"\r\n"
)
CHECKPOINTS = 40


@pytest.fixture(autouse=True)
async def bounded(autojump_clock: trio.testing.MockClock) -> AsyncIterator[None]:
    """No peer and no cancellation makes anybody wait for ever."""
    with trio.fail_after(60):
        yield


@pytest.fixture
async def server() -> AsyncIterator[http.Server]:
    async def echo(request: Any, stream: Any) -> None:
        async with accept_websocket(request, stream) as ws:
            async for message in ws:
                await ws.send(message)

    server = http.create_server()
    server.on("upgrade", echo, protocol="websocket")
    async with server:
        yield server


async def open_by_hand(
    server: http.Server, nursery: trio.Nursery, *, trailing: bytes = b""
) -> Peer:
    """Send a request and what follows it in one segment, and read the 101."""
    ours, theirs = memory_pipe()
    nursery.start_soon(server.serve_stream, ours)
    await theirs.send_all(REQUEST + trailing)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await theirs.receive_some(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return Peer(theirs, client=True)


async def test_promise_28_a_frame_in_the_segment_of_the_request(
    server: http.Server,
) -> None:
    async with trio.open_nursery() as nursery:
        trailing = frame(TEXT, b"early", masked=True) + frame(PING, b"?", masked=True)
        peer = await open_by_hand(server, nursery, trailing=trailing)
        got = {await peer.read(), await peer.read()}
        assert got == {Frame(TEXT, b"early"), Frame(10, b"?")}
        await peer.close()
        assert await peer.read_all() == [Frame(CLOSE, close_payload(1000))]


@pytest.mark.parametrize("seed", range(30))
async def test_promise_16_no_bytes_reach_another_client(server: http.Server, seed: int) -> None:
    noise = random.Random(seed)  # noqa: S311  # the same bytes each time
    trailing = b"\x00" if seed == 0 else noise.randbytes(noise.randrange(1, 300))
    async with trio.open_nursery() as nursery:
        good = await open_by_hand(server, nursery)
        bad = await open_by_hand(server, nursery, trailing=trailing)
        await bad.stream.send_eof()
        frames = await bad.read_all()
        assert all(found.opcode in (CLOSE, 10) for found in frames)
        await good.send(TEXT, b"still here")
        assert await good.read() == Frame(TEXT, b"still here")
        await good.close()
        assert await good.read() == Frame(CLOSE, close_payload(1000))


@pytest.mark.parametrize("checkpoints", range(CHECKPOINTS))
async def test_a_client_may_be_cancelled_anywhere(checkpoints: int) -> None:
    opening = Opening(buffer_size=20)
    ws = make(opening)

    async def use() -> None:
        with scope:
            async with ws:
                await ws.send("a message longer than the pipe")
                await ws.send("another")
                await ws.receive()
                await ws.close(3000, "done")

    async def serve() -> None:
        await opening.peer.send(TEXT, b"hello")
        # What is cancelled cuts a frame off, or sends none.
        with contextlib.suppress(AssertionError, trio.BrokenResourceError):
            await answer_close(opening)

    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(use)
        nursery.start_soon(serve)
        for _ in range(checkpoints):
            await trio.lowlevel.checkpoint()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert ws.ready_state == WebSocket.CLOSED
    assert not opening.is_open
    # Before the opening there was nothing to close.
    assert opening.stream.closed or ws._session is None
    # The last one comes too late for anything.
    assert ws.close_code == (3000 if checkpoints == CHECKPOINTS - 1 else ws.close_code)


# -- through an agent


@contextlib.asynccontextmanager
async def open_upgrade(url: str, **options: Any) -> AsyncIterator[http.Upgraded]:
    async with http.request(url, **options) as request:
        yield await request.upgrade()


def connect(agent: http.Agent) -> WebSocket:
    url = "ws://origin.test/chat"
    return WebSocket(url, agent=agent, open_connection=open_upgrade, close_timeout=5)


def sockets(agent: http.Agent) -> int:
    """How many the agent counts, in use or idle."""
    return sum(map(len, [*agent.sockets.values(), *agent.free_sockets.values()]))


async def test_a_websocket_leaves_the_pool(server: http.Server) -> None:
    async with MemoryNetwork() as network, trio.open_nursery() as nursery:
        await nursery.start(network.serve, server, "origin.test", 80)
        async with network.agent(keep_alive=True, max_sockets=1) as agent:
            async with connect(agent) as first, connect(agent) as second:
                assert sockets(agent) == 0
                for ws in (first, second):
                    await ws.send("hello")
                    assert await ws.receive() == "hello"
            assert sockets(agent) == 0
            assert not any(connection.is_open for connection in network.connections)
        nursery.cancel_scope.cancel()


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
WRONG_KEY = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Accept: wrong\r\n\r\n"
)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param(NOT_FOUND, "404 Not Found", id="404"),
        pytest.param(WRONG_KEY, "Sec-WebSocket-Accept", id="key"),
    ],
)
async def test_a_failed_handshake_leaves_no_socket(answer: bytes, text: str) -> None:
    async def respond(stream: MemoryStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)
        assert await stream.receive_some() == b""

    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, respond)
        async with network.agent(keep_alive=True) as agent:
            with pytest.raises(http.WebSocketHandshakeError, match=text):
                await connect(agent).__aenter__()
            await trio.testing.wait_all_tasks_blocked()
            assert sockets(agent) == 0
            assert not any(connection.is_open for connection in network.connections)


@pytest.mark.parametrize("on_error", ["log", "raise"])
async def test_tasks_that_a_client_leaves_are_a_line_in_the_log(
    on_error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def two_tasks(request: Any, stream: Any) -> None:
        async def listen(ws: WebSocket) -> None:
            async for _ in ws:
                pass

        async with accept_websocket(request, stream) as ws, trio.open_nursery() as tasks:
            tasks.start_soon(listen, ws)
            tasks.start_soon(listen, ws)

    server = http.create_server(on_error=on_error)
    server.on("upgrade", two_tasks, protocol="websocket")
    async with trio.open_nursery() as nursery:
        peer = await open_by_hand(server, nursery)
        await peer.stream.aclose()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.exc_info is None
    assert "left without a close frame" in record.getMessage()


@pytest.mark.parametrize(("code", "lines"), [(1000, 0), (1001, 0), (1011, 1), (4000, 0)])
async def test_a_sender_whose_client_closes_is_no_warning(
    caplog: pytest.LogCaptureFixture, code: int, lines: int
) -> None:
    told: list[str] = []

    async def tick(request: Any, stream: Any) -> None:
        async with accept_websocket(request, stream) as ws:
            while True:
                try:
                    await ws.send("tick")
                except http.WebSocketClosedError as error:
                    told.append(str(error))
                    raise
                await trio.sleep(1)

    server = http.create_server()
    server.on("upgrade", tick, protocol="websocket")
    async with trio.open_nursery() as nursery:
        peer = await open_by_hand(server, nursery)
        await peer.close(code)
    assert told == [f"the WebSocket was closed ({code})"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * lines


async def test_a_fault_of_the_handler_beside_them_is_not_hidden() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def handle(request: Any, stream: Any) -> None:
        async with accept_websocket(request, stream) as ws:
            await ws.close()
            async with trio.open_nursery() as tasks:
                tasks.start_soon(fail, http.WebSocketClosedError(1006, "", was_clean=False))
                tasks.start_soon(fail, ValueError("mine"))

    server = http.create_server(on_error="raise")
    server.on("upgrade", handle, protocol="websocket")
    expected = pytest.RaisesGroup(http.WebSocketClosedError, ValueError)
    with pytest.RaisesGroup(expected):
        async with trio.open_nursery() as nursery:
            peer = await open_by_hand(server, nursery)
            await peer.close()
