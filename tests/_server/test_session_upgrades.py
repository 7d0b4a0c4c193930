"""Connections that a handler takes over, byte by byte."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import ask, dialled, hello, listening, serving, settle
from tests.wires import contexts

UPGRADE = ("Connection: upgrade", "Upgrade: chat")


@pytest.mark.parametrize("framing", ["Content-Length: 4", "Transfer-Encoding: chunked"])
async def test_what_the_head_of_a_connect_says_of_a_body_is_the_streams(
    framing: str, autojump_clock: Any
) -> None:
    """RFC 9110 section 9.3.6: such a request has none."""

    async def connect(request: http.IncomingMessage, stream: Any) -> None:
        assert request.complete
        assert await request.read() == b""
        await stream.send_all(b"got " + await stream.receive_some())

    async with serving(hello) as served:
        served.server.on("connect", connect)
        client = await served.connect()
        await client.send(ask("x:1", framing, method="CONNECT"), b"4\r\nbody")
        assert await client.until_end() == b"got 4\r\nbody"


async def test_a_refused_tunnel_is_not_read(autojump_clock: Any) -> None:
    async with serving(hello, max_requests_per_socket=1) as served:
        client = await served.connect()
        await client.send(ask("x:1", method="CONNECT"), ask())
        assert await client.until_end() == b""


@pytest.mark.parametrize(("secure", "early"), [(False, 300_000), (True, 0), (True, 300_000)])
async def test_the_last_bytes_of_a_handler_arrive(secure: bool, early: int) -> None:
    """Closing with bytes unread resets, and over TLS an end must be told."""
    server_context, client_context = contexts()
    answer = b"HTTP/1.1 403 Forbidden\r\n\r\n" + bytes(200_000)

    async def refuse(_: http.IncomingMessage, stream: Any) -> None:
        await stream.send_all(answer)

    server = http.create_server(hello).on("upgrade", refuse)
    where = {"ssl_context": server_context} if secure else {}
    async with listening(server, **where), dialled(server) as client:
        if secure:
            client.stream = trio.SSLStream(
                client.stream, client_context, server_hostname="127.0.0.1"
            )
        with trio.fail_after(5):
            async with trio.open_nursery() as sending:
                sending.start_soon(client.send, ask("/", *UPGRADE), bytes(early))
                assert await client.take(len(answer)) == answer
            if not (secure and early):  # the end comes after a second there
                assert await client.stream.receive_some() == b""
        await client.stream.aclose()


async def test_a_silent_peer_does_not_keep_what_was_left(autojump_clock: Any) -> None:
    async def leave(_: http.IncomingMessage, stream: Any) -> None:
        await stream.send_all(b"bye")

    async with serving(hello) as served:
        served.server.on("upgrade", leave)
        client = await served.connect()
        await client.send(ask("/", *UPGRADE), b"early")
        assert await client.take(3) == b"bye"
        await trio.sleep(1.1)
        assert served.server.connections == 0


@pytest.mark.parametrize("verb", ["send_all", "receive_some"])
async def test_a_stream_that_outlives_its_handler_is_closed(
    nursery: Any, autojump_clock: Any, verb: str
) -> None:
    told: list[object] = []

    async def go_on(stream: Any) -> None:
        try:
            await getattr(stream, verb)(*([bytes(1_000_000)] if verb == "send_all" else []))
        except trio.ClosedResourceError as error:
            told.append(type(error))
        with pytest.raises(http.StreamDestroyedError):
            await stream.send_all(b"more")

    async def leave_behind(_: http.IncomingMessage, stream: Any) -> None:
        nursery.start_soon(go_on, stream)
        await trio.sleep(1)

    async with serving(hello) as served:
        served.server.on("upgrade", leave_behind)
        client = await served.connect()
        await client.send(ask("/", *UPGRADE))
        if verb == "send_all":
            await trio.sleep(0.5)
            await client.send(b"unread")
        await trio.sleep(2)
        assert told == [http.StreamDestroyedError]
        assert served.server.connections == 0


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("outside", [False, True])
async def test_a_tunnel_handed_back_has_its_addresses(outside: bool, inside: bool) -> None:
    """TLS around the tunnel, within it, or both: it is the same socket, as in Node."""
    server_context, client_context = contexts()
    told: list[object] = []
    asked, left = trio.Event(), trio.Event()

    async def handle(request: http.IncomingMessage, _: Any) -> None:
        socket = request.socket
        told.extend((socket.remote_address, socket.remote_port, socket.encrypted))
        assert socket.get_peer_certificate() is None
        asked.set()
        await request.disconnected.wait()
        left.set()

    async def connect(_: http.IncomingMessage, stream: Any) -> None:
        assert stream.half_closeable is not outside
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        if inside:
            stream = trio.SSLStream(stream, server_context, server_side=True)
        await server.serve_stream(stream)

    def secure(stream: Any) -> Any:
        return trio.SSLStream(stream, client_context, server_hostname="127.0.0.1")

    server = http.create_server(handle, connections_checking_interval=0.01)
    server.on("connect", connect)
    where = {"ssl_context": server_context} if outside else {}
    async with listening(server, **where), dialled(server) as client:
        stream: Any = client.stream
        port = stream.socket.getsockname()[1]
        if outside:
            client.stream = secure(stream)
        await client.send(ask("x:1", method="CONNECT"))
        await client.line()
        if inside:
            client.stream = secure(client.stream)
        await client.send(ask())
        await asked.wait()
        assert told == ["127.0.0.1", port, outside or inside]
        stream.socket.close()
        with trio.fail_after(2):
            await left.wait()


async def test_cutting_a_tunnel_handed_back_cuts_it_all(autojump_clock: Any) -> None:
    streams: list[http.UpgradedStream] = []

    async def connect(_: http.IncomingMessage, stream: http.UpgradedStream) -> None:
        streams.append(stream)
        await server.serve_stream(stream)
        assert stream.socket.destroyed

    async with serving(hello, on_error="raise") as served:
        server = served.server.on("connect", connect)
        client = await served.connect()
        await client.send(ask("x:1", method="CONNECT"), ask())
        assert (await client.answer()).body == b"hello"
        assert server.connections == 2
        server.close_all_connections()
        assert streams[0].socket.destroyed
        assert await client.until_end() == b""
        await settle()
        assert server.connections == 0
