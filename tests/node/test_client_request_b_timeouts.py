"""Timeouts of a client's request."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import read_all, wire
from trio_nodehttp.testing import Expect, FaultyServer, Send, Stall

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.node("test-http-client-timeout-on-connect.js")
@pytest.mark.node_api("ClientRequest|request.setTimeout(timeout[, callback])")
async def test_set_timeout_counts_from_the_connection(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", read_all)
    connect = wired.agent.create_connection
    begun = trio.current_time()

    async def slowly(options: Any) -> Any:
        assert options.timeout is None
        await trio.sleep(7)
        return await connect(options)

    request = http.request(wired.url, agent=http.Agent(create_connection=slowly))
    told: list[object] = []

    def on_timeout() -> None:
        told.append(trio.current_time() - begun)
        request.abort()

    request.on("socket", lambda socket: told.append((socket.connecting, socket.timeout)))
    assert request.set_timeout(1, on_timeout) is request
    async with request:
        with pytest.raises(http.SocketHangUpError, match="socket hang up"):
            await request.get_response()
    assert told == [(True, math.inf), pytest.approx(8)]
    await wired.all_ended()


@pytest.mark.node("test-http-client-timeout-on-connect.js")
async def test_set_timeout_while_connecting(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", read_all)
    connect = wired.agent.create_connection

    async def slowly(options: Any) -> Any:
        await trio.sleep(7)
        return await connect(options)

    request = http.request(wired.url, agent=http.Agent(create_connection=slowly))
    told: list[object] = []
    request.on("socket", lambda _: request.set_timeout(1, lambda: told.append("timeout")))
    async with request:
        assert request.socket is not None
        assert request.socket.timeout == 1
        assert told == []
        await trio.sleep(2)
        assert told == ["timeout"]
        assert not request.destroyed


@pytest.mark.node("test-http-client-timeout-option-listeners.js")
async def test_watchers_do_not_pile_up(nursery: Any, autojump_clock: Any) -> None:
    once: list[Any] = [Expect(b"\r\n\r\n"), Send(OK)]
    server = FaultyServer([*once, *once, *once, Stall()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    counts = []
    sockets = set()
    for _ in range(3):
        async with http.request(wired.url, agent=wired.agent, timeout=3) as request:
            socket = request.socket
            assert socket is not None
            request.set_timeout(3)
            counts.append(len(socket.watchers))
            sockets.add(socket)
            response = await request.get_response()
            await response.read()
            assert len(socket.watchers) == 0
            assert socket.timeout == math.inf
    assert counts == [1, 1, 1]
    assert len(sockets) == 1


@pytest.mark.node("test-http-client-timeout-option-with-agent.js")
@pytest.mark.node_api("http.request|timeout", "ClientRequest|timeout", "ClientRequest|socket")
@pytest.mark.parametrize("own", [100, 20])
async def test_request_timeout_beats_the_agents(
    nursery: Any, autojump_clock: Any, own: float
) -> None:
    wired = await wire(nursery, "memory", read_all, timeout=50, keep_alive=True)
    begun = trio.current_time()
    request = http.request(wired.url, agent=wired.agent, timeout=own)
    told: list[object] = []
    request.on("socket", lambda socket: told.append((socket.connecting, socket.timeout)))

    def on_timeout() -> None:
        told.append(trio.current_time() - begun)
        request.destroy()

    request.on("timeout", on_timeout)
    async with request:
        assert request.socket is not None
        assert request.socket.timeout == own
        with pytest.raises(http.SocketHangUpError):
            await request.get_response()
    assert told == [(True, own), pytest.approx(own)]


@pytest.mark.node("test-http-client-timeout-option.js")
async def test_timeout_option(nursery: Any, autojump_clock: Any) -> None:
    with pytest.raises(TypeError, match="timeout") as caught:
        http.request("http://origin.test/", timeout="1")  # type: ignore[arg-type]
    assert getattr(caught.value, "code", None) == "ERR_INVALID_ARG_TYPE"
    assert not http.request("http://origin.test/", timeout=None).destroyed

    wired = await wire(nursery, "memory", read_all)
    begun = trio.current_time()
    told: list[float] = []
    request = http.request(wired.url, method="POST", agent=wired.agent, timeout=1)
    request.on("timeout", lambda: told.append(trio.current_time() - begun))
    async with request:
        await trio.sleep(10)
        assert told == [pytest.approx(1)]
        await request.end()
        assert not request.destroyed
        request.destroy()
    assert len(told) == 1


@pytest.mark.node("test-http-client-timeout.js")
async def test_set_timeout_whose_callback_destroys(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", read_all)
    closes: list[bool] = []
    async with http.request(wired.url, agent=wired.agent) as request:

        def on_timeout() -> None:
            request.destroy()

        assert request.set_timeout(1, on_timeout) is request
        request.on("close", lambda: closes.append(request.destroyed))
        with pytest.raises(http.SocketHangUpError):
            await request.get_response()
        assert closes == [True]


@pytest.mark.parametrize("when", ["connecting", "sending", "waiting", "reading"])
async def test_timeout_that_nobody_observes(nursery: Any, autojump_clock: Any, when: str) -> None:
    half = OK[:-1] if when == "reading" else b""
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(half), Stall()])
    wired = await wire(nursery, "memory", server)
    connect = wired.agent.create_connection

    async def make(options: Any) -> Any:
        if when == "connecting":
            await trio.sleep_forever()
        return await connect(options)

    agent = http.Agent(create_connection=make)
    request = http.request(wired.url, method="POST", agent=agent, timeout=2)
    errors: list[object] = []
    request.on("error", errors.append)
    begun = trio.current_time()
    with pytest.raises(http.SocketTimeoutError) as caught:  # noqa: PT012  # wherever it is
        async with request:
            if when == "sending":
                await request.write(b"x" * 1_000_000)
            response = await request.get_response()
            response.on("error", errors.append)
            await response.read()
    assert trio.current_time() - begun == pytest.approx(2)
    assert caught.value.code == "ETIMEDOUT"
    assert isinstance(caught.value, trio.TooSlowError)
    assert errors == [caught.value]
    stats = agent.stats()
    assert (stats.active, stats.connecting, stats.idle) == (0, 0, 0)


async def test_timeout_while_connecting_only_notifies(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(OK)]))
    connect = wired.agent.create_connection

    async def slowly(options: Any) -> Any:
        assert options.timeout is None, "it must not be enforced"
        await trio.sleep(3)
        return await connect(options)

    told: list[float] = []
    request = http.request(wired.url, agent=http.Agent(create_connection=slowly), timeout=1)
    request.on("timeout", lambda: told.append(trio.current_time()))
    begun = trio.current_time()
    async with request:
        assert told == [pytest.approx(begun + 1)]
        response = await request.get_response()
        assert await response.text() == "ok"


async def test_agents_timeout_in_use_only_notifies(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Stall(7), Send(OK), Stall()])
    wired = await wire(nursery, "memory", server, keep_alive=True, timeout=3)
    told: list[float] = []
    request = http.request(wired.url, agent=wired.agent)
    request.on("timeout", lambda: told.append(trio.current_time()))
    begun = trio.current_time()
    async with request:
        response = await request.get_response()
        assert await response.text() == "ok"
    assert told == [pytest.approx(begun + 3)]
    assert wired.counts() == (0, 0, 1, 0)


@pytest.mark.node("test-http-timeout-overflow.js")
async def test_timeout_beyond_31_bits(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Stall(100), Send(OK), Stall()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    told: list[str] = []
    async with http.request(wired.url, agent=wired.agent) as request:
        request.set_timeout(2**31, lambda: told.append("timeout"))
        response = await request.get_response()
        assert request.set_timeout(0) is request
        assert await response.text() == "ok"
    assert told == []
    assert wired.counts() == (0, 0, 1, 0)


@pytest.mark.node("test-http-timeout.js")
async def test_eleven_requests_with_timeouts(nursery: Any, autojump_clock: Any) -> None:
    async def handle(_: Any, response: Any) -> None:
        await response.end("OK")

    server = http.create_server(handle)
    wired = await wire(nursery, "memory", server.serve_stream, max_sockets=1)
    done: list[str] = []
    told: list[str] = []

    async def client() -> None:
        async with http.request(wired.url, agent=wired.agent) as request:
            request.set_timeout(1, lambda: told.append("timeout"))
            response = await request.get_response()
            request.set_timeout(0)
            done.append(await response.text())

    async with trio.open_nursery() as clients:
        for _ in range(11):
            clients.start_soon(client)
    await trio.sleep(10)
    assert done == ["OK"] * 11
    assert told == []


async def test_set_timeout_after_the_socket_was_given_back(
    nursery: Any, autojump_clock: Any
) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(OK), Stall()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    async with http.request(wired.url, agent=wired.agent) as request:
        response = await request.get_response()
        await response.read()
        assert request.set_timeout(1, lambda: pytest.fail("not its socket")) is request
        await trio.sleep(5)
    assert wired.counts() == (0, 0, 1, 0)
