"""Rows of Node's client: timeouts of a request, and small uploads."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests.node.origins import fetch, hello, serving
from trio_nodehttp.pytest_plugin import HTTPServerFactory
from trio_nodehttp.testing import MemoryNetwork, MemoryStream

NAME = "origin.test:80:"
URL = "http://origin.test/"


async def never(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    await trio.sleep_forever()


def noting(told: list[float]) -> Callable[[], None]:
    """An observer that notes when it was called."""
    return lambda: told.append(trio.current_time())


@pytest.mark.node("test-http-client-leaky-with-double-response.js")
async def test_a_stray_response_does_not_keep_the_request_alive() -> None:
    async def peer(stream: MemoryStream) -> None:
        await stream.receive_some()
        await stream.send_all(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
        )
        await stream.receive_some()

    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, peer)
        agent = network.agent(keep_alive=True)
        request = http.request(URL, agent=agent)
        async with request:
            response = await request.get_response()
            assert await response.text() == "ok"
        gone: list[weakref.ref[Any]] = [weakref.ref(request), weakref.ref(response)]
        del request, response
        gc.collect()
        assert [each() for each in gone] == [None, None]


@pytest.mark.node("test-http-client-response-timeout.js")
@pytest.mark.node_api("IncomingMessage|message.setTimeout(msecs[, callback])")
async def test_the_timeout_of_a_response(autojump_clock: trio.testing.MockClock) -> None:
    async def head_only(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.flush_headers()
        await trio.sleep_forever()

    async with serving(head_only) as origin:
        told: list[float] = []
        async with http.request(URL, agent=origin.agent()) as request:
            response = await request.get_response()
            began = trio.current_time()

            def give_up() -> None:
                told.append(trio.current_time() - began)
                request.destroy()

            assert response.set_timeout(0.001, give_up) is response
            with pytest.raises(http.SocketHangUpError):
                await response.read()
        assert told == [pytest.approx(0.001)]
        assert request.destroyed


@pytest.mark.node("test-http-client-set-timeout-after-end.js")
async def test_a_finished_request_leaves_the_idle_timeout_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Brief(http.Agent):
        def keep_socket_alive(self, socket: http.Socket) -> bool:
            socket.set_timeout(1)
            return True

    async with serving(keep_alive_timeout=60) as origin:
        create_connection = origin.network.create_connection
        agent = Brief(keep_alive=True, create_connection=create_connection)
        async with http.request(URL, agent=agent) as request:
            assert await (await request.get_response()).text() == "/"
            assert request.set_timeout(0) is request
            (socket,) = agent.free_sockets[NAME]
            assert socket.timeout == 1
            assert socket.watchers == []
            assert request.set_timeout(7) is request
            assert socket.timeout == 1
        await trio.sleep(0.99)
        assert not socket.destroyed
        await trio.sleep(0.02)
        assert socket.destroyed
        assert agent.free_sockets == {}


@pytest.mark.node("test-http-client-set-timeout.js")
@pytest.mark.node_api("ClientRequest|request.setTimeout(timeout[, callback])")
async def test_the_option_holds_until_it_is_connected(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(never) as origin:
        request = http.request(URL, agent=origin.agent(), timeout=2)
        told: list[object] = []
        request.on("socket", lambda socket: told.append((socket.connecting, socket.timeout)))

        @request.on("timeout")
        def give_up() -> None:
            told.append(("timeout", trio.current_time() - began))
            request.destroy()

        request.on("error", lambda error: told.append((str(error), error.code)))
        request.on("close", lambda: told.append(("close", request.destroyed)))
        request.set_timeout(1)
        began = trio.current_time()
        async with request:
            assert request.socket is not None
            assert request.socket.timeout == 1
            with pytest.raises(http.SocketHangUpError, match="socket hang up"):
                await request.get_response()
        assert told == [
            (True, 2.0),
            ("timeout", pytest.approx(1)),
            ("socket hang up", "ECONNRESET"),
            ("close", True),
        ]


@pytest.mark.node("test-http-client-timeout-agent.js")
@pytest.mark.node_api("http|http.globalAgent", "ClientRequest|request.abort()")
async def test_thirty_requests_of_which_half_time_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def even(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        if int(request.url[1:]) % 2:
            await trio.sleep_forever()
        await response.end(request.url)

    async with serving(even) as origin:
        agent = http.global_agent
        timeouts: list[int] = []
        ends: list[tuple[int, str]] = []

        async def one(n: int) -> None:
            request = http.request(
                f"{URL}{n}", agent=agent, create_connection=origin.network.create_connection
            )

            def give_up() -> None:
                timeouts.append(n)
                request.abort()

            request.set_timeout(0.05, give_up)
            try:
                async with request:
                    response = await request.get_response()
                    assert await response.text() == f"/{n}"
                    await trio.sleep(0.1)  # no timeout runs on behind the end
                    ends.append((n, "response"))
            except http.SocketHangUpError:
                ends.append((n, "abort"))

        async with trio.open_nursery() as nursery:
            for n in range(30):
                nursery.start_soon(one, n)
        assert sorted(timeouts) == list(range(1, 30, 2))
        assert sorted(ends) == [(n, "abort" if n % 2 else "response") for n in range(30)]
        agent.destroy()


@pytest.mark.node("test-http-client-timeout-connect-listener.js")
@pytest.mark.node_api("ClientRequest|request.reusedSocket")
async def test_a_reused_socket_has_its_timeout_at_once() -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True)
        await fetch(agent)
        request = http.request(URL, agent=agent)
        request.set_timeout(5)
        seen: list[tuple[bool, int]] = []
        request.on("socket", lambda socket: seen.append((socket.connecting, socket.timeout)))
        async with request:
            assert request.reused_socket
            assert seen == [(False, 5)]
            assert await (await request.get_response()).text() == "/"
        agent.destroy()


@pytest.mark.node("test-http-client-timeout-event.js")
async def test_a_timeout_alone_ends_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with serving(never) as origin:
        told: list[float] = []
        async with http.request(URL, agent=origin.agent(), method="POST") as request:
            began = trio.current_time()
            errors: list[object] = []
            request.on("error", errors.append)
            request.set_timeout(0.001, noting(told))
            await trio.sleep(0.5)
            assert told == [pytest.approx(began + 0.001)]
            assert not request.destroyed
            await request.end()
            assert request.writable_finished
            assert not request.closed
            assert errors == []
            assert request.destroy().destroyed
            assert len(errors) == 1
        assert len(told) == 1


@pytest.mark.node("test-http-client-timeout-on-connect.js")
async def test_set_timeout_counts_from_the_connection_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(never) as origin:

        async def slow(options: http.ConnectOptions) -> trio.abc.Stream:
            await trio.sleep(1)
            return await origin.network.create_connection(options)

        request = http.request(URL, create_connection=slow)
        told: list[float] = []
        errors: list[http.HTTPError] = []
        request.on("error", errors.append)

        def give_up() -> None:
            told.append(trio.current_time() - began)
            request.abort()

        request.set_timeout(0.001, give_up)
        began = trio.current_time()
        async with request:
            assert told == []
            with pytest.raises(http.SocketHangUpError, match="socket hang up"):
                await request.get_response()
        assert told == [pytest.approx(1.001)]
        assert [str(error) for error in errors] == ["socket hang up"]


@pytest.mark.node("test-http-client-timeout-option-listeners.js")
async def test_timeouts_do_not_pile_up_on_a_socket() -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True)
        counts: list[int] = []
        for _ in range(2):
            async with http.request(URL, agent=agent, timeout=2) as request:
                socket = request.socket
                assert socket is not None
                counts.append(len(socket.watchers))
                assert await (await request.get_response()).text() == "/"
            assert agent.free_sockets[NAME] == (socket,)
            counts.append(len(socket.watchers))
        assert counts == [1, 0, 1, 0]
        agent.destroy()


@pytest.mark.node("test-http-client-timeout-option-with-agent.js")
async def test_the_requests_timeout_beats_the_agents(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(never) as origin:
        agent = origin.agent(keep_alive=True, timeout=0.05)
        request = http.request(URL, agent=agent, timeout=0.1)
        seen: list[tuple[bool, float]] = []
        told: list[float] = []
        request.on("socket", lambda socket: seen.append((socket.connecting, socket.timeout)))
        request.on("timeout", noting(told))
        async with request:
            assert seen == [(True, 0.1)]
            assert request.socket is not None
            assert request.socket.timeout == 0.1
            began = trio.current_time()
            with trio.move_on_after(1):
                await request.get_response()
        assert told == [pytest.approx(began + 0.1)]


@pytest.mark.node("test-http-client-timeout-option.js")
@pytest.mark.node_api("http.request|timeout")
async def test_the_timeout_option_fires_once(autojump_clock: trio.testing.MockClock) -> None:
    async with serving(never) as origin:
        request = http.request(URL, agent=origin.agent(), method="POST", timeout=0.001)
        told: list[float] = []
        request.on("timeout", noting(told))
        async with request:
            began = trio.current_time()
            with trio.move_on_after(0.01):
                await trio.sleep_forever()
            with trio.move_on_after(1):
                await request.end()
                await request.get_response()
        assert told[0] == pytest.approx(began + 0.001)
        assert len(told) == 1


@pytest.mark.node(
    "test-http-client-timeout-option.js",
    decided="None is Python's way to say that there is no limit",
)
def test_no_timeout_is_said_with_none() -> None:
    assert http.request(URL, timeout=None).socket is None
    with pytest.raises(TypeError, match="timeout must be a number"):
        http.request(URL, timeout="1")  # type: ignore[arg-type]


@pytest.mark.node("test-http-client-timeout.js")
async def test_a_timeout_may_destroy_the_request(autojump_clock: trio.testing.MockClock) -> None:
    async with serving(never) as origin:
        request = http.request(URL, agent=origin.agent())
        told: list[object] = []
        request.on("close", lambda: told.append(("close", request.destroyed)))

        def give_up() -> None:
            told.append("timeout")
            assert request.destroy() is request

        assert request.set_timeout(0.001, give_up) is request
        with pytest.raises(http.SocketHangUpError):
            async with request:
                await request.get_response()
        assert told == ["timeout", ("close", True)]


@pytest.mark.node("test-http-client-upload-buf.js")
async def test_bytes_written_before_the_end_arrive(http_server: HTTPServerFactory) -> None:
    received: list[bytes] = []

    async def consume(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        assert request.method == "POST"
        received.append(await request.read())
        await hello(request, response)

    server = await http_server(consume)
    body = bytes(range(256)) * 4
    async with http.request(server.url, method="POST", agent=False) as request:
        assert await request.write(body)
        await request.end()
        response = await request.get_response()
        ended: list[bool] = []
        response.on("end", lambda: ended.append(True))
        assert await response.text() == "/"
    assert received == [body]
    assert ended == [True]
