"""The fixtures, used the way a project that tests with them would; conftest.py loads them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from trio_nodehttp.pytest_plugin import HTTPServerFactory
from trio_nodehttp.testing import FaultyServer, MemoryNetwork


async def test_memory_network_is_entered_for_the_test(
    memory_network: MemoryNetwork,
) -> None:
    memory_network.listen("origin.test", 80, FaultyServer.half_body())
    async with await memory_network.connect("origin.test") as client:
        await client.send_all(b"GET / HTTP/1.1\r\n\r\n")
        assert b"".join([chunk async for chunk in client]).endswith(b"hello")


async def test_a_stalled_peer_does_not_outlive_the_test(
    memory_network: MemoryNetwork,
) -> None:
    # The fixture ends the peer; were it left running, this would hang.
    memory_network.listen("origin.test", 80, FaultyServer.silent())
    await memory_network.connect("origin.test")
    await trio.testing.wait_all_tasks_blocked()
    assert len(memory_network.connections) == 1


async def hello(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    await response.end("hello")


async def test_http_server_listens_on_loopback(http_server: HTTPServerFactory) -> None:
    server = await http_server(hello, keep_alive_timeout=7)
    assert server.url is not None
    assert server.url.startswith("http://127.0.0.1:")
    assert server.keep_alive_timeout == 7
    async with http.Agent() as agent, http.get(server.url, agent=agent) as response:
        assert await response.text() == "hello"


async def test_http_server_takes_a_path(http_server: HTTPServerFactory, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    server = await http_server(hello, path=path)
    assert server.address == path
    async with http.Agent() as agent, http.get(socket_path=path, agent=agent) as response:
        assert await response.text() == "hello"


async def test_http_server_refuses_a_taken_path(
    http_server: HTTPServerFactory, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(OSError, check=lambda error: error.errno == errno.EADDRINUSE):
        await http_server(hello, path=str(path))


async def test_several_servers_at_once(http_server: HTTPServerFactory) -> None:
    urls = {(await http_server(hello)).url for _ in range(3)}
    assert len(urls) == 3
