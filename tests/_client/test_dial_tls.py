"""TLS of the client: over what is given, with whose trust, and Node's verdicts."""

from __future__ import annotations

import datetime as dt
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
import trustme

import trio_nodehttp as http
from trio_nodehttp._client import dial
from trio_nodehttp._client.timings import Timings
from trio_nodehttp._memory import memory_pipe
from trio_nodehttp.testing import MemoryNetwork, MemoryStream


class Trust:
    """An authority, and what it makes of a server and of a client."""

    def __init__(self) -> None:
        self.authority = trustme.CA()

    def server(self, host: str = "name.test", **options: Any) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(host, **options).configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def trust() -> Trust:
    return Trust()


@asynccontextmanager
async def peer(context: ssl.SSLContext | None, answer: bytes = b"") -> AsyncIterator[MemoryStream]:
    """A stream to a server that speaks TLS, or says something else."""
    client, server = memory_pipe()

    async def serve() -> None:
        if context is None:
            await server.receive_some()
            await server.send_all(answer)
            await server.aclose()
            return
        secure = trio.SSLStream(server, context, server_side=True, https_compatible=True)
        try:
            await secure.do_handshake()
            await secure.send_all(b"hello")
            await secure.receive_some()
        except trio.BrokenResourceError:
            pass  # the client found fault

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        yield client
        nursery.cancel_scope.cancel()


def options(context: ssl.SSLContext | None, **more: Any) -> http.ConnectOptions:
    return http.ConnectOptions(
        protocol="https:", host="name.test", port=443, ssl_context=context, **more
    )


async def verdict(
    stream: MemoryStream, context: ssl.SSLContext, **more: Any
) -> http.ConnectionFailedError:
    with pytest.raises(http.ConnectionFailedError) as caught:
        await dial.start_tls(stream, options(context, **more))
    assert stream.closed
    assert caught.value.__cause__ is not None
    return caught.value


async def test_a_handshake(trust: Trust) -> None:
    async with peer(trust.server()) as client:
        timings = Timings()
        secure = await dial.start_tls(
            client,
            http.ConnectOptions(host="name.test", ssl_context=trust.client(), timings=timings),
        )
        assert timings.tls is not None
        assert await secure.receive_some() == b"hello"
        await trio.aclose_forcefully(secure)


async def test_another_name_may_be_verified(trust: Trust) -> None:
    async with peer(trust.server("other.test")) as client:
        secure = await dial.start_tls(client, options(trust.client(), server_hostname="other.test"))
        assert await secure.receive_some() == b"hello"
        await trio.aclose_forcefully(secure)


async def test_an_unknown_authority(trust: Trust) -> None:
    async with peer(trust.server()) as client:
        error = await verdict(client, ssl.create_default_context())
        assert error.code in ("UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "SELF_SIGNED_CERT_IN_CHAIN")
        assert str(error).startswith(f"TLS with name.test:443 failed: {error.code}: ")


async def test_the_wrong_name(trust: Trust) -> None:
    async with peer(trust.server("other.test")) as client:
        error = await verdict(client, trust.client())
        assert error.code == "ERR_TLS_CERT_ALTNAME_INVALID"


async def test_a_certificate_of_the_past(trust: Trust) -> None:
    past = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)
    server = trust.server(not_before=past, not_after=past + dt.timedelta(days=1))
    async with peer(server) as client:
        assert (await verdict(client, trust.client())).code == "CERT_HAS_EXPIRED"


async def test_a_verdict_without_a_name_of_its_own(
    trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "_VERDICTS", {})
    async with peer(trust.server("other.test")) as client:
        assert (await verdict(client, trust.client())).code == "CERT_REJECTED"


async def test_a_peer_that_speaks_no_tls(trust: Trust) -> None:
    async with peer(None, b"HTTP/1.1 400 Bad Request\r\n\r\n") as client:
        assert (await verdict(client, trust.client())).code == "EPROTO"


async def test_a_peer_that_hangs_up(trust: Trust) -> None:
    async with peer(None) as client:
        assert (await verdict(client, trust.client())).code in ("ECONNRESET", "EPROTO")
    client, server = memory_pipe()
    server.reset()
    assert (await verdict(client, trust.client())).code == "ECONNRESET"


async def test_a_stream_that_was_closed(trust: Trust) -> None:
    client, _ = memory_pipe()
    client.close_now()
    assert (await verdict(client, trust.client())).code == "ECONNRESET"


async def test_a_name_that_nobody_can_have(trust: Trust) -> None:
    client, _ = memory_pipe()
    assert (await verdict(client, trust.client(), server_hostname=".test")).code == "EPROTO"


async def test_cancelled_it_closes_the_stream(trust: Trust) -> None:
    client, server = memory_pipe()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial.start_tls, client, options(trust.client()))
        await trio.testing.wait_all_tasks_blocked()
        assert server.unread > 0
        nursery.cancel_scope.cancel()
    assert client.closed


# --- who begins it ------------------------------------------------------------------------


async def test_tls_begins_on_a_plain_stream_of_a_factory(trust: Trust) -> None:
    async with peer(trust.server()) as client:

        async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
            return client

        secure = await dial.open_stream(connect, options(trust.client()))
        assert isinstance(secure, trio.SSLStream)
        assert secure.transport_stream is client
        await trio.aclose_forcefully(secure)


async def test_tls_of_a_factory_is_left_alone(trust: Trust) -> None:
    async with peer(trust.server()) as client:

        async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
            return await dial.start_tls(client, options)

        secure = await dial.open_stream(connect, options(trust.client()))
        assert isinstance(secure, trio.SSLStream)
        assert secure.transport_stream is client
        await trio.aclose_forcefully(secure)


async def test_dial_does_both(trust: Trust, nursery: trio.Nursery) -> None:
    listeners = await trio.open_ssl_over_tcp_listeners(
        0, trust.server("127.0.0.1"), host="127.0.0.1", https_compatible=True
    )
    below = listeners[0].transport_listener
    assert isinstance(below, trio.SocketListener)
    port = below.socket.getsockname()[1]

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        await stream.send_all(b"hello")

    nursery.start_soon(trio.serve_listeners, serve, listeners)
    timings = Timings()
    secure = await dial.dial(
        http.ConnectOptions(
            protocol="https:",
            host="127.0.0.1",
            port=port,
            ssl_context=trust.client(),
            timings=timings,
        )
    )
    assert await secure.receive_some() == b"hello"
    parts = (timings.dns, timings.connect, timings.tls)
    assert all(part is not None for part in parts)
    assert timings.total == pytest.approx(sum(part or 0 for part in parts))
    await trio.aclose_forcefully(secure)
    nursery.cancel_scope.cancel()


async def test_https_over_the_memory_network(trust: Trust) -> None:
    async def hello(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.end("hello")

    async with MemoryNetwork() as network, trio.open_nursery() as nursery:

        async def serve(task_status: trio.TaskStatus[str]) -> None:
            await network.serve(
                http.create_server(hello),
                "name.test",
                443,
                ssl_context=trust.server(),
                task_status=task_status,
            )

        url = await nursery.start(serve)
        async with network.agent(keep_alive=True, ssl_context=trust.client()) as agent:
            for _ in range(2):
                async with http.get(url, agent=agent) as response:
                    assert response.socket.encrypted
                    assert await response.text() == "hello"
            # What TLS says after the handshake does not count as an unasked answer.
            assert agent.stats().reused == 1
        nursery.cancel_scope.cancel()


# --- the default context --------------------------------------------------------------------


@pytest.fixture
def fresh_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial._Default, "context", None)


@pytest.mark.usefixtures("fresh_default")
async def test_the_default_context_is_built_once_and_in_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[ssl.SSLContext, bool]] = []
    create = ssl.create_default_context

    def note() -> ssl.SSLContext:
        context = create()
        made.append((context, threading.current_thread() is main))
        return context

    main = threading.current_thread()
    monkeypatch.setattr(ssl, "create_default_context", note)
    got: list[ssl.SSLContext] = []

    async def ask() -> None:
        got.append(await dial.default_context())

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    got.append(await dial.default_context())
    assert len(made) == 1
    context, in_main = made[0]
    assert not in_main
    assert got == [context] * 6
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.usefixtures("fresh_default")
async def test_whoever_gives_up_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    create = ssl.create_default_context

    def slow() -> ssl.SSLContext:
        go.wait(5)
        return create()

    monkeypatch.setattr(ssl, "create_default_context", slow)
    client, _ = memory_pipe()
    with trio.move_on_after(0.001) as scope:
        await dial.start_tls(client, options(None))
    assert scope.cancelled_caught
    assert not go.is_set()
    assert client.closed
    go.set()
    assert await dial.default_context() is dial._Default.context


@pytest.mark.usefixtures("fresh_default")
async def test_a_context_that_cannot_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> ssl.SSLContext:
        raise RuntimeError("no OpenSSL today")

    monkeypatch.setattr(ssl, "create_default_context", fail)
    client, _ = memory_pipe()
    with pytest.raises(RuntimeError, match="no OpenSSL today"):
        await dial.start_tls(client, options(None))
    assert client.closed
