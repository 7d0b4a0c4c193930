"""What users of other clients run into, and we promise not to: pool and cancellation.

The numbers are those of the list of promises in the documentation of the limits.
"""

from __future__ import annotations

import random
import ssl
from typing import Any

import pytest
import trio
import trio.testing
import trustme

import trio_nodehttp as http
from tests.node.origins import fetch, fetch_all, hello, serving
from trio_nodehttp.pytest_plugin import HTTPServerFactory
from trio_nodehttp.testing import MemoryNetwork, MemoryStream

NAME = "origin.test:80:"
URL = "http://origin.test/"
NOTHING = (0, 0, 0)


def in_flight(agent: http.Agent) -> tuple[int, int, int]:
    stats = agent.stats()
    return stats.active, stats.connecting, stats.queued


async def storm(agent: http.Agent, url: str, seconds: float, longest: float) -> int:
    """Twenty tasks make requests, each cancelled at a random moment; how many got through."""
    chance = random.Random(1093)  # noqa: S311  # nothing secret
    done = 0
    end = trio.current_time() + seconds

    async def keep_asking() -> None:
        nonlocal done
        while trio.current_time() < end:
            with trio.move_on_after(chance.uniform(0, longest)):
                async with http.get(url, agent=agent) as response:
                    await response.text()
                    done += 1

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(keep_asking)
    return done


async def test_promise_1_cancelled_requests_leave_the_pool_empty(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def slow(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await trio.sleep(0.2)
        await response.write("half ")
        await trio.sleep(0.2)
        await response.end("done")

    async with serving(slow) as origin:

        async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
            await trio.sleep(0.2)
            return await origin.network.create_connection(options)

        agent = http.Agent(keep_alive=True, max_sockets=10, create_connection=connect)
        assert await storm(agent, URL, 5, 1.6) > 20
        assert in_flight(agent) == NOTHING
        with trio.fail_after(1):
            assert await fetch(agent) == "half done"
        agent.destroy()


async def test_promise_1_holds_on_real_sockets(http_server: HTTPServerFactory) -> None:
    async def briefly(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await trio.sleep(0.001)
        await response.end("done")

    server = await http_server(briefly)
    assert server.url is not None
    async with http.Agent(keep_alive=True, max_sockets=10) as agent:
        # As long as a test may take; `interop` has the same for five seconds.
        await storm(agent, server.url, 0.15, 0.01)
        assert in_flight(agent) == NOTHING
        with trio.fail_after(1):
            assert await fetch(agent, server.url) == "done"


class Countdown(trio.abc.Instrument):
    """Cancels a scope when its task is about to run for the Nth time."""

    def __init__(self, steps: int, scope: trio.CancelScope) -> None:
        self.steps = steps
        self.scope = scope
        self.task = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.steps -= 1
            if self.steps == 0:
                self.scope.cancel()


@pytest.mark.parametrize("busy", [False, True], ids=["dial", "queue"])
async def test_promise_1_holds_at_every_checkpoint(busy: bool) -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True, max_sockets=1)

        async def get() -> None:
            if busy:
                nursery.start_soon(fetch, agent, "/other")
                await trio.testing.wait_all_tasks_blocked()
            async with http.request(URL, agent=agent, method="POST") as request:
                await request.write(b"one")
                await request.end(b"two")
                await (await request.get_response()).read()

        for steps in range(1, 100):
            async with trio.open_nursery() as nursery:
                with trio.CancelScope() as scope:
                    instrument = Countdown(steps, scope)
                    trio.lowlevel.add_instrument(instrument)
                    try:
                        await get()
                    finally:
                        trio.lowlevel.remove_instrument(instrument)
            assert in_flight(agent) == NOTHING
            assert await fetch(agent, "/next") == "/next"
            agent.destroy()
            if not scope.cancelled_caught:
                break
        assert 5 < steps < 99


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS for a server called origin.test, and for a client that trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("origin.test").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize("when", ["handshake", "response"])
async def test_promise_2_a_cancelled_request_returns_though_tls_is_silent(
    when: str,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def silent(stream: MemoryStream) -> None:
        if when == "response":
            await trio.SSLStream(stream, contexts[0], server_side=True).do_handshake()
        await trio.sleep_forever()

    async with MemoryNetwork() as network:
        network.listen("origin.test", 443, silent)
        agent = network.agent(keep_alive=True, ssl_context=contexts[1])
        began = trio.current_time()
        with trio.move_on_after(1) as scope:
            await fetch(agent, "https://origin.test/")
        assert scope.cancelled_caught
        assert trio.current_time() - began < 1.1
        assert network.connections[0].client.closed
        assert in_flight(agent) == NOTHING
        assert agent.stats().idle == 0


async def test_promise_3_an_idle_socket_makes_room_for_another_origin() -> None:
    async with serving(hello, "a.test", "b.test") as origin:
        agent = origin.agent(keep_alive=True, max_total_sockets=1)
        assert await fetch(agent, "http://a.test/a") == "/a"
        assert list(agent.free_sockets) == ["a.test:80:"]
        # Nothing here waits for time to pass: what could not be served would hang.
        assert await fetch(agent, "http://b.test/b") == "/b"
        assert list(agent.free_sockets) == ["b.test:80:"]
        agent.destroy()


async def test_promise_3_a_blocked_origin_blocks_nobody_behind_it() -> None:
    answer = trio.Event()

    async def poll(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        if request.url == "/long":
            await answer.wait()
        await response.end(request.url)

    async with serving(poll, "a.test", "b.test", "c.test") as origin:
        agent = origin.agent(keep_alive=True, max_sockets=1, max_total_sockets=2)
        done: list[str] = []

        async def get(url: str) -> None:
            done.append(await fetch(agent, url))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(get, "http://a.test/long")
            await trio.testing.wait_all_tasks_blocked()
            async with http.get("http://b.test/b", agent=agent) as response:
                nursery.start_soon(get, "http://a.test/second")
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(get, "http://c.test/c")
                await trio.testing.wait_all_tasks_blocked()
                assert agent.stats().queued == 2
                await response.text()
            await trio.testing.wait_all_tasks_blocked()
            assert done == ["/c"]
            answer.set()
        assert done == ["/c", "/long", "/second"]
        agent.destroy()


async def test_promise_4_a_failed_dial_wakes_the_next() -> None:
    attempts = 0

    async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
        nonlocal attempts
        attempts += 1
        await trio.testing.wait_all_tasks_blocked()
        raise ConnectionRefusedError(111, "refused")

    agent = http.Agent(max_sockets=2, create_connection=connect)
    errors: list[http.ConnectionFailedError] = []

    async def get() -> None:
        with pytest.raises(http.ConnectionFailedError) as caught:
            await fetch(agent)
        errors.append(caught.value)

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(get)
    assert (len(errors), attempts) == (6, 6)
    assert {error.code for error in errors} == {"ECONNREFUSED"}
    assert in_flight(agent) == NOTHING
    assert (agent.sockets, agent.requests, agent.free_sockets) == ({}, {}, {})


@pytest.mark.parametrize("end", ["abort", "timeout", "cancel", "error"])
async def test_promise_5_no_counter_drifts(
    end: str, autojump_clock: trio.testing.MockClock
) -> None:
    peak = 0

    async def never(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        nonlocal peak
        peak = max(peak, sum(not one.client.closed for one in origin.network.connections))
        await trio.sleep_forever()

    async with serving(never) as origin:
        attempts = 0

        async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
            nonlocal attempts
            attempts += 1
            # Connecting takes a while, and half of it fails.
            await trio.sleep(0.01)
            if end == "error" and attempts % 2:
                raise OSError(111, "refused")
            return await origin.network.create_connection(options)

        agent = http.Agent(keep_alive=True, max_sockets=3, create_connection=connect)

        async def get() -> None:
            stats = agent.stats()
            assert stats.active + stats.connecting + stats.idle <= 3
            options: dict[str, Any] = {"timeout": 0.5} if end == "timeout" else {}
            with trio.move_on_after(0.5 if end in ("cancel", "error") else 60):
                async with http.request(URL, agent=agent, **options) as request:
                    if end == "abort":
                        await trio.sleep(0.1)
                        request.abort()
                    await request.get_response()

        async def get_and_fail() -> None:
            try:
                await get()
            except http.HTTPError:
                failures.append(end)

        failures: list[str] = []
        for _ in range(4):
            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(get_and_fail)
            assert in_flight(agent) == NOTHING
            assert agent.stats().idle == 0
        assert peak <= 3
        assert len(failures) == {"cancel": 0, "error": failures.count("error")}.get(end, 24)


async def test_promise_6_a_queue_timeout_names_who_holds_the_sockets(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def half(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.write("half")
        await trio.sleep_forever()

    async with serving(half) as origin:

        async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
            if options.port == 81:
                await trio.sleep_forever()
            return await origin.network.create_connection(options)

        agent = http.Agent(
            max_sockets=2, max_total_sockets=3, queue_timeout=5, create_connection=connect
        )
        async with (
            trio.open_nursery() as nursery,
            http.request(f"{URL}upload", method="PUT", agent=agent),
            http.get(f"{URL}stream?x=1", agent=agent),
        ):
            nursery.start_soon(fetch, agent, "http://origin.test:81/blackhole")
            await trio.sleep(1)
            agent.queue_timeout = None
            nursery.start_soon(fetch, agent, "/first")
            await trio.testing.wait_all_tasks_blocked()
            agent.queue_timeout = 5
            with trio.fail_after(5.001), pytest.raises(http.QueueTimeoutError) as caught:
                await fetch(agent, "/second")
            assert agent.stats().queued == 1
            nursery.cancel_scope.cancel()
        text = str(caught.value)
        assert text.startswith(
            "no socket for origin.test:80: became free within 5 s; place 2 in the queue; held by: "
        )
        assert "PUT http://origin.test:80/upload (6.000 s, sending)" in text
        assert "GET http://origin.test:80/stream?x=1 (6.000 s, reading)" in text
        assert "GET http://origin.test:81/blackhole (6.000 s, connecting)" in text
        assert "first" not in text
        assert isinstance(caught.value, trio.TooSlowError)
        assert in_flight(agent) == NOTHING


async def test_promise_7_the_total_is_never_exceeded() -> None:
    hosts = [f"origin{n}.test" for n in range(50)]
    peak = 0
    opened = 0

    def opening(socket: http.Socket) -> None:
        nonlocal peak, opened
        opened += 1
        peak = max(peak, len([one for one in origin.network.connections if one.is_open]))

    async with serving(hello, *hosts) as origin:
        origin.server.on("connection", opening)
        agent = origin.agent(keep_alive=True, max_total_sockets=10)
        urls = [f"http://{hosts[n % 50]}/{n}" for n in range(1000)]
        assert await fetch_all(agent, urls) == [f"/{n}" for n in range(1000)]
        assert opened >= 50
        assert peak <= 10
        agent.destroy()
