"""Python's `websockets` and Node's `ws`, as client and as server, over loopback."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
import websockets.exceptions
from websockets.trio.client import connect as connect_theirs
from websockets.trio.server import serve as serve_theirs

import trio_nodehttp as http
from tests.interop import peers, suites
from tests.interop.websocket_ends import echo_server

SECONDS = 30.0
WS_VERSION = "8"
MESSAGES: list[str | bytes] = [
    "",
    "hello",
    "é€😀" * 1000,
    b"",
    b"\x00\xff",
    bytes(range(256)) * 4096,
]


@pytest.fixture(autouse=True)
async def bounded() -> AsyncIterator[None]:
    with trio.fail_after(SECONDS):
        yield


# -- Python's websockets


@pytest.fixture
async def their_server(nursery: trio.Nursery) -> AsyncIterator[str]:
    async def echo(connection: Any) -> None:
        async for message in connection:
            if message == "fragments":
                await connection.send(["frag", "", "ments"])
            elif message == "ping":
                await (await connection.ping(b"payload")).wait()
                await connection.send("ponged")
            elif message == "close":
                await connection.aclose(4001, "as asked")
            else:
                await connection.send(message)

    async def serve(task_status: Any) -> None:
        await serve_theirs(
            echo,
            0,
            host="127.0.0.1",
            subprotocols=["chat"],  # type: ignore[list-item]  # a NewType of str
            max_size=2**25,
            task_status=task_status,
        )

    server: Any = await nursery.start(serve)
    port = server.listeners[0].socket.getsockname()[1]
    yield f"ws://127.0.0.1:{port}"
    await server.aclose()


@pytest.mark.parametrize("compression", [True, False])
async def test_our_client_and_the_server_of_websockets(
    their_server: str, compression: bool
) -> None:
    async with http.WebSocket(their_server, ["other", "chat"], compression=compression) as ws:
        assert ws.protocol == "chat"
        assert bool(ws.extensions) is compression
        for message in MESSAGES:
            await ws.send(message)
            assert await ws.receive() == message
        await ws.send("fragments")
        assert await ws.receive() == "fragments"
        await ws.send("ping")
        assert await ws.receive() == "ponged"
        await ws.send("close")
        assert [message async for message in ws] == []
    assert (ws.close_code, ws.close_reason) == (4001, "as asked")


async def test_our_client_closes_the_server_of_websockets(their_server: str) -> None:
    started = trio.current_time()
    async with http.WebSocket(their_server, "chat") as ws:
        await ws.close(3999, "é")
    assert (ws.close_code, ws.close_reason) == (3999, "é")
    assert trio.current_time() - started < 5


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_the_client_of_websockets_and_our_server(compression: str | None) -> None:
    async with echo_server({"subprotocols": ["chat"]}) as url:
        chat: Any = ["other", "chat"]
        options: Any = {"compression": compression, "max_size": 2**25}
        async with connect_theirs(url, subprotocols=chat, **options) as theirs:
            assert theirs.subprotocol == "chat"
            for message in MESSAGES:
                await theirs.send(message)
                assert await theirs.recv() == message
            await theirs.send(["frag", "", "ments"])
            assert await theirs.recv() == "fragments"
            await (await theirs.ping(b"payload")).wait()
            await theirs.aclose(4001, "bye")
            assert theirs.protocol.close_rcvd is not None
            assert theirs.protocol.close_rcvd.code == 4001


async def test_our_limit_reaches_the_client_of_websockets() -> None:
    async with echo_server({"max_message_size": 10}) as url, connect_theirs(url) as theirs:
        await theirs.send("x" * 11)
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as caught:
            await theirs.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


async def test_our_server_refuses_the_client_of_websockets() -> None:
    origin: Any = "https://evil"
    async with echo_server({"origins": ["https://good"]}) as url:
        with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
            await connect_theirs(url, origin=origin).__aenter__()
        assert caught.value.response.status_code == 403


# -- Node's ws


@pytest.fixture(scope="module")
def modules() -> Path:
    """Where Node's `ws` is installed, from the package registry, once."""
    home = suites.cache_dir() / f"ws-{WS_VERSION}"
    if not (home / "node_modules" / "ws").is_dir():
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(home)]
        peers.run_program([*install, f"ws@{WS_VERSION}"])
    return home / "node_modules"


@pytest.fixture(scope="module")
def ws_server(modules: Path) -> Iterator[str]:
    command = peers.node("websocket.js", {"modules": str(modules)})
    with peers.run_peer(command) as peer:
        yield f"ws://127.0.0.1:{peer.port}"


@pytest.mark.parametrize("compression", [True, False])
async def test_our_client_and_the_server_of_ws(ws_server: str, compression: bool) -> None:
    async with http.WebSocket(ws_server, compression=compression) as ws:
        assert bool(ws.extensions) is compression
        # The server pings at once and tells of our pong.
        assert await ws.receive() == "pong from ws"
        for message in MESSAGES:
            await ws.send(message)
            assert await ws.receive() == message
        await ws.send("close me")
        assert [message async for message in ws] == []
    assert (ws.close_code, ws.close_reason) == (4001, "as asked")


async def test_the_server_of_ws_hangs_up(ws_server: str) -> None:
    async with http.WebSocket(ws_server) as ws:
        assert await ws.receive() == "pong from ws"
        await ws.send("terminate me")
        with pytest.raises(http.WebSocketClosedError) as caught:
            await ws.receive()
    assert caught.value.close_code == 1006


async def test_the_client_of_ws_and_our_server(modules: Path) -> None:
    texts = ["", "hello", "é€😀" * 1000]
    async with echo_server({"subprotocols": ["chat"]}) as url:
        settings = {
            "modules": str(modules),
            "url": url,
            "protocols": ["chat"],
            "messages": texts,
            "code": 4002,
        }
        command = peers.node("websocket.js", settings)
        done = await trio.run_process(command, capture_stdout=True)
    told = json.loads(done.stdout)
    echoes = [{"binary": False, "data": text} for text in texts]
    assert told["got"] == [*echoes, {"pong": "from ws"}]
    assert (told["code"], told["protocol"]) == (4002, "chat")
    assert told["extensions"] == "permessage-deflate"


# -- our own two ends, over TLS and against servers that are none


async def test_over_tls() -> None:
    authority = trustme.CA()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    asking = ssl.create_default_context()
    authority.configure_trust(asking)
    async with echo_server(ssl_context=serving) as url:
        started = trio.current_time()
        async with http.WebSocket(url, ssl_context=asking) as ws:
            assert ws.url.startswith("wss://")
            for message in MESSAGES:
                await ws.send(message)
                assert await ws.receive() == message
        assert ws.close_code == 1000
        assert trio.current_time() - started < 5


async def test_a_server_that_does_not_upgrade() -> None:
    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
        await stream.receive_some()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, talk, 0)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(http.WebSocketHandshakeError, match="200") as caught:
            await http.WebSocket(f"ws://127.0.0.1:{port}").__aenter__()
        assert caught.value.response.status_code == 200
        nursery.cancel_scope.cancel()


async def test_nobody_listens() -> None:
    with pytest.raises(http.ConnectionFailedError):
        await http.WebSocket(f"ws://127.0.0.1:{peers.free_port()}").__aenter__()
