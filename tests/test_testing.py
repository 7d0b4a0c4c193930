"""The memory network: who answers where, back-pressure, and what ends with it."""

from __future__ import annotations

import errno
import ssl
from functools import partial

import attrs
import pytest
import trio
import trio.testing
import trustme

import trio_nodehttp as http
from trio_nodehttp.testing import MemoryNetwork, MemoryStream


@attrs.frozen
class Target:
    host: str
    port: int


class EchoServer:
    """Sends back what it gets until the client ends, then says goodbye."""

    def __init__(self) -> None:
        self.served = 0
        self.cancelled = 0

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        self.served += 1
        try:
            async for chunk in stream:
                await stream.send_all(chunk)
            await stream.send_all(b"bye")
        except trio.Cancelled:
            self.cancelled += 1
            raise


async def hang_up(stream: MemoryStream) -> None:
    await stream.aclose()


async def receive_exactly(stream: trio.abc.ReceiveStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = await stream.receive_some()
        assert chunk
        data += chunk
    return data


async def test_joins_a_client_and_a_server(nursery: trio.Nursery) -> None:
    server = EchoServer()
    async with MemoryNetwork() as network:
        url = await nursery.start(network.serve, server, "Origin.test", 80)
        assert url == "http://Origin.test"
        client = await network.create_connection(Target("origin.TEST", 80))
        await client.send_all(b"hello")
        assert await receive_exactly(client, 5) == b"hello"
        await client.send_eof()
        assert await client.receive_some() == b"bye"
        # The server's end is closed when serve_stream returns.
        assert await client.receive_some() == b""
        await client.aclose()
        assert network.connections == []
    assert server.served == 1


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("origin.test", 8080, "http://origin.test:8080"),
        ("::1", 80, "http://[::1]"),
        ("::1", 81, "http://[::1]:81"),
    ],
)
async def test_start_hands_back_the_url(
    nursery: trio.Nursery,
    host: str,
    port: int,
    url: str,
) -> None:
    async with MemoryNetwork() as network:
        assert await nursery.start(network.serve, EchoServer(), host, port) == url
        await (await network.connect(host, port)).aclose()


async def test_an_unknown_address_refuses() -> None:
    async with MemoryNetwork() as network:
        with (
            pytest.raises(ConnectionRefusedError) as caught,
            trio.testing.assert_checkpoints(),
        ):
            await network.create_connection(Target("nobody.test", 80))
        assert caught.value.errno == errno.ECONNREFUSED
        assert "nobody.test:80" in str(caught.value)


async def test_connecting_is_a_checkpoint_that_leaves_nothing_when_cancelled() -> None:
    async def never_called(stream: MemoryStream) -> None:
        raise AssertionError(stream)

    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, never_called)
        with trio.CancelScope() as scope:
            scope.cancel()
            await network.connect("origin.test", 80)
        assert scope.cancelled_caught
        assert network.connections == []


async def test_an_address_is_taken_once() -> None:
    async with MemoryNetwork() as network, trio.open_nursery() as nursery:
        await nursery.start(network.serve, EchoServer(), "origin.test", 80)
        with pytest.raises(OSError, match=r"ORIGIN\.test:80") as caught:
            network.listen("ORIGIN.test", 80, EchoServer().serve_stream)
        assert caught.value.errno == errno.EADDRINUSE
        # Another port is another address.
        network.listen("origin.test", 81, EchoServer().serve_stream)
        nursery.cancel_scope.cancel()


async def test_back_pressure_reaches_from_end_to_end(nursery: trio.Nursery) -> None:
    received = 0
    go = trio.Event()

    async def read_late(stream: MemoryStream) -> None:
        nonlocal received
        await go.wait()
        async for chunk in stream:
            received += len(chunk)

    async with MemoryNetwork(buffer_size=100) as network:
        network.listen("slow.test", 80, read_late)
        client = await network.connect("slow.test")
        nursery.start_soon(client.send_all, bytes(1000))
        await trio.testing.wait_all_tasks_blocked()
        assert client.bytes_sent == 100
        go.set()
        await trio.testing.wait_all_tasks_blocked()
        assert client.bytes_sent == received == 1000
        await client.aclose()


async def test_max_receive_holds_for_both_ends() -> None:
    pieces: list[bytes | bytearray] = []

    async def collect(stream: MemoryStream) -> None:
        pieces.extend([chunk async for chunk in stream])
        await stream.send_all(b"ok")

    async with MemoryNetwork(max_receive=1) as network:
        network.listen("origin.test", 80, collect)
        client = await network.connect("origin.test")
        await client.send_all(b"abc")
        await client.send_eof()
        assert [chunk async for chunk in client] == [b"o", b"k"]
        assert pieces == [b"a", b"b", b"c"]


def test_wrong_sizes_are_refused_at_construction() -> None:
    with pytest.raises(ValueError, match="buffer_size"):
        MemoryNetwork(buffer_size=0)
    with pytest.raises(ValueError, match="max_receive"):
        MemoryNetwork(max_receive=0)


async def test_connections_lists_the_pairs_until_both_ends_are_closed() -> None:
    go = trio.Event()

    async def stay(stream: MemoryStream) -> None:
        await go.wait()

    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, stay)
        client = await network.connect("ORIGIN.test", 80)
        (connection,) = network.connections
        assert (connection.host, connection.port) == ("origin.test", 80)
        assert connection.client is client
        assert connection.is_open
        assert repr(network) == "<MemoryNetwork listeners=1 connections=1>"
        await client.aclose()
        # The server has not noticed yet.
        assert connection.server.peer_closed
        assert network.connections == [connection]
        go.set()
        await trio.testing.wait_all_tasks_blocked()
        assert not connection.is_open
        assert network.connections == []


async def test_closed_connections_are_not_collected_for_ever() -> None:
    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, hang_up)
        kept = await network.connect("origin.test")
        for _ in range(500):
            client = await network.connect("origin.test")
            assert await client.receive_some() == b""
            await client.aclose()
        assert len(network._connections) < 100
        assert [each.client for each in network.connections] == [kept]


async def test_unserve_refuses_new_connections_and_lets_open_ones_end() -> None:
    async with MemoryNetwork() as network, trio.open_nursery() as nursery:
        await nursery.start(network.serve, EchoServer(), "origin.test", 80)
        client = await network.connect("origin.test")
        network.unserve("Origin.test")
        # The address is free at once, and the old task does not take it away.
        network.listen("origin.test", 80, hang_up)
        await trio.testing.wait_all_tasks_blocked()
        await (await network.connect("origin.test")).aclose()
        network.unserve("origin.test")
        with pytest.raises(ConnectionRefusedError):
            await network.connect("origin.test")
        assert len(nursery.child_tasks) == 1
        await client.send_eof()
        assert await client.receive_some() == b"bye"
        await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks


async def test_unserve_of_an_unknown_address_is_an_error() -> None:
    async with MemoryNetwork() as network:
        with pytest.raises(ValueError, match=r"nobody\.test:80"):
            network.unserve("nobody.test")


async def test_cancelling_serve_cancels_its_connections_and_frees_the_address() -> None:
    server = EchoServer()
    async with MemoryNetwork() as network:
        async with trio.open_nursery() as nursery:
            await nursery.start(network.serve, server, "origin.test", 80)
            client = await network.connect("origin.test")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert server.cancelled == 1
        assert await client.receive_some() == b""
        with pytest.raises(ConnectionRefusedError):
            await network.connect("origin.test")


async def test_leaving_the_block_ends_every_peer(nursery: trio.Nursery) -> None:
    served, raw, stopped = EchoServer(), EchoServer(), EchoServer()
    async with MemoryNetwork() as network:
        await nursery.start(network.serve, served, "served.test", 80)
        await nursery.start(network.serve, stopped, "stopped.test", 80)
        network.listen("raw.test", 80, raw.serve_stream)
        hosts = ("served.test", "stopped.test", "raw.test")
        clients = [await network.connect(host) for host in hosts]
        await trio.testing.wait_all_tasks_blocked()
        network.unserve("stopped.test")
    await trio.testing.wait_all_tasks_blocked()
    assert [each.cancelled for each in (served, stopped, raw)] == [1, 1, 1]
    assert [await client.receive_some() for client in clients] == [b"", b"", b""]
    assert not nursery.child_tasks
    with pytest.raises(ConnectionRefusedError):
        await network.connect("raw.test")


async def test_listen_needs_the_block() -> None:
    network = MemoryNetwork()
    with pytest.raises(RuntimeError, match="async with"):
        network.listen("origin.test", 80, EchoServer().serve_stream)
    async with network:
        pass
    with pytest.raises(RuntimeError, match="async with"):
        network.listen("origin.test", 80, EchoServer().serve_stream)


async def test_an_error_of_the_block_arrives_unchanged() -> None:
    error = KeyError("mine")

    async def leave_with_an_error() -> None:
        async with MemoryNetwork() as network:
            network.listen("origin.test", 80, EchoServer().serve_stream)
            await network.connect("origin.test")
            raise error

    with pytest.raises(KeyError) as caught:
        await leave_with_an_error()
    assert caught.value is error
    assert error.__context__ is None


async def test_cancelling_the_block_from_outside() -> None:
    with trio.CancelScope() as scope:
        async with MemoryNetwork() as network:
            network.listen("origin.test", 80, EchoServer().serve_stream)
            client = await network.connect("origin.test")
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert await client.receive_some() == b""


async def test_an_error_of_a_raw_peer_ends_the_block() -> None:
    async def fail(stream: MemoryStream) -> None:
        raise LookupError(await stream.receive_some())

    client: MemoryStream | None = None
    with pytest.RaisesGroup(LookupError):
        async with MemoryNetwork() as network:
            network.listen("origin.test", 80, fail)
            client = await network.connect("origin.test")
            await client.send_all(b"x")
            await trio.sleep_forever()
    assert client is not None
    assert client.peer_closed


async def test_an_error_of_the_block_and_one_of_a_peer_arrive_together() -> None:
    async def fail_when_cancelled(stream: MemoryStream) -> None:
        try:
            await stream.receive_some()
        finally:
            raise ArithmeticError

    async def leave_with_an_error() -> None:
        async with MemoryNetwork() as network:
            network.listen("origin.test", 80, fail_when_cancelled)
            await network.connect("origin.test")
            await trio.testing.wait_all_tasks_blocked()
            raise KeyError

    with pytest.RaisesGroup(ArithmeticError, KeyError):
        await leave_with_an_error()


async def test_an_hour_of_idle_connection_takes_no_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def time_out(stream: MemoryStream) -> None:
        with trio.move_on_after(3600):
            await stream.receive_some()
        await stream.send_all(b"timeout")

    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, time_out)
        client = await network.connect("origin.test")
        started = trio.current_time()
        assert await client.receive_some() == b"timeout"
        assert trio.current_time() - started == 3600


async def test_agent_connects_through_the_network() -> None:
    async def hello(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.end("hello")

    async with MemoryNetwork() as network, trio.open_nursery() as nursery:
        await nursery.start(network.serve, http.create_server(hello), "origin.test", 80)
        async with network.agent(keep_alive=True, max_sockets=2) as agent:
            assert agent.max_sockets == 2
            for _ in range(2):
                async with http.get("http://origin.test/", agent=agent) as response:
                    assert await response.text() == "hello"
            assert agent.stats().reused == 1
            assert len(network.connections) == 1
        nursery.cancel_scope.cancel()


async def test_serves_tls_where_a_context_is_given() -> None:
    async def hello(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.end("encrypted" if request.socket.encrypted else "plain")

    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("origin.test").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    async with MemoryNetwork() as network, trio.open_nursery() as nursery:
        serve = partial(network.serve, ssl_context=server_context)
        server = http.create_server(hello)
        url = await nursery.start(serve, server, "origin.test", 443)
        assert url == "https://origin.test"
        async with (
            network.agent(ssl_context=client_context) as agent,
            http.get(url, agent=agent) as response,
        ):
            assert await response.text() == "encrypted"
        nursery.cancel_scope.cancel()
