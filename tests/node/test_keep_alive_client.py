"""Rows of Node's keep-alive, seen from the client."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests.node.origins import fetch, fetch_all, hello, serving
from trio_nodehttp.pytest_plugin import HTTPServerFactory
from trio_nodehttp.testing import MemoryNetwork, MemoryStream

NAME = "origin.test:80:"
URL = "http://origin.test/"


@pytest.mark.node("test-http-client-abort-keep-alive-destroy-res.js")
@pytest.mark.node_api("IncomingMessage|message.destroy([error])")
async def test_destroying_a_read_response_leaves_the_socket_alone() -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True, max_sockets=1)
        async with http.get(URL, agent=agent) as response:
            assert await response.text() == "/"
            response.destroy()
            assert await fetch(agent, "/2") == "/2"
        assert len(origin.connections) == 1
        agent.destroy()


@pytest.mark.node("test-http-client-close-with-default-agent.js")
async def test_closing_the_server_ends_everything(http_server: HTTPServerFactory) -> None:
    server = await http_server(hello)
    assert server.url is not None
    with trio.fail_after(1):
        async with http.get(server.url) as response, trio.open_nursery() as nursery:
            nursery.start_soon(server.close)
            await trio.testing.wait_all_tasks_blocked()
            assert await response.text() == "/"
        assert server.connections == 0
    assert not server.listening


@pytest.mark.node("test-http-client-keep-alive-hint.js")
async def test_the_client_drops_the_socket_by_the_servers_hint(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def hint(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.write_head(
            200, {"Connection": "keep-alive", "Keep-Alive": "timeout=1"}
        ).end()

    async with serving(hint, keep_alive_timeout=60) as origin:
        agent = http.global_agent
        before = agent.stats().opened
        create_connection = origin.network.create_connection
        options: http.RequestOptions = {"agent": agent, "create_connection": create_connection}
        async with http.get(URL, **options) as response:
            assert response.headers["keep-alive"] == "timeout=1"
            assert await response.text() == ""
        assert agent.stats().opened == before + 1
        await trio.sleep(3)
        assert origin.server.connections == 0
        assert agent.free_sockets == {}


@pytest.mark.node(
    "test-http-client-keep-alive-release-before-finish.js",
    decided="an early final response that is whole ends the upload (RFC 9112 section 9.5), so "
    "that socket, which Node frees once the body is written, is closed and the next request gets "
    "another",
)
async def test_a_socket_with_half_a_request_serves_nobody_else() -> None:
    seen: list[bytes] = []

    async def peer(stream: MemoryStream) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive_some()
        body = b"post" if data.startswith(b"POST") else b"get!"
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + body)
        while chunk := await stream.receive_some():
            data += chunk
        seen.append(data)

    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, peer)
        agent = network.agent(keep_alive=True, max_sockets=1)
        bodies: list[str] = []

        async def get() -> None:
            bodies.append(await fetch(agent))

        async with (
            trio.open_nursery() as nursery,
            http.request(URL, method="POST", agent=agent) as request,
        ):
            assert await request.write(b"part")
            response = await request.get_response()
            nursery.start_soon(get)
            await trio.testing.wait_all_tasks_blocked()
            assert len(agent.requests[NAME]) == 1
            assert not await request.write(b"not sent")
            assert bodies == []
            bodies.append(await response.text())
        assert bodies == ["post", "get!"]
        agent.destroy()
        await trio.testing.wait_all_tasks_blocked()
        assert [data[:4] for data in seen] == [b"POST", b"GET "]
        assert seen[0].endswith(b"\r\n\r\n4\r\npart\r\n")


@pytest.mark.node("test-http-keep-alive-close-on-header.js")
async def test_a_server_that_closes_gets_a_connection_for_each() -> None:
    connects: list[int] = []

    async def close(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        connects.append(sum(map(len, agent.sockets.values())))
        await response.write_head(200, {"Connection": "close"}).end(request.url)

    async with serving(close) as origin:
        agent = origin.agent(max_sockets=1)
        headers = {"Connection": "keep-alive"}
        paths = ["/1", "/2", "/3"]
        assert await fetch_all(agent, paths, headers=headers) == paths
        assert connects == [1, 1, 1]
        assert len(origin.connections) == 3
        assert agent.sockets == {}


@pytest.mark.node("test-http-keep-alive-close-on-header.js")
async def test_a_server_is_believed_that_says_close_and_does_not() -> None:
    connects: list[MemoryStream] = []

    async def peer(stream: MemoryStream) -> None:
        connects.append(stream)
        while await stream.receive_some():
            await stream.send_all(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
            )

    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, peer)
        agent = network.agent(max_sockets=1)
        headers = {"Connection": "keep-alive"}
        assert await fetch_all(agent, ["/1", "/2", "/3"], headers=headers) == ["ok"] * 3
        assert len(connects) == 3
        assert (agent.sockets, agent.free_sockets) == ({}, {})


@pytest.mark.node("test-http-keep-alive-timeout-race-condition.js")
async def test_no_socket_is_used_near_the_end_of_its_time(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with serving(keep_alive_timeout=2) as origin:
        agent = origin.agent(keep_alive=True)
        assert await fetch(agent, "/1") == "/1"
        (socket,) = agent.free_sockets[NAME]
        mock_clock.jump(0.9)
        assert await fetch(agent, "/2") == "/2"
        assert agent.free_sockets[NAME] == (socket,)
        # As if nothing had run for so long: neither end has closed it yet.
        mock_clock.jump(2)
        assert not socket.destroyed
        assert await fetch(agent, "/3") == "/3"
        assert socket.destroyed
        assert len(origin.connections) == 2
        mock_clock.jump(1.001)
        await trio.testing.wait_all_tasks_blocked()
        assert agent.free_sockets == {}


@pytest.mark.node("test-http-remove-connection-header-persists-connection.js")
async def test_without_a_connection_header_the_socket_is_kept() -> None:
    async def bare(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.remove_header("Connection")
        if request.url == "/length":
            response.set_header("Content-Length", 9)
        await response.end("beep boop")

    async with serving(bare) as origin:
        agent = origin.agent(keep_alive=True)
        for _ in range(2):
            async with http.get(URL, agent=agent) as response:
                assert "connection" not in response.headers
                assert await response.text() == "beep boop"
        assert len(origin.connections) == 1
        # These close behind the body, even where its length is told.
        for path in ("/", "/length"):
            for start in (
                " HTTP/1.0\r\n",
                " HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n",
            ):
                raw = await origin.network.connect("origin.test")
                await raw.send_all(f"GET {path}{start}\r\n".encode())
                with trio.fail_after(1):
                    received = b"".join([chunk async for chunk in raw])
                assert received.startswith(b"HTTP/1.1 200 OK\r\n")
                assert b"connection:" not in received.lower()
                assert b"beep boop" in received.partition(b"\r\n\r\n")[2]
        agent.destroy()


@pytest.mark.node("test-http-unix-socket-keep-alive.js")
@pytest.mark.node_api("http.request|socketPath")
async def test_ten_requests_over_one_unix_socket(
    http_server: HTTPServerFactory, tmp_path: Path
) -> None:
    path = str(tmp_path / "socket")
    server = await http_server(hello, path=path)
    for n in range(10):
        headers = {"Connection": "keep-alive"}
        options = {"socket_path": path, "path": f"/{n}", "headers": headers}
        async with http.get(options) as response:
            assert await response.text() == f"/{n}"
    assert server.connections == 1
