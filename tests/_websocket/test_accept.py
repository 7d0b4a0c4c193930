"""The server's side, inside an upgrade handler."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests._websocket.wire import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    Peer,
    close_payload,
    upgrade_request,
)
from trio_nodehttp._errors import (
    InvalidArgTypeError,
    InvalidArgValueError,
    OutOfRangeError,
    WebSocketHandshakeError,
)
from trio_nodehttp._memory import MemoryStream, memory_pipe
from trio_nodehttp._websocket.accept import accept_websocket
from trio_nodehttp._websocket.events import MessageEvent
from trio_nodehttp._websocket.websocket import WebSocket

HEAD = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
)


async def read_head(stream: MemoryStream) -> bytes:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += await stream.receive_some(1)
    return data


def pair() -> tuple[MemoryStream, Peer]:
    ours, theirs = memory_pipe()
    return ours, Peer(theirs, client=True)


async def test_an_echo() -> None:
    stream, peer = pair()
    await peer.send(TEXT, b"with the request")
    async with accept_websocket(upgrade_request(), stream) as ws:
        assert isinstance(ws, WebSocket)
        assert ws.url == "ws://example.com/chat"
        assert ws.ready_state == WebSocket.OPEN
        assert await read_head(peer.stream) == HEAD + b"\r\n"
        await ws.send(await ws.receive())
        assert await peer.read() == Frame(TEXT, b"with the request")
        await peer.send(PING, b"?")
        assert await peer.read() == Frame(PONG, b"?")
        await peer.close(1000)
        assert [message async for message in ws] == []
    assert await peer.read_all() == [Frame(CLOSE, close_payload(1000))]
    assert ws.close_code == 1000


async def test_what_is_agreed() -> None:
    stream, peer = pair()
    request = upgrade_request(
        sec_websocket_protocol="v1, v2",
        sec_websocket_extensions="permessage-deflate; client_max_window_bits",
    )
    options: Any = {"subprotocols": ["v3", "v2"], "headers": {"Set-Cookie": "a=1"}}
    async with accept_websocket(request, stream, **options) as ws:
        assert ws.protocol == "v2"
        assert ws.extensions == "permessage-deflate; client_max_window_bits=12"
        assert await read_head(peer.stream) == HEAD + (
            b"Sec-WebSocket-Protocol: v2\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=12\r\n"
            b"Set-Cookie: a=1\r\n"
            b"\r\n"
        )
        await ws.send("hello " * 99)
        frame = await peer.read()
        assert frame is not None
        assert frame.rsv == 4
        await peer.close()


async def test_compression_may_be_declined() -> None:
    stream, peer = pair()
    request = upgrade_request(sec_websocket_extensions="permessage-deflate")
    async with accept_websocket(request, stream, compression=False) as ws:
        assert ws.extensions == ""
        await peer.close()


async def test_messages_tell_their_origin() -> None:
    stream, peer = pair()
    seen: list[Any] = []
    async with accept_websocket(upgrade_request(), stream).on("message", seen.append) as ws:
        await peer.send(TEXT, b"a")
        await ws.receive()
        await peer.close()
    assert seen == [MessageEvent("a", "ws://example.com")]


@pytest.mark.parametrize("origins", ["https://good", ["https://good", "https://other"], None])
async def test_an_origin_that_is_welcome(origins: Any) -> None:
    stream, peer = pair()
    request = upgrade_request(origin="https://good")
    async with accept_websocket(request, stream, origins=origins) as ws:
        await peer.close()
    assert ws.close_code == 1000


@pytest.mark.parametrize(
    ("headers", "start"),
    [
        ({"sec_websocket_key": "x"}, b"HTTP/1.1 400 Bad Request\r\n"),
        ({"sec_websocket_version": "8"}, b"HTTP/1.1 426 Upgrade Required\r\n"),
        ({"origin": "https://evil"}, b"HTTP/1.1 403 Forbidden\r\n"),
        ({"sec_websocket_extensions": ";"}, b"HTTP/1.1 400 Bad Request\r\n"),
    ],
)
async def test_refusals_are_written_and_raised(headers: Any, start: bytes) -> None:
    stream, peer = pair()
    entered = False
    origins = ["https://good"]
    with pytest.raises(WebSocketHandshakeError, match="refused"):
        async with accept_websocket(upgrade_request(**headers), stream, origins=origins):
            entered = True
    assert not entered
    assert stream.closed
    assert (await peer.stream.receive_some()).startswith(start)
    assert await peer.stream.receive_some() == b""


@pytest.mark.parametrize("headers", [{}, {"sec_websocket_key": "x"}])
async def test_a_client_that_has_left(headers: Any) -> None:
    stream, peer = pair()
    await peer.stream.aclose()
    with pytest.raises(WebSocketHandshakeError):
        await accept_websocket(upgrade_request(**headers), stream).__aenter__()
    assert stream.closed


@pytest.mark.parametrize("headers", [{}, {"sec_websocket_key": "x"}])
async def test_answering_may_be_cancelled(
    headers: Any, autojump_clock: trio.testing.MockClock
) -> None:
    ours, theirs = memory_pipe(10)  # no answer fits
    ws = accept_websocket(upgrade_request(**headers), ours)
    with trio.move_on_after(1) as scope:
        await ws.__aenter__()
    assert scope.cancelled_caught
    assert ws.ready_state == WebSocket.CLOSED
    assert theirs.peer_closed


def test_arguments_are_checked_at_once() -> None:
    stream, _ = pair()
    with pytest.raises(InvalidArgValueError):
        accept_websocket(upgrade_request(), stream, subprotocols="a b")
    with pytest.raises(InvalidArgValueError):
        accept_websocket(upgrade_request(), stream, headers={"Upgrade": "h2c"})
    with pytest.raises(OutOfRangeError):
        accept_websocket(upgrade_request(), stream, max_queue=0)
    with pytest.raises(InvalidArgTypeError, match="origins"):
        accept_websocket(upgrade_request(), stream, origins=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [1001, 1008, 1011, 1013, 1014, 3000])
async def test_a_server_has_more_codes(code: int) -> None:
    stream, peer = pair()
    async with accept_websocket(upgrade_request(), stream) as ws:
        await read_head(peer.stream)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.close, code)
            assert await peer.read() == Frame(CLOSE, close_payload(code))
            await peer.close(code)
        for bad in (1004, 1005, 1006, 1015, 2000):
            with pytest.raises(InvalidArgValueError):
                await ws.close(bad)


async def test_a_block_that_raises_closes_with_1011() -> None:
    stream, peer = pair()
    error = ValueError("mine")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, peer)
        with pytest.raises(ValueError, match="mine") as caught:
            async with accept_websocket(upgrade_request(), stream):
                raise error
    assert caught.value is error


async def answer(peer: Peer) -> None:
    await read_head(peer.stream)
    assert await peer.read() == Frame(CLOSE, close_payload(1011))
    await peer.close(1011)


async def test_leaving_waits_for_the_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stream, _ = pair()
    async with accept_websocket(upgrade_request(), stream, close_timeout=3) as ws:
        pass
    assert trio.current_time() == 3
    assert ws.close_code == 1006
    assert stream.closed


async def test_a_silent_client_is_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stream, _ = pair()
    options: Any = {"ping_interval": 20, "ping_timeout": 10}
    async with accept_websocket(upgrade_request(), stream, **options) as ws:
        with pytest.raises(trio.BrokenResourceError):
            await ws.receive()
    assert trio.current_time() == 30
