"""Upgrade and CONNECT, seen from the client."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import KINDS, contexts, read_all, read_head, wire
from trio_nodehttp.testing import Close, Expect, ExpectEnd, FaultyServer, Send, Stall

SWITCH = b"HTTP/1.1 101\r\nDate: now\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n"
ASK = {"Connection": "Upgrade", "Upgrade": "WebSocket"}
REFUSED = b"HTTP/1.1 200 OK\r\nConnection: upgrade, keep-alive\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nno"


@pytest.mark.node("test-http-upgrade-agent.js")
@pytest.mark.node_api("ClientRequest|upgrade")
@pytest.mark.parametrize("kind", KINDS)
async def test_upgraded_socket_leaves_the_agent(nursery: Any, kind: str) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(SWITCH + b"nurtzo"), ExpectEnd()])
    wired = await wire(nursery, kind, server, keep_alive=True, max_sockets=1)
    closes: list[str] = []
    async with http.request(wired.url, agent=wired.agent, headers=ASK) as request:
        request.on("close", lambda: closes.append("close"))
        assert wired.counts() == (1, 0, 0, 0)
        response, stream = await request.upgrade()
        assert wired.counts() == (0, 0, 0, 0)
        assert wired.agent.sockets == {}
        assert wired.agent.free_sockets == {}
        assert closes == ["close"]
        assert response.status_code == 101
        assert response.status_message == ""
        assert dict(response.headers) == {
            "date": "now",
            "connection": "upgrade",
            "upgrade": "WebSocket",
        }
        assert stream.head == b"nurtzo"
        assert await stream.receive_some() == b"nurtzo"
        await stream.send_all(b"raw")
        assert (await request.upgrade()).stream is stream
        # Its place is free: another request does not have to wait.
        with trio.fail_after(2):
            async with http.request(wired.url, agent=wired.agent) as other:
                assert other.socket is not stream.socket
    await wired.all_ended()
    assert server.received[0].endswith(b"\r\n\r\nraw"), "leaving the scope closes the stream"
    assert stream.socket.destroyed


@pytest.mark.node("test-http-upgrade-binary.js")
async def test_coding_on_a_101_does_not_touch_the_tunnel(nursery: Any, autojump_clock: Any) -> None:
    head = SWITCH[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
    wired = await wire(nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(head + b"\x80")]))
    async with http.request(wired.url, agent=wired.agent, headers=ASK) as request:
        _, stream = await request.upgrade()
        assert await stream.receive_some() == b"\x80"
        assert await stream.receive_some() == b""


@pytest.mark.node("test-http-upgrade-client.js")
@pytest.mark.parametrize("headers", [ASK, [*ASK.items(), ("Host", "example.org")]])
async def test_upgrade_with_mapping_or_pairs(
    nursery: Any, autojump_clock: Any, headers: Any
) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(SWITCH + b"nurtzo"), ExpectEnd()])
    wired = await wire(nursery, "memory", server)
    seen: list[object] = []
    request = http.request(wired.url, agent=wired.agent, headers=headers)

    @request.on("upgrade")
    def note(response: Any, stream: Any) -> None:
        seen.append((response.headers["upgrade"], response.raw_headers[0], stream.head))

    request.on("response", seen.append)
    request.on("close", lambda: seen.append("close"))
    async with request:
        response = await request.get_response()
        assert response.status_code == 101
        assert seen == [("WebSocket", ("Date", "now"), b"nurtzo"), "close"]
    assert b"Connection: Upgrade\r\nUpgrade: WebSocket\r\n" in server.received[0]
    await wired.all_ended()


@pytest.mark.node("test-http-upgrade-client2.js")
async def test_two_unfinished_upgrades_in_sequence(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Expect(b"head"), Send(SWITCH), ExpectEnd()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    closes: list[int] = []
    for number in (1, 2):
        options: Any = {"method": "POST", "agent": wired.agent, "headers": ASK}
        async with http.request(wired.url, **options) as request:
            request.on("close", lambda number=number: closes.append(number))
            assert await request.write(b"head")
            response, _ = await request.upgrade()
            assert response.status_code == 101
        assert closes == list(range(1, number + 1))
    await wired.all_ended()
    assert len(server.received) == 2


@pytest.mark.node("test-http-upgrade-advertise.js")
@pytest.mark.parametrize("kind", KINDS)
async def test_advertised_upgrade_is_an_ordinary_response(nursery: Any, kind: str) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(REFUSED), Stall()])
    wired = await wire(nursery, kind, server, keep_alive=True)
    async with http.request(wired.url, agent=wired.agent, headers=ASK) as request:
        with pytest.raises(http.UpgradeRefusedError, match="200 OK") as caught:
            await request.upgrade()
        response: Any = caught.value.response
        assert response.headers["upgrade"] == "h2c"
        assert await response.text() == "no"
    assert wired.counts() == (0, 0, 1, 0)


@pytest.mark.node("test-http-upgrade-advertise.js")
@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_unasked_101_destroys_the_socket(nursery: Any, kind: str, writes: bool) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(SWITCH), ExpectEnd()])
    wired = await wire(nursery, kind, server, keep_alive=True)
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        if writes:
            assert await request.write(b"x" * (8 << 20)) is False
        with pytest.raises(http.SocketHangUpError, match="unasked 101") as caught:
            await request.get_response()
        assert request.errored is caught.value
        assert request.socket is not None
        assert request.socket.destroyed
        await wired.all_ended()
    assert wired.counts() == (0, 0, 0, 0)


async def test_101_that_came_during_the_body(nursery: Any) -> None:
    wired = await wire(
        nursery, "tcp", FaultyServer([Expect(b"\r\n\r\n"), Send(SWITCH + b"x"), ExpectEnd()])
    )
    options: Any = {"method": "POST", "agent": wired.agent, "headers": ASK}
    async with http.request(wired.url, **options) as request:
        assert await request.write(b"x" * (8 << 20)) is False
        _, stream = await request.upgrade()
        assert await stream.receive_some() == b"x"


async def test_what_is_told_of_a_101_is_what_is_told_of_any_response(nursery: Any) -> None:
    head = SWITCH[:-2] + b"X: 1\r\nX: 2\r\nX: 3\r\n\r\n"
    served: list[int] = []

    async def peer(stream: Any) -> None:
        served.append(1)
        await read_head(stream)
        if len(served) == 1:
            await stream.send_all(b"HTTP/1.1 204 Fine\r\n\r\n")
            await stream.receive_some()
        else:
            await stream.send_all(head)
            await read_all(stream)

    wired = await wire(nursery, "tcp", peer, keep_alive=True)
    async with http.get(wired.url, agent=wired.agent) as first:
        await first.read()
    options: Any = {"agent": wired.agent, "headers": ASK, "max_headers_count": 5}
    async with http.request(wired.url, join_duplicate_headers=True, **options) as request:
        response, _ = await request.upgrade()
        assert response.attempts == request.attempts == 2, "the reused socket was dead"
        assert response.headers["x"] == "1, 2"


# --- CONNECT ---------------------------------------------------------------------------


@pytest.mark.node("test-http-connect.js")
@pytest.mark.node_api("ClientRequest|connect")
@pytest.mark.parametrize("kind", KINDS)
async def test_connect_opens_a_tunnel(nursery: Any, kind: str) -> None:
    heads: list[bytes] = []

    async def proxy(stream: Any) -> None:
        data = await read_head(stream)
        head, end, early = data.partition(b"\r\n\r\n")
        heads.append(head + end)
        while len(early) < 4:
            early += await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n" + early)
        while data := await stream.receive_some():
            await stream.send_all(early + data)

    wired = await wire(nursery, kind, proxy, keep_alive=True, timeout=5)
    told: list[object] = []
    options: Any = {"method": "CONNECT", "path": "google.com:443", "agent": wired.agent}
    request = http.request(wired.url, timeout=3, **options)
    request.on("response", lambda _: told.append("response"))
    request.on("connect", lambda *args: told.append(args))
    async with request:
        assert await request.write(b"Head")
        response, stream = await request.connect()
        assert told == [(response, stream)]
        assert response.status_code == 200
        assert response.status_message == "Connection established"
        assert wired.counts() == (0, 0, 0, 0)
        assert stream.socket.watchers == []
        assert stream.socket.timeout == float("inf")
        assert await stream.receive_some(4) == b"Head"
        await stream.send_all(b"Body")
        assert await stream.receive_some() == b"HeadBody"
        await stream.aclose()
    await wired.all_ended()
    assert heads[0].startswith(b"CONNECT google.com:443 HTTP/1.1\r\n")


async def test_connect_refused(nursery: Any, autojump_clock: Any) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 4\r\n\r\nwho?"
    wired = await wire(
        nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(refusal), Stall()])
    )
    options: Any = {"method": "CONNECT", "path": "google.com:443", "agent": wired.agent}
    async with http.request(wired.url, **options) as request:
        with pytest.raises(http.UpgradeRefusedError) as caught:
            await request.connect()
        response: Any = caught.value.response
        assert response.status_code == 407
        assert await response.text() == "who?"


@pytest.mark.parametrize("verb", ["connect", "get_response"])
async def test_101_opens_no_tunnel(nursery: Any, autojump_clock: Any, verb: str) -> None:
    """A 2xx does (RFC 9110 section 9.3.6)."""
    wired = await wire(
        nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(SWITCH), ExpectEnd()])
    )
    options: Any = {"method": "CONNECT", "path": "a.test:1", "agent": wired.agent}
    async with http.request(wired.url, **options) as request:
        request.on("connect", lambda _, stream: stream)
        with pytest.raises(http.SocketHangUpError, match="unasked 101"):
            await getattr(request, verb)()
        await wired.all_ended()


async def test_connect_with_information_first(nursery: Any, autojump_clock: Any) -> None:
    answer = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 Fine\r\n\r\nearly"
    wired = await wire(
        nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(answer), Stall()])
    )
    options: Any = {"method": "CONNECT", "path": "a.test:1", "agent": wired.agent}
    async with http.request(wired.url, **options) as request:
        response, stream = await request.connect()
        assert response.status_code == 204
        assert [info.status_code for info in request.informational] == [102]
        assert await stream.receive_some() == b"early"


@pytest.mark.parametrize("kind", KINDS)
async def test_destroying_the_request_ends_its_tunnel(nursery: Any, kind: str) -> None:
    wired = await wire(
        nursery, kind, FaultyServer([Expect(b"\r\n\r\n"), Send(SWITCH), ExpectEnd()])
    )
    async with http.request(wired.url, agent=wired.agent, headers=ASK) as request:
        _, stream = await request.upgrade()

        async def destroy_soon() -> None:
            await trio.sleep(0.005)
            request.destroy()

        nursery.start_soon(destroy_soon)
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some()
        await wired.all_ended()


async def test_tunnel_of_tls_over_connect(nursery: Any) -> None:
    server_context, client_context = contexts()

    async def proxy(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        secure = trio.SSLStream(stream, server_context, server_side=True, https_compatible=True)
        await secure.send_all(b"secret")
        await read_all(secure)

    wired = await wire(nursery, "tcp", proxy)
    options: Any = {"method": "CONNECT", "path": "a.test:1", "agent": wired.agent}
    async with http.request(wired.url, **options) as request:
        _, stream = await request.connect()
        secure = trio.SSLStream(
            stream, client_context, server_hostname="127.0.0.1", https_compatible=True
        )
        assert await secure.receive_some() == b"secret"
        await secure.aclose()
    await wired.all_ended()


async def test_connection_that_closes_instead(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Close()]))
    async with http.request(wired.url, agent=wired.agent, headers=ASK) as request:
        with pytest.raises(http.SocketHangUpError):
            await request.upgrade()
