"""Scripted peers: each fault, as a client in memory and one on TCP see it."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.testing
import trustme

from trio_nodehttp._faulty import (
    Close,
    Dialogue,
    Expect,
    ExpectEnd,
    FaultyServer,
    HalfClose,
    Reset,
    Send,
    Stall,
)
from trio_nodehttp._memory import memory_pipe

REQUEST = b"GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n"

Connect = Callable[[FaultyServer], Awaitable[trio.abc.HalfCloseableStream]]


@pytest.fixture(params=["memory", "tcp"])
def connect(request: pytest.FixtureRequest, nursery: trio.Nursery) -> Connect:
    """Start the server of one connection and connect to it."""

    async def over_memory(server: FaultyServer) -> trio.abc.HalfCloseableStream:
        client, peer = memory_pipe()
        nursery.start_soon(server, peer)
        return client

    async def over_tcp(server: FaultyServer) -> trio.abc.HalfCloseableStream:
        serve = partial(trio.serve_tcp, server, 0, host="127.0.0.1")
        listeners = await nursery.start(serve)
        return await trio.testing.open_stream_to_socket_listener(listeners[0])

    return over_memory if request.param == "memory" else over_tcp


async def receive_all(stream: trio.abc.ReceiveStream) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def receive_until_reset(stream: trio.abc.ReceiveStream) -> bytes:
    data = b""
    try:
        async for chunk in stream:
            data += chunk
    except trio.BrokenResourceError:
        return data
    raise AssertionError("a clean end in place of a reset")


async def test_a_script_is_played_in_order(connect: Connect) -> None:
    server = FaultyServer(
        [
            Expect(b"one"),
            Send(b"1"),
            Expect(b"two"),
            Send(b"2"),
            ExpectEnd(),
            Send(b"end"),
        ],
    )
    async with await connect(server) as client:
        await client.send_all(b"one")
        assert await client.receive_some() == b"1"
        await client.send_all(b"t")
        await client.send_all(b"wo and more")
        assert await client.receive_some() == b"2"
        await client.send_all(b" and more")
        await client.send_eof()
        assert await receive_all(client) == b"end"
    assert server.received == [b"onetwo and more and more"]
    assert server.completed == 1
    assert repr(server) == "<FaultyServer connections=1 completed=1>"


async def test_each_expect_looks_behind_the_one_before() -> None:
    client, peer = memory_pipe()
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(b"first"), Expect(b"\r\n\r\n")])
    await client.send_all(REQUEST)
    await client.send_eof()
    # One request is not two: the script ends where the client does.
    await server.serve_stream(peer)
    assert server.completed == 0
    assert await receive_all(client) == b"first"
    client, peer = memory_pipe()
    await client.send_all(REQUEST + REQUEST)
    await server.serve_stream(peer)
    assert server.completed == 1
    assert server.received == [REQUEST, REQUEST + REQUEST]


async def test_reset_is_a_reset(connect: Connect) -> None:
    async with await connect(FaultyServer.reset()) as client:
        await client.send_all(REQUEST)
        assert await receive_until_reset(client) == b""


async def test_reset_after_some_bytes(connect: Connect) -> None:
    async with await connect(FaultyServer.reset(after=20)) as client:
        await client.send_all(REQUEST)
        assert await receive_until_reset(client) == FaultyServer.RESPONSE[:20]


async def test_reset_breaks_a_send_of_a_peer_that_does_not_read() -> None:
    client, peer = memory_pipe(10)
    server = FaultyServer([Send(b"early"), Reset()])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server, peer)
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(bytes(100))
    assert client.unread == 0
    assert server.completed == 1


async def test_stall_stays_connected_and_says_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client, peer = memory_pipe()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(FaultyServer.stall(after=17), peer)
        await client.send_all(REQUEST)
        assert await client.receive_some() == b"HTTP/1.1 200 OK\r\n"
        with trio.move_on_after(3600) as scope:
            await client.receive_some()
        assert scope.cancelled_caught
        assert not client.peer_closed
        nursery.cancel_scope.cancel()


async def test_stall_for_some_seconds(autojump_clock: trio.testing.MockClock) -> None:
    client, peer = memory_pipe()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(FaultyServer([Stall(30), Send(b"late")]), peer)
        assert await client.receive_some() == b"late"
        assert trio.current_time() == 30


async def test_half_body_closes_in_good_order(connect: Connect) -> None:
    async with await connect(FaultyServer.half_body()) as client:
        await client.send_all(REQUEST)
        head, _, body = (await receive_all(client)).partition(b"\r\n\r\n")
        assert b"Content-Length: 11" in head
        assert body == b"hello"


async def test_bad_framing_sends_a_chunk_size_that_is_none(connect: Connect) -> None:
    async with await connect(FaultyServer.bad_framing()) as client:
        await client.send_all(REQUEST)
        _, _, body = (await receive_all(client)).partition(b"\r\n\r\n")
        assert body == b"5\r\nhello\r\nsize?\r\n"


async def test_silent_does_not_even_read() -> None:
    client, peer = memory_pipe(10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(FaultyServer.silent(), peer)
        nursery.start_soon(client.send_all, REQUEST)
        await trio.testing.wait_all_tasks_blocked()
        assert client.bytes_sent == 10
        nursery.cancel_scope.cancel()
    # Cancelling the server closed its end.
    assert client.peer_closed


async def test_half_close_goes_on_reading(connect: Connect) -> None:
    server = FaultyServer([Send(b"bye"), HalfClose(), Expect(b"still here")])
    async with await connect(server) as client:
        assert await receive_all(client) == b"bye"
        await client.send_all(b"still here")
        with trio.fail_after(5):
            while not server.completed:
                await trio.lowlevel.checkpoint()


async def test_close_sends_the_end_at_once() -> None:
    client, peer = memory_pipe()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(FaultyServer([Send(b"bye"), Close(), Stall()]), peer)
        assert await receive_all(client) == b"bye"
        nursery.cancel_scope.cancel()


async def test_sending_after_its_own_end_is_a_mistake_of_the_script() -> None:
    _client, peer = memory_pipe()
    with pytest.raises(trio.ClosedResourceError):
        await FaultyServer([Close(), Send(b"x")]).serve_stream(peer)


async def test_a_peer_that_resets_ends_the_script_quietly() -> None:
    client, peer = memory_pipe()
    client.reset()
    server = FaultyServer([Send(b"to nobody")])
    await server.serve_stream(peer)
    assert server.completed == 0
    assert peer.closed


async def test_send_in_pieces() -> None:
    client, peer = memory_pipe(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(FaultyServer([Send(b"abcde", piece=2)]), peer)
        assert [chunk async for chunk in client] == [b"ab", b"cd", b"e"]


async def test_sending_nothing_sends_nothing() -> None:
    client, peer = memory_pipe()
    await FaultyServer([Send(b"")]).serve_stream(peer)
    assert await receive_all(client) == b""


def test_a_piece_has_at_least_one_byte() -> None:
    with pytest.raises(ValueError, match="piece"):
        Send(b"x", piece=0)


async def test_later_connections_play_later_scripts() -> None:
    server = FaultyServer([Reset()], [Send(b"second")], [Send(b"rest")])
    answers = []
    for _ in range(4):
        client, peer = memory_pipe()
        await server.serve_stream(peer)
        try:
            answers.append(await receive_all(client))
        except trio.BrokenResourceError:
            answers.append(b"reset")
    assert answers == [b"reset", b"second", b"rest", b"rest"]


async def test_a_step_of_ones_own() -> None:
    class Shout:
        async def play(self, dialogue: Dialogue, /) -> None:
            await dialogue.stream.send_all(dialogue.received.upper())

    client, peer = memory_pipe()
    await client.send_all(b"hello")
    await FaultyServer([Expect(b"lo"), Shout()]).serve_stream(peer)
    assert await receive_all(client) == b"HELLO"


async def test_reset_of_an_unknown_kind_of_stream_closes_it_by_force() -> None:
    client, peer = trio.testing.memory_stream_pair()
    await FaultyServer([Send(b"x"), Reset()]).serve_stream(peer)
    with pytest.raises(trio.ClosedResourceError):
        await peer.send_all(b"x")
    await client.aclose()


async def test_over_tls_reset_cuts_the_transport(nursery: trio.Nursery) -> None:
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    client_context = ssl.create_default_context()
    authority.issue_cert("origin.test").configure_cert(server_context)
    authority.configure_trust(client_context)
    client, peer = memory_pipe()
    nursery.start_soon(
        FaultyServer([Expect(b"hello"), Reset()]),
        trio.SSLStream(peer, server_context, server_side=True),
    )
    stream = trio.SSLStream(client, client_context, server_hostname="origin.test")
    await stream.send_all(b"hello")
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    # TLS breaks at a bare end too; the transport says that this was none.
    with pytest.raises(trio.BrokenResourceError, match="reset"):
        await client.receive_some()
    assert peer.closed


async def test_over_tls_a_half_close_is_refused_clearly() -> None:
    _client, peer = memory_pipe()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    stream = trio.SSLStream(peer, context, server_side=True)
    with pytest.raises(TypeError, match="SSLStream cannot be half-closed"):
        await FaultyServer([HalfClose()]).serve_stream(stream)
