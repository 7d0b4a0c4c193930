"""How `forward` moves bytes: at once, both ways, and no faster than they are taken."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.forwarding import CLOSE, OK, Chain, chain, lines_of, read_one_head
from tests.wires import cancel_at, read_all, read_head
from trio_nodehttp.testing import MemoryNetwork

POST = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n" + CLOSE
EXPECT = b"POST / HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n" + CLOSE
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


async def test_a_head_goes_on_before_its_body_comes(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    go_on = trio.Event()

    async def origin(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await go_on.wait()
        await stream.send_all(b"ok")
        await read_all(stream)

    memory_network.listen("origin.test", 80, origin)
    stream = await proxy.client(b"GET / HTTP/1.1\r\n" + CLOSE)
    assert (await read_one_head(stream)).startswith(b"HTTP/1.1 200 OK\r\n")
    go_on.set()
    assert await read_all(stream) == b"ok"


async def test_a_small_response_goes_on_in_one_piece(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    proxy.origin(OK)
    stream = await proxy.client(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await trio.testing.wait_all_tasks_blocked()
    assert bytes(await stream.receive_some()).endswith(b"\r\n\r\nok")
    # And the connection is kept on both sides.
    await proxy.all_quiet()
    assert proxy.agent.stats().idle == 1
    assert proxy.server.connections == 1


async def test_nobody_reads_ahead_of_the_client(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    sent = 0

    async def origin(stream: Any) -> None:
        nonlocal sent
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
        for _ in range(1000):
            await stream.send_all(bytes(10000))
            sent += 10000

    memory_network.listen("origin.test", 80, origin)
    stream = await proxy.client(b"GET / HTTP/1.1\r\n" + CLOSE)
    await trio.testing.wait_all_tasks_blocked()
    assert sent < 1_000_000
    assert len(await read_all(stream)) > 10_000_000


# --- 1xx -------------------------------------------------------------------------------------


async def test_informational_responses_pass_as_they_come(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    ready = trio.Event()

    async def origin(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nConnection: x\r\nx: 1\r\n\r\n"
            b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 104 Resuming\r\nUpload-Offset: 5\r\n\r\n"
        )
        await ready.wait()
        await stream.send_all(OK)
        await read_all(stream)

    memory_network.listen("origin.test", 80, origin)
    stream = await proxy.client(b"GET / HTTP/1.1\r\n" + CLOSE)
    assert await read_one_head(stream) == (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n"
    )
    assert await read_one_head(stream) == b"HTTP/1.1 102 Processing\r\n\r\n"
    assert await read_one_head(stream) == b"HTTP/1.1 104 unknown\r\nUpload-Offset: 5\r\n\r\n"
    ready.set()
    assert (await read_all(stream)).endswith(b"ok")


# --- 100-continue ------------------------------------------------------------------------------


async def test_the_origin_asks_for_the_body(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    go_on = trio.Event()
    received = []

    async def origin(stream: Any) -> None:
        head = await read_one_head(stream)
        assert b"Expect: 100-continue" in lines_of(head)
        await go_on.wait()
        await stream.send_all(CONTINUE)
        received.append(bytes(await stream.receive_some()))
        await stream.send_all(OK)
        await read_all(stream)

    memory_network.listen("origin.test", 80, origin)
    stream = await proxy.client(EXPECT)
    with trio.move_on_after(0.01) as waited:
        await stream.receive_some()
    assert waited.cancelled_caught
    go_on.set()
    assert await read_one_head(stream) == CONTINUE
    assert received == []
    await stream.send_all(b"body")
    # No second 100 comes.
    assert (await read_all(stream)).startswith(b"HTTP/1.1 200 OK\r\n")
    assert received == [b"body"]
    await proxy.all_quiet()
    assert proxy.agent.stats().idle == 1


async def test_the_origin_wants_no_body(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
    proxy.origin(refusal)
    answer = await proxy.ask(EXPECT)
    assert answer.startswith(b"HTTP/1.1 413 Too Large\r\n")
    assert answer.endswith(b"\r\n\r\nno")
    assert proxy.counts() == (0, 0, 0, 0)


async def test_an_origin_that_asks_for_nothing_gets_the_body_all_the_same(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    proxy = await chain(nursery, memory_network)
    received = []

    async def origin(stream: Any) -> None:
        await read_one_head(stream)
        received.append(bytes(await stream.receive_some()))
        await stream.send_all(OK)
        await read_all(stream)

    memory_network.listen("origin.test", 80, origin)
    started = trio.current_time()
    stream = await proxy.client(EXPECT)
    assert await read_one_head(stream) == CONTINUE
    assert trio.current_time() - started == pytest.approx(1)
    await stream.send_all(b"body")
    assert (await read_all(stream)).endswith(b"ok")
    assert received == [b"body"]


async def test_a_client_that_does_not_wait_is_not_told_to_go_on(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    proxy.origin(OK)
    answer = await proxy.ask(EXPECT + b"body")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Expect: 100-continue" in lines_of(proxy.heads[0])


@pytest.mark.parametrize("late", [0.999999, 1, 1.000001])
async def test_an_answer_while_the_client_is_being_asked(
    nursery: trio.Nursery,
    memory_network: MemoryNetwork,
    autojump_clock: trio.testing.MockClock,
    late: float,
) -> None:
    proxy = await chain(nursery, memory_network)

    async def origin(stream: Any) -> None:
        await read_one_head(stream)
        await trio.sleep(late)
        await stream.send_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
        await read_all(stream)

    memory_network.listen("origin.test", 80, origin)
    stream = await proxy.client(EXPECT)
    head = await read_one_head(stream)
    heads = []
    while not head.startswith(b"HTTP/1.1 200 "):
        heads.append(head)
        head = await read_one_head(stream)
    assert sorted(heads) in ([HINTS], [CONTINUE, HINTS])
    assert await stream.receive_some() == b"ok"
    await stream.aclose()


# --- both ways at once -------------------------------------------------------------------------


async def test_an_early_refusal_reaches_a_client_that_still_sends(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)

    async def origin(stream: Any) -> None:
        await read_one_head(stream)
        await stream.send_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")

    memory_network.listen("origin.test", 80, origin)
    stream = await proxy.client(b"PUT / HTTP/1.1\r\nContent-Length: 100000000\r\n" + CLOSE)
    await stream.send_all(bytes(1000))
    answer = await read_all(stream)
    assert answer.startswith(b"HTTP/1.1 413 Too Large\r\n")
    assert answer.endswith(b"\r\n\r\nno")
    await proxy.all_quiet()
    assert proxy.agent.stats().idle == 0


async def test_an_origin_that_stops_reading_still_answers(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)

    async def origin(stream: Any) -> None:
        # It never reads the body, which fills every buffer.
        await read_one_head(stream)
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
        await trio.sleep_forever()

    memory_network.listen("origin.test", 80, origin)
    stream = await proxy.client(b"PUT / HTTP/1.1\r\nContent-Length: 1000000\r\n" + CLOSE)

    async def send() -> None:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(bytes(1000000))

    nursery.start_soon(send)
    assert (await read_one_head(stream)).startswith(b"HTTP/1.1 403 No\r\n")
    assert bytes(await stream.receive_some()) == b"no"
    await proxy.all_quiet()
    await stream.aclose()


async def test_the_last_piece_ends_the_request_before_the_answer(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    proxy.origin(OK, then=None)
    stream = await proxy.client(POST)
    await trio.testing.wait_all_tasks_blocked()
    await stream.send_all(b"bo")
    await trio.testing.wait_all_tasks_blocked()
    await stream.send_all(b"dy")
    assert (await read_all(stream)).endswith(b"ok")
    await proxy.all_quiet()


async def test_an_answer_before_the_end_of_the_upload_frees_no_socket(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    ended = trio.Event()

    async def origin(stream: Any) -> None:
        await read_one_head(stream)
        await stream.send_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        await read_all(stream)
        ended.set()

    memory_network.listen("origin.test", 80, origin)
    stream = await proxy.client(POST, b"b")
    assert (await read_one_head(stream)).startswith(b"HTTP/1.1 204 ")
    await ended.wait()
    assert proxy.counts() == (0, 0, 0, 0)
    await stream.aclose()


async def test_a_request_without_a_body_starts_no_task(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    proxy.origin(OK, OK, OK)
    stream = await proxy.client(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await trio.testing.wait_all_tasks_blocked()
    counter = _Spawned()
    trio.lowlevel.add_instrument(counter)
    await stream.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await stream.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
    await trio.testing.wait_all_tasks_blocked()
    trio.lowlevel.remove_instrument(counter)
    assert counter.count == 0
    assert len(proxy.heads) == 3


class _Spawned(trio.abc.Instrument):
    count = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


# --- patience --------------------------------------------------------------------------------


async def test_a_slow_client_is_not_the_origins_fault(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    proxy = await chain(nursery, memory_network, timeout=5, server={"request_timeout": 1000})

    async def origin(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        size = len(await request.read())
        response.set_header("Content-Length", size)
        for _ in range(size // 1000):
            await response.write(bytes(1000))

    await nursery.start(memory_network.serve, http.create_server(origin), "origin.test", 80)
    stream = await proxy.client(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n" + CLOSE)
    for _ in range(10):
        await trio.sleep(50)
        await stream.send_all(bytes(100000))
    await trio.sleep(50)
    head = await read_one_head(stream)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    for _ in range(10):
        await trio.sleep(50)
        left = 100000
        while left:
            data = await stream.receive_some(left)
            assert data
            left -= len(data)
    assert await read_all(stream) == b""


async def test_an_origin_that_waits_for_the_client_is_not_too_slow(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    proxy = await chain(nursery, memory_network, timeout=5, server={"request_timeout": 1000})

    async def echo(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.flush_headers()
        async for piece in request:
            await response.write(piece)

    server = http.create_server(echo, request_timeout=1000)
    await nursery.start(memory_network.serve, server, "origin.test", 80)
    stream = await proxy.client(b"POST / HTTP/1.1\r\nContent-Length: 12\r\n" + CLOSE)
    assert (await read_one_head(stream)).startswith(b"HTTP/1.1 200 OK\r\n")
    for _ in range(3):
        await trio.sleep(50)
        await stream.send_all(b"four")
        assert await stream.receive_some() == b"4\r\nfour\r\n"
    assert await read_all(stream) == b"0\r\n\r\n"


async def test_a_client_that_sends_and_does_not_read_is_not_the_origins_fault(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    proxy = await chain(nursery, memory_network, timeout=5, server={"request_timeout": 1000})

    async def echo(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        async for piece in request:
            await response.write(piece)

    server = http.create_server(echo, request_timeout=1000)
    await nursery.start(memory_network.serve, server, "origin.test", 80)
    size = 2_000_000
    stream = await proxy.client(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n" % size + CLOSE)
    nursery.start_soon(stream.send_all, bytes(size))
    # Every buffer is full in both directions, and everybody waits for the client.
    await trio.sleep(500)
    answer = await read_all(stream)
    assert answer.count(0) == size
    assert answer.endswith(b"0\r\n\r\n")


# --- cancellation ------------------------------------------------------------------------------


async def forward_cancelled(count: int, how: str) -> bool:
    """Cancel it at its nth checkpoint, and see what is left; False if it has fewer."""
    done = []
    async with MemoryNetwork() as network, network.agent(keep_alive=True) as agent:
        proxy = Chain(network, agent, http.create_server())
        proxy.origin(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)

        async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
            work = partial(http.forward, request, response, "http://origin.test", agent=agent)
            done.append(await cancel_at(count, work))
            stats = agent.stats()
            assert (stats.active, stats.connecting, stats.queued) == (0, 0, 0)
            response.destroy()

        server = http.create_server(handler, on_error="raise")
        network.listen("front.test", 80, server.serve_stream)
        stream = await network.connect("front.test")
        await stream.send_all(POST if how == "upload" else b"GET / HTTP/1.1\r\n" + CLOSE)
        if how == "upload":
            await trio.testing.wait_all_tasks_blocked()
            with suppress(trio.BrokenResourceError):
                await stream.send_all(b"body")
        await read_all(stream)
        await trio.testing.wait_all_tasks_blocked()
        to_origin = [c for c in network.connections if c.host == "origin.test"]
        assert sum(not c.client.closed for c in to_origin) == agent.stats().idle
    return done != [None]


@pytest.mark.parametrize("how", ["get", "upload"])
async def test_cancelling_at_any_checkpoint_leaves_nothing(how: str) -> None:
    count = 1
    while await forward_cancelled(count, how):
        count += 1
    assert count > 5
