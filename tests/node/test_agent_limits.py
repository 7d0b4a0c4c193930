"""Rows of Node's agent: how many sockets, and who waits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests.node.origins import fetch, fetch_all, hello, serving
from trio_nodehttp.pytest_plugin import HTTPServerFactory

NAME = "origin.test:80:"


@pytest.mark.node("test-http-addrequest-localaddress.js")
@pytest.mark.node_api("Agent|agent.requests", "http.request|localAddress")
async def test_no_sockets_at_all_keep_every_request_queued() -> None:
    async with serving(hello, "localhost", port=8080) as origin:
        agent = origin.agent(max_sockets=0)
        keywords = http.request("http://localhost:8080/foo", agent=agent, local_address="127.0.0.1")
        mapping = http.request(
            {"host": "localhost", "port": 8080, "local_address": "127.0.0.1", "path": "/bar"},
            agent=agent,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keywords.__aenter__)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(mapping.__aenter__)
            await trio.testing.wait_all_tasks_blocked()
            assert agent.requests == {"localhost:8080:127.0.0.1": (keywords, mapping)}
            assert agent.sockets == {}
            nursery.cancel_scope.cancel()
        assert agent.requests == {}
        assert origin.connections == []


@pytest.mark.node("test-http-agent-maxsockets-respected.js")
@pytest.mark.node_api("Agent|agent.sockets", "new Agent|maxSockets")
async def test_aborted_requests_do_not_exceed_the_limit() -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True, max_sockets=2)
        statuses = []
        peak = []

        async def one() -> None:
            async with http.request("http://origin.test/", agent=agent) as request:
                response = await request.get_response()
                peak.append(len(agent.sockets[NAME]))
                statuses.append(response.status_code)
                request.abort()

        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(one)
        assert statuses == [200] * 6
        assert max(peak) == 2
        assert agent.sockets == {}


@pytest.mark.node("test-http-agent-maxsockets.js")
@pytest.mark.node_api("Agent|agent.freeSockets", "new Agent|maxFreeSockets", "new Agent|keepAlive")
async def test_two_free_sockets_are_kept() -> None:
    async with serving(keep_alive_timeout=0) as origin:
        agent = origin.agent(keep_alive=True, max_sockets=2, max_free_sockets=2)
        assert await fetch_all(agent, ["/1", "/2"]) == ["/1", "/2"]
        assert len(agent.free_sockets[NAME]) == 2
        assert list(agent.free_sockets) == [NAME]
        agent.destroy()


@pytest.mark.node("test-http-agent-maxtotalsockets.js")
@pytest.mark.node_api("new Agent|maxTotalSockets")
@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("test", TypeError),
        (None, None),
        (math.inf, None),
        (-1, ValueError),
        (0, ValueError),
        (math.nan, ValueError),
    ],
)
def test_max_total_sockets_is_checked(value: Any, error: type[Exception] | None) -> None:
    if error is None:
        assert http.Agent(max_total_sockets=value).max_total_sockets == value
        return
    with pytest.raises(error, match="max_total_sockets") as caught:
        http.Agent(max_total_sockets=value)
    assert isinstance(caught.value, http.ArgumentError)
    code = "ERR_INVALID_ARG_TYPE" if error is TypeError else "ERR_OUT_OF_RANGE"
    assert caught.value.code == code


@pytest.mark.node("test-http-agent-maxtotalsockets.js")
@pytest.mark.node_api("Agent|agent.maxTotalSockets", "Agent|agent.maxSockets")
@pytest.mark.parametrize(("max_total", "max_sockets"), [(2, 3), (3, 2), (2, 2)])
@pytest.mark.parametrize("keep_alive", [False, True])
async def test_no_origin_starves_another(
    max_total: int, max_sockets: int, keep_alive: bool
) -> None:
    seen: list[tuple[int, int]] = []

    async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        counts = [len(sockets) for sockets in agent.sockets.values()]
        seen.append((sum(counts), max(counts)))
        idle = sum(map(len, agent.free_sockets.values()))
        assert sum(counts) + idle <= max_total
        await trio.testing.wait_all_tasks_blocked()
        await response.end("ok")

    async with serving(handler, "a.test", "b.test", "c.test", on_error="raise") as origin:
        agent = origin.agent(keep_alive=keep_alive)
        agent.max_sockets = max_sockets
        agent.max_total_sockets = max_total
        urls = [f"http://{'ab'[n % 2]}.test/{n}" for n in range(12)]
        with trio.fail_after(5):
            assert await fetch_all(agent, urls) == ["ok"] * 12
        assert len(seen) == 12
        # Those that idle now make room for another origin.
        urls = [f"http://c.test/{n}" for n in range(3)]
        with trio.fail_after(5):
            assert await fetch_all(agent, urls) == ["ok"] * 3
        assert max(total for total, _ in seen) == max_total
        assert max(most for _, most in seen) <= max_sockets
        assert (agent.sockets, agent.requests) == ({}, {})
        agent.destroy()


@pytest.mark.node("test-http-keep-alive.js")
async def test_without_keep_alive_a_socket_serves_who_waits() -> None:
    async with serving() as origin:
        agent = origin.agent(max_sockets=1)
        left: list[tuple[int, int]] = []

        async def one(path: str) -> None:
            headers = {"Connection": "keep-alive"}
            async with http.get(f"http://origin.test{path}", agent=agent, headers=headers) as res:
                waiting = len(agent.requests[NAME]) if NAME in agent.requests else -1
                left.append((len(agent.sockets[NAME]), waiting))
                assert await res.text() == path

        async with (
            trio.open_nursery() as nursery,
            http.get("http://origin.test/0", agent=agent) as held,
        ):
            for path in ("/1", "/2", "/3"):
                nursery.start_soon(one, path)
                await trio.testing.wait_all_tasks_blocked()
            assert len(agent.requests[NAME]) == 3
            await held.resume()
        assert origin.urls == ["/0", "/1", "/2", "/3"]
        assert left == [(1, 2), (1, 1), (1, -1)]
        assert len(origin.connections) == 1
        assert (agent.sockets, agent.requests, agent.free_sockets) == ({}, {}, {})


@pytest.mark.node("test-http-keepalive-maxsockets.js")
@pytest.mark.node_api("Agent|agent.maxFreeSockets")
async def test_more_free_sockets_than_allowed_are_closed() -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True, max_sockets=5, max_free_sockets=2)
        assert (agent.max_sockets, agent.max_free_sockets) == (5, 2)

        def counts() -> tuple[int, int, int]:
            active = sum(map(len, agent.sockets.values()))
            return len(origin.connections), active, len(agent.free_sockets[NAME])

        await fetch_all(agent, [f"/{n}" for n in range(10)])
        assert counts() == (5, 0, 2)
        await fetch_all(agent, [f"/{n}" for n in range(10)])
        assert counts() == (8, 0, 2)
        agent.destroy()
        assert agent.free_sockets == {}


@pytest.mark.node("test-http-max-sockets.js")
@pytest.mark.node_api("http|http.globalAgent")
async def test_the_global_agent_may_be_limited(http_server: HTTPServerFactory) -> None:
    server = await http_server(hello)
    agent = http.global_agent
    queued = []

    async def one(path: str) -> None:
        async with http.get(f"{server.url}{path}") as response:
            queued.append(agent.stats().queued)
            assert await response.text() == path

    agent.max_sockets = 10
    try:
        async with trio.open_nursery() as nursery:
            for n in range(20):
                nursery.start_soon(one, f"/{n}")
            await trio.testing.wait_all_tasks_blocked()
    finally:
        agent.max_sockets = math.inf
    assert len(queued) == 20
    assert max(queued) == 10
    assert agent.stats().opened >= 10


@pytest.mark.node("test-http-client-abort-keep-alive-queued-tcp-socket.js")
@pytest.mark.parametrize("how", ["destroy", "abort"])
async def test_giving_up_a_queued_request_costs_no_connection(how: str) -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True, max_sockets=1)
        second = http.request("http://origin.test/2", agent=agent)
        told: list[str] = []
        second.on("error", lambda error: told.append(error.code))
        second.on("close", lambda: told.append("close"))
        third: list[str] = []

        async def wait_in_vain() -> None:
            with pytest.raises(http.SocketHangUpError, match="socket hang up"):
                await second.__aenter__()

        async def get_third() -> None:
            third.append(await fetch(agent, "/3"))

        async with (
            trio.open_nursery() as nursery,
            http.get("http://origin.test/1", agent=agent) as response,
        ):
            nursery.start_soon(wait_in_vain)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(get_third)
            await trio.testing.wait_all_tasks_blocked()
            assert len(agent.requests[NAME]) == 2
            getattr(second, how)()
            await trio.testing.wait_all_tasks_blocked()
            assert len(agent.requests[NAME]) == 1
            assert await response.text() == "/1"
        assert told == (["ECONNRESET", "close"] if how == "destroy" else ["close"])
        assert second.response is None
        assert third == ["/3"]
        assert origin.urls == ["/1", "/3"]
        assert len(origin.connections) == 1
        agent.destroy()
