"""What this server promises, where the kernel matters: real sockets of loopback."""

from __future__ import annotations

import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio
import trio.lowlevel

import trio_nodehttp as http
from tests._server.certificates import Authority
from tests._server.kit import BAD_REQUEST, Client, ask, dialled, hello, listening, settle

Request = http.IncomingMessage
Response = http.ServerResponse


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def reset(client: Client) -> None:
    """Make closing this client reset the connection."""
    assert isinstance(client.stream, trio.SocketStream)
    linger = struct.pack("ii", 1, 0)
    client.stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, linger)
    client.stream.socket.close()


@asynccontextmanager
async def tls(
    server: http.Server, authority: Authority, name: str = "a.test", *, compatible: bool = True
) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
    """Connect to a server and shake hands."""
    assert isinstance(server.address, tuple)
    inner = await trio.open_tcp_stream(*server.address)
    stream = trio.SSLStream(
        inner, authority.client(), server_hostname=name, https_compatible=compatible
    )
    try:
        await stream.do_handshake()
        yield stream
    finally:
        inner.socket.close()


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("peer", ["never reads", "never writes", "silent"])
async def test_promise_17_drain_and_bind_again(
    secure: bool, peer: str, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async def endless(request: Request, response: Response) -> None:
        while True:
            await response.write(b"x" * 1_000_000)

    context = authority.server("a.test") if secure else None
    server = http.create_server(endless)
    async with listening(server, ssl_context=context), dialled(server) as raw:
        assert isinstance(server.address, tuple)
        assert isinstance(raw.stream, trio.SocketStream)
        client = raw
        if secure and peer != "silent":
            inner = trio.SSLStream(raw.stream, authority.client(), server_hostname="a.test")
            await inner.do_handshake()
            client = Client(inner)
        if peer == "never reads":
            await client.send(ask())
        elif peer == "never writes":
            await client.send(b"GET / HTTP/1.1\r\n")
        while not server.connections:
            await trio.lowlevel.checkpoint()
        started = trio.current_time()
        await server.drain(0.1)
        assert trio.current_time() - started < 0.1 + 1
        assert server.connections == 0
        again = http.create_server(hello)
        async with listening(again, port=server.address[1]), dialled(again) as other:
            assert (await other.get()).body == b"hello"
        with trio.fail_after(1):
            await raw.until_end()
    assert not caplog.records


class Rolling:
    """Servers that follow one another on one port, as processes of a deployment do."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._port = socket.create_server(("127.0.0.1", 0))
        self.server = http.create_server(hello)
        self.url = "http://{}:{}".format(*self._port.getsockname())
        self.replies = 0
        self.over = False

    async def next(self) -> None:
        """Start another server on the same socket."""
        self.server = http.create_server(hello)
        shared = trio.socket.from_stdlib_socket(self._port.dup())

        async def listen(task_status: Any) -> None:
            listeners = [trio.SocketListener(shared)]
            await self.server.listen(listeners=listeners, task_status=task_status)

        await self._nursery.start(listen)

    async def ask_once(self) -> None:
        """Ask on connections of their own."""
        while not self.over:
            async with await trio.open_tcp_stream(*self._port.getsockname()) as stream:
                assert (await Client(stream).get()).body == b"hello"
            self.replies += 1

    async def ask_again(self) -> None:
        """Ask on connections that are kept."""
        async with http.Agent(keep_alive=True) as agent:
            while not self.over:
                async with http.get(self.url, agent=agent) as response:
                    assert await response.text() == "hello"
                self.replies += 1

    def close(self) -> None:
        self._port.close()


async def test_promise_19_no_empty_reply_across_rolling_drains() -> None:
    async with trio.open_nursery() as nursery:
        rolling = Rolling(nursery)
        await rolling.next()
        async with trio.open_nursery() as clients:
            for task in (rolling.ask_once, rolling.ask_again) * 3:
                clients.start_soon(task)
            for _ in range(20):
                enough = rolling.replies + 500
                while rolling.replies < enough:
                    await trio.lowlevel.checkpoint()
                old = rolling.server
                await rolling.next()
                assert (await old.drain(5)).cancelled == 0
            rolling.over = True
        assert rolling.replies >= 10_000
        await rolling.server.drain(5)
        rolling.close()


async def test_promise_19_what_waits_in_the_backlog_is_served() -> None:
    server = http.create_server(hello)
    async with listening(server), AsyncExitStack() as stack:
        assert isinstance(server.address, tuple)
        clients = []
        for _ in range(5):  # the kernel connects them; the server has no turn to accept
            waiting = stack.enter_context(socket.create_connection(server.address))
            waiting.sendall(ask())
            waiting.setblocking(False)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(waiting))
            clients.append(await stack.enter_async_context(stream))
        await server.close()
        for stream in clients:
            answer = await Client(stream).answer()
            assert (answer.status, answer.body) == (200, b"hello")
            assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_promise_24_a_blocked_write_ends_at_the_peers_reset(how: str) -> None:
    ends: list[float] = []
    begun = trio.Event()

    async def endless(request: Request, response: Response) -> None:
        try:
            begun.set()
            while True:
                await response.write(b"x" * 1_000_000)
        except http.SocketHangUpError:
            ends.append(trio.current_time())
            raise

    server = http.create_server(endless)
    async with listening(server), dialled(server) as client:
        await client.send(ask())
        await begun.wait()
        await trio.sleep(0.02)
        left = trio.current_time()
        if how == "reset":
            reset(client)
        else:
            await client.stream.aclose()
        while server.connections:
            await trio.lowlevel.checkpoint()
    assert [when - left < 1 for when in ends] == [True]


@pytest.mark.parametrize("how", ["reset", "close", "half-close"])
async def test_promise_24_a_departed_peer_is_noticed_at_the_next_check(how: str) -> None:
    noticed = trio.Event()

    async def wait(request: Request, response: Response) -> None:
        await request.disconnected.wait()
        noticed.set()

    server = http.create_server(wait, connections_checking_interval=0.01)
    async with listening(server), dialled(server) as client:
        await client.send(ask())
        await trio.sleep(0.03)
        assert not noticed.is_set()
        if how == "reset":
            reset(client)
        elif how == "close":
            await client.stream.aclose()
        else:
            await client.end()
        with trio.fail_after(1):
            await noticed.wait()


async def test_promise_32_tls_ends_with_a_word_and_without_waiting(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = http.create_server(hello)
    context = authority.server("a.test")
    async with listening(server, ssl_context=context):
        async with tls(server, authority, compatible=False) as stream:
            # Such a client takes an end without close_notify for an attack.
            client = Client(stream)
            await client.send(ask("/", "Connection: close"))
            assert (await client.answer()).body == b"hello"
            assert await stream.receive_some() == b""
        async with tls(server, authority) as stream:
            await stream.send_all(ask("/", "Connection: close"))
            while server.connections == 0:
                await trio.lowlevel.checkpoint()
            started = trio.current_time()
            # We neither read nor answer, and the server does not care.
            while server.connections:
                await trio.lowlevel.checkpoint()
            assert trio.current_time() - started < 0.1
    assert not [record for record in caplog.records if record.name == "trio_nodehttp"]


async def test_promise_33_another_certificate_for_new_handshakes(authority: Authority) -> None:
    def name_of(stream: trio.SSLStream[Any]) -> Any:
        return [name for _, name in stream.getpeercert()["subjectAltName"]]

    server = http.create_server(hello)
    with pytest.raises(http.ServerNotRunningError):
        server.reload_tls(authority.server("old.test"))
    async with listening(server, ssl_context=authority.server("old.test")):
        assert server.url.startswith("https://")
        with pytest.raises(http.InvalidArgTypeError, match="ssl_context"):
            server.reload_tls("new.pem")  # type: ignore[arg-type]
        async with tls(server, authority, "old.test") as old:
            assert (await Client(old).get()).body == b"hello"
            server.reload_tls(authority.server("new.test"))
            async with tls(server, authority, "new.test") as new:
                assert (name_of(old), name_of(new)) == (["old.test"], ["new.test"])
                for stream in (old, new):
                    assert (await Client(stream).get()).body == b"hello"
            with pytest.raises(trio.BrokenResourceError) as caught:
                async with tls(server, authority, "old.test"):
                    pass
            assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
            await settle()


async def test_promise_35_a_record_names_the_peer_of_a_refused_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "trio_nodehttp.access")
    server = http.create_server(hello)
    async with listening(server), dialled(server) as client:
        await client.send(b"junk\r\n\r\n")
        assert await client.until_end() == BAD_REQUEST
        while server.connections:
            await trio.lowlevel.checkpoint()
    warning, access = caplog.records
    assert "from 127.0.0.1" in warning.getMessage()
    assert "8 bytes received" in warning.getMessage()
    assert access.__dict__["peer"] == "127.0.0.1"
