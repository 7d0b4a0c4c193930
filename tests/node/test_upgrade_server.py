"""Upgrade and CONNECT, seen from the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import contexts, read_all, read_head, wire
from trio_nodehttp._memory import MemoryStream, memory_pipe

ASK = b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n"
CONNECT = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n"
OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
Dial = Callable[[], Awaitable[MemoryStream]]


async def ordinary(request: Any, response: Any) -> None:
    response.write_head(200, {"Content-Length": 8})
    await response.end("ordinary")


def start(nursery: Any, server: Any) -> Dial:
    async def dial() -> MemoryStream:
        ours, theirs = memory_pipe()
        nursery.start_soon(server.serve_stream, theirs)
        return ours

    return dial


async def read_until(stream: Any, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        more = await stream.receive_some()
        assert more, data
        data += more
    return data


@pytest.mark.node("test-http-upgrade-server.js")
@pytest.mark.node_api("Server|upgrade")
async def test_early_bytes_reach_the_hook(nursery: Any, autojump_clock: Any) -> None:
    heads: list[bytes] = []

    async def upgrade(request: Any, stream: Any) -> None:
        heads.append(stream.head)
        assert request.headers["upgrade"] == "WebSocket"
        await stream.send_all(SWITCH)
        assert await stream.receive_some() == stream.head
        assert await stream.receive_some() == b"test"
        await stream.send_all(b"kill and more")

    server = http.create_server(ordinary)
    server.on("upgrade", upgrade)
    dial = start(nursery, server)
    peer = await dial()
    await peer.send_all(ASK + b"WjN}|M(6")
    assert await read_until(peer, b"\r\n\r\n") == SWITCH
    await peer.send_all(b"test")
    assert await read_all(peer) == b"kill and more"
    assert heads == [b"WjN}|M(6"]
    # Ordinary requests still work.
    other = await dial()
    await other.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await read_until(other, b"ordinary")).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.node("test-http-upgrade-server.js", "test-http-upgrade-advertise.js")
async def test_without_a_hook_it_is_an_ordinary_request(nursery: Any, autojump_clock: Any) -> None:
    peer = await start(nursery, http.create_server(ordinary))()
    await peer.send_all(ASK)
    assert (await read_until(peer, b"ordinary")).startswith(b"HTTP/1.1 200 OK\r\n")
    await peer.send_all(ASK)
    await read_until(peer, b"ordinary")


@pytest.mark.node("test-http-upgrade-advertise.js")
@pytest.mark.parametrize(
    ("fields", "hooked"),
    [
        (b"", False),
        (b"Upgrade: h2c\r\n", False),
        (b"Connection: upgrade\r\n", False),
        (b"Connection: keep-alive, upgrade\r\nUpgrade: h2c\r\n", True),
    ],
)
async def test_both_headers_are_needed(
    nursery: Any, autojump_clock: Any, fields: bytes, hooked: bool
) -> None:
    async def upgrade(_: Any, stream: Any) -> None:
        await stream.send_all(b"hooked")

    server = http.create_server(ordinary)
    server.on("upgrade", upgrade)
    peer = await start(nursery, server)()
    await peer.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
    if hooked:
        assert await read_all(peer) == b"hooked"
    else:
        await read_until(peer, b"ordinary")


@pytest.mark.node("test-http-upgrade-server-callback.js")
async def test_the_hook_is_chosen_by_protocol(nursery: Any, autojump_clock: Any) -> None:
    """What ``shouldUpgradeCallback`` decides there, registering by token decides here."""

    async def chat(_: Any, stream: Any) -> None:
        await stream.send_all(SWITCH)

    async def broken(_: Any, __: Any) -> None:
        raise ValueError("mine")

    server = http.create_server(ordinary)
    server.on("upgrade", chat, protocol="websocket")
    server.on("upgrade", broken, protocol="broken")
    dial = start(nursery, server)
    peer = await dial()
    await peer.send_all(ASK)
    assert await read_all(peer) == SWITCH
    peer = await dial()
    await peer.send_all(ASK.replace(b"WebSocket", b"h2c"))
    await read_until(peer, b"ordinary")
    peer = await dial()
    await peer.send_all(ASK.replace(b"WebSocket", b"broken"))
    assert await read_all(peer) == b"", "the connection is closed"


@pytest.mark.node("test-http-upgrade-server-callback.js")
@pytest.mark.parametrize("hooked", [True, False])
@pytest.mark.parametrize("answer", [True, False])
async def test_a_callback_decides(
    nursery: Any, autojump_clock: Any, answer: bool, hooked: bool
) -> None:
    asked: list[str] = []

    def decide(request: http.IncomingMessage) -> bool:
        asked.append(request.headers["upgrade"])
        return answer

    async def upgrade(_: Any, stream: Any) -> None:
        await stream.send_all(SWITCH)

    server = http.create_server(ordinary, should_upgrade_callback=decide)
    if hooked:
        server.on("upgrade", upgrade)
    wired = await wire(nursery, "memory", server.serve_stream)
    headers = {"Connection": "Upgrade", "Upgrade": "WebSocket"}
    async with http.request(wired.url, agent=wired.agent, headers=headers) as request:
        if answer and not hooked:
            with pytest.raises(http.SocketHangUpError) as caught:
                await request.upgrade()
            assert caught.value.code == "ECONNRESET"
        elif answer:
            assert (await request.upgrade()).response.status_code == 101
        else:
            assert await (await request.get_response()).text() == "ordinary"
    async with http.get(wired.url, agent=wired.agent) as response:
        assert await response.text() == "ordinary"
    assert asked == ["WebSocket"], "only requests that ask for it are asked about"


@pytest.mark.node("test-http-upgrade-server-callback.js")
async def test_a_callback_that_raises(nursery: Any, autojump_clock: Any, caplog: Any) -> None:
    async def upgrade(_: Any, __: Any) -> None:
        pytest.fail("nobody decided for it")

    def decide(_: http.IncomingMessage) -> bool:
        raise ValueError("mine")

    server = http.create_server(ordinary, should_upgrade_callback=decide).on("upgrade", upgrade)
    peer = await start(nursery, server)()
    await peer.send_all(ASK)
    assert await read_all(peer) == b""
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["mine"]
    server.on_error = "raise"
    ours, theirs = memory_pipe()
    await ours.send_all(ASK)
    with pytest.raises(ValueError, match="mine"):
        await server.serve_stream(theirs)


@pytest.mark.node("test-http-after-connect.js")
@pytest.mark.node_api("Server|connect")
async def test_ordinary_requests_after_a_tunnel(nursery: Any, autojump_clock: Any) -> None:
    async def tunnel(_: Any, stream: Any) -> None:
        await stream.send_all(OPEN)
        assert await stream.receive_some() == b""
        await stream.send_eof()

    async def handle(request: Any, response: Any) -> None:
        await response.end(request.url)

    server = http.create_server(handle)
    server.on("connect", tunnel)
    wired = await wire(nursery, "memory", server.serve_stream)
    options: Any = {"method": "CONNECT", "path": "google.com:80", "agent": wired.agent}
    async with http.request(wired.url, **options) as request:
        _, stream = await request.connect()
        await stream.send_eof()
        assert await stream.receive_some() == b""
    bodies: list[str] = []

    async def client(number: int) -> None:
        async with http.get(f"{wired.url}request{number}", agent=wired.agent) as response:
            bodies.append(await response.text())

    async with trio.open_nursery() as clients:
        for number in (0, 1):
            clients.start_soon(client, number)
    assert sorted(bodies) == ["/request0", "/request1"]


@pytest.mark.node("test-http-connect.js")
async def test_connect_hands_the_socket_over(nursery: Any, autojump_clock: Any) -> None:
    async def tunnel(request: Any, stream: Any) -> None:
        assert request.method == "CONNECT"
        assert request.url == "google.com:443"
        assert stream.socket.watchers == []
        assert stream.socket.timeout == float("inf")
        assert stream.head == b"Head"
        await stream.send_all(OPEN + stream.head)
        data = b""
        while more := await stream.receive_some():
            data += more
        assert data == b"HeadRequestEnd"
        await stream.send_all(data)

    # Its timeout is for HTTP: the tunnel must not have it.
    server = http.create_server(ordinary, timeout=5, on_error="raise")
    server.on("connect", tunnel)
    wired = await wire(nursery, "memory", server.serve_stream)
    responses: list[object] = []
    options: Any = {"method": "CONNECT", "path": "google.com:443", "agent": wired.agent}
    async with http.request(wired.url, **options) as request:
        request.on("response", responses.append)
        await request.write("Head")
        _, stream = await request.connect()
        assert await stream.receive_some() == b"Head"
        await stream.send_all(b"Request")
        await trio.sleep(60)
        await stream.send_all(b"End")
        await stream.send_eof()
        assert await read_all(stream) == b"HeadRequestEnd"
    assert responses == []
    await wired.all_ended()


@pytest.mark.node("test-http-parser-freed-before-upgrade.js")
async def test_no_parser_is_left_on_the_socket(nursery: Any, autojump_clock: Any) -> None:
    """What follows is never parsed, on either side."""
    junk = b"\x00\x01\r\n\r\nGET / HTTP/9.9\r\n\r\n"

    async def upgrade(_: Any, stream: Any) -> None:
        await stream.send_all(SWITCH)
        await stream.send_all(junk)
        assert await stream.receive_some() == junk
        await stream.send_all(b"good")

    server = http.create_server(ordinary)
    server.on("upgrade", upgrade)
    wired = await wire(nursery, "memory", server.serve_stream)
    headers = {"Connection": "Upgrade", "Upgrade": "WebSocket"}
    async with http.request(wired.url, agent=wired.agent, headers=headers) as request:
        _, stream = await request.upgrade()
        assert request._connection is None
        await stream.send_all(junk)
        data = await read_all(stream)
    assert data == junk + b"good"


@pytest.mark.node("test-http-server-unconsume-consume.js")
async def test_a_tunnel_goes_back_to_the_server(nursery: Any, autojump_clock: Any) -> None:
    async def tunnel(_: Any, stream: Any) -> None:
        await stream.send_all(OPEN)
        await server.serve_stream(stream)

    server = http.create_server(ordinary)
    server.on("connect", tunnel)
    peer = await start(nursery, server)()
    await peer.send_all(CONNECT)
    assert await read_until(peer, b"\r\n\r\n") == OPEN
    for _ in range(2):
        await peer.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_until(peer, b"ordinary")).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.node("test-http-upgrade-reconsume-stream.js")
async def test_tls_on_an_upgraded_stream(nursery: Any) -> None:
    server_context, client_context = contexts()

    async def upgrade(_: Any, stream: Any) -> None:
        await stream.send_all(SWITCH)
        secure = trio.SSLStream(stream, server_context, server_side=True, https_compatible=True)
        await secure.send_all(b"secret " + await secure.receive_some())

    server = http.create_server(ordinary)
    server.on("upgrade", upgrade)
    await nursery.start(server.listen, 0, "127.0.0.1")
    peer = await trio.open_tcp_stream("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    await peer.send_all(ASK)
    assert await read_head(peer) == SWITCH
    secure = trio.SSLStream(
        peer, client_context, server_hostname="127.0.0.1", https_compatible=True
    )
    await secure.send_all(b"word")
    assert await secure.receive_some() == b"secret word"
    await trio.aclose_forcefully(secure)
