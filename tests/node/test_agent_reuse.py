"""Rows of Node's agent: which socket serves which request."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests.node.origins import fetch, fetch_all, hello, serving
from trio_nodehttp.pytest_plugin import HTTPServerFactory
from trio_nodehttp.testing import MemoryNetwork, MemoryStream

NAME = "origin.test:80:"
URL = "http://origin.test/"


async def use(agent: http.Agent, path: str = "/") -> http.Socket:
    """Make a request, and tell which socket it was given."""
    async with http.request(f"http://origin.test{path}", agent=agent) as request:
        socket = request.socket
        assert socket is not None
        assert await (await request.get_response()).text() == path
    return socket


@pytest.mark.node("test-http-agent-destroyed-socket.js")
async def test_a_destroyed_socket_is_not_handed_on() -> None:
    async with serving() as origin:
        agent = origin.agent(max_sockets=1)
        sockets: list[http.Socket] = []
        alive: list[bool] = []

        async def second() -> None:
            async with http.request("http://origin.test/2", agent=agent) as request:
                assert request.socket is not None
                sockets.append(request.socket)
                alive.append(not request.socket.destroyed)
                assert await (await request.get_response()).text() == "/2"

        async with trio.open_nursery() as nursery:
            async with http.request("http://origin.test/1", agent=agent) as first:
                first_socket = first.socket
                assert first_socket is not None
                response = await first.get_response()
                nursery.start_soon(second)
                await trio.testing.wait_all_tasks_blocked()
                assert len(agent.requests[NAME]) == 1
                response.on("end", first_socket.destroy)
                assert await response.text() == "/1"
            assert agent.requests == {}
        assert first_socket.destroyed
        assert alive == [True]
        assert sockets[0] is not first_socket
        assert len(origin.connections) == 2


@pytest.mark.node("test-http-agent-error-on-idle.js")
async def test_an_error_on_an_idle_socket_reaches_nobody() -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True)
        idle = await use(agent)
        assert agent.free_sockets == {NAME: (idle,)}
        idle.destroy(OSError("it broke"))
        assert agent.free_sockets == {}
        async with http.request(URL, agent=agent) as request:
            assert request.socket is not idle
            assert agent.free_sockets == {}
            assert await (await request.get_response()).text() == "/"
        assert len(origin.connections) == 2
        agent.destroy()


@pytest.mark.node("test-http-agent-error-on-idle.js")
async def test_an_idle_socket_that_the_peer_left_is_not_used() -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True)
        idle = await use(agent)
        assert agent.free_sockets == {NAME: (idle,)}
        origin.connections[0].destroy()
        await trio.testing.wait_all_tasks_blocked()
        # A POST would not be sent twice: it must not be tried on that socket.
        async with http.request(URL, method="POST", agent=agent) as request:
            assert request.socket is not idle
            assert not request.reused_socket
            assert agent.free_sockets == {}
            assert await (await request.get_response()).text() == "/"
        assert idle.destroyed
        agent.destroy()


@pytest.mark.node("test-http-agent-reuse-drained-socket-only.js")
async def test_a_socket_with_unsent_bytes_is_not_reused() -> None:
    answered: list[int] = []

    async def peer(stream: MemoryStream) -> None:
        number = len(answered)
        answered.append(0)
        while data := await stream.receive_some():
            if b"\r\n\r\n" in data:
                answered[number] += 1
                await stream.send_all(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"
                )
            if b"POST" in data:
                await trio.sleep_forever()  # the rest of that body is never read

    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, peer)
        agent = network.agent(keep_alive=True, max_sockets=1)
        body = bytes(192 << 20)
        async with http.request(URL, method="POST", body=body, agent=agent) as request:
            first = request.socket
            response = await request.get_response()
            assert (response.status_code, await response.text()) == (200, "")
        assert first is not None
        assert first.destroyed
        assert agent.free_sockets == {}
        sockets = []
        for _ in range(2):
            async with http.request(URL, agent=agent) as request:
                sockets.append(request.socket)
                assert await (await request.get_response()).text() == ""
        assert sockets[0] is sockets[1] is not first
        assert answered == [1, 2]
        agent.destroy()


@pytest.mark.node("test-http-agent-reuse-drained-socket-only.js")
async def test_a_socket_that_still_owes_a_body_is_not_reused() -> None:
    async def early(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.end("early")
        await trio.sleep_forever()

    async with serving(early) as origin:
        agent = origin.agent(keep_alive=True, max_sockets=1)
        headers = {"Content-Length": "10"}
        async with http.request(URL, method="POST", headers=headers, agent=agent) as request:
            await request.write("part")
            response = await request.get_response()
            assert await response.text() == "early"
            first = request.socket
        assert first is not None
        assert first.destroyed
        assert agent.free_sockets == {}
        async with http.request(URL, agent=agent) as request:
            assert request.socket is not first
            assert await (await request.get_response()).text() == "early"


@pytest.mark.node("test-http-agent-scheduling.js")
@pytest.mark.node_api("new Agent|scheduling")
@pytest.mark.parametrize("scheduling", [None, "lifo", "fifo"])
async def test_scheduling_picks_the_socket(scheduling: Any) -> None:
    async with serving() as origin:
        chosen = {} if scheduling is None else {"scheduling": scheduling}
        agent = origin.agent(keep_alive=True, max_sockets=5, **chosen)
        await fetch_all(agent, [f"/{n}" for n in range(5)])
        freed = agent.free_sockets[NAME]
        assert len(freed) == 5
        used = tuple([await use(agent) for _ in range(3)])
        assert used == (freed[:3] if scheduling == "fifo" else (freed[4],) * 3)
        assert len(origin.connections) == 5
        agent.destroy()


@pytest.mark.node("test-http-agent-scheduling.js")
def test_another_scheduling_is_refused() -> None:
    with pytest.raises(http.InvalidArgValueError, match=r"scheduling .*'fifo', 'lifo'") as caught:
        http.Agent(scheduling="filo")  # type: ignore[arg-type]
    assert caught.value.code == "ERR_INVALID_ARG_VALUE"


@pytest.mark.node("test-http-client-agent.js")
async def test_empty_keys_vanish() -> None:
    async with serving() as origin:
        agent = origin.agent()
        gone: list[bool] = []

        async def one(path: str) -> None:
            async with http.request(f"http://origin.test{path}", agent=agent) as request:
                socket = request.socket
                assert socket is not None
                assert socket in agent.sockets[NAME]
                assert await (await request.get_response()).text() == path
            assert socket.destroyed
            gone.append(socket not in agent.sockets.get(NAME, ()))

        async with trio.open_nursery() as nursery:
            for n in range(3):
                nursery.start_soon(one, f"/{n}")
            await trio.testing.wait_all_tasks_blocked()
        assert gone == [True] * 3
        assert NAME not in agent.sockets
        assert NAME not in agent.requests


@pytest.mark.node("test-http-keepalive-client.js", "test-http-keepalive-request.js")
@pytest.mark.parametrize("call", ["get", "request"])
async def test_ten_requests_share_one_socket(http_server: HTTPServerFactory, call: str) -> None:
    seen: list[http.Socket] = []

    async def echo(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        seen.append(request.socket)
        await response.end(request.url)

    server = await http_server(echo)
    ours: list[http.Socket | None] = []
    async with http.Agent(keep_alive=True) as agent:
        for n in range(10):
            url = f"{server.url}/{n}"
            if call == "get":
                async with http.get(url, agent=agent) as response:
                    ours.append(response.socket)
                    assert await response.text() == f"/{n}"
            else:
                async with http.request(url, agent=agent) as request:
                    ours.append(request.socket)
                    assert await (await request.get_response()).text() == f"/{n}"
                    assert request.reused_socket is (n > 0)
    assert len(ours) == len(seen) == 10
    assert len(set(map(id, ours))) == len(set(map(id, seen))) == 1


@pytest.mark.node("test-http-keepalive-override.js")
@pytest.mark.node_api(
    "Agent|agent.keepSocketAlive(socket)", "Agent|agent.reuseSocket(socket, request)"
)
async def test_hooks_decide_what_is_kept_and_see_reuse() -> None:
    class Choosy(http.Agent):
        keep = False
        freed: list[http.Socket]
        reused: list[tuple[http.Socket, http.ClientRequest]]

        def keep_socket_alive(self, socket: http.Socket) -> bool:
            self.freed.append(socket)
            return self.keep

        def reuse_socket(self, socket: http.Socket, request: http.ClientRequest) -> None:
            self.reused.append((socket, request))

    async with serving() as origin:
        agent = Choosy(keep_alive=True, create_connection=origin.network.create_connection)
        agent.freed, agent.reused = [], []
        first = await use(agent)
        assert agent.freed == [first]
        assert first.destroyed
        assert agent.free_sockets == {}
        agent.keep = True
        second = await use(agent)
        assert second is not first
        assert agent.free_sockets == {NAME: (second,)}
        assert agent.reused == []
        async with http.request(URL, agent=agent) as request:
            assert agent.reused == [(second, request)]
            assert request.socket is second
            assert await (await request.get_response()).text() == "/"
        agent.destroy()


@pytest.mark.node("test-http-agent-no-protocol.js")
async def test_an_agent_without_a_protocol_speaks_http(http_server: HTTPServerFactory) -> None:
    server = await http_server(hello)
    assert server.address is not None
    async with http.Agent() as agent:
        agent.protocol = None
        options = {"host": server.address[0], "port": server.address[1], "path": "/it"}
        async with http.get(options, agent=agent) as response:
            assert (response.status_code, await response.text()) == (200, "/it")


@pytest.mark.node("test-http-agent-remove.js")
async def test_a_forgotten_socket_stays_with_its_request() -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True, max_sockets=1)
        served = trio.Event()

        async def queued() -> None:
            assert await fetch(agent, "/2") == "/2"
            served.set()

        async with (
            trio.open_nursery() as nursery,
            http.request(URL, agent=agent) as request,
        ):
            response = await request.get_response()
            socket = request.socket
            assert socket is not None
            nursery.start_soon(queued)
            await trio.testing.wait_all_tasks_blocked()
            assert len(agent.requests[NAME]) == 1
            agent.remove_socket(socket)
            assert socket not in agent.sockets.get(NAME, ())
            assert request.socket is socket
            assert not socket.destroyed
            # It counts no more, so that who waited is served beside it.
            with trio.fail_after(2):
                await served.wait()
            assert await response.text() == "/"
        assert socket.destroyed
        assert socket not in agent.free_sockets[NAME]
        async with http.request("http://origin.test/3", agent=agent) as request:
            await request.get_response()
            assert request.socket is not None
            agent.remove_socket(request.socket)
            request.socket.destroy()
        assert (agent.sockets, agent.free_sockets) == ({}, {})


@pytest.mark.node("test-http-agent-getname.js")
@pytest.mark.node_api("Agent|agent.getName([options])")
def test_get_name() -> None:
    agent = http.Agent()
    assert agent.get_name() == "localhost::"
    assert agent.get_name({}) == "localhost::"
    assert agent.get_name({"family": 6}) == "localhost:::6"
    assert agent.get_name({"socket_path": "/tmp/s.sock"}) == "localhost:::/tmp/s.sock"  # noqa: S108
    some = {"host": "0.0.0.0", "port": 80, "local_address": "192.168.1.1"}
    assert agent.get_name(some) == "0.0.0.0:80:192.168.1.1"
    assert agent.get_name({**some, "family": 4}) == "0.0.0.0:80:192.168.1.1:4"
    for family in (0, None, "bogus"):
        assert agent.get_name({**some, "family": family}) == "0.0.0.0:80:192.168.1.1"
    assert agent.get_name({**some, "family": 6, "socket_path": "/s"}) == (
        "0.0.0.0:80:192.168.1.1:6:/s"
    )
