"""Rows of Node's page: the options and members of a request, on live requests."""

from __future__ import annotations

import socket as stdlib_socket
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import listening
from tests.node.sides import incoming, outgoing
from trio_nodehttp.testing import Close, Expect, FaultyServer, MemoryNetwork, Send, Stall


async def echo(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    """Answer with the start of the request and its headers."""
    lines = [f"{request.method} {request.url}", *(f"{k}: {v}" for k, v in request.raw_headers)]
    await response.end("\n".join(lines))


async def lines_sent(**options: Any) -> list[str]:
    """Send a request with such options; the lines of its head as they came."""
    async with outgoing("client", **{"method": "GET", **options}) as live:
        await live.message.end()
        lines = await live.peer.lines()
        return [line for line in lines if line]


@pytest.mark.node_api("ClientRequest|ClientRequest")
async def test_a_request_is_a_scope_with_a_socket() -> None:
    async with outgoing("client") as live:
        assert isinstance(live.message, http.ClientRequest)
        assert not live.message.closed
    assert live.message.closed


@pytest.mark.node_api(
    "ClientRequest|request.path",
    "ClientRequest|request.method",
    "ClientRequest|request.host",
    "ClientRequest|request.protocol",
    "http.request|method",
    "http.request|path",
)
async def test_what_a_request_says_of_itself() -> None:
    async with outgoing("client", method="put", path="/p?q=1") as live:
        request = live.message
        assert isinstance(request, http.ClientRequest)
        assert (request.method, request.path) == ("PUT", "/p?q=1")
        assert (request.host, request.protocol) == ("a.test", "http:")
        request.path = "/changed"
        await request.end()
        assert (await live.peer.lines())[:2] == ["PUT /changed HTTP/1.1", "Host: a.test"]


@pytest.mark.node_api("ClientRequest|request.reusedSocket")
async def test_a_request_says_whether_its_socket_was_used_before() -> None:
    async with MemoryNetwork() as network:
        server = http.create_server(echo)
        network.listen("a.test", 80, server.serve_stream)
        async with network.agent(keep_alive=True) as agent:
            for reused in (False, True):
                async with http.request("http://a.test/", agent=agent) as request:
                    await request.end()
                    await (await request.get_response()).read()
                    assert request.reused_socket is reused


@pytest.mark.node_api("ClientRequest|request.reusedSocket")
@pytest.mark.parametrize(
    ("method", "options", "retried"),
    [("GET", {}, True), ("GET", {"retry_stale": False}, False), ("POST", {}, False)],
)
async def test_a_request_on_a_socket_that_has_just_died(
    method: str, options: dict[str, Any], retried: bool
) -> None:
    """Node's page tells its users to look at `reusedSocket` and to ask again."""
    answer: list[Any] = [Expect(b"\r\n\r\n"), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]
    server = FaultyServer([*answer, Expect(b"\r\n\r\n"), Close()], [*answer, Stall()])
    async with MemoryNetwork() as network:
        network.listen("a.test", 80, server)
        async with network.agent(keep_alive=True, **options) as agent:
            async with http.get("http://a.test/", agent=agent) as response:
                await response.read()
            async with http.request("http://a.test/", method=method, agent=agent) as request:
                assert request.reused_socket
                await request.end()
                if retried:
                    response = await request.get_response()
                    assert (response.status_code, response.attempts) == (200, 2)
                    assert not request.reused_socket
                else:
                    with pytest.raises(http.StaleConnectionError) as caught:
                        await request.get_response()
                    assert caught.value.code == "ECONNRESET"
                    assert request.reused_socket
            assert len(server.received) == 1 + retried


@pytest.mark.node_api("ClientRequest|continue")
@pytest.mark.parametrize("answer", [b"HTTP/1.1 100 Continue\r\n\r\n", b""])
async def test_waiting_for_continue(answer: bytes) -> None:
    async with outgoing("client", headers={"Expect": "100-continue"}) as live:
        request = live.message
        assert isinstance(request, http.ClientRequest)
        told: list[str] = []
        request.on("continue", lambda: told.append("continue"))
        final = b"HTTP/1.1 204 No Content\r\n\r\n"
        await live.peer.stream.send_all(answer or final)
        assert await request.wait_continue() is bool(answer)
        assert told == (["continue"] if answer else [])
        if answer:
            await request.end("body")
            await live.peer.stream.send_all(final)
        assert (await request.get_response()).status_code == 204
        assert (await live.peer.seen()).endswith(b"4\r\nbody\r\n0\r\n\r\n") is bool(answer)


@pytest.mark.node_api("ClientRequest|information")
async def test_informational_responses_are_told_and_kept() -> None:
    async with outgoing("client", method="GET") as live:
        request = live.message
        assert isinstance(request, http.ClientRequest)
        told: list[http.Information] = []
        request.on("information", told.append)
        await request.end()
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
        await live.peer.stream.send_all(hints + b"HTTP/1.1 204 No Content\r\n\r\n")
        assert (await request.get_response()).status_code == 204
        assert told == request.informational
        (one,) = told
        assert (one.status_code, one.status_message, one.http_version) == (
            103,
            "Early Hints",
            "1.1",
        )
        assert one.headers["x-a"] == "1, 2"
        assert one.raw_headers == [("Link", "</a>"), ("X-A", "1"), ("X-A", "2")]


@pytest.mark.node_api("ClientRequest|request.maxHeadersCount")
async def test_response_headers_beyond_the_count_are_left_out() -> None:
    async with outgoing("client", method="GET", max_headers_count=5) as live:
        request = live.message
        assert isinstance(request, http.ClientRequest)
        assert request.max_headers_count == 5
        request.max_headers_count = 2
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: 1\r\nB: 2\r\n\r\n"
        await request.end()
        await live.peer.stream.send_all(head)
        response = await request.get_response()
        assert response.raw_headers == [("Content-Length", "0"), ("A", "1")]


@pytest.mark.node_api(
    "ClientRequest|request.setNoDelay([noDelay])",
    "ClientRequest|request.setSocketKeepAlive([enable][, initialDelay])",
)
async def test_options_of_the_socket_may_be_set_early_and_late() -> None:
    tcp, level = stdlib_socket.IPPROTO_TCP, stdlib_socket.SOL_SOCKET

    def found(request: http.ClientRequest) -> tuple[bool, bool, int]:
        assert request.socket is not None
        stream = request.socket.stream
        assert isinstance(stream, trio.SocketStream)
        get = stream.getsockopt
        return (
            bool(get(tcp, stdlib_socket.TCP_NODELAY)),
            bool(get(level, stdlib_socket.SO_KEEPALIVE)),
            int(get(tcp, stdlib_socket.TCP_KEEPIDLE)),
        )

    server = http.create_server(echo)
    async with listening(server), http.Agent() as agent:
        request = http.request(server.url, agent=agent)
        request.set_no_delay(False)
        request.set_socket_keep_alive(True, 55)
        async with request:
            assert found(request) == (False, True, 55)
            request.set_no_delay()
            request.set_socket_keep_alive(False)
            assert found(request)[:2] == (True, False)


# --- options: the head -----------------------------------------------------------------------


@pytest.mark.node_api("http.request|headers", "http.request|setHost")
async def test_headers_of_a_request() -> None:
    assert await lines_sent(headers={"X-A": "1", "x-b": ["2", "3"]}) == [
        "GET / HTTP/1.1",
        "X-A: 1",
        "x-b: 2",
        "x-b: 3",
        "Host: a.test",
        "Connection: close",
    ]
    pairs = [("X-A", "1"), ("HOST", "b.test")]
    assert await lines_sent(headers=pairs) == [
        "GET / HTTP/1.1",
        "X-A: 1",
        "HOST: b.test",
        "Connection: close",
    ]
    assert await lines_sent(set_host=False) == ["GET / HTTP/1.1", "Connection: close"]


@pytest.mark.node_api("http.request|setDefaultHeaders")
async def test_default_headers_can_be_left_out() -> None:
    assert await lines_sent(set_default_headers=False) == ["GET / HTTP/1.1"]
    own = {"Connection": "keep-alive", "Host": "b.test"}
    assert await lines_sent(set_default_headers=False, headers=own) == [
        "GET / HTTP/1.1",
        "Connection: keep-alive",
        "Host: b.test",
    ]


@pytest.mark.node_api("http.request|auth")
async def test_basic_authorization() -> None:
    lines = await lines_sent(auth="user:pä:ss")
    assert "Authorization: Basic dXNlcjpww6Q6c3M=" in lines
    own = await lines_sent(auth="user:pass", headers={"authorization": "mine"})
    assert [line for line in own if line.lower().startswith("auth")] == ["authorization: mine"]


@pytest.mark.node_api("http.request|uniqueHeaders")
async def test_unique_headers_share_a_line() -> None:
    lines = await lines_sent(unique_headers=["X-A"], headers={"x-a": ["1", "2"], "b": ["3", "4"]})
    assert lines[1:4] == ["x-a: 1; 2", "b: 3", "b: 4"]


@pytest.mark.node_api(
    "http.request|special headers: Connection, Content-Length, Expect, Authorization"
)
async def test_special_headers_switch_off_what_is_automatic() -> None:
    posted = {"method": "POST"}
    assert await lines_sent(headers={"Connection": "keep-alive"}, **posted) == [
        "POST / HTTP/1.1",
        "Connection: keep-alive",
        "Host: a.test",
        "Content-Length: 0",
    ]
    async with outgoing("client", headers={"Content-Length": "3"}) as live:
        await live.message.write("abc")
        assert "Transfer-Encoding: chunked" not in await live.peer.lines()
        assert await live.peer.body() == b"abc"
    async with outgoing("client") as live:
        await live.message.write("abc")
        assert "Transfer-Encoding: chunked" in await live.peer.lines()
    async with outgoing("client", headers={"Expect": "100-continue"}) as live:
        # The head leaves at once, without waiting for a body.
        request = live.message
        assert isinstance(request, http.ClientRequest)
        await live.peer.stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
        await request.wait_continue()
        assert "Expect: 100-continue" in await live.peer.lines()


# --- options: where ----------------------------------------------------------------------------


@pytest.mark.node_api(
    "http.request|host",
    "http.request|hostname",
    "http.request|port",
    "http.request|protocol",
    "http.request|agent",
    "http.request|defaultPort",
    "http|http.request(options[, callback])",
    "http|http.get(options[, callback])",
)
async def test_options_say_where_to_connect() -> None:
    async with MemoryNetwork() as network:
        server = http.create_server(echo)
        for host, port in (("a.test", 80), ("a.test", 81), ("b.test", 82)):
            network.listen(host, port, server.serve_stream)
        async with network.agent() as agent:

            async def host_seen(**options: Any) -> str:
                async with http.get(agent=agent, **options) as response:
                    _, line, *_ = (await response.text()).split("\n")
                    assert response.status_code == 200
                    return line

            assert await host_seen(host="a.test") == "Host: a.test"
            assert await host_seen(host="a.test", port=81) == "Host: a.test:81"
            both = {"host": "nowhere.test", "hostname": "b.test", "port": 82}
            assert await host_seen(**both) == "Host: b.test:82"
            assert await host_seen(host="b.test", default_port=82) == "Host: b.test"
            assert await host_seen(host="a.test", protocol="http:") == "Host: a.test"
            with pytest.raises(http.InvalidProtocolError):
                http.request(host="a.test", protocol="ftp:")
            assert agent.stats().opened == 5
            async with http.request(host="a.test", path="/x", agent=agent) as request:
                await request.end()
                response = await request.get_response()
                assert (await response.text()).startswith("GET /x\n")
            with pytest.raises(http.InvalidArgTypeError):
                http.request(host="a.test", agent="none")  # type: ignore[arg-type]


@pytest.mark.node_api("http.request|agent")
async def test_no_agent_is_a_fresh_one() -> None:
    server = http.create_server(echo)
    async with listening(server), http.request(server.url, agent=False) as request:
        await request.end()
        response = await request.get_response()
        assert "Connection: close" in await response.text()
        assert http.global_agent.stats().active == 0


@pytest.mark.node_api("http.request|createConnection")
async def test_a_request_may_bring_its_own_connection() -> None:
    async with MemoryNetwork() as network:
        network.listen("a.test", 80, FaultyServer.silent())
        peer = FaultyServer.half_body()
        network.listen("own.test", 80, peer)
        asked: list[tuple[str, int]] = []

        async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
            asked.append((options.host, options.port))
            return await network.connect("own.test")

        async with http.get("http://a.test/", create_connection=connect) as response:
            assert response.status_code == 200
        assert asked == [("a.test", 80)]
        # As in Node: without an agent there is no usual port to leave out.
        assert b"Host: a.test:80\r\n" in peer.received[0]


@pytest.mark.node_api("http.request|family", "http.request|hints", "http.request|lookup")
async def test_lookup_resolves_names() -> None:
    server = http.create_server(echo)
    asked: list[tuple[Any, ...]] = []

    async def lookup(host: str, options: http.ConnectOptions) -> list[str]:
        await trio.lowlevel.checkpoint()
        asked.append((host, options.family, options.hints))
        return ["127.0.0.1"]

    async with listening(server):
        assert isinstance(server.address, tuple)
        where: dict[str, Any] = {
            "host": "name.test",
            "port": server.address[1],
            "agent": False,
        }
        hints = stdlib_socket.AI_ADDRCONFIG
        async with http.get(**where, lookup=lookup, family=4, hints=hints) as response:
            assert response.socket.remote_address == "127.0.0.1"
            assert response.socket.family == "IPv4"
        assert asked == [("name.test", 4, hints)]
        where["host"] = "127.0.0.1"
        numeric = stdlib_socket.AI_NUMERICHOST
        async with http.get(**where, hints=numeric) as response:
            assert response.status_code == 200
        with pytest.raises(http.ConnectionFailedError):
            async with http.get(**where, family=6):
                pass


@pytest.mark.node_api("http.request|localAddress", "http.request|localPort")
async def test_the_local_end_can_be_chosen() -> None:
    server = http.create_server(echo)
    with stdlib_socket.create_server(("127.0.0.2", 0)) as probe:
        port = probe.getsockname()[1]
    async with listening(server):
        options = {"local_address": "127.0.0.2", "local_port": port, "agent": False}
        async with http.get(server.url, **options) as response:
            assert response.socket.local_address == "127.0.0.2"
            assert response.socket.local_port == port


@pytest.mark.node_api("http.request|socketPath", "v0.4|server.listen(path)")
async def test_unix_sockets(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with trio.open_nursery() as nursery:
        server = http.create_server(echo)

        async def listen(task_status: Any) -> None:
            await server.listen(path=path, task_status=task_status)

        await nursery.start(listen)
        async with http.get("http://a.test/x", socket_path=path, agent=False) as response:
            assert (await response.text()).startswith("GET /x\nHost: a.test\n")
            assert response.socket.family == "unix"
        await server.close()


# --- options: the response ---------------------------------------------------------------------


@pytest.mark.node_api("http.request|maxHeaderSize")
async def test_a_response_head_that_is_too_large_is_refused() -> None:
    large = "X: " + "x" * 200
    with pytest.raises(http.ParseError) as caught:
        async with incoming("client", large, max_header_size=100):
            pass
    assert caught.value.code == "HPE_HEADER_OVERFLOW"
    async with incoming("client", large, "Content-Length: 0", max_header_size=300) as live:
        assert live.message.headers["x"] == "x" * 200


@pytest.mark.node_api("http.request|joinDuplicateHeaders")
async def test_repeated_response_headers_are_joined_when_asked() -> None:
    lines = ("Server: a", "Server: b", "Content-Length: 0")
    for join, expected in ((False, "a"), (True, "a, b")):
        async with incoming("client", *lines, join_duplicate_headers=join) as live:
            assert live.message.headers["server"] == expected


@pytest.mark.node_api("http.request|insecureHTTPParser")
async def test_there_is_no_lenient_parser_for_responses() -> None:
    with pytest.raises(http.ParserUnavailableError):
        http.request("http://a.test/", insecure_http_parser=True)
    with pytest.raises(http.ParseError):
        async with incoming("client", "A : 1", insecure_http_parser=False):
            pass


@pytest.mark.node_api("http.request|timeout")
async def test_the_timeout_option_raises_where_nobody_observes_it(autojump_clock: Any) -> None:
    async with outgoing("client", timeout=2) as live:
        request = live.message
        assert isinstance(request, http.ClientRequest)
        await request.end()
        begun = trio.current_time()
        with pytest.raises(http.SocketTimeoutError):
            await request.get_response()
        assert trio.current_time() - begun == pytest.approx(2)
    async with outgoing("client", timeout=2) as live:
        told: list[str] = []
        live.message.on("timeout", lambda: told.append("timeout"))
        await trio.sleep(9)
        assert told == ["timeout"]
        assert not live.message.destroyed


@pytest.mark.node_api("http.request|signal")
async def test_a_cancel_scope_is_the_signal() -> None:
    with trio.CancelScope() as signal:
        async with outgoing("client") as live:
            await live.message.write("part")
            socket = live.message.socket
            signal.cancel()
            await trio.lowlevel.checkpoint()
    assert signal.cancelled_caught
    assert socket is not None
    assert socket.destroyed
    assert live.message.closed
