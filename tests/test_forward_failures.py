"""What `forward` does where one side fails: the other is told, and nothing is left."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.forwarding import CLOSE, OK, chain, read_one_head
from tests.wires import read_all, read_head
from trio_nodehttp.testing import MemoryNetwork

POST = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n" + CLOSE
PART = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo"


async def hang(stream: Any) -> None:
    await trio.sleep_forever()


def refusal(answer: bytes) -> tuple[bytes, bytes]:
    """The status line and the body of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], body


BAD_GATEWAY = (b"HTTP/1.1 502 Bad Gateway", b"Bad Gateway\n")
TOO_SLOW = (b"HTTP/1.1 504 Gateway Timeout", b"Gateway Timeout\n")


# --- the origin fails ------------------------------------------------------------------------


async def test_an_origin_that_nobody_is(
    nursery: trio.Nursery, memory_network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = await chain(nursery, memory_network)
    assert refusal(await proxy.get(b"/a")) == BAD_GATEWAY
    assert proxy.counts() == (0, 0, 0, 0)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "GET /a is not passed on to origin.test:80: connect ECONNREFUSED origin.test:80 (502)"
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 101,
    ],
)
@pytest.mark.parametrize("how", ["get", "small", "upload"])
async def test_an_origin_that_gives_no_answer(
    nursery: trio.Nursery, memory_network: MemoryNetwork, answer: bytes, how: str
) -> None:
    proxy = await chain(nursery, memory_network)

    async def origin(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all(answer)

    memory_network.listen("origin.test", 80, origin)
    if how == "get":
        told = await proxy.get()
    elif how == "small":
        told = await proxy.ask(POST + b"body")
    else:
        stream = await proxy.client(POST)
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(b"body")
        told = await read_all(stream)
    assert refusal(told[told.rindex(b"HTTP/1.1 ") :]) == BAD_GATEWAY
    await proxy.all_quiet()
    assert proxy.agent.stats().idle == 0


@pytest.mark.parametrize("answer", [PART, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])
@pytest.mark.parametrize("end", ["close", "garbage"])
async def test_half_a_response_is_no_whole_one(
    nursery: trio.Nursery,
    memory_network: MemoryNetwork,
    caplog: pytest.LogCaptureFixture,
    answer: bytes,
    end: str,
) -> None:
    proxy = await chain(nursery, memory_network)

    async def origin(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all(answer)
        await trio.testing.wait_all_tasks_blocked()
        if end == "garbage" and b"chunked" in answer:
            await stream.send_all(b"zz\r\n")

    memory_network.listen("origin.test", 80, origin)
    stream = await proxy.client(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    got = await read_all(stream)
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    # Neither the length nor the last chunk is there: the client can tell.
    assert not got.endswith((b"body", b"0\r\n\r\n"))
    await proxy.all_quiet()
    assert [record.getMessage()[-9:] for record in caplog.records] == ["(cut off)"]
    assert proxy.server.connections == 0


async def test_a_dead_connection_of_the_pool_is_replaced(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    served = 0

    async def origin(stream: Any) -> None:
        nonlocal served
        for _ in range(1 if served == 0 else 9):
            if not await read_head(stream):
                return
            served += 1
            await stream.send_all(OK)
        # The next request reaches a connection that is about to close.
        await read_head(stream)

    memory_network.listen("origin.test", 80, origin)
    assert (await proxy.get()).endswith(b"ok")
    assert (await proxy.get()).endswith(b"ok")
    assert proxy.agent.stats().opened == 2
    await proxy.all_quiet()


# --- the origin is too slow ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["get", "small", "upload"])
async def test_a_silent_origin(
    nursery: trio.Nursery,
    memory_network: MemoryNetwork,
    autojump_clock: trio.testing.MockClock,
    how: str,
) -> None:
    proxy = await chain(nursery, memory_network, timeout=7)
    memory_network.listen("origin.test", 80, hang)
    started = trio.current_time()
    if how == "upload":
        stream = await proxy.client(POST)
        await trio.sleep(100)
        started = trio.current_time()
        await stream.send_all(b"body")
        told = await read_all(stream)
    else:
        told = await proxy.ask(POST + b"body" if how == "small" else b"GET / HTTP/1.1\r\n" + CLOSE)
    assert refusal(told) == TOO_SLOW
    assert trio.current_time() - started == pytest.approx(7, abs=0.5)
    assert proxy.counts() == (0, 0, 0, 0)


async def test_an_origin_that_takes_no_body(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    proxy = await chain(nursery, memory_network, timeout=7)
    memory_network.listen("origin.test", 80, hang)
    stream = await proxy.client(b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n" + CLOSE)
    nursery.start_soon(stream.send_all, bytes(200000))
    assert refusal(await read_all(stream)) == TOO_SLOW
    assert trio.current_time() == pytest.approx(7, abs=0.5)
    assert proxy.counts() == (0, 0, 0, 0)


async def test_an_origin_that_stops_in_its_answer(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    proxy = await chain(nursery, memory_network, timeout=7)
    proxy.origin(PART, then=hang)
    assert (await proxy.get()).endswith(b"\r\n\r\nbo")
    assert trio.current_time() == pytest.approx(7, abs=0.5)
    assert proxy.counts() == (0, 0, 0, 0)


async def test_a_connection_that_does_not_come(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    async def connect(_: object) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    proxy = await chain(nursery, memory_network, timeout=7)
    proxy.agent._connector = connect
    assert refusal(await proxy.get()) == TOO_SLOW
    assert proxy.counts() == (0, 0, 0, 0)


async def test_an_error_of_the_system_says_too_slow_itself(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    async def connect(_: object) -> trio.abc.Stream:
        raise TimeoutError(110, "Connection timed out")

    proxy = await chain(nursery, memory_network)
    proxy.agent._connector = connect
    assert refusal(await proxy.get()) == TOO_SLOW


async def test_a_pool_that_is_full_is_our_own_fault(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    proxy = await chain(nursery, memory_network, agent={"max_sockets": 1, "queue_timeout": 3})
    memory_network.listen("origin.test", 80, hang)
    first = await proxy.client(b"GET / HTTP/1.1\r\n" + CLOSE)
    await trio.testing.wait_all_tasks_blocked()
    told = await proxy.get()
    assert refusal(told) == (b"HTTP/1.1 503 Service Unavailable", b"Service Unavailable\n")
    await first.aclose()
    await proxy.all_quiet()


async def test_no_limit_is_none(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    proxy = await chain(nursery, memory_network, timeout=None)

    async def origin(stream: Any) -> None:
        await read_head(stream)
        await trio.sleep(80000)
        await stream.send_all(OK)

    memory_network.listen("origin.test", 80, origin)
    assert (await proxy.get()).endswith(b"ok")


# --- failures that are raised ------------------------------------------------------------------


async def test_a_failure_can_be_raised_for_another_origin(memory_network: MemoryNetwork) -> None:
    async with memory_network.agent() as agent, trio.open_nursery() as nursery:

        async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
            for name in ("down.test", "origin.test"):
                try:
                    await http.forward(
                        request, response, f"http://{name}", agent=agent, raise_unreached=True
                    )
                except http.ConnectionFailedError:
                    continue
                return

        async def origin(request: http.IncomingMessage, response: http.ServerResponse) -> None:
            await response.end(await request.read())

        await nursery.start(memory_network.serve, http.create_server(handler), "front.test")
        await nursery.start(memory_network.serve, http.create_server(origin), "origin.test")
        stream = await memory_network.connect("front.test")
        await stream.send_all(POST + b"body")
        assert (await read_all(stream)).endswith(b"\r\n\r\nbody")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("answer", [b"", PART])
async def test_an_origin_that_was_reached_is_answered_for(
    nursery: trio.Nursery, memory_network: MemoryNetwork, answer: bytes
) -> None:
    proxy = await chain(nursery, memory_network, raise_unreached=True)

    async def origin(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all(answer)

    memory_network.listen("origin.test", 80, origin)
    told = refusal(await proxy.get())
    assert told == (BAD_GATEWAY if not answer else (b"HTTP/1.1 200 OK", b"bo"))


async def test_a_connection_that_took_too_long_is_none(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    async def connect(_: object) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        agent = http.Agent(create_connection=connect)
        with pytest.raises(http.SocketTimeoutError, match="kept us waiting for 3"):
            await http.forward(
                request, response, "http://a.test", agent=agent, timeout=3, raise_unreached=True
            )
        await response.end(await request.read())

    await nursery.start(memory_network.serve, http.create_server(handler), "front.test")
    stream = await memory_network.connect("front.test")
    await stream.send_all(POST + b"body")
    assert (await read_all(stream)).endswith(b"\r\n\r\nbody")


# --- the client fails ------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["waiting", "sending", "receiving"])
@pytest.mark.parametrize("wire", ["memory", "tcp"])
async def test_a_client_that_leaves_takes_the_request_along(  # noqa: PLR0917
    nursery: trio.Nursery,
    memory_network: MemoryNetwork,
    http_server: Any,
    when: str,
    wire: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    left, reached = trio.Event(), trio.Event()

    async def origin(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        reached.set()
        async with request.cancel_on_disconnect():
            if when == "sending":
                with pytest.raises(http.AbortedError):
                    await request.read()
            elif when == "receiving":
                await response.write("part")
            if when != "sending":
                await trio.sleep_forever()
        assert request.aborted
        left.set()

    options = {"connections_checking_interval": 0.005}
    back = await http_server(origin, **options)
    agent = http.Agent(keep_alive=True)

    async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await http.forward(request, response, back.url, agent=agent)
        assert request.aborted

    front = await http_server(handler, on_error="raise", **options)
    if wire == "tcp":
        stream: Any = await trio.open_tcp_stream("127.0.0.1", front.address[1])
    else:
        await nursery.start(memory_network.serve, front, "front.test")
        stream = await memory_network.connect("front.test")
    await stream.send_all(POST + b"bo" if when == "sending" else b"GET / HTTP/1.1\r\n" + CLOSE)
    with trio.fail_after(2):
        await reached.wait()
        if when == "receiving":
            await read_one_head(stream)
        await stream.aclose()
        await left.wait()
        while agent.stats().active:  # noqa: ASYNC110  # an agent tells of no event
            await trio.sleep(0.001)
    assert (agent.stats().connecting, agent.stats().idle) == (0, 0)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_client_that_breaks_the_rules_is_answered_by_the_server(
    nursery: trio.Nursery, memory_network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = await chain(nursery, memory_network)
    ends = []

    async def origin(stream: Any) -> None:
        ends.append(await read_all(stream))

    memory_network.listen("origin.test", 80, origin)
    stream = await proxy.client(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + CLOSE)
    await trio.testing.wait_all_tasks_blocked()
    await stream.send_all(b"2\r\nbo\r\nzz\r\n")
    assert await read_all(stream) == b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
    await proxy.all_quiet()
    assert proxy.agent.stats().idle == 0
    # The origin sees a request that was cut short, never one that ended.
    assert ends[0].endswith(b"2\r\nbo\r\n")
    assert "is not passed on" not in caplog.text


async def test_a_client_that_breaks_the_rules_at_once(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    memory_network.listen("origin.test", 80, read_all)
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + CLOSE
    assert (await proxy.ask(head + b"zz\r\n")).startswith(b"HTTP/1.1 400 ")
    await proxy.all_quiet()
    assert proxy.agent.stats().idle == 0


async def test_what_is_no_failure_of_http_is_raised(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    caught: list[BaseException] = []
    async with memory_network.agent() as agent:

        async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
            with pytest.raises(ZeroDivisionError) as info:
                await http.forward(request, response, "http://origin.test", agent=agent)
            caught.append(info.value)
            response.destroy()

        await nursery.start(memory_network.serve, http.create_server(handler), "front.test")

        async def origin(stream: Any) -> None:
            await read_one_head(stream)
            await stream.receive_some()
            await stream.send_all(OK)

        memory_network.listen("origin.test", 80, origin)
        agent.keep_socket_alive = _fail  # type: ignore[assignment,method-assign]
        agent.keep_alive = True
        stream = await memory_network.connect("front.test")
        await stream.send_all(POST)
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(b"body")
        await read_all(stream)
    assert caught


def _fail(_: object) -> bool:
    raise ZeroDivisionError
