"""What users of other clients run into, and we promise not to: reuse, age and deadlines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests.node.origins import fetch, serving
from trio_nodehttp.testing import MemoryNetwork, MemoryStream

NAME = "origin.test:80:"
URL = "http://origin.test/"


# --- 8: hints and margins -----------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 60], ids=["no timeout", "a longer one"])
async def test_promise_8_the_client_retires_a_socket_before_the_server_does(
    timeout: float | None, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving(keep_alive_timeout=5) as origin:
        agent = origin.agent(keep_alive=True, timeout=timeout)
        async with http.get(URL, agent=agent) as response:
            assert response.headers["keep-alive"] == "timeout=5"
            await response.text()
        (socket,) = agent.free_sockets[NAME]
        await trio.sleep(3.999)
        assert not socket.destroyed
        assert await fetch(agent, "/again") == "/again"
        assert agent.free_sockets == {NAME: (socket,)}
        await trio.sleep(3.999)
        assert not socket.destroyed
        await trio.sleep(0.002)
        assert socket.destroyed
        assert agent.free_sockets == {}
        assert len(origin.connections) == 1


async def test_promise_8_the_server_waits_longer_than_it_announces(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(keep_alive_timeout=5) as origin:
        client = await origin.network.connect("origin.test")
        await client.send_all(b"GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n")
        assert b"\r\nKeep-Alive: timeout=5\r\n" in await client.receive_some()
        await trio.sleep(5.5)
        assert not client.readable
        await client.send_all(b"GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n")
        assert (await client.receive_some()).startswith(b"HTTP/1.1 200 OK\r\n")


# --- 9 and 10: stale sockets, and the one retry ---------------------------------------------

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Fickle:
    """Answers, and hangs up on the request after; notes how each connection went."""

    def __init__(self, *, fresh: bool = False) -> None:
        self.fresh = fresh  # hang up on the first request already
        self.requests: list[bytes] = []

    async def __call__(self, stream: MemoryStream) -> None:
        first = not self.requests
        if not (first and self.fresh):
            self.requests.append(await stream.receive_some())
            await stream.send_all(REPLY)
        if first:
            # It hangs up once bytes are on the way, so that no look can tell.
            await stream.receive_some()
            self.requests.append(b"lost")
            return
        await stream.receive_some()


async def pieces() -> AsyncIterator[bytes]:
    yield b"bo"
    yield b"dy"


IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")
BODIES = ("none", "bytes", "text", "iterable")


def body_of(kind: str) -> dict[str, Any]:
    bodies: dict[str, Any] = {"bytes": b"body", "text": "body", "iterable": pieces()}
    return {"body": bodies[kind]} if kind in bodies else {}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("method", [*IDEMPOTENT, "POST", "PATCH"])
async def test_promise_9_what_a_stale_socket_means(method: str, kind: str) -> None:
    peer = Fickle()
    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, peer)
        agent = network.agent(keep_alive=True)
        assert await fetch(agent) == "ok"
        async with http.request(URL, method=method, agent=agent, **body_of(kind)) as request:
            assert request.reused_socket
            if method in IDEMPOTENT and kind != "iterable":
                response = await request.get_response()
                assert response.status_code == 200
                assert response.attempts == 2
                assert not request.reused_socket
                assert len(peer.requests) == 3
            else:
                with pytest.raises(http.StaleConnectionError) as caught:
                    await request.get_response()
                assert caught.value.reused
                assert caught.value.code == "ECONNRESET"
                assert isinstance(caught.value, (http.SocketHangUpError, ConnectionResetError))
                assert len(peer.requests) == 2
        assert agent.stats().active == 0
        agent.destroy()


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("method", [*IDEMPOTENT, "POST"])
async def test_promise_9_a_fresh_socket_is_never_retried(method: str, kind: str) -> None:
    peer = Fickle(fresh=True)
    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, peer)
        agent = network.agent(keep_alive=True)
        async with http.request(URL, method=method, agent=agent, **body_of(kind)) as request:
            assert not request.reused_socket
            with pytest.raises(http.SocketHangUpError) as caught:
                await request.get_response()
            assert not isinstance(caught.value, http.StaleConnectionError)
        assert peer.requests == [b"lost"]
        assert request.attempts == 1


async def test_promise_9_once_a_byte_came_nothing_is_sent_again() -> None:
    async def peer(stream: MemoryStream) -> None:
        connections.append(stream)
        await stream.receive_some()
        await stream.send_all(REPLY)
        await stream.receive_some()
        await stream.send_all(b"H")

    connections: list[MemoryStream] = []
    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, peer)
        agent = network.agent(keep_alive=True)
        assert await fetch(agent) == "ok"
        with pytest.raises(http.SocketHangUpError) as caught:
            await fetch(agent)
        assert not isinstance(caught.value, http.StaleConnectionError)
        assert len(connections) == 1


@pytest.mark.parametrize("where", ["agent", "request"])
async def test_promise_10_the_retry_can_be_switched_off(where: str) -> None:
    peer = Fickle()
    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, peer)
        agent = network.agent(keep_alive=True, retry_stale=where != "agent")
        options: dict[str, Any] = {"retry_stale": False} if where == "request" else {}
        assert await fetch(agent, **options) == "ok"
        with pytest.raises(http.StaleConnectionError):
            await fetch(agent, **options)
        # Twice asked, twice sent: what was lost has not been repeated.
        assert len(peer.requests) == 2
        assert peer.requests[1] == b"lost"
        async with http.get(URL, agent=agent, **options) as response:
            assert response.attempts == 1
        agent.destroy()


# --- 11 and 12: idle deadlines and age ------------------------------------------------------


@pytest.mark.parametrize("hint", [1, 2, 60])
async def test_promise_11_no_idle_deadline_runs_on_in_use(
    hint: int, autojump_clock: trio.testing.MockClock
) -> None:
    async def slow(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.set_header("Keep-Alive", f"timeout={hint}")
        if request.url == "/slow":
            await trio.sleep(3)
        await response.end("done")

    async with serving(slow) as origin:
        agent = origin.agent(keep_alive=True, timeout=2)
        assert await fetch(agent) == "done"
        async with http.get(f"{URL}slow", agent=agent) as response:
            assert (response.status_code, await response.text()) == (200, "done")
            assert response.timings.reused is (hint > 1)
        agent.destroy()


async def test_promise_12_no_socket_outlives_its_age(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def old(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        times.append(trio.current_time())
        if request.url == "/slow":
            await trio.sleep(20)
        await response.end("old")

    async def new(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.end("new")

    times: list[float] = []
    async with serving(old, "old.test") as origin:
        await origin.network._nursery.start(  # type: ignore[union-attr]
            origin.network.serve, http.create_server(new), "new.test"
        )
        address = "old.test"

        async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
            return await origin.network.connect(address)

        agent = http.Agent(keep_alive=True, max_age=10, create_connection=connect)
        began = trio.current_time()
        answers = []
        for second in range(20):
            answers.append(await fetch(agent))
            if second == 4:
                address = "new.test"  # the switch
            await trio.sleep(1)
        # At checkout and at return: no request reaches the old one ten seconds later.
        assert answers == ["old"] * 10 + ["new"] * 10
        assert max(times) - began < 10
        # Never mid-request: this one is older than allowed while it is served.
        agent.destroy()
        address = "old.test"
        async with http.get(f"{URL}slow", agent=agent) as response:
            assert await response.text() == "old"
        assert agent.free_sockets == {}


# --- 13: one deadline around it all -----------------------------------------------------------


@pytest.mark.parametrize("stage", ["connect", "head", "body", "upload"])
async def test_promise_13_a_deadline_around_any_call_is_enough(
    stage: str, autojump_clock: trio.testing.MockClock
) -> None:
    gone: list[float] = []

    async def drip(stream: MemoryStream) -> None:
        stream.on_peer_close(lambda: gone.append(trio.current_time()))
        if stage == "upload":
            await trio.sleep_forever()  # and not a byte is read
        await stream.receive_some()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
        dripping = head if stage == "head" else b"x" * 1000
        if stage == "body":
            await stream.send_all(head)
        for byte in dripping:
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.1)

    async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
        if stage == "connect":
            await trio.sleep_forever()
        return await network.create_connection(options)

    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, drip)
        agent = http.Agent(keep_alive=True, create_connection=connect)
        began = trio.current_time()
        options: dict[str, Any] = {"method": "PUT", "body": bytes(1 << 20)}
        options = options if stage == "upload" else {}
        with pytest.raises(trio.TooSlowError), trio.fail_after(1):
            await fetch(agent, **options)
        assert trio.current_time() - began == pytest.approx(1)
        stats = agent.stats()
        assert (stats.active, stats.connecting, stats.idle, stats.queued) == (0, 0, 0, 0)
        assert gone == ([] if stage == "connect" else [pytest.approx(began + 1)])


async def test_promise_13_our_own_timeouts_say_which_they_are(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def never(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await trio.sleep_forever()

    async def nowhere(options: http.ConnectOptions) -> trio.abc.Stream:
        return await trio.sleep_forever()

    async with serving(never) as origin:
        agent = origin.agent(max_sockets=1, queue_timeout=1)
        async with http.request(URL, agent=agent):
            with pytest.raises(http.QueueTimeoutError, match=r"became free within 1 s"):
                await fetch(agent)
        with pytest.raises(http.SocketTimeoutError, match=r"no byte was sent or received for 2"):
            await fetch(agent, timeout=2)
        with pytest.raises(http.SocketTimeoutError) as caught:
            await fetch(None, create_connection=nowhere, timeout=3)
        assert isinstance(caught.value, trio.TooSlowError)
        assert str(caught.value) != ""
