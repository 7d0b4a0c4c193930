"""Promises 28 to 30, about tunnels, upgrades and proxies, by their numbers."""

from __future__ import annotations

import os
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import trio_nodehttp as http
from tests.forwarding import read_one_head
from tests.wires import KINDS, read_all, read_head, wire
from trio_nodehttp.testing import MemoryNetwork

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
OPEN = b"HTTP/1.1 200 Connection Established\r\n\r\n"
VARIABLES = (
    "http_proxy HTTP_PROXY https_proxy HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY".split()
)


# --- 28: what comes in one segment with the head -------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
async def test_promise_28_the_clients_stream_yields_what_came_with_the_head(
    nursery: trio.Nursery, kind: str, method: str
) -> None:
    async def peer(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all((SWITCH if method == "GET" else OPEN) + b"first frame")
        await stream.send_all(b", second frame")
        await read_all(stream)

    made = await wire(nursery, kind, peer)
    options: dict[str, Any] = {"headers": {"Connection": "Upgrade", "Upgrade": "x"}}
    if method == "CONNECT":
        options = {"method": "CONNECT", "path": "far.test:1"}
    async with http.request(made.url, agent=made.agent, **options) as request:
        await request.end()
        _, stream = await (request.upgrade() if method == "GET" else request.connect())
        got = b""
        with trio.fail_after(2):
            while len(got) < len(b"first frame, second frame"):
                got += await stream.receive_some(7)
    assert got == b"first frame, second frame"
    assert stream.head.startswith(b"first frame")
    await made.all_ended()
    nursery.cancel_scope.cancel()


async def test_promise_28_a_proxy_passes_on_what_came_with_either_head(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    heard = []

    async def origin(stream: Any) -> None:
        await read_one_head(stream)
        await stream.send_all(SWITCH + b"from the origin")
        heard.append(await read_all(stream))

    memory_network.listen("origin.test", 80, origin)
    server = http.create_server()

    @server.on("upgrade", protocol="x")
    async def upgrade(request: http.IncomingMessage, stream: http.UpgradedStream) -> None:
        async with memory_network.agent() as agent:
            await http.forward_upgrade(request, stream, "http://origin.test", agent=agent)

    await nursery.start(memory_network.serve, server, "front.test")
    stream = await memory_network.connect("front.test")
    await stream.send_all(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nfrom the client"
    )
    await stream.send_eof()
    assert (await read_all(stream)).endswith(b"\r\n\r\nfrom the origin")
    assert heard == [b"from the client"]


# --- 29: tokens that nobody answers ----------------------------------------------------------


async def test_promise_29_an_unknown_token_is_forwarded_as_an_ordinary_request(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    async def origin(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.end(f"{request.method} upgrade={'upgrade' in request.headers}")

    async def forward(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        async with memory_network.agent() as agent:
            await http.forward(request, response, "http://origin.test", agent=agent)

    async def never(request: http.IncomingMessage, stream: http.UpgradedStream) -> None:
        raise AssertionError

    proxy = http.create_server(forward)
    proxy.on("upgrade", never, protocol="websocket")
    await nursery.start(memory_network.serve, http.create_server(origin), "origin.test")
    await nursery.start(memory_network.serve, proxy, "front.test")
    stream = await memory_network.connect("front.test")
    # As `curl --http2` begins.
    await stream.send_all(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
    )
    head = await read_one_head(stream)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert bytes(await stream.receive_some()) == b"GET upgrade=False"


# --- 30: the environment -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "::1",
        "[::1]",
        "fe80::/10",
        "10.0.0.0/8,::1/128,[::1]:80",
        "http://[::1",
        "http://user:pa:ss@@host:port/",
        "host:99999999999999999999",
        "localhost,127.0.0.1,::1",
        "*.local,169.254/16",
        " , ,",
        "\udcff\udcfe",
        "[",
        "1" * 10000 + "/" + "9" * 10000,
    ],
)
async def test_promise_30_no_value_makes_the_constructor_raise(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, value)
    agent = http.Agent(proxy="env")
    for url in ("http://origin.test/", "https://[::1]:8443/", "http://10.1.2.3/"):
        try:
            http.request(url, agent=agent)
        except http.InvalidURLError as error:
            assert "environment variable" in str(error)  # noqa: PT017  # or none at all


@settings(max_examples=60)
@given(st.lists(st.text("[]:/,.*@%#? \t-_0129afx\x7f\xe9\u20ac"), min_size=8, max_size=8))
def test_promise_30_no_values_at_all(values: list[str]) -> None:
    kept = dict(os.environ)
    try:
        os.environ.update(zip(VARIABLES, values, strict=True))
        agent = http.Agent(proxy="env")
        for url in ("http://origin.test/", "https://[fe80::1]/", "https://127.0.0.1:1/"):
            try:
                request = http.request(url, agent=agent)
            except http.InvalidURLError:
                continue
            assert request._options.proxy is None or request._options.proxy.port < 65536
    finally:
        os.environ.clear()
        os.environ.update(kept)


async def test_promise_30_the_table_decides(
    memory_network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def proxy(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy")

    async def origin(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ndirect")

    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "example.com,10.0.0.0/8,fe80::/10,other.test:8080")
    memory_network.listen("proxy.test", 3128, proxy)
    expected = {
        "http://example.com/": "direct",
        "http://www.example.com/": "direct",
        "http://notexample.com/": "proxy",
        "http://10.9.8.7/": "direct",
        "http://11.9.8.7/": "proxy",
        "http://[fe80::7]/": "direct",
        "http://[fd00::7]/": "proxy",
        "http://other.test:8080/": "direct",
        "http://other.test/": "proxy",
    }
    async with memory_network.agent(proxy="env") as agent:
        for url, way in expected.items():
            request = http.request(url, agent=agent)
            if way == "direct":
                memory_network.listen(request.host, request.port, origin)
            async with request:
                response = await request.get_response()
                assert await response.text() == way
