"""nginx and haproxy in front of our server, and our client in front of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

import trio_nodehttp as http
from tests.interop import handlers, peers, proxies

SECONDS = 30.0
SIZE = 3_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[peers.Peer]:
    with peers.run_peer(peers.ours("our_server")) as peer:
        yield peer


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def proxy(
    request: pytest.FixtureRequest,
    server: peers.Peer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[peers.Peer]:
    run = proxies.run_nginx if request.param == "nginx" else proxies.run_haproxy
    with run(tmp_path_factory.mktemp(request.param), server.port) as peer:
        yield peer


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(SIZE // 1000):
        yield b"x" * 1000


async def test_many_requests_pass_through(proxy: peers.Peer) -> None:
    async def fetch(agent: http.Agent) -> None:
        async with http.get(f"{proxy.url}/chunks", agent=agent) as response:
            assert await response.text() == "onethree"

    with trio.fail_after(SECONDS):
        async with (
            http.Agent(keep_alive=True, max_sockets=8) as agent,
            trio.open_nursery() as nursery,
        ):
            for _ in range(200):
                nursery.start_soon(fetch, agent)


async def test_bodies_pass_through(proxy: peers.Peer) -> None:
    with trio.fail_after(SECONDS):
        async with http.Agent(keep_alive=True) as agent:
            async with http.request(
                f"{proxy.url}/sink", method="POST", body=pieces(), agent=agent
            ) as request:
                response = await request.get_response()
                assert await response.text() == str(SIZE)
            async with http.get(f"{proxy.url}/stream/50", agent=agent) as response:
                size = len(await response.read())
                assert size == 50 * len(handlers.BIG_CHUNK)


async def test_statuses_and_heads_pass_through(proxy: peers.Peer) -> None:
    with trio.fail_after(SECONDS):
        async with http.Agent(keep_alive=True) as agent:
            for status in (204, 304, 404, 503):
                url = f"{proxy.url}/status/{status}"
                async with http.get(url, agent=agent) as response:
                    assert response.status_code == status
                    assert await response.text() == ("text" if status > 400 else "")
            url = f"{proxy.url}/kept_sized"
            async with http.request(url, method="HEAD", agent=agent) as request:
                await request.end()
                response = await request.get_response()
                assert response.headers["content-length"] == "6"
                assert await response.read() == b""


async def test_load_through_a_proxy_has_no_failure(proxy: peers.Peer) -> None:
    told = await trio.to_thread.run_sync(
        peers.run_program,
        ["ab", "-q", "-n", "1000", "-c", "16", f"{proxy.url}/kept_sized"],
    )
    assert "Complete requests:      1000" in told
    assert "Failed requests:        0" in told
    assert "Non-2xx" not in told


async def test_we_reuse_a_connection_to_nginx(server: peers.Peer, tmp_path: Path) -> None:
    static = tmp_path / "static"
    static.mkdir()
    (static / "file.txt").write_bytes(b"x" * SIZE)
    with proxies.run_nginx(tmp_path, server.port) as nginx, trio.fail_after(SECONDS):
        async with http.Agent(keep_alive=True) as agent:
            ports = set()
            for _ in range(5):
                url = f"{nginx.url}/static/file.txt"
                async with http.get(url, agent=agent) as response:
                    ports.add(response.socket.local_port)
                    assert len(await response.read()) == SIZE
            assert len(ports) == 1
            # nginx refuses a target without asking anybody behind it.
            async with http.get(f"{nginx.url}/static/none", agent=agent) as response:
                assert response.status_code == 404
                assert "nginx" in await response.text()
