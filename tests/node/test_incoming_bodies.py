"""Rows of area *incoming-message*: bodies, read and not read."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import HOST, ask, echo, serving
from tests.wires import wire
from trio_nodehttp.testing import Close, Expect, FaultyServer, Send

URL = f"http://{HOST}/"


def told_of(message: http.IncomingMessage) -> list[object]:
    """Note what a message tells, and whether it is destroyed then."""
    told: list[object] = []
    message.on("data", told.append)
    message.on("end", lambda: told.append(("end", message.destroyed)))
    message.on("close", lambda: told.append(("close", message.destroyed)))
    return told


@pytest.mark.node("test-http-client-readable.js")
async def test_any_duplex_stream_will_do(nursery: Any, autojump_clock: Any) -> None:
    pieces = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"b\r\nhello",
        b" world\r\n0\r\n\r\n",
    ]
    ours_in, theirs_out = trio.testing.memory_stream_one_way_pair()[::-1]
    ours_out, theirs_in = trio.testing.memory_stream_one_way_pair()
    made: list[object] = []

    async def connect(options: Any) -> trio.abc.Stream:
        made.append(options.host)
        return trio.StapledStream(ours_out, ours_in)

    async def answer() -> None:
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += bytes(await theirs_in.receive_some())
        for piece in pieces:
            await theirs_out.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()
        await theirs_out.aclose()

    nursery.start_soon(answer)
    agent = http.Agent(create_connection=connect)
    async with http.get(URL, agent=agent) as response:
        told = told_of(response)
        assert [chunk async for chunk in response] == [b"hello", b" world"]
        assert response.complete
    assert made == [HOST]
    assert told == [b"hello", b" world", ("end", False), ("close", True)]


@pytest.mark.node("test-http-no-content-length.js")
async def test_a_body_may_end_with_the_connection(nursery: Any, autojump_clock: Any) -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\nHello"
    peer = FaultyServer([Expect(b"\r\n\r\n"), Send(answer), Close()])
    wired = await wire(nursery, "memory", peer)
    async with http.get(wired.url, agent=wired.agent) as response:
        told = told_of(response)
        assert await response.text() == "Hello"
        assert response.complete
        assert not response.aborted
    assert told == [b"Hello", ("end", False), ("close", True)]


@pytest.mark.node("test-http-pause-resume-one-end.js")
async def test_a_body_read_after_a_pause_ends_once(autojump_clock: Any) -> None:
    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.end("Hello")

    async with serving(handle) as served, served.agent() as agent:
        async with http.get(URL, agent=agent) as response:
            told = told_of(response)
            assert await response.receive_some() == b"Hello"
            await trio.sleep(10)
            assert told == [b"Hello"]
            assert await response.receive_some() == b""
            assert await response.receive_some() == b""
        assert told == [b"Hello", ("end", False), ("close", True)]


@pytest.mark.node("test-http-pause.js")
async def test_pauses_lose_nothing(autojump_clock: Any) -> None:
    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await trio.sleep(0.1)
        assert await request.text() == "Hello from Client"
        response.write_head(200)
        await response.write("Hello ")
        await response.end("from Server")

    async with (
        serving(handle, on_error="raise") as served,
        served.agent() as agent,
        http.request(URL, method="POST", agent=agent) as request,
    ):
        await request.write("Hello ")
        await request.end("from Client")
        response = await request.get_response()
        await trio.sleep(0.1)
        assert await response.text() == "Hello from Server"


@pytest.mark.node("test-http-readable-data-event.js")
@pytest.mark.parametrize("way", ["receive_some", "iteration"])
async def test_two_flushes_are_two_pieces(autojump_clock: Any, way: str) -> None:
    go_on = trio.Event()

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.write("This is the data.\n")
        await go_on.wait()
        await response.end("More data.\n")

    async with (
        serving(handle) as served,
        served.agent() as agent,
        http.get(URL, agent=agent) as response,
    ):
        told = told_of(response)
        pieces: list[bytes] = []
        if way == "iteration":
            async for piece in response:
                pieces.append(piece)
                go_on.set()
        else:
            pieces.append(await response.receive_some())
            with trio.move_on_after(1) as waiting:
                await response.receive_some()  # nothing is there: Node's read() gives null
            assert waiting.cancelled_caught
            go_on.set()
            pieces.append(await response.receive_some())
            assert await response.receive_some() == b""
        assert pieces == [b"This is the data.\n", b"More data.\n"]
        assert told[:2] == pieces
        assert told[2:] == [("end", False), ("close", True)]


@pytest.mark.node("test-http-response-readable.js")
async def test_readable_until_the_end(autojump_clock: Any) -> None:
    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.end("x")

    async with (
        serving(handle) as served,
        served.agent() as agent,
        http.get(URL, agent=agent) as response,
    ):
        assert response.readable is True
        await response.read()
        assert response.readable is False


@pytest.mark.node("test-http-incoming-message-options.js")
async def test_a_message_reads_as_much_as_its_socket_says(nursery: Any) -> None:
    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        assert request.readable_high_water_mark == 2048
        await response.end(bytes(100_000))

    server = http.create_server(handle, high_water_mark=2048, on_error="raise")
    await nursery.start(server.listen, 0, "127.0.0.1")

    def limit(socket: http.Socket) -> None:
        socket.readable_high_water_mark = 1024

    async with http.Agent() as agent:
        request = http.request(server.url, agent=agent).on("socket", limit)
        async with request:
            response = await request.get_response()
            assert response.readable_high_water_mark == 1024
            sizes = [len(piece) async for piece in response]
    assert sum(sizes) == 100_000
    assert max(sizes) <= 4 * 1024
    await server.close()


@pytest.mark.node("test-http-server-keepalive-end.js")
@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
async def test_an_unread_request_ends_behind_its_response(
    autojump_clock: Any, framing: str
) -> None:
    told: list[str] = []

    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        request.on("end", lambda: told.append("end"))
        request.on("close", lambda: told.append("close"))
        await response.end("not read")
        told.append("answered")

    async with serving(handle) as served:
        client = await served.connect()
        body = b"hello" if "Length" in framing else b"5\r\nhello\r\n0\r\n\r\n"
        await client.send(ask("/", framing, method="POST"), body)
        assert (await client.answer()).body == b"not read"
        assert await client.is_open()
        assert told == ["answered", "end", "close"]
        assert (await client.get()).body == b"not read"


@pytest.mark.node("test-http-chunked.js")
async def test_a_long_text_in_one_piece(autojump_clock: Any) -> None:
    text = "南越国是前203年至前111年存在于岭南地区的一个国家。" * 100

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.write_head(200, {"Content-Type": "text/plain; charset=utf8"})
        await response.end(text)

    async with serving(handle) as served, served.agent() as agent:
        async with http.get(URL, agent=agent) as response:
            assert response.headers["transfer-encoding"] == "chunked"
            response.set_encoding("utf8")
            assert "".join([piece async for piece in response]) == text
        async with http.get(URL, agent=agent) as response:
            assert await response.text() == text


@pytest.mark.node("test-http-client-read-in-error.js")
async def test_bytes_behind_an_error_are_not_parsed(nursery: Any, autojump_clock: Any) -> None:
    class Faulty(trio.abc.Stream):
        """Fails once, and then would deliver a response."""

        failed = False

        async def send_all(self, data: Any) -> None:
            await trio.lowlevel.checkpoint()

        async def wait_send_all_might_not_block(self) -> None:
            await trio.lowlevel.checkpoint()

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            await trio.lowlevel.checkpoint()
            if not self.failed:
                self.failed = True
                raise trio.BrokenResourceError("Oh no!")
            return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nxx"

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    async def connect(_: object) -> trio.abc.Stream:
        return Faulty()

    told: list[object] = []
    request = http.request(URL, agent=http.Agent(create_connection=connect))
    request.on("response", told.append)
    request.on("error", lambda error: told.append(type(error)))
    async with request:
        with pytest.raises(http.SocketHangUpError):
            await request.get_response()
        with pytest.raises(http.SocketHangUpError):
            await request.get_response()
    assert told == [http.SocketHangUpError]


@pytest.mark.node("test-http-server-unconsume.js")
async def test_raw_bytes_of_a_requests_socket(autojump_clock: Any) -> None:
    received = b""

    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        nonlocal received
        await response.flush_headers()
        while len(received) < len("hello world"):
            received += await request.socket.receive()
        request.socket.destroy()

    async with serving(handle) as served:
        client = await served.connect()
        await client.send(ask("/", method="PUT"))
        await client.line()
        await client.send(b"hello ")
        await trio.testing.wait_all_tasks_blocked()
        await client.send(b"world")
        assert await client.until_end() == b""
    assert received == b"hello world"


@pytest.mark.node("test-http-chunk-problem.js")
async def test_ten_mebibytes_in_chunks(nursery: Any) -> None:
    data = random.Random(1).randbytes(10 * 2**20)  # noqa: S311 - not for secrets

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        for at in range(0, len(data), 65536):
            await response.write(data[at : at + 65536])
        await response.end()

    server = http.create_server(handle)
    await nursery.start(server.listen, 0, "127.0.0.1")

    class Sink(trio.abc.SendStream):
        """Sums up what it is sent."""

        size, digest = 0, hashlib.sha1(usedforsecurity=False)

        async def send_all(self, data: Any) -> None:
            await trio.lowlevel.checkpoint()
            self.digest.update(data)
            self.size += len(data)

        async def wait_send_all_might_not_block(self) -> None:
            await trio.lowlevel.checkpoint()

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    sink = Sink()
    async with http.Agent() as agent, http.get(server.url, agent=agent) as response:
        assert response.headers["transfer-encoding"] == "chunked"
        assert await http.pipe(response, sink) == len(data)
    assert sink.size == len(data)
    assert sink.digest.digest() == hashlib.sha1(data, usedforsecurity=False).digest()
    await server.close()


@pytest.mark.node("test-http-parser-free.js")
async def test_a_hundred_requests_on_one_socket(autojump_clock: Any) -> None:
    async with serving(echo) as served, served.agent(max_sockets=1, keep_alive=True) as agent:
        for number in range(100):
            async with http.get(f"{URL}{number}", agent=agent) as response:
                assert await response.text() == f"GET /{number} "
        assert (agent.stats().opened, agent.stats().reused) == (1, 99)
