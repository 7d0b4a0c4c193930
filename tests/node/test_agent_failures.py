"""Rows of Node's agent: connections that fail, are given up, or take too long."""

from __future__ import annotations

import errno
import math
import socket as stdlib_socket
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests.node.origins import fetch, hello, serving
from trio_nodehttp.pytest_plugin import HTTPServerFactory

NAME = "origin.test:80:"
URL = "http://origin.test/"


class BrokenError(Exception):
    """What a connection factory raises."""


@pytest.mark.node("test-http-agent-abort-controller.js")
@pytest.mark.node_api("Agent|agent.createConnection(options[, callback])", "http.request|signal")
@pytest.mark.parametrize("when", ["before", "after"])
async def test_cancelling_ends_an_attempt_to_connect(when: str) -> None:
    async def never(options: http.ConnectOptions) -> trio.abc.Stream:
        started.append(options.host)
        return await trio.sleep_forever()

    started: list[str] = []
    agent = http.Agent(keep_alive=True, create_connection=never)

    async def connect() -> None:
        await agent.create_connection(http.ConnectOptions(host="origin.test"))

    async def request() -> None:
        async with http.request(URL, agent=agent):
            pytest.fail("it cannot have connected")

    for work in (connect, request):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                if when == "before":
                    scope.cancel()
                nursery.start_soon(work)
                if when == "after":
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
        assert scope.cancelled_caught
        assert agent.stats() == http.Agent().stats()
    # A request that is cancelled before it begins does not even ask for a connection.
    assert started == ["origin.test"] * (1 if when == "before" else 2)


@pytest.mark.node("test-http-agent-close.js")
@pytest.mark.node_api("ClientRequest|close")
async def test_the_error_of_the_factory_is_reported_as_it_is() -> None:
    error = BrokenError("no connection today")

    async def create_connection(options: http.ConnectOptions) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise error

    request = http.request(URL, agent=http.Agent(create_connection=create_connection))
    told: list[object] = []
    request.on("error", told.append)
    request.on("close", lambda: told.append("close"))
    with pytest.raises(BrokenError) as caught:
        await request.__aenter__()
    assert caught.value is error
    assert told == [error, "close"]
    assert request.destroyed


@pytest.mark.node("test-http-agent-false.js")
@pytest.mark.node_api("http.request|agent", "http.request|port")
async def test_no_agent_and_no_port() -> None:
    outcomes: list[object] = []
    request = http.request({"host": "127.0.0.1", "port": None, "agent": False})
    assert request.port == 80
    try:
        async with request:
            outcomes.append(await request.get_response())
    except http.ConnectionFailedError as error:
        outcomes.append(error)
    assert len(outcomes) == 1


@pytest.mark.node("test-http-agent-keep-alive-timeout-buffer.js")
async def test_the_margin_below_the_servers_hint(autojump_clock: trio.testing.MockClock) -> None:
    assert http.Agent().keep_alive_timeout_buffer == 1.0
    assert http.Agent(keep_alive_timeout_buffer=1.5).keep_alive_timeout_buffer == 1.5
    value: Any
    for value in (-0.1, -100, math.inf, -math.inf, math.nan, "1", None, True):
        assert http.Agent(keep_alive_timeout_buffer=value).keep_alive_timeout_buffer == 1.0

    async def hint(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.set_header("Keep-Alive", "timeout=3").end("ok")

    async with serving(hint) as origin:
        agent = origin.agent(keep_alive=True, keep_alive_timeout_buffer=1.5)
        assert await fetch(agent) == "ok"
        await trio.sleep(1.4)
        assert len(agent.free_sockets[NAME]) == 1
        await trio.sleep(0.2)
        assert agent.free_sockets == {}


@pytest.mark.node("test-http-agent-keepalive-delay.js")
@pytest.mark.node_api("new Agent|keepAliveMsecs", "Agent|new Agent([options])")
async def test_tcp_keep_alive_is_switched_on(http_server: HTTPServerFactory) -> None:
    server = await http_server(hello)
    told = []

    class Telling(http.Agent):
        async def create_connection(self, options: http.ConnectOptions) -> trio.abc.Stream:
            told.append((options.keep_alive, options.keep_alive_initial_delay))
            return await super().create_connection(options)

    async with (
        Telling(keep_alive=True, keep_alive_initial_delay=1.0) as agent,
        http.get(server.url, agent=agent) as response,
    ):
        assert isinstance(response.socket.stream, trio.SocketStream)
        option = response.socket.stream.getsockopt
        assert option(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_KEEPALIVE) == 1
        if hasattr(stdlib_socket, "TCP_KEEPIDLE"):
            assert option(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_KEEPIDLE) == 1
    assert told == [(True, 1.0)]


@pytest.mark.node("test-http-agent-timeout-option.js")
@pytest.mark.node_api("new Agent|timeout", "ClientRequest|timeout")
async def test_the_agents_timeout_runs_before_it_is_connected(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def never(options: http.ConnectOptions) -> trio.abc.Stream:
        return await trio.sleep_forever()

    agent = http.Agent(timeout=0.05, create_connection=never)
    request = http.request(URL, agent=agent)
    told: list[object] = []
    began = trio.current_time()
    request.on("socket", lambda socket: told.append((socket.timeout, socket.connecting)))
    request.on("timeout", lambda: told.append(trio.current_time() - began))
    with trio.move_on_after(1):
        await request.__aenter__()
    assert told == [(0.05, True), pytest.approx(0.05)]


@pytest.mark.node("test-http-agent-timeout-option.js")
@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_agents_timeout_is_told_of_a_silent_socket(
    when: str, autojump_clock: trio.testing.MockClock
) -> None:
    async def slow(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await trio.sleep(1)
        await response.end("slow")

    async with serving(slow) as origin:
        told: list[float] = []
        agent = origin.agent(keep_alive=True, timeout=0.05)
        request = http.request(URL, agent=agent)
        if when == "before":
            request.on("timeout", lambda: told.append(trio.current_time()))
        async with request:
            if when == "after":
                request.on("timeout", lambda: told.append(trio.current_time()))
            began = trio.current_time()
            # It only tells: the answer that comes later is as good.
            assert await (await request.get_response()).text() == "slow"
        assert told == [pytest.approx(began + 0.05)]
        agent.destroy()


@pytest.mark.node("test-http-agent-timeout.js")
async def test_a_healthy_free_socket_is_reused() -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True)
        assert [await fetch(agent, path) for path in ("/1", "/2")] == ["/1", "/2"]
        assert len(origin.connections) == 1
        agent.destroy()


@pytest.mark.node("test-http-agent-timeout.js")
async def test_a_free_socket_that_times_out_is_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True, timeout=0.05)
        await fetch(agent)
        (socket,) = agent.free_sockets[NAME]
        await trio.sleep(0.049)
        assert not socket.destroyed
        await trio.sleep(0.002)
        assert socket.destroyed
        assert agent.free_sockets == {}
        await fetch(agent)
        assert len(origin.connections) == 2
        agent.destroy()


@pytest.mark.node("test-http-agent-timeout.js")
async def test_a_free_socket_that_the_user_destroyed_is_not_reused() -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True)
        await fetch(agent)
        (socket,) = agent.free_sockets[NAME]
        socket.destroy()
        await fetch(agent)
        assert len(origin.connections) == 2
        assert socket not in agent.free_sockets[NAME]
        agent.destroy()


@pytest.mark.node("test-http-agent-timeout.js")
@pytest.mark.parametrize("timeout", [None, 0.05])
async def test_the_hook_may_set_an_idle_timeout(
    timeout: float | None, autojump_clock: trio.testing.MockClock
) -> None:
    async def slow(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await trio.sleep(1 if request.url == "/slow" else 0)
        await response.end(request.url)

    class Patient(http.Agent):
        def keep_socket_alive(self, socket: http.Socket) -> bool:
            assert super().keep_socket_alive(socket)
            socket.set_timeout(0.06)
            return True

    async with serving(slow) as origin:
        create_connection = origin.network.create_connection
        agent = Patient(keep_alive=True, timeout=timeout, create_connection=create_connection)
        await fetch(agent)
        (socket,) = agent.free_sockets[NAME]
        # It is for the idle time: a request may take longer.
        assert await fetch(agent, "/slow") == "/slow"
        assert agent.free_sockets[NAME] == (socket,)
        await trio.sleep(0.055)
        assert not socket.destroyed
        await trio.sleep(0.01)
        assert socket.destroyed
        assert agent.free_sockets == {}
        await fetch(agent)
        assert len(origin.connections) == 2
        agent.destroy()


@pytest.mark.node("test-http-agent.js")
@pytest.mark.node_api("http|http.globalAgent")
async def test_the_default_agent_serves_bursts(http_server: HTTPServerFactory) -> None:
    server = await http_server(hello)
    bodies: list[str] = []

    async def one(path: str) -> None:
        bodies.append(await fetch(None, f"{server.url}{path}"))

    for burst in range(4):
        async with trio.open_nursery() as nursery:
            for n in range(4):
                nursery.start_soon(one, f"/{burst}{n}")
    assert sorted(bodies) == sorted(f"/{burst}{n}" for burst in range(4) for n in range(4))
    assert http.global_agent.keep_alive


@pytest.mark.node("test-http-agent.js")
@pytest.mark.parametrize("max_sockets", [math.inf, 3])
async def test_every_request_gets_its_own_error(max_sockets: float) -> None:
    async def create_connection(options: http.ConnectOptions) -> trio.abc.Stream:
        await trio.testing.wait_all_tasks_blocked()
        raise OSError(errno.EHOSTDOWN, "it is down")

    agent = http.Agent(create_connection=create_connection, max_sockets=max_sockets)
    errors: list[Any] = []

    async def one() -> None:
        with pytest.raises(http.ConnectionFailedError) as caught:
            await fetch(agent)
        errors.append(caught.value)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(16):
                nursery.start_soon(one)
    assert agent.stats() == http.Agent().stats()
    assert len({id(error) for error in errors}) == 16
    assert {error.code for error in errors} == {"EHOSTDOWN"}
    assert {type(error.__cause__) for error in errors} == {OSError}
