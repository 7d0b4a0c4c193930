"""Rows of Node's page: the members and options of an agent, on live sockets."""

from __future__ import annotations

import math
import socket as stdlib_socket
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import listening, settle
from tests.node.origins import fetch, fetch_all, hello, serving

NAME = "origin.test:80:"


@pytest.mark.node_api("Agent|Agent", "Agent|new Agent([options])")
async def test_an_agent_is_made_with_options() -> None:
    plain = http.Agent()
    assert (plain.keep_alive, plain.keep_alive_initial_delay, plain.timeout) == (False, 1.0, None)
    assert (plain.max_sockets, plain.max_total_sockets) == (math.inf, math.inf)
    assert (plain.max_free_sockets, plain.scheduling) == (256, "lifo")
    async with serving() as origin, origin.agent(keep_alive=True, max_sockets=3) as agent:
        assert isinstance(agent, http.Agent)
        assert (agent.keep_alive, agent.max_sockets) == (True, 3)
        assert await fetch(agent, "/a") == "/a"


@pytest.mark.node_api("new Agent|keepAlive", "Agent|agent.freeSockets", "Agent|agent.sockets")
async def test_sockets_are_kept_and_shown() -> None:
    async with serving() as origin, origin.agent(keep_alive=True) as agent:
        assert (agent.sockets, agent.free_sockets) == ({}, {})
        async with http.get("http://origin.test/1", agent=agent) as response:
            assert [*agent.sockets] == [NAME]
            (used,) = agent.sockets[NAME]
            assert used is response.socket
            assert agent.free_sockets == {}
            await response.read()
        assert agent.sockets == {}
        assert agent.free_sockets == {NAME: (used,)}
        await fetch(agent, "/2")
        assert len(origin.connections) == 1
    async with serving() as origin, origin.agent(keep_alive=False) as agent:
        await fetch(agent, "/1")
        assert agent.free_sockets == {}
        await fetch(agent, "/2")
        assert len(origin.connections) == 2


@pytest.mark.node_api(
    "new Agent|maxSockets", "Agent|agent.maxSockets", "Agent|agent.requests", "v0.4|agent.queue"
)
async def test_requests_beyond_max_sockets_wait() -> None:
    gate = trio.Event()

    async def wait(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await gate.wait()
        await response.end(request.url)

    async with serving(wait) as origin, origin.agent(max_sockets=2) as agent:
        assert agent.max_sockets == 2
        async with trio.open_nursery() as nursery:
            for path in ("/1", "/2", "/3", "/4"):
                nursery.start_soon(fetch, agent, path)
            await settle()
            assert len(agent.sockets[NAME]) == 2
            waiting = agent.requests[NAME]
            assert all(isinstance(one, http.ClientRequest) for one in waiting)
            assert len(waiting) == 2
            assert len(origin.connections) == 2
            agent.max_sockets = 3
            await settle()
            assert len(agent.requests[NAME]) == 1
            gate.set()
        assert agent.requests == {}
        assert sorted(origin.urls) == ["/1", "/2", "/3", "/4"]


@pytest.mark.node_api("new Agent|maxTotalSockets", "Agent|agent.maxTotalSockets")
async def test_all_origins_share_max_total_sockets() -> None:
    most = 0

    async def count(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        nonlocal most
        stats = agent.stats()
        most = max(most, stats.active + stats.connecting + stats.idle)
        await response.end(request.url)

    async with (
        serving(count, "a.test", "b.test", "c.test") as origin,
        origin.agent(keep_alive=True, max_total_sockets=2) as agent,
    ):
        assert agent.max_total_sockets == 2
        urls = [f"http://{host}.test/{n}" for host in "abc" for n in range(3)]
        assert await fetch_all(agent, urls) == [f"/{n}" for _ in "abc" for n in range(3)]
        assert most == 2
        assert agent.stats().idle <= 2


@pytest.mark.node_api("new Agent|maxFreeSockets", "Agent|agent.maxFreeSockets")
async def test_no_more_than_max_free_sockets_are_kept() -> None:
    gate = trio.Event()

    async def wait(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await gate.wait()
        await response.end(request.url)

    async with serving(wait) as origin, origin.agent(keep_alive=True, max_free_sockets=1) as agent:
        assert agent.max_free_sockets == 1
        async with trio.open_nursery() as nursery:
            for path in ("/1", "/2", "/3"):
                nursery.start_soon(fetch, agent, path)
            await settle()
            assert len(origin.connections) == 3
            gate.set()
        assert len(agent.free_sockets[NAME]) == 1
        await settle()
        assert origin.server.connections == 1


@pytest.mark.parametrize("scheduling", ["lifo", "fifo"])
@pytest.mark.node_api("new Agent|scheduling")
async def test_scheduling_chooses_the_idle_socket(scheduling: Any) -> None:
    async with serving() as origin, origin.agent(keep_alive=True, scheduling=scheduling) as agent:
        async with (
            http.get("http://origin.test/", agent=agent) as first,
            http.get("http://origin.test/", agent=agent) as second,
        ):
            await first.read()
            await second.read()
            order = [first.socket, second.socket]
        async with http.get("http://origin.test/", agent=agent) as third:
            expected = order[0] if scheduling == "fifo" else order[1]
            assert third.socket is expected
            await third.read()
    with pytest.raises(http.InvalidArgValueError):
        http.Agent(scheduling="random")  # type: ignore[arg-type]


@pytest.mark.node_api("new Agent|timeout")
async def test_an_idle_socket_is_closed_after_the_timeout(autojump_clock: Any) -> None:
    async with (
        serving(keep_alive_timeout=0) as origin,
        origin.agent(keep_alive=True, timeout=4) as agent,
    ):
        assert agent.timeout == 4
        await fetch(agent)
        await trio.sleep(3.9)
        assert agent.stats().idle == 1
        await trio.sleep(0.2)
        assert agent.stats().idle == 0
        assert origin.server.connections == 0


@pytest.mark.node_api("new Agent|keepAliveMsecs")
async def test_the_delay_of_tcp_keep_alive() -> None:
    server = http.create_server(hello)
    level, tcp = stdlib_socket.SOL_SOCKET, stdlib_socket.IPPROTO_TCP
    async with (
        listening(server),
        http.Agent(keep_alive=True, keep_alive_initial_delay=77) as agent,
        http.get(server.url, agent=agent) as response,
    ):
        stream = response.socket.stream
        assert isinstance(stream, trio.SocketStream)
        assert stream.getsockopt(level, stdlib_socket.SO_KEEPALIVE)
        assert stream.getsockopt(tcp, stdlib_socket.TCP_KEEPIDLE) == 77


@pytest.mark.node_api(
    "Agent|agent.createConnection(options[, callback])",
    "Agent|agent.keepSocketAlive(socket)",
    "Agent|agent.reuseSocket(socket, request)",
)
async def test_methods_that_are_made_to_be_overridden() -> None:
    told: list[Any] = []

    async with serving() as origin:

        class Own(http.Agent):
            async def create_connection(self, options: http.ConnectOptions) -> trio.abc.Stream:
                told.append(("create", options.host, options.port, options.protocol))
                return await origin.network.create_connection(options)

            def keep_socket_alive(self, socket: http.Socket) -> bool:
                told.append(("keep", socket.destroyed))
                return len(told) < 5

            def reuse_socket(self, socket: http.Socket, request: http.ClientRequest) -> None:
                told.append(("reuse", request.path, request.reused_socket))

        async with Own(keep_alive=True) as agent:
            await fetch(agent, "/1")
            await fetch(agent, "/2")
            assert told[0] == ("create", "origin.test", 80, "http:")
            assert told[1] == ("keep", False)
            assert told[2][:2] == ("reuse", "/2")
            assert told[3] == ("keep", False)
            await fetch(agent, "/3")
            assert agent.stats().idle == 0  # the last answer was False
            assert len(origin.connections) == 1


@pytest.mark.node_api("Agent|agent.destroy()")
async def test_destroying_an_agent_closes_every_socket() -> None:
    gate = trio.Event()

    async def wait(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        if request.url == "/wait":
            await gate.wait()
        await response.end("done")

    failures: list[Exception] = []

    async with serving(wait) as origin:
        agent = origin.agent(keep_alive=True)

        async def hang_up() -> None:
            with pytest.raises(http.SocketHangUpError) as caught:
                await fetch(agent, "/wait")
            failures.append(caught.value)

        async with trio.open_nursery() as nursery:
            await fetch(agent)
            async with http.get("http://origin.test/", agent=agent) as idle:
                nursery.start_soon(hang_up)
                await settle()
                await idle.read()
            stats = agent.stats()
            assert (stats.active, stats.idle) == (1, 1)
            agent.destroy()
            stats = agent.stats()
            assert (stats.active, stats.idle) == (0, 0)
        assert [type(failure) for failure in failures] == [http.SocketHangUpError]
        gate.set()
        await settle()
        assert origin.server.connections == 0
        assert await fetch(agent) == "done"  # it can be used again
        agent.destroy()


@pytest.mark.node_api("Agent|agent.getName([options])")
async def test_the_name_of_an_origin_is_the_key_of_its_sockets() -> None:
    agent = http.Agent()
    assert agent.get_name() == "localhost::"
    assert agent.get_name({"host": "a.test", "port": 80}) == "a.test:80:"
    named = {"host": "a.test", "port": 80, "local_address": "192.168.1.1"}
    assert agent.get_name(named) == "a.test:80:192.168.1.1"
    assert agent.get_name({**named, "family": 6}) == "a.test:80:192.168.1.1:6"
    assert agent.get_name({"socket_path": "/run/a.sock"}) == "localhost:::/run/a.sock"
    async with serving() as origin, origin.agent(keep_alive=True) as agent:
        await fetch(agent)
        assert [*agent.free_sockets] == [agent.get_name({"host": "origin.test", "port": 80})]


@pytest.mark.node_api("http|http.globalAgent", "v0.4|http.getAgent(host, port)")
async def test_requests_without_an_agent_share_the_global_one() -> None:
    assert isinstance(http.global_agent, http.Agent)
    assert (http.global_agent.keep_alive, http.global_agent.timeout) == (True, 5.0)
    server = http.create_server(hello)
    async with listening(server):
        reused = []
        for _ in range(2):
            async with http.request(server.url) as request:
                await request.end()
                await (await request.get_response()).read()
                reused.append(request.reused_socket)
        assert reused == [False, True]
        assert http.global_agent.stats().idle == 1
        http.global_agent.destroy()
