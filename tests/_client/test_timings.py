"""Where the time of a request went, told by a fake clock to the last bit."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
import trustme

import trio_nodehttp as http
from tests._client.sockets import FakeNet
from tests.node.origins import fetch, serving
from trio_nodehttp._client.dial import dial
from trio_nodehttp._client.timings import Timings
from trio_nodehttp.testing import MemoryNetwork, MemoryStream

PARTS = ("queued", "dns", "connect", "tls", "sent", "first_byte", "done")


def parts(timings: Timings) -> dict[str, float]:
    return {name: part for name in PARTS if (part := getattr(timings, name)) is not None}


async def test_marks_add_up(autojump_clock: trio.testing.MockClock) -> None:
    timings = Timings()
    await trio.sleep(1)
    timings.mark("queued")
    await trio.sleep(2)
    timings.mark("connect")
    await trio.sleep(4)
    timings.mark("queued")  # a retry waits once more
    assert parts(timings) == {"queued": 5, "connect": 2}
    assert timings.total == 7
    assert timings.started == trio.current_time() - 7
    assert repr(timings) == "<Timings queued=5.0000 connect=2.0000 reused=False>"


async def test_a_request_that_did_not_begin() -> None:
    timings = Timings()
    assert parts(timings) == {}
    assert timings.total == 0
    assert repr(timings) == "<Timings reused=False>"


async def test_dns_and_connect(autojump_clock: trio.testing.MockClock) -> None:
    net = FakeNet()
    net.names = {"name.test": ["::1", "10.0.0.1"]}
    net.answers = {"::1": (3, 0), "10.0.0.1": (9, 0)}
    net.delay = 2
    timings = Timings()
    await dial(http.ConnectOptions(host="name.test", timings=timings))
    assert parts(timings) == {"dns": 2, "connect": 3}


async def test_every_part_of_a_request(autojump_clock: trio.testing.MockClock) -> None:
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("origin.test").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)

    async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await request.read()
        await trio.sleep(6)
        await response.write("half ")
        await trio.sleep(7)
        await response.end("done")

    async def serve(stream: MemoryStream) -> None:
        await trio.sleep(3)
        secure = trio.SSLStream(stream, server_context, server_side=True, https_compatible=True)
        await http.create_server(handler).serve_stream(secure)

    async def body() -> AsyncIterator[bytes]:
        yield b"a"
        await trio.sleep(5)
        yield b"b"

    async with MemoryNetwork() as network:
        network.listen("origin.test", 443, serve)
        network.listen("other.test", 80, http.create_server(handler).serve_stream)

        async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
            await trio.sleep(2)
            return await network.create_connection(options)

        agent = http.Agent(
            create_connection=connect, max_total_sockets=1, ssl_context=client_context
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetch, agent, "http://other.test/")  # 2 + 6 + 7 seconds
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
            url = "https://origin.test/"
            async with http.request(url, agent=agent, method="PUT", body=body()) as request:
                response = await request.get_response()
                assert await response.text() == "half done"
        assert request.timings is response.timings
        timings = response.timings
        assert timings is not None
        assert timings.started == began
        assert parts(timings) == {
            "queued": 15,
            "connect": 2,
            "tls": 3,
            "sent": 5,
            "first_byte": 6,
            "done": 7,
        }
        assert timings.total == sum(parts(timings).values()) == trio.current_time() - began
        assert timings.reused is False


async def test_a_reused_socket_has_no_connecting(autojump_clock: trio.testing.MockClock) -> None:
    async with serving() as origin:
        agent = origin.agent(keep_alive=True)
        for reused in (False, True):
            async with http.get("http://origin.test/", agent=agent) as response:
                await response.text()
            timings = response.timings
            assert timings is not None
            assert timings.reused is reused
            assert (timings.connect is None) is reused
            assert timings.total == pytest.approx(sum(parts(timings).values()))
        agent.destroy()
