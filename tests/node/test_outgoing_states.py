"""Rows of area *outgoing-message*: what a message tells of itself while it is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import HOST, ask, serving, settle
from trio_nodehttp.testing import memory_pipe

URL = f"http://{HOST}/"
MARK = 65536


class Plain(http.OutgoingMessage):
    """A message of the user's own: no head, and no framing."""

    def _render_head(self) -> bytes:
        return b""


@pytest.mark.node("test-http-outgoing-buffer.js")
async def test_without_a_socket_writes_are_kept() -> None:
    message = Plain()
    assert message.writable_length == 0
    assert message.writable_high_water_mark == MARK
    assert await message.write(bytes(MARK - 1)) is True
    assert await message.write(b"!") is False
    assert await message.write(b"!") is False
    assert message.writable_length == MARK + 1


@pytest.mark.node("test-http-outgoing-message-inheritance.js")
@pytest.mark.node_api("OutgoingMessage|OutgoingMessage", "OutgoingMessage|finish")
async def test_a_message_of_ones_own() -> None:
    assert isinstance(Plain(), http.OutgoingMessage)
    ours, theirs = memory_pipe()
    message = Plain()
    told: list[str] = []
    message.on("finish", lambda: told.append("finish"))
    await message.end("hello world")
    assert (message.writable_ended, message.writable_finished) == (True, False)
    message.socket = http.Socket(ours)
    await message.end()
    await message.end()
    assert await theirs.receive_some() == b"hello world"
    assert message.writable_finished
    assert told == ["finish"]


@pytest.mark.node("test-http-outgoing-destroy.js")
@pytest.mark.node_api("OutgoingMessage|outgoingMessage.destroy([error])")
async def test_writes_behind_destroy() -> None:
    told: list[object] = []
    message = Plain()
    message.on("error", told.append)
    assert not message.destroyed
    assert message.destroy() is message
    assert message.destroyed
    with pytest.raises(http.StreamDestroyedError) as caught:
        await message.write("hey")
    assert caught.value.code == "ERR_STREAM_DESTROYED"
    assert told == []


@pytest.mark.node("test-http-outgoing-settimeout.js")
@pytest.mark.node_api("OutgoingMessage|outgoingMessage.setTimeout(msesc[, callback])")
async def test_set_timeout_reaches_the_socket(autojump_clock: Any) -> None:
    told: list[float] = []
    early, late = Plain(), Plain()
    late.connection = http.Socket(memory_pipe()[0])
    for message in (early, late):
        assert message.set_timeout(42, lambda: told.append(trio.current_time())) is message
    assert late.socket is not None
    assert late.socket.timeout == 42
    early.socket = http.Socket(memory_pipe()[0])
    assert early.socket is not None
    assert early.socket.timeout == 42
    began = trio.current_time()
    await trio.sleep(50)
    assert [at - began for at in told] == [42, 42]
    for message in (early, late):
        message.destroy()


@pytest.mark.node("test-http-outgoing-properties.js")
@pytest.mark.node_api(
    "OutgoingMessage|outgoingMessage.writableLength",
    "OutgoingMessage|outgoingMessage.writableHighWaterMark",
    "OutgoingMessage|outgoingMessage.writableObjectMode",
)
async def test_properties(autojump_clock: Any) -> None:
    seen: list[object] = []

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        assert response.writable_object_mode is False
        assert response.socket is not None
        assert response.socket.writable_high_water_mark == 77
        assert response.writable_high_water_mark == 77
        assert response.writable_length == 0
        response.cork()
        await response.write("")
        length = response.writable_length
        await response.write("asd")
        assert response.writable_length == length + 8
        response.on("finish", lambda: seen.append(response.writable_length))
        await response.end()

    message = Plain()
    assert message.writable_object_mode is False
    assert message.writable_length == 0
    await message.write("asd")
    assert message.writable_length == 3

    async with serving(handle, high_water_mark=77, on_error="raise") as served:
        served.network.listen("localhost", 80, served.server.serve_stream)
        async with served.agent() as agent, http.request("http://localhost", agent=agent) as asked:
            assert (asked.path, asked.method) == ("/", "GET")
            assert (asked.host, asked.protocol) == ("localhost", "http:")
            await asked.end()
            assert await (await asked.get_response()).text() == "asd"
    assert seen == [0]


@pytest.mark.node("test-http-outgoing-finish-writable.js")
@pytest.mark.node("test-http-outgoing-writableFinished.js")
@pytest.mark.node_api(
    "OutgoingMessage|outgoingMessage.writableEnded",
    "OutgoingMessage|outgoingMessage.writableFinished",
    "OutgoingMessage|finish",
    "OutgoingMessage|prefinish",
)
async def test_what_end_changes(autojump_clock: Any) -> None:
    states: dict[str, list[tuple[object, ...]]] = {"response": [], "request": []}

    async def run(name: str, message: http.OutgoingMessage) -> None:
        def look() -> None:
            ended, finished = message.writable_ended, message.writable_finished
            assert message.finished is ended
            states[name].append((ended, finished, message.writable))

        message.on("prefinish", look)  # as soon as end() was called
        message.on("finish", look)
        look()
        await message.end("x")
        look()

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        await run("response", response)

    async with (
        serving(handle, on_error="raise") as served,
        served.agent() as agent,
        http.request(URL, method="POST", agent=agent) as request,
    ):
        await run("request", request)
        assert await (await request.get_response()).text() == "x"
    expected = [(False, False, True), (True, False, True), (True, True, True), (True, True, True)]
    assert states == {"response": expected, "request": expected}


@pytest.mark.node("test-http-outgoing-finish.js")
@pytest.mark.parametrize("side", ["response", "request"])
async def test_finish_comes_when_all_was_taken(autojump_clock: Any, side: str) -> None:
    written: list[bool] = []
    told: list[str] = []
    size = 4096
    ready = trio.Event()

    async def send(message: http.OutgoingMessage) -> None:
        def finished() -> None:
            assert message.socket is not None
            assert message.socket.bytes_written > 11 * size, "it was not all taken"
            told.append("finish")

        message.on("finish", finished)
        with trio.move_on_after(5) as scope:
            while len(written) < 10:
                written.append(await message.write(bytes(size)))
        assert not scope.cancelled_caught
        assert told == []
        await message.end(bytes(size))
        told.append("ended")

    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        if side == "response":
            await send(response)
            return
        await trio.sleep(1)  # the sender has to wait
        ready.set()
        assert len(await request.read()) == 11 * size
        await response.end()

    async with (
        serving(handle, buffer_size=size, on_error="raise") as served,
        served.agent() as agent,
        http.request(URL, method="POST", agent=agent) as request,
    ):
        if side == "request":
            await send(request)
            assert ready.is_set()
        else:
            await request.end()
        response = await request.get_response()
        await trio.sleep(1)
        if side == "response":
            assert told == []
            assert len(written) < 10
            assert len(await response.read()) == 11 * size
    await settle()
    assert written == [True] * 10
    assert told == ["finish", "ended"]


@pytest.mark.node("test-http-outgoing-finished.js")
@pytest.mark.node_api("ServerResponse|close")
async def test_waiting_for_a_response_to_close(nursery: Any, autojump_clock: Any) -> None:
    told: list[object] = []
    responses: list[http.ServerResponse] = []

    async def closes(response: http.ServerResponse) -> None:
        closed = trio.Event()
        response.on("close", closed.set)
        if not response.closed:
            await closed.wait()
        told.append(("waited", response.closed))

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        responses.append(response)
        response.on("close", lambda: told.append("close"))
        nursery.start_soon(closes, response)
        await settle()
        await response.end("x")
        told.append("ended")

    async with serving(handle) as served:
        await (await served.connect()).get()
        await settle()
    assert told == ["ended", "close", ("waited", True)]
    await closes(responses[0])
    assert told[3:] == [("waited", True)]


@pytest.mark.node("test-http-outgoing-message-write-callback.js")
@pytest.mark.node_api("OutgoingMessage|outgoingMessage.write(chunk[, encoding][, callback])")
@pytest.mark.parametrize("chunk", ["", b"", "hello", b"hello"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_every_write_completes(autojump_clock: Any, chunk: Any, method: str) -> None:
    told: list[str] = []

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        for name in ("write 1", "write 2"):
            await response.write(chunk)
            told.append(name)
        await response.end()
        told.append("end")

    async with serving(handle) as served:
        client = await served.connect()
        await client.send(ask(method=method))
        answer = await client.answer(method)
        assert answer.body == (b"" if method == "HEAD" else b"hello" * 2 if chunk else b"")
        assert await client.is_open()
    assert told == ["write 1", "write 2", "end"]


@pytest.mark.node("test-http-outgoing-end-cork.js")
async def test_a_second_end_leaves_nothing_corked(autojump_clock: Any) -> None:
    size = 100_000
    writes = 0

    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        nonlocal writes
        if request.url == "/1":
            response.cork()
            await response.end()
            await response.end()
            assert response.writable_corked == 0
            return
        for _ in range(3):
            await response.write(bytes(size))
            writes += 1
        await response.end()

    async with (
        serving(handle, buffer_size=65536, on_error="raise") as served,
        served.agent(keep_alive=True) as agent,
    ):
        async with http.get(URL + "1", agent=agent) as response:
            assert await response.read() == b""
        with trio.fail_after(0.5):
            async with http.get(URL + "2", agent=agent) as response:
                await settle()
                assert writes < 3  # back-pressure
                assert len(await response.read()) == 3 * size
        assert agent.stats().reused == 1
    assert writes == 3


@pytest.mark.node("test-http-response-cork.js")
@pytest.mark.node_api(
    "ServerResponse|response.cork()",
    "ServerResponse|response.uncork()",
    "OutgoingMessage|outgoingMessage.writableCorked",
)
@pytest.mark.parametrize("last", ["uncork", "end"])
async def test_cork_holds_back(nursery: Any, last: str) -> None:
    counts: list[tuple[int, int]] = []

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        def look() -> None:
            assert response.socket is not None
            counts.append((response.writable_corked, response.socket.bytes_written))

        look()
        response.cork()
        look()
        response.cork()
        look()
        await response.write(b"asd")
        await response.write(b"fgh")
        look()
        response.uncork()
        look()
        if last == "uncork":
            response.uncork()
            look()
        await response.end()

    # A real socket: of what it is given a part may leave at once.
    server = http.create_server(handle, on_error="raise")
    await nursery.start(server.listen, 0, "127.0.0.1")
    client = await trio.open_tcp_stream("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    await client.send_all(ask("/", "Connection: close"))
    wire = b"".join([bytes(data) async for data in client])
    await client.aclose()
    await server.close()
    assert counts[:5] == [(0, 0), (1, 0), (2, 0), (2, 0), (1, 0)]
    if last == "uncork":
        corked, sent = counts[5]
        assert corked == 0
        assert sent == len(wire.removesuffix(b"0\r\n\r\n"))
    assert wire.partition(b"\r\n\r\n")[2] == b"3\r\nasd\r\n3\r\nfgh\r\n0\r\n\r\n"


@pytest.mark.node("test-http-res-write-after-end.js")
@pytest.mark.node("test-http-server-write-after-end.js")
@pytest.mark.parametrize("late", [False, True])
async def test_a_write_behind_the_end(autojump_clock: Any, late: bool) -> None:
    told: list[object] = []
    kept: list[http.ServerResponse] = []

    async def write(response: http.ServerResponse) -> None:
        with pytest.raises(http.WriteAfterEndError) as caught:
            await response.write("This should raise.")
        assert caught.value.code == "ERR_STREAM_WRITE_AFTER_END"
        with pytest.raises(http.WriteAfterEndError):
            await response.end("This, too.")
        told.append("refused")

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.on("error", told.append)
        kept.append(response)
        await response.write("This should write.")
        await response.end()
        if not late:
            await write(response)

    async with serving(handle, on_error="raise") as served:
        client = await served.connect()
        assert (await client.get()).body == b"This should write."
        await settle()
        if late:
            assert kept[0].closed
            await write(kept[0])
        assert await client.is_open()
    assert told == ["refused"]


@pytest.mark.node("test-http-writable-true-after-close.js")
async def test_writable_stays_true(autojump_clock: Any) -> None:
    told: list[object] = []
    closed = trio.Event()

    async def origin(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        while True:
            await response.write(bytes(10_000))

    async with serving(origin) as behind, behind.agent() as agent:

        async def proxy(_: http.IncomingMessage, response: http.ServerResponse) -> None:
            def note(event: str) -> Callable[[], object]:
                return lambda: told.append((event, response.writable))

            response.on("finish", note("finish"))
            response.on("close", note("close"))
            response.on("close", closed.set)
            async with http.get(URL, agent=agent) as inner:
                await http.pipe(inner, response)

        async with serving(proxy) as served:
            client = await served.connect()
            await client.send(ask())
            await client.line()
            client.reset()
            with trio.fail_after(1):
                await closed.wait()
    assert told == [("close", True)]
