"""What a socket tells and takes beside its bytes."""

from __future__ import annotations

import socket as stdlib_socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests.wires import contexts
from trio_nodehttp._memory import memory_pipe


@asynccontextmanager
async def connected(host: str = "127.0.0.1") -> AsyncIterator[tuple[http.Socket, http.Socket]]:
    """The two ends of a TCP connection."""
    listener = (await trio.open_tcp_listeners(0, host=host))[0]
    async with listener:
        client = await trio.open_tcp_stream(host, listener.socket.getsockname()[1])
        server = await listener.accept()
        async with client, server:
            yield http.Socket(client), http.Socket(server)


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", "IPv4"), ("::1", "IPv6")])
async def test_addresses(host: str, family: str) -> None:
    async with connected(host) as (client, server):
        assert client.family == server.family == family
        assert client.remote_address == client.local_address == host
        assert (client.remote_port, client.local_port) == (server.local_port, server.remote_port)
        assert client.local_port != client.remote_port
        assert not client.encrypted
        assert client.get_peer_certificate() is None
        assert f"{host}:{client.remote_port} open" in repr(client)
        client.destroy()
        assert client.remote_address is None
        assert client.local_port is None


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listener = stdlib_socket.socket(stdlib_socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    async with await trio.open_unix_socket(path) as stream:
        socket = http.Socket(stream)
        assert socket.family == "unix"
        assert (socket.remote_address, socket.remote_port) == (None, None)
        assert socket.set_no_delay() is socket
        assert socket.set_keep_alive(True, 5) is socket
        assert socket.watch_descriptor() == stream.socket.fileno()
    listener.close()


async def test_memory_has_no_addresses() -> None:
    socket = http.Socket(memory_pipe()[0])
    assert socket.family is None
    assert socket.remote_address is None
    assert socket.local_port is None
    assert socket.watch_descriptor() is None
    assert socket.set_no_delay(False) is socket
    assert "MemoryStream open" in repr(socket)


async def test_no_stream_yet() -> None:
    socket = http.Socket()
    assert socket.connecting
    assert not socket.encrypted
    assert socket.family is None
    assert socket.get_peer_certificate() is None
    assert not socket.is_readable()
    assert "connecting" in repr(socket)


async def test_options() -> None:
    async with connected() as (client, _):
        assert isinstance(client.stream, trio.SocketStream)
        raw = client.stream.socket

        def option(level: int, name: str) -> Any:
            return raw.getsockopt(level, getattr(stdlib_socket, name))

        assert client.set_no_delay(False) is client
        assert not option(stdlib_socket.IPPROTO_TCP, "TCP_NODELAY")
        client.set_no_delay()
        assert option(stdlib_socket.IPPROTO_TCP, "TCP_NODELAY")
        assert client.set_keep_alive(True, 42.5) is client
        assert option(stdlib_socket.SOL_SOCKET, "SO_KEEPALIVE")
        assert option(stdlib_socket.IPPROTO_TCP, "TCP_KEEPIDLE") == 42
        client.set_keep_alive(True)
        assert option(stdlib_socket.IPPROTO_TCP, "TCP_KEEPIDLE") == 42
        client.set_keep_alive()
        assert not option(stdlib_socket.SOL_SOCKET, "SO_KEEPALIVE")
        client.destroy()
        client.set_keep_alive(True, 1).set_no_delay()  # no effect, and no error


def test_a_connection_carries_bytes() -> None:
    with pytest.raises(http.SocketEncodingError) as caught:
        http.Socket(trio.testing.memory_stream_pair()[0]).set_encoding("utf8")
    assert caught.value.code == "ERR_HTTP_SOCKET_ENCODING"


async def test_certificates() -> None:
    server_context, client_context = contexts()
    ours, theirs = memory_pipe()
    client_stream = trio.SSLStream(ours, client_context, server_hostname="127.0.0.1")
    server_stream = trio.SSLStream(theirs, server_context, server_side=True)
    client, server = http.Socket(client_stream), http.Socket(server_stream)
    assert client.encrypted
    assert client.get_peer_certificate() is None  # before the handshake
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client_stream.do_handshake)
        nursery.start_soon(server_stream.do_handshake)
    certificate = client.get_peer_certificate()
    assert isinstance(certificate, dict)
    assert ("IP Address", "127.0.0.1") in certificate["subjectAltName"]
    binary = client.get_peer_certificate(binary_form=True)
    assert isinstance(binary, bytes)
    assert ssl.DER_cert_to_PEM_cert(binary).startswith("-----BEGIN CERTIFICATE-----")
    assert not server.get_peer_certificate()
    assert "SSLStream" in repr(client)
    client.destroy()
    assert theirs.peer_closed


@pytest.mark.parametrize("kind", ["memory", "tcp"])
async def test_readiness(kind: str) -> None:
    if kind == "tcp":
        async with connected() as (client, server):
            await is_readable(client, server)
    else:
        ours, theirs = memory_pipe()
        await is_readable(http.Socket(ours), http.Socket(theirs))


async def is_readable(client: http.Socket, server: http.Socket) -> None:
    assert not client.is_readable()
    await server.send(b"x")
    assert client.is_readable()
    await client.receive()
    assert not client.is_readable()
    await server.send_eof()
    assert client.is_readable()
    client.destroy()
    assert client.is_readable()


async def test_readiness_cannot_be_asked_of_any_stream() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"x")
    assert not http.Socket(ours).is_readable()


async def test_a_leaving_peer() -> None:
    told: list[str] = []
    ours, theirs = memory_pipe()
    assert http.Socket(ours).watch_peer(lambda: told.append("left"))
    theirs.close_now()
    assert told == ["left"]
    async with connected() as (client, server):
        assert not client.watch_peer(lambda: told.append("never"))
        assert client.watch_descriptor() != server.watch_descriptor()
        client.destroy()
        assert client.watch_descriptor() is None
    assert told == ["left"]
