"""Sending while the answer may come: early responses, two tasks, stale sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import KINDS, Wire, read_all, read_head, wire
from trio_nodehttp.testing import Close, Expect, ExpectEnd, FaultyServer, Send, Stall

EARLY = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BIG = b"x" * (8 << 20)


async def refuse_and_stop_reading(stream: Any) -> None:
    await read_head(stream)
    await stream.send_all(EARLY)
    await trio.sleep_forever()


async def read_early(request: Any, wired: Wire) -> None:
    response = await request.get_response()
    assert response.status_code == 413
    assert await response.read() == b"big"
    assert wired.counts() == (0, 0, 0, 0), "cut short, the connection is of no more use"


@pytest.mark.parametrize("kind", KINDS)
async def test_early_response_ends_blocked_write(nursery: Any, kind: str) -> None:
    wired = await wire(nursery, kind, refuse_and_stop_reading, keep_alive=True)
    with trio.fail_after(1):
        async with http.request(wired.url, method="POST", agent=wired.agent) as request:
            assert await request.write(BIG) is False
            assert await request.write(b"more") is False
            await read_early(request, wired)
            assert await request.write(b"more") is False
            await request.end()


@pytest.mark.parametrize("kind", KINDS)
async def test_early_response_ends_body_of_bytes(nursery: Any, kind: str) -> None:
    wired = await wire(nursery, kind, refuse_and_stop_reading, keep_alive=True)
    with trio.fail_after(1):
        async with http.request(wired.url, method="PUT", agent=wired.agent, body=BIG) as request:
            await read_early(request, wired)


@pytest.mark.parametrize("kind", KINDS)
async def test_early_response_stops_iterable_that_waits(nursery: Any, kind: str) -> None:
    pulled: list[str] = []

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            pulled.append("second")
            await trio.sleep_forever()
        finally:
            pulled.append("closed")

    wired = await wire(nursery, kind, refuse_and_stop_reading, keep_alive=True)
    with trio.fail_after(1):
        options: Any = {"method": "POST", "agent": wired.agent, "body": body()}
        async with http.request(wired.url, **options) as request:
            await read_early(request, wired)
    assert pulled == ["second", "closed"]


@pytest.mark.parametrize("kind", KINDS)
async def test_early_response_stops_iterable_that_flows(nursery: Any, kind: str) -> None:
    pulled: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        try:
            for number in range(100_000):
                pulled.append(number)
                yield b"x" * 65536
        finally:
            pulled.append(-1)

    wired = await wire(nursery, kind, refuse_and_stop_reading, keep_alive=True)
    with trio.fail_after(1):
        options: Any = {"method": "POST", "agent": wired.agent, "body": body()}
        async with http.request(wired.url, **options) as request:
            await read_early(request, wired)
    assert pulled[-1] == -1
    assert len(pulled) < 1000


@pytest.mark.parametrize("kind", KINDS)
async def test_write_tells_of_a_response_that_came_between(nursery: Any, kind: str) -> None:
    wired = await wire(nursery, kind, refuse_and_stop_reading)
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        with trio.fail_after(1):
            assert await request.write(b"little") is True
            while await request.write(b"little"):  # noqa: ASYNC110  # no event tells
                await trio.sleep(0.001)
            await read_early(request, wired)


@pytest.mark.parametrize("kind", KINDS)
async def test_server_that_answers_and_closes(nursery: Any, kind: str) -> None:
    async def answer_and_close(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all(EARLY)

    wired = await wire(nursery, kind, answer_and_close, keep_alive=True)
    with trio.fail_after(2):
        async with http.request(wired.url, method="POST", agent=wired.agent) as request:
            await request.write(b"first")
            await wired.all_ended()
            while await request.write(b"x" * 65536):
                pass
            response = await request.get_response()
            assert response.status_code == 413
    assert wired.counts() == (0, 0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", [b"", b"junk that is no HTTP"])
async def test_failure_of_the_answer_ends_a_blocked_write(
    nursery: Any, kind: str, end: bytes
) -> None:
    async def misbehave(stream: Any) -> None:
        await read_head(stream)
        if end:
            await stream.send_all(end)
        elif kind != "tls":
            await stream.send_eof()
        else:
            return
        await trio.sleep_forever()

    wired = await wire(nursery, kind, misbehave)
    expected = http.ParseError if end else http.SocketHangUpError
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        with trio.fail_after(1), pytest.raises(expected) as caught:
            await request.write(BIG)
        assert request.destroyed
        assert request.errored is caught.value
        assert wired.counts() == (0, 0, 0, 0)
        with pytest.raises(expected):
            await request.get_response()


async def test_observers_error_beside_a_send_arrives_unchanged(nursery: Any) -> None:
    wired = await wire(nursery, "tcp", refuse_and_stop_reading)
    mistake = KeyError("mine")

    def raise_it(_: object) -> None:
        raise mistake

    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        request.on("response", raise_it)
        with pytest.raises(KeyError) as caught:
            await request.write(BIG)
        assert caught.value is mistake


@pytest.mark.parametrize("kind", KINDS)
async def test_two_tasks_write_and_read_at_once(nursery: Any, kind: str) -> None:
    async def echo(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        await trio.sleep_forever()

    wired = await wire(nursery, kind, echo)
    told: list[Any] = []

    async def read(request: Any) -> None:
        told.append(await request.get_response())

    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        with trio.fail_after(1):
            await request.flush_headers()
            async with trio.open_nursery() as both:
                both.start_soon(read, request)
                both.start_soon(read, request)
                while await request.write(b"x" * (1 << 20)):
                    pass
        assert told == [request.response] * 2


async def test_writer_takes_over_when_the_reader_is_cancelled(nursery: Any) -> None:
    async def late(stream: Any) -> None:
        await read_head(stream)
        await trio.sleep(0.02)
        await stream.send_all(EARLY)
        await trio.sleep_forever()

    wired = await wire(nursery, "tcp", late)
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        with trio.fail_after(1):
            await request.flush_headers()
            async with trio.open_nursery() as both:

                async def give_up() -> None:
                    with trio.move_on_after(0.005):
                        await request.get_response()

                both.start_soon(give_up)
                assert await request.write(BIG) is False


class MistakeError(Exception):
    """The caller's own."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "mistake", [MistakeError("mine"), http.AbortedError("theirs"), SystemExit(3)]
)
async def test_error_of_an_iterable_body_arrives_unchanged(
    nursery: Any, kind: str, mistake: BaseException
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        raise mistake

    wired = await wire(nursery, kind, read_all, keep_alive=True)
    errors: list[object] = []
    options: Any = {"method": "POST", "agent": wired.agent, "body": body()}
    request = http.request(wired.url, **options).on("error", errors.append)
    with pytest.raises(type(mistake)) as caught:
        async with request:
            await request.get_response()
    assert caught.value is mistake
    assert errors == ([mistake] if isinstance(mistake, Exception) else [])
    assert wired.counts() == (0, 0, 0, 0)
    await wired.all_ended()


async def test_iterable_may_raise_after_an_early_response(nursery: Any) -> None:
    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"one"
            await trio.sleep_forever()
        finally:
            raise MistakeError

    wired = await wire(nursery, "tcp", refuse_and_stop_reading)
    options: Any = {"method": "POST", "agent": wired.agent, "body": body()}
    async with http.request(wired.url, **options) as request:
        with pytest.raises(MistakeError):
            await request.get_response()
        assert request.response is not None
        assert request.response.aborted
        assert wired.counts() == (0, 0, 0, 0)


async def test_iterable_that_is_a_stream_stays_its_owners(nursery: Any) -> None:
    class Pieces:
        closed = False

        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> Pieces:
            return self

        async def __anext__(self) -> bytes:
            await trio.lowlevel.checkpoint()
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return b"x"

        async def aclose(self) -> None:
            self.closed = True

    server = FaultyServer([Expect(b"0\r\n\r\n"), Send(OK), Stall()])
    wired = await wire(nursery, "memory", server)
    pieces = Pieces()
    options: Any = {"method": "POST", "agent": wired.agent, "body": pieces}
    async with http.get(wired.url, **options) as response:
        assert await response.read() == b"ok"
    assert not pieces.closed
    assert server.received[0].endswith(b"\r\n\r\n1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n0\r\n\r\n")


async def test_cancelled_write_makes_the_request_unusable(nursery: Any) -> None:
    async def ignore(_: object) -> None:
        await trio.sleep_forever()

    wired = await wire(nursery, "tcp", ignore)
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        with trio.move_on_after(0.01) as scope:
            await request.write(BIG)
        assert scope.cancelled_caught
        with pytest.raises(http.StreamDestroyedError):
            await request.write(b"more")


async def test_nothing_is_sent_by_a_write_that_is_cancelled_before(nursery: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), ExpectEnd()])
    wired = await wire(nursery, "tcp", server)
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        await request.write(b"x" * 20000)
        with trio.CancelScope() as scope:
            scope.cancel()
            await request.end()
        await trio.sleep(0.01)
    await wired.all_ended()
    assert b"0\r\n\r\n" not in server.received[0], "a body cut short must not look whole"


# --- 100 Continue ----------------------------------------------------------------------


async def test_wait_continue(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([
        Expect(b"Expect: 100-continue\r\n"), Expect(b"\r\n\r\n"),
        Send(b"HTTP/1.1 102 Processing\r\n\r\n" + CONTINUE), Expect(b"0\r\n\r\n"), Send(OK), Stall(),
    ])  # fmt: skip
    wired = await wire(nursery, "memory", server, keep_alive=True)
    seen: list[Any] = []
    options: Any = {"method": "POST", "agent": wired.agent, "headers": {"Expect": "100-continue"}}
    async with http.request(wired.url, **options) as request:
        request.on("continue", lambda: seen.append("continue"))
        request.on("information", lambda info: seen.append(info.status_code))
        assert await request.wait_continue() is True
        assert await request.wait_continue() is True
        assert seen == [102, "continue", 100]
        await request.end(b"body")
        response = await request.get_response()
        assert await response.text() == "ok"
        assert await request.wait_continue() is False
    assert [info.status_code for info in request.informational] == [102, 100]
    assert wired.counts() == (0, 0, 1, 0)


async def test_wait_continue_is_answered_finally(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(EARLY), Stall()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    options: Any = {"method": "POST", "agent": wired.agent, "headers": {"Expect": "100-continue"}}
    async with http.request(wired.url, **options) as request:
        assert await request.wait_continue() is False
        await read_early(request, wired)


async def test_wait_continue_on_a_dead_connection(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Close()])
    wired = await wire(nursery, "memory", server)
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        with pytest.raises(http.SocketHangUpError):
            await request.wait_continue()


EXPECTING: Any = {"method": "POST", "headers": {"Expect": "100-continue"}}


async def pulled_pieces(pulled: list[str]) -> AsyncIterator[bytes]:
    for piece in ("bo", "dy"):
        pulled.append(piece)
        yield piece.encode()


async def test_a_body_is_held_back_until_it_is_asked_for(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([
        Expect(b"Content-Length: 4\r\n\r\n"), Stall(0.5), Send(CONTINUE), Expect(b"body"), Send(OK), Stall(),
    ])  # fmt: skip
    wired = await wire(nursery, "memory", server, keep_alive=True)
    started = trio.current_time()
    async with http.request(wired.url, agent=wired.agent, body="body", **EXPECTING) as request:
        request.on("continue", lambda: seen.append(bytes(server.received[0][-4:])))
        seen: list[bytes] = []
        assert await (await request.get_response()).text() == "ok"
    assert seen == [b"\r\n\r\n"]
    assert trio.current_time() - started == pytest.approx(0.5)
    assert wired.counts() == (0, 0, 1, 0)


async def test_an_iterable_is_not_pulled_until_it_is_asked_for(
    nursery: Any, autojump_clock: Any
) -> None:
    pulled: list[str] = []
    server = FaultyServer([
        Expect(b"\r\n\r\n"), Stall(0.5), Send(CONTINUE), Expect(b"0\r\n\r\n"), Send(OK), Stall(),
    ])  # fmt: skip
    wired = await wire(nursery, "memory", server, keep_alive=True)
    body = pulled_pieces(pulled)
    async with http.request(wired.url, agent=wired.agent, body=body, **EXPECTING) as request:
        request.on("continue", lambda: pulled.append("continue"))
        assert await (await request.get_response()).text() == "ok"
    assert pulled == ["continue", "bo", "dy"]
    assert server.received[0].endswith(b"\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n")


@pytest.mark.parametrize("body", ["bytes", "iterable"])
async def test_a_refused_body_is_not_sent(nursery: Any, autojump_clock: Any, body: str) -> None:
    pulled: list[str] = []
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(EARLY), ExpectEnd()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    given: Any = b"body" if body == "bytes" else pulled_pieces(pulled)
    async with http.request(wired.url, agent=wired.agent, body=given, **EXPECTING) as request:
        await read_early(request, wired)
    await wired.all_ended()
    assert server.received[0].endswith(b"\r\n\r\n")
    assert pulled == []


async def test_a_server_that_does_not_ask_gets_the_body(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"body"), Send(OK), Stall()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    started = trio.current_time()
    async with http.request(wired.url, agent=wired.agent, body=b"body", **EXPECTING) as request:
        assert (await request.get_response()).status_code == 200
    assert trio.current_time() - started == pytest.approx(1)


async def test_a_body_that_was_asked_for_by_hand_is_not_held_back(
    nursery: Any, autojump_clock: Any
) -> None:
    server = FaultyServer([
        Expect(b"\r\n\r\n"), Send(CONTINUE), Expect(b"0\r\n\r\n"), Send(OK), Stall(),
    ])  # fmt: skip
    wired = await wire(nursery, "memory", server, keep_alive=True)
    started = trio.current_time()
    async with http.request(wired.url, agent=wired.agent, body=b"body", **EXPECTING) as request:
        assert await request.wait_continue()
        assert (await request.get_response()).status_code == 200
    assert trio.current_time() == started


async def test_too_much_information(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(CONTINUE * 101), Stall()])
    wired = await wire(nursery, "memory", server)
    async with http.request(wired.url, agent=wired.agent) as request:
        with pytest.raises(http.ParseError):
            await request.get_response()
    assert wired.counts() == (0, 0, 0, 0)


class DeafStream(trio.abc.Stream):
    """Sends once, and then breaks, while the peer can still be heard."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.sends = 1

    async def send_all(self, data: Any) -> None:
        if not self.sends:
            raise trio.BrokenResourceError("they do not listen")
        self.sends -= 1
        await self.inner.send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> Any:
        return await self.inner.receive_some(max_bytes)

    async def wait_send_all_might_not_block(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        await self.inner.aclose()


@pytest.mark.parametrize("late", [False, True])
async def test_iterable_on_a_connection_that_breaks_one_way(
    nursery: Any, autojump_clock: Any, late: bool
) -> None:
    pulled: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        for number in range(5):
            pulled.append(number)
            yield b"x"

    wait = 5 if late else 0.1
    server = FaultyServer([Expect(b"\r\n\r\n"), Stall(wait), Send(EARLY), Stall()])
    wired = await wire(nursery, "memory", server)
    connect = wired.agent.create_connection

    async def make(options: Any) -> Any:
        return DeafStream(await connect(options))

    options: Any = {"method": "POST", "agent": http.Agent(create_connection=make), "body": body()}
    async with http.request(wired.url, **options) as request:
        if late:
            with pytest.raises(http.SocketHangUpError):
                await request.get_response()
        else:
            response = await request.get_response()
            assert await response.text() == "big"
    assert pulled == [0, 1]
