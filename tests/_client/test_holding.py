"""A request and its socket: every state in which it may be given up or left."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import KINDS, Wire, read_all, wire
from trio_nodehttp.testing import Expect, ExpectEnd, FaultyServer, Reset, Send, Stall

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


class MineError(Exception):
    """What ``destroy`` is given."""


async def to(stage: str, request: Any) -> Any:
    """Bring a request to a stage, and stay there."""
    if stage == "uploading":
        await request.write(b"x" * (8 << 20))
    elif stage == "waiting":
        await request.get_response()
    elif stage == "continuing":
        await request.wait_continue()
    elif stage == "sending pieces":
        await request.get_response()
    else:
        response = await request.get_response()
        await response.read()


async def forever() -> Any:
    yield b"one"
    await trio.sleep_forever()


STAGES = ["uploading", "waiting", "continuing", "sending pieces", "reading"]


@pytest.mark.parametrize("how", ["destroy", "destroy with error", "abort"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", KINDS)
async def test_given_up_by_another_task(nursery: Any, kind: str, stage: str, how: str) -> None:
    answer = HALF if stage == "reading" else b""
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(answer), Stall(0.02), ExpectEnd()])
    wired = await wire(nursery, kind, server, keep_alive=True)
    mistake = MineError("mine")
    body = forever() if stage == "sending pieces" else None
    options: Any = {"method": "POST", "agent": wired.agent, "body": body}

    async def give_up(request: Any) -> None:
        await trio.sleep(0.01)
        if how == "abort":
            request.abort()
        else:
            request.destroy(mistake if how == "destroy with error" else None)

    with trio.fail_after(1):
        async with http.request(wired.url, **options) as request:
            nursery.start_soon(give_up, request)
            expected = MineError if how == "destroy with error" else http.SocketHangUpError
            with pytest.raises(expected) as caught:
                await to(stage, request)
            if how == "destroy with error":
                assert caught.value is mistake
            assert request.destroyed
            assert request.closed
            assert wired.counts() == (0, 0, 0, 0)
            await wired.all_ended()
    if stage == "sending pieces":
        await options["body"].aclose()


async def test_destroyed_while_queued(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", read_all, max_sockets=1, keep_alive=True)
    mistake = MineError("mine")
    async with http.request(wired.url, agent=wired.agent):
        queued = http.request(wired.url, agent=wired.agent)

        async def destroy() -> None:
            await trio.sleep(1)
            assert wired.counts() == (1, 0, 0, 1)
            queued.destroy(mistake)

        nursery.start_soon(destroy)
        with pytest.raises(MineError):
            async with queued:
                pytest.fail("it was destroyed")
        assert wired.counts() == (1, 0, 0, 0)
    assert wired.begun == 1, "the server never heard of it"


async def test_destroyed_as_its_turn_comes(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", read_all, max_sockets=1)
    queued = http.request(wired.url, agent=wired.agent)
    told: list[BaseException] = []

    async def wait() -> None:
        try:
            async with queued:
                pytest.fail("it was destroyed")
        except http.SocketHangUpError as error:
            told.append(error)

    async with http.request(wired.url, agent=wired.agent):
        nursery.start_soon(wait)
        await trio.sleep(1)
    queued.destroy()
    await trio.sleep(1)
    assert told == [queued.errored]
    assert wired.counts() == (0, 0, 0, 0)


async def test_destroyed_by_its_socket_event(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(OK), ExpectEnd()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    for _ in range(2):  # a fresh socket, and a kept one
        request = http.request(wired.url, agent=wired.agent)
        request.on("socket", lambda _, request=request: request.destroy())
        with pytest.raises(http.SocketHangUpError):
            async with request:
                await request.get_response()
        assert wired.counts() == (0, 0, 0, 0)
        async with http.get(wired.url, agent=wired.agent) as response:
            await response.read()


async def test_connected_in_spite_of_being_destroyed(nursery: Any, autojump_clock: Any) -> None:
    """A connection factory that is deaf to cancellation loses its stream."""
    wired = await wire(nursery, "memory", read_all)
    connect = wired.agent.create_connection

    async def deaf(options: Any) -> Any:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
            return await connect(options)

    agent = http.Agent(create_connection=deaf)
    request = http.request(wired.url, agent=agent)

    async def destroy() -> None:
        await trio.sleep(1)
        request.destroy()

    nursery.start_soon(destroy)
    with pytest.raises(http.SocketHangUpError):
        async with request:
            pytest.fail("it was destroyed")
    await wired.all_ended()
    stats = agent.stats()
    assert (stats.active, stats.connecting) == (0, 0)


# --- leaving ---------------------------------------------------------------------------


async def nothing(_: Any) -> None:
    pass


async def head_sent(request: Any) -> None:
    await request.flush_headers()


async def part_written(request: Any) -> None:
    await request.write(b"part")


async def all_sent(request: Any) -> None:
    await request.end()


async def response_unread(request: Any) -> None:
    await request.get_response()


async def response_half_read(request: Any) -> None:
    response = await request.get_response()
    await response.receive_some(1)


async def every_byte_read(request: Any) -> None:
    response = await request.get_response()
    assert await response.receive_some(2) == b"ok"


async def response_read(request: Any) -> None:
    response = await request.get_response()
    await response.read()


async def response_closed(request: Any) -> None:
    response = await request.get_response()
    await response.aclose()


async def read_and_destroyed(request: Any) -> None:
    await response_read(request)
    request.destroy()
    request.response.destroy()


KEPT = [every_byte_read, response_read, read_and_destroyed]
CUT = [nothing, head_sent, part_written, all_sent, response_unread, response_half_read]
STATES = [*KEPT, *CUT, response_closed]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", KINDS)
async def test_leaving(nursery: Any, kind: str, state: Any, fails: bool) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(OK), ExpectEnd()])
    wired = await wire(nursery, kind, server, keep_alive=True)
    closes: list[str] = []
    request = http.request(wired.url, method="POST", agent=wired.agent)
    request.on("close", lambda: closes.append("request"))
    tasks = trio.lowlevel.current_statistics().tasks_living
    with pytest.raises(MineError) if fails else contextlib.nullcontext():
        async with request:
            assert request.socket is not None
            request.socket.on("close", lambda: closes.append("socket"))
            await state(request)
            if fails:
                raise MineError
    socket = request.socket
    assert socket is not None
    kept = state in KEPT
    assert wired.counts() == (0, 0, int(kept), 0)
    assert sorted(closes) == (["request"] if kept else ["request", "socket"])
    assert socket.destroyed is not kept
    request._leave()
    assert len(closes) == (1 if kept else 2)
    if not kept:
        await wired.all_ended()
        assert trio.lowlevel.current_statistics().tasks_living <= tasks + 1


async def use(wired: Wire, **options: Any) -> None:
    async with http.get(wired.url, agent=wired.agent, **options) as response:
        await response.read()


async def test_nothing_after_a_response_without_a_body(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(EMPTY), Stall()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    async with http.request(wired.url, agent=wired.agent) as request:
        response = await request.get_response()
        assert wired.counts() == (0, 0, 1, 0), "it is free at once"
        assert await response.read() == b""
    assert wired.counts() == (0, 0, 1, 0)


async def test_response_without_a_body_before_the_end(nursery: Any, autojump_clock: Any) -> None:
    """Another task hears the response before the one that sends is told that it has."""
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(EMPTY), ExpectEnd()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        await request.write(b"first")
        response = await request.get_response()
        assert response.status_code == 204
        assert wired.counts() == (1, 0, 0, 0)
        await request.end()
        assert wired.counts() == (0, 0, 0, 0), "it was not sent whole"


@pytest.mark.parametrize("answer", [OK.replace(b"OK", b"OK\r\nConnection: close"), OK + b"stray"])
async def test_socket_that_may_not_be_kept(
    nursery: Any, autojump_clock: Any, answer: bytes
) -> None:
    wired = await wire(
        nursery,
        "memory",
        FaultyServer([Expect(b"\r\n\r\n"), Send(answer), Stall()]),
        keep_alive=True,
    )
    await use(wired)
    assert wired.counts() == (0, 0, 0, 0)


async def test_request_that_says_close(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"Connection: close\r\n"), Send(OK), Stall()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    await use(wired, headers={"Connection": "close"})
    assert wired.counts() == (0, 0, 0, 0)


async def test_a_request_is_entered_once(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(OK), Stall()])
    wired = await wire(nursery, "memory", server)
    request = http.request(wired.url, agent=wired.agent)
    async with request:
        await request.get_response()
    with pytest.raises(http.StateError):
        async with request:
            pytest.fail("it was sent")


@pytest.mark.parametrize("fault", [Reset(), Send(b"junk\r\n")])
async def test_broken_in_the_middle_of_a_chunk(
    nursery: Any, autojump_clock: Any, fault: Any
) -> None:
    begin = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    wired = await wire(
        nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(begin), fault, Stall()])
    )
    async with http.get(wired.url, agent=wired.agent) as response:
        told: list[object] = []
        response.on("error", told.append)
        expected = http.AbortedError if isinstance(fault, Reset) else http.ParseError
        with pytest.raises(expected) as caught:
            await response.read()
        assert told == [caught.value]
        assert response.errored is caught.value
        assert response.closed
        assert wired.counts() == (0, 0, 0, 0), "at once, not at the end of the scope"
        with pytest.raises(expected):
            await response.receive_some()


async def test_agents_timeout_is_told_while_connecting(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(OK)]))
    connect = wired.agent.create_connection

    async def slowly(options: Any) -> Any:
        await trio.sleep(3)
        return await connect(options)

    agent = http.Agent(create_connection=slowly, timeout=1)
    told: list[str] = []
    request = http.request(wired.url, agent=agent)
    request.on("timeout", lambda: told.append("timeout"))
    async with request:
        await request.get_response()
    assert told == ["timeout"]


async def test_giving_up_what_needs_no_socket_any_more(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(EMPTY), Stall()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    async with http.request(wired.url, agent=wired.agent) as request:
        response = await request.get_response()
        response.destroy()
        request.destroy()
    assert wired.counts() == (0, 0, 1, 0)


async def test_giving_up_a_response_without_a_body(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(EMPTY), ExpectEnd()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        await request.write(b"first")
        response = await request.get_response()
        told: list[object] = []
        response.on("aborted", lambda: told.append("aborted"))
        response.destroy()
        assert told == [], "it was whole"
        assert wired.counts() == (0, 0, 0, 0)
        await wired.all_ended()
