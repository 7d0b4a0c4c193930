"""Connections by way of a proxy."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import cancel_at, contexts, read_all, read_head
from trio_nodehttp import tunnel
from trio_nodehttp._client.options import ConnectOptions
from trio_nodehttp._client.proxy import read_proxy
from trio_nodehttp._client.through import open_connection
from trio_nodehttp.testing import (
    Close,
    Expect,
    ExpectEnd,
    FaultyServer,
    MemoryNetwork,
    Send,
    Stall,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OPEN = b"HTTP/1.1 200 Connection Established\r\n\r\n"
TUNNEL = b"CONNECT o.test:80 HTTP/1.1\r\nHost: o.test:80\r\n\r\n"
AUTHORIZATION = "Proxy-Authorization: Basic dTpw\r\n"


def nothing_left(agent: http.Agent) -> bool:
    stats = agent.stats()
    return not (stats.active or stats.connecting or stats.idle or stats.queued)


class ScriptedProxy:
    """Listens at ``proxy.test:3128`` and answers each connection with a script."""

    def __init__(self, network: MemoryNetwork, *answers: bytes) -> None:
        self.heads: list[bytes] = []
        self._answers = answers
        network.listen("proxy.test", 3128, self._serve)

    async def _serve(self, stream: Any) -> None:
        for answer in self._answers:
            head = await read_head(stream)
            if not head:
                return
            self.heads.append(head)
            with suppress(trio.BrokenResourceError):
                await stream.send_all(answer)
        await read_all(stream)


async def test_plain_requests_are_sent_in_absolute_form(memory_network: MemoryNetwork) -> None:
    proxy = ScriptedProxy(memory_network, OK, OK)
    async with memory_network.agent(proxy="http://u:p@proxy.test:3128", keep_alive=True) as agent:
        for path in ("/a?b", "/"):
            async with http.get(f"http://o.test{path}", agent=agent) as response:
                assert await response.text() == "ok"
        assert agent.stats().opened == 1
    assert proxy.heads == [
        f"GET http://o.test{path} HTTP/1.1\r\n{AUTHORIZATION}Host: o.test\r\n"
        "Connection: keep-alive\r\n\r\n".encode()
        for path in ("/a?b", "/")
    ]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"port": 8080, "path": "/x"}, b"GET http://o.test:8080/x HTTP/1.1"),
        ({"host": "::1", "path": "/x"}, b"GET http://[::1]/x HTTP/1.1"),
        ({"method": "OPTIONS", "path": "*"}, b"OPTIONS http://o.test HTTP/1.1"),
        ({"path": "http://other.test/"}, b"GET http://other.test/ HTTP/1.1"),
    ],
)
async def test_absolute_form(
    memory_network: MemoryNetwork, options: dict[str, Any], line: bytes
) -> None:
    proxy = ScriptedProxy(memory_network, OK)
    async with (
        memory_network.agent(proxy="proxy.test:3128") as agent,
        http.get(**({"host": "o.test"} | options), agent=agent) as response,
    ):
        assert await response.text() == "ok"
    assert proxy.heads[0].split(b"\r\n")[0] == line
    assert b"Proxy-Authorization" not in proxy.heads[0]


async def test_credentials_of_the_request_win(memory_network: MemoryNetwork) -> None:
    proxy = ScriptedProxy(memory_network, OK)
    async with memory_network.agent(proxy="http://u:p@proxy.test:3128") as agent:
        headers = {"proxy-authorization": "Bearer x"}
        async with http.get("http://o.test/", agent=agent, headers=headers) as response:
            await response.read()
    assert proxy.heads[0].lower().count(b"proxy-authorization") == 1
    assert b"Bearer x" in proxy.heads[0]


async def test_407_to_a_plain_request_is_a_response(memory_network: MemoryNetwork) -> None:
    ScriptedProxy(memory_network, b"HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n")
    async with (
        memory_network.agent(proxy="proxy.test:3128") as agent,
        http.get("http://o.test/", agent=agent) as response,
    ):
        assert response.status_code == 407


async def test_the_key_has_the_proxy_and_its_credentials(memory_network: MemoryNetwork) -> None:
    proxy = ScriptedProxy(memory_network, OK, OK)
    async with memory_network.agent(keep_alive=True) as agent:
        for number, who in enumerate(("", "u:p@", "u:q@")):
            agent.proxy = f"http://{who}proxy.test:3128"
            async with http.get("http://o.test/", agent=agent) as response:
                await response.read()
            assert agent.stats().idle == number + 1
        (plain, first, second) = agent.free_sockets
        assert plain == "o.test:80::by http://proxy.test:3128"
        assert first != second
        assert "u:" not in first
        # And each finds its own again.
        agent.proxy = "http://u:p@proxy.test:3128"
        async with http.get("http://o.test/", agent=agent) as response:
            assert response.timings.reused
            await response.read()
    assert len(proxy.heads) == 4


async def test_a_unix_socket_needs_no_proxy(memory_network: MemoryNetwork) -> None:
    async with memory_network.agent(proxy="proxy.test:3128") as agent:
        request = http.request("http://o.test/", socket_path="/nowhere", agent=agent)
        assert request._options.proxy is None


# --- tunnels ---------------------------------------------------------------------------------


async def relay(network: MemoryNetwork, port: int, stream: Any) -> None:
    """Be a proxy that opens every tunnel."""
    head = await read_head(stream)
    assert head.startswith(b"CONNECT ")
    await stream.send_all(OPEN)
    await tunnel(stream, await network.connect("o.test", port))


@pytest.mark.parametrize("how", ["CONNECT", "upgrade"])
async def test_what_ends_http_gets_a_tunnel(memory_network: MemoryNetwork, how: str) -> None:
    memory_network.listen("proxy.test", 3128, partial(relay, memory_network, 80))
    heads = []

    async def origin(stream: Any) -> None:
        heads.append(await read_head(stream))
        status = b"200 OK" if how == "CONNECT" else b"101 X\r\nConnection: upgrade\r\nUpgrade: x"
        await stream.send_all(b"HTTP/1.1 " + status + b"\r\n\r\nearly")
        await read_all(stream)

    memory_network.listen("o.test", 80, origin)
    options: dict[str, Any] = {"headers": {"Connection": "upgrade", "UPGRADE": "x"}}
    if how == "CONNECT":
        options = {"method": "CONNECT", "path": "far.test:1"}
    async with memory_network.agent(proxy="proxy.test:3128") as agent:
        async with http.request("http://o.test", agent=agent, **options) as request:
            await request.end()
            upgraded = await (request.connect() if how == "CONNECT" else request.upgrade())
            assert await upgraded.stream.receive_some() == b"early"
        assert nothing_left(agent)
    assert heads[0].startswith(b"CONNECT far.test:1 HTTP" if how == "CONNECT" else b"GET / HTTP")


async def test_a_websocket_goes_through_a_tunnel(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    memory_network.listen("proxy.test", 3128, partial(relay, memory_network, 80))
    server = http.create_server()

    @server.on("upgrade", protocol="websocket")
    async def echo(request: http.IncomingMessage, stream: http.UpgradedStream) -> None:
        async with http.accept_websocket(request, stream) as socket:
            async for message in socket:
                await socket.send(message)

    await nursery.start(memory_network.serve, server, "o.test", 80)
    async with memory_network.agent(proxy="proxy.test:3128") as agent:
        async with http.WebSocket("ws://o.test/", agent=agent) as socket:
            await socket.send("hello")
            assert await socket.receive() == "hello"
        assert nothing_left(agent)


async def test_https_goes_through_a_tunnel(memory_network: MemoryNetwork) -> None:
    server, client = contexts()

    async def hello(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.end("hello")

    async def origin(stream: Any) -> None:
        await http.create_server(hello).serve_stream(
            trio.SSLStream(stream, server, server_side=True, https_compatible=True)
        )

    memory_network.listen("proxy.test", 3128, partial(relay, memory_network, 443))
    memory_network.listen("o.test", 443, origin)
    async with memory_network.agent(
        proxy="proxy.test:3128", ssl_context=client, keep_alive=True
    ) as agent:
        for reused in (False, True):
            async with http.get(
                "https://o.test/", server_hostname="127.0.0.1", agent=agent
            ) as response:
                assert await response.text() == "hello"
                assert response.socket.encrypted
                assert response.timings.reused is reused
        assert agent.stats().opened == 1
        assert next(iter(agent.free_sockets)).endswith(":tunnel http://proxy.test:3128")


async def test_a_tunnel_is_asked_for_with_credentials(memory_network: MemoryNetwork) -> None:
    proxy = ScriptedProxy(memory_network, b"HTTP/1.1 403 No\r\n\r\n")
    async with memory_network.agent(proxy="http://u:p@proxy.test:3128") as agent:
        with pytest.raises(http.ProxyError) as caught:
            async with http.get("https://[::1]:8443/", agent=agent):
                pass
    assert proxy.heads == [
        f"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n{AUTHORIZATION}\r\n".encode()
    ]
    assert "dTpw" not in f"{caught.value} {caught.value!r}"


async def test_tls_to_the_proxy_too(nursery: trio.Nursery, memory_network: MemoryNetwork) -> None:
    server, client = contexts()

    async def proxy(stream: Any) -> None:
        outer = trio.SSLStream(stream, server, server_side=True, https_compatible=True)
        assert (await read_head(outer)).startswith(b"CONNECT 127.0.0.1:443 HTTP/1.1\r\n")
        await outer.send_all(OPEN)
        inner = trio.SSLStream(outer, server, server_side=True, https_compatible=True)
        assert (await read_head(inner)).startswith(b"GET / HTTP/1.1\r\n")
        await inner.send_all(OK)

    memory_network.listen("127.0.0.1", 3128, proxy)
    async with memory_network.agent(proxy="https://127.0.0.1:3128", ssl_context=client) as agent:
        async with http.get("https://127.0.0.1/", agent=agent) as response:
            assert await response.text() == "ok"
        assert nothing_left(agent)


async def test_an_origin_that_fails_behind_the_tunnel(memory_network: MemoryNetwork) -> None:
    proxy = ScriptedProxy(memory_network, OPEN)
    async with memory_network.agent(
        proxy="proxy.test:3128", ssl_context=ssl.create_default_context()
    ) as agent:
        memory_network.listen("other.test", 3128, _no_tls)
        agent.proxy = "other.test:3128"
        with pytest.raises(http.ConnectionFailedError, match=r"TLS with o\.test:443 failed"):
            async with http.get("https://o.test/", agent=agent):
                pass
        assert nothing_left(agent)
    assert proxy.heads == []


async def _no_tls(stream: Any) -> None:
    await read_head(stream)
    await stream.send_all(OPEN)
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")


# --- what a proxy may do wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "text", "status"),
    [
        (b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", "it answered 403 No", 403),
        (b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\n\r\n", "it answered 407 Who?", 407),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", "it answered 502 Bad Gateway", 502),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "it answered 302 Found", 302),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "Parse Error: Expected HTTP/", None),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "Parse Error", None),
        (b"", "socket hang up", None),
        (b"HTTP/1.1 200", "socket hang up", None),
        (OPEN + b"already", "sent bytes ahead of the tunnel", None),
        (b"HTTP/1.1 102 Processing\r\n\r\n" * 100 + OPEN, "too many informational", None),
    ],
)
async def test_a_tunnel_that_is_not_opened(
    memory_network: MemoryNetwork, answer: bytes, text: str, status: int | None
) -> None:
    script = FaultyServer([Expect(TUNNEL.replace(b":80", b":443")), Send(answer), Close()])
    memory_network.listen("proxy.test", 3128, script.serve_stream)
    async with memory_network.agent(proxy="http://proxy.test:3128", keep_alive=True) as agent:
        with pytest.raises(http.ProxyError, match=r"the proxy .* o\.test:443") as caught:
            async with http.get("https://o.test/", agent=agent):
                pass
        error = caught.value
        assert text in str(error)
        assert error.code == "ERR_PROXY_TUNNEL"
        assert isinstance(error, http.ConnectionFailedError)
        response: Any = error.response
        assert (response and response.status_code) == status
        if status == 407:
            assert response.headers["proxy-authenticate"] == "Basic"
        if response is not None:
            assert await response.read() == b""
            assert response.socket.bytes_read > 0
        assert nothing_left(agent)
    assert all(connection.client.closed for connection in memory_network.connections)


async def test_an_answer_ahead_of_the_request_is_none(memory_network: MemoryNetwork) -> None:
    ScriptedProxy(memory_network, OPEN + OK)
    async with memory_network.agent(proxy="proxy.test:3128") as agent:
        headers = {"Connection": "upgrade", "Upgrade": "x"}
        with pytest.raises(http.ProxyError, match=r"bytes ahead of the tunnel to o\.test:80"):
            async with http.get("http://o.test/", headers=headers, agent=agent):
                pass
        assert nothing_left(agent)
    assert all(connection.client.closed for connection in memory_network.connections)


async def test_informational_answers_are_waited_through(memory_network: MemoryNetwork) -> None:
    ScriptedProxy(memory_network, b"HTTP/1.1 102 Processing\r\n\r\n" + OPEN, OK)
    async with memory_network.agent(proxy="proxy.test:3128") as agent:
        headers = {"Connection": "upgrade", "Upgrade": "x"}
        async with http.get("http://o.test/", headers=headers, agent=agent) as response:
            assert await response.text() == "ok"


async def test_a_proxy_that_nobody_is() -> None:
    async with MemoryNetwork() as network, network.agent(proxy="proxy.test:3128") as agent:
        with pytest.raises(http.ConnectionFailedError, match=r"ECONNREFUSED proxy\.test:3128"):
            async with http.get("https://o.test/", agent=agent):
                pass
        assert nothing_left(agent)


async def test_a_silent_proxy_meets_the_timeout(
    memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    script = FaultyServer([Stall()])
    memory_network.listen("proxy.test", 3128, script.serve_stream)
    async with memory_network.agent(proxy="proxy.test:3128") as agent:
        started = trio.current_time()
        with pytest.raises(http.SocketTimeoutError):
            async with http.get("https://o.test/", agent=agent, timeout=7):
                pass
        assert trio.current_time() - started == pytest.approx(7)
        assert nothing_left(agent)


async def test_a_tunnel_has_a_timeout_of_its_own(
    memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    memory_network.listen("proxy.test", 3128, FaultyServer([Stall()]).serve_stream)
    options = ConnectOptions(
        host="o.test", proxy=read_proxy("proxy.test:3128"), tunnel=True, timeout=7
    )
    with pytest.raises(http.SocketTimeoutError, match="by a proxy took longer than 7 s"):
        await open_connection(memory_network.create_connection, options)
    assert all(connection.client.closed for connection in memory_network.connections)


async def test_without_a_proxy_nothing_changes(memory_network: MemoryNetwork) -> None:
    memory_network.listen("o.test", 80, read_all)
    options = ConnectOptions(host="o.test")
    stream = await open_connection(memory_network.create_connection, options)
    await stream.aclose()


async def test_a_tunnel_in_time_meets_no_timeout(memory_network: MemoryNetwork) -> None:
    ScriptedProxy(memory_network, OPEN, OK)
    async with memory_network.agent(proxy="proxy.test:3128") as agent:
        headers = {"Upgrade": "x", "Connection": "upgrade"}
        async with http.get("http://o.test/", headers=headers, agent=agent, timeout=7) as response:
            assert await response.text() == "ok"


async def test_a_wrong_variable_fails_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://p:port")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    agent = http.Agent(proxy="env")
    with pytest.raises(http.InvalidURLError, match="environment variable https_proxy"):
        http.request("https://o.test/", agent=agent)


async def test_cancelling_at_any_checkpoint_leaves_nothing() -> None:
    async def fetch(agent: http.Agent) -> None:
        headers = {"Upgrade": "x", "Connection": "upgrade"}
        async with http.get("http://o.test/", headers=headers, agent=agent) as response:
            await response.read()

    count: int = 1
    cancelled = True
    while cancelled:
        async with MemoryNetwork() as network, network.agent(proxy="proxy.test:3128") as agent:
            ScriptedProxy(network, OPEN, OK)
            work: Callable[[], Any] = partial(fetch, agent)
            cancelled = await cancel_at(count, work) is not None
            assert nothing_left(agent)
            assert all(connection.client.closed for connection in network.connections)
        count += 1
    assert count > 5


async def test_the_tunnel_is_asked_for_byte_by_byte() -> None:
    async with MemoryNetwork(max_receive=1) as network:
        script = FaultyServer(
            [Expect(TUNNEL), Send(OPEN), Expect(b"GET / HTTP/1.1\r\n"), Send(OK), ExpectEnd()]
        )
        network.listen("proxy.test", 3128, script.serve_stream)
        async with network.agent(proxy="proxy.test:3128") as agent:
            headers = {"Upgrade": "x", "Connection": "upgrade"}
            async with http.get("http://o.test/", headers=headers, agent=agent) as response:
                assert await response.text() == "ok"
