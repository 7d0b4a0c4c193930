"""What `forward_upgrade` and `forward_connect` do: a head, and then two streams joined."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.forwarding import Chain, lines_of, read_one_head
from tests.wires import cancel_at, read_all, read_head
from trio_nodehttp.testing import MemoryNetwork

UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: front.test\r\nConnection: keep-alive, Upgrade, X-Hop\r\n"
    b"Upgrade: websocket\r\nX-Hop: 1\r\nSec-WebSocket-Key: k\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Come\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: a\r\n\r\n"
)
CONNECT = b"CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n"


async def front(
    nursery: trio.Nursery, network: MemoryNetwork, *, agent: Any = None, **options: Any
) -> Chain:
    """Start a proxy that passes upgrades and CONNECT on."""
    upstream = agent or network.agent(keep_alive=True)
    server = http.create_server(on_error="raise")

    @server.on("upgrade")
    async def upgrade(request: http.IncomingMessage, stream: http.UpgradedStream) -> None:
        origin = options.pop("origin", "http://origin.test")
        await http.forward_upgrade(request, stream, origin, agent=upstream, **options)

    @server.on("connect")
    async def connect(request: http.IncomingMessage, stream: http.UpgradedStream) -> None:
        await http.forward_connect(request, stream, agent=upstream, **options)

    await nursery.start(network.serve, server, "front.test", 80)
    return Chain(network, upstream, server)


async def echo(stream: Any) -> None:
    while data := await stream.receive_some():
        await stream.send_all(data.upper())
    await stream.send_eof()


# --- upgrades ----------------------------------------------------------------------------------


async def test_an_upgrade_that_goes_in_circles(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await front(nursery, memory_network)
    passed = b"Via: 1.1 trio_nodehttp\r\n" * 10
    answer = await proxy.ask(UPGRADE.replace(b"X-Hop: 1\r\n", passed))
    assert answer.startswith(b"HTTP/1.1 508 Loop Detected\r\n")
    assert proxy.agent.stats().opened == 0


async def test_an_upgrade_joins_both_streams(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await front(nursery, memory_network)
    proxy.origin(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + SWITCH + b"early", then=echo)
    stream = await proxy.client(UPGRADE + b"first")
    assert await read_one_head(stream) == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert await read_one_head(stream) == (
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: a\r\n"
        b"Via: 1.1 trio_nodehttp\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    # The socket is nobody's but the tunnel's.
    assert proxy.counts() == (0, 0, 0, 0)
    await stream.send_all(b"-second")
    got = b""
    while len(got) < len(b"earlyFIRST-SECOND"):
        got += await stream.receive_some()
    assert got == b"earlyFIRST-SECOND"
    await stream.send_eof()
    assert await read_all(stream) == b""
    first, *rest = lines_of(proxy.heads[0])
    assert first == b"GET /chat HTTP/1.1"
    assert rest == [
        b"Host: origin.test",
        b"Sec-WebSocket-Key: k",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: front.test",
        b"Forwarded: for=unknown;host=front.test;proto=http",
        b"Via: 1.1 trio_nodehttp",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
    ]


async def test_the_options_of_an_upgrade(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await front(
        nursery,
        memory_network,
        origin="http://origin.test/base",
        path="/ws",
        headers={"X-Key": "k"},
        preserve_host=True,
        forwarded=None,
        via=None,
    )
    proxy.origin(SWITCH)
    stream = await proxy.client(UPGRADE)
    assert b"Via" not in await read_one_head(stream)
    assert lines_of(proxy.heads[0]) == [
        b"GET /base/ws HTTP/1.1",
        b"Host: front.test",
        b"Sec-WebSocket-Key: k",
        b"X-Key: k",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
    ]
    await stream.aclose()


@pytest.mark.parametrize(
    ("offered", "passed_on", "protocol"),
    [
        ("h2c, WebSocket", "WebSocket", "websocket"),
        (",,websocket", "websocket", "websocket"),
        ("h2c, websocket", "h2c, websocket", None),
        (", websocket", ", websocket", None),
    ],
)
async def test_the_origin_is_offered_what_the_function_is_for(
    nursery: trio.Nursery,
    memory_network: MemoryNetwork,
    offered: str,
    passed_on: str,
    protocol: str | None,
) -> None:
    agent = memory_network.agent()
    server = http.create_server(on_error="raise")

    @server.on("upgrade", protocol=protocol)
    async def upgrade(request: http.IncomingMessage, stream: http.UpgradedStream) -> None:
        await http.forward_upgrade(request, stream, "http://origin.test", agent=agent)

    await nursery.start(memory_network.serve, server, "front.test", 80)
    proxy = Chain(memory_network, agent, server)
    proxy.origin(SWITCH)
    await proxy.client(UPGRADE.replace(b"websocket", offered.encode()))
    await trio.testing.wait_all_tasks_blocked()
    assert f"Upgrade: {passed_on}".encode() in lines_of(proxy.heads[0])


async def test_an_upgrade_that_the_origin_refuses(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await front(nursery, memory_network, via=None)
    proxy.origin(
        b"HTTP/1.1 401 Who?\r\nWWW-Authenticate: Basic\r\nDate: today\r\n"
        b"Content-Length: 2\r\n\r\nno"
    )
    assert await proxy.ask(UPGRADE) == (
        b"HTTP/1.1 401 Who?\r\nWWW-Authenticate: Basic\r\nDate: today\r\n"
        b"Content-Length: 2\r\nConnection: close\r\n\r\nno"
    )
    # That was an ordinary exchange.
    await proxy.all_quiet()
    assert proxy.agent.stats().idle == 1


async def test_an_upgrade_to_nobody(nursery: trio.Nursery, memory_network: MemoryNetwork) -> None:
    proxy = await front(nursery, memory_network)
    answer = await proxy.ask(UPGRADE)
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"Connection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nBad Gateway\n")
    await proxy.all_quiet()


async def test_an_upgrade_to_a_silent_origin(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    proxy = await front(nursery, memory_network, timeout=7)
    memory_network.listen("origin.test", 80, read_all)
    assert (await proxy.ask(UPGRADE)).startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert trio.current_time() == pytest.approx(7, abs=1.5)
    await proxy.all_quiet()


async def test_a_joined_stream_may_be_silent(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    proxy = await front(nursery, memory_network, timeout=7)
    proxy.origin(SWITCH, then=echo)
    stream = await proxy.client(UPGRADE)
    await read_one_head(stream)
    await trio.sleep(10000)
    await stream.send_all(b"x")
    assert bytes(await stream.receive_some()) == b"X"
    await stream.aclose()


async def test_an_upgrade_with_a_body_is_refused(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await front(nursery, memory_network)
    request = UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\nbody")
    answer = await proxy.ask(request)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert proxy.agent.stats().opened == 0


async def test_a_client_that_left_before_the_upgrade(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await front(nursery, memory_network)
    ended = trio.Event()

    async def origin(stream: Any) -> None:
        await read_head(stream)
        assert await read_all(stream) == b""
        ended.set()

    memory_network.listen("origin.test", 80, origin)
    stream = await proxy.client(UPGRADE)
    await trio.testing.wait_all_tasks_blocked()
    await stream.aclose()
    with trio.fail_after(1):
        await ended.wait()
    await proxy.all_quiet()
    assert proxy.server.connections == 0


@pytest.mark.parametrize("size", [5, 200_000])
async def test_what_a_client_sends_before_the_upgrade_is_kept(
    nursery: trio.Nursery, memory_network: MemoryNetwork, size: int
) -> None:
    proxy = await front(nursery, memory_network)
    go_on, heard = trio.Event(), []

    async def origin(stream: Any) -> None:
        await read_head(stream)
        await go_on.wait()
        await stream.send_all(SWITCH)
        heard.append(await read_all(stream))

    memory_network.listen("origin.test", 80, origin)
    stream = await proxy.client(UPGRADE)
    nursery.start_soon(send_and_end, stream, b"x" * size)
    await trio.testing.wait_all_tasks_blocked()
    assert proxy.server.connections == 1
    go_on.set()
    assert (await read_all(stream)).startswith(b"HTTP/1.1 101 ")
    assert heard == [b"x" * size]


async def send_and_end(stream: Any, data: bytes) -> None:
    await stream.send_all(data)
    await stream.send_eof()


# --- CONNECT ------------------------------------------------------------------------------------


async def test_a_tunnel_joins_both_streams(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await front(nursery, memory_network)
    memory_network.listen("origin.test", 443, echo)
    stream = await proxy.client(CONNECT + b"early")
    assert await read_one_head(stream) == b"HTTP/1.1 200 Connection Established\r\n\r\n"
    assert bytes(await stream.receive_some()) == b"EARLY"
    await stream.send_all(b"more")
    assert bytes(await stream.receive_some()) == b"MORE"
    await stream.send_eof()
    assert await read_all(stream) == b""
    assert proxy.counts() == (0, 0, 0, 0)
    await trio.testing.wait_all_tasks_blocked()
    assert memory_network.connections == [] or all(
        connection.server.closed for connection in memory_network.connections
    )


async def test_a_tunnel_to_nobody(nursery: trio.Nursery, memory_network: MemoryNetwork) -> None:
    proxy = await front(nursery, memory_network)
    answer = await proxy.ask(CONNECT)
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert answer.endswith(b"\r\n\r\nBad Gateway\n")


async def test_a_tunnel_that_takes_too_long(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    async def connect(_: object) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    proxy = await front(
        nursery, memory_network, agent=http.Agent(create_connection=connect), timeout=7
    )
    assert (await proxy.ask(CONNECT)).startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert trio.current_time() == pytest.approx(7, abs=1.5)


async def test_a_tunnel_through_another_proxy(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    far = await front(nursery, memory_network)
    near = http.create_server(on_error="raise")
    agent = memory_network.agent(proxy="http://u:p@front.test")

    @near.on("connect")
    async def connect(request: http.IncomingMessage, stream: http.UpgradedStream) -> None:
        await http.forward_connect(request, stream, agent=agent)

    await nursery.start(memory_network.serve, near, "near.test", 80)
    memory_network.listen("origin.test", 443, echo)
    stream = await memory_network.connect("near.test")
    await stream.send_all(CONNECT + b"early")
    assert await read_one_head(stream) == b"HTTP/1.1 200 Connection Established\r\n\r\n"
    assert bytes(await stream.receive_some()) == b"EARLY"
    await stream.aclose()
    await far.all_quiet()
    assert agent.stats().active == 0


async def test_the_far_end_of_a_tunnel_may_speak_first(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    async def far(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n220 mail.test")
        await stream.send_all(b" ready\r\n")
        assert await read_all(stream) == b"EHLO\r\n"

    memory_network.listen("far.test", 3128, far)
    agent = memory_network.agent(proxy="http://far.test:3128")
    proxy = await front(nursery, memory_network, agent=agent)
    stream = await proxy.client(CONNECT, b"EHLO\r\n")
    await stream.send_eof()
    assert (await read_all(stream)).endswith(b" Established\r\n\r\n220 mail.test ready\r\n")


async def test_a_client_that_left_before_the_tunnel(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    given_up = trio.Event()

    async def never(options: Any) -> trio.abc.Stream:
        try:
            await trio.sleep_forever()
        finally:
            given_up.set()
        raise AssertionError

    proxy = await front(nursery, memory_network, agent=http.Agent(create_connection=never))
    stream = await proxy.client(CONNECT)
    await trio.testing.wait_all_tasks_blocked()
    await stream.aclose()
    with trio.fail_after(1):
        await given_up.wait()
    await trio.testing.wait_all_tasks_blocked()
    assert proxy.server.connections == 0


async def test_a_client_that_broke_off_before_the_tunnel(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    ended, go_on = trio.Event(), trio.Event()

    async def origin(stream: Any) -> None:
        await read_all(stream)
        ended.set()

    async def slowly(options: Any) -> trio.abc.Stream:
        await go_on.wait()
        return await memory_network.connect(options.host, options.port)

    memory_network.listen("origin.test", 443, origin)
    proxy = await front(nursery, memory_network, agent=http.Agent(create_connection=slowly))
    # One that has said something may be waiting for the answer to it.
    stream = await proxy.client(CONNECT, b"early")
    await trio.testing.wait_all_tasks_blocked()
    await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert proxy.server.connections == 1
    go_on.set()
    with trio.fail_after(1):
        await ended.wait()


@pytest.mark.parametrize("how", ["upgrade", "connect"])
async def test_cancelling_at_any_checkpoint_leaves_nothing(how: str) -> None:
    count = 1
    while await joined_cancelled(count, how):
        count += 1
    assert count > 5


async def joined_cancelled(count: int, how: str) -> bool:
    """Cancel it at its nth checkpoint, and see what is left; False if it has fewer."""
    done = []
    async with MemoryNetwork() as network, network.agent(keep_alive=True) as agent:
        server = http.create_server(on_error="raise")

        @server.on("upgrade")
        @server.on("connect")
        async def handler(request: http.IncomingMessage, stream: http.UpgradedStream) -> None:
            async def work() -> None:
                if how == "connect":
                    await http.forward_connect(request, stream, agent=agent)
                else:
                    await http.forward_upgrade(request, stream, "http://origin.test", agent=agent)

            done.append(await cancel_at(count, work))

        chain = Chain(network, agent, server)
        chain.origin(SWITCH, then=echo)
        network.listen("origin.test", 443, echo)
        network.listen("front.test", 80, server.serve_stream)
        stream = await chain.client(UPGRADE if how == "upgrade" else CONNECT)
        await trio.testing.wait_all_tasks_blocked()
        await stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert chain.counts() == (0, 0, 0, 0)
        to_origin = [c for c in network.connections if c.host == "origin.test"]
        assert all(c.client.closed for c in to_origin)
    return done != [None]


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeout": -1}, http.OutOfRangeError),
        ({"agent": "a"}, http.InvalidArgTypeError),
    ],
)
@pytest.mark.parametrize("ask", [UPGRADE, CONNECT])
async def test_wrong_arguments_are_named(
    memory_network: MemoryNetwork, options: dict[str, Any], error: type[Exception], ask: bytes
) -> None:
    server = http.create_server()
    caught = []

    @server.on("upgrade")
    @server.on("connect")
    async def handler(request: http.IncomingMessage, stream: http.UpgradedStream) -> None:
        work: Any = partial(http.forward_connect, request, stream)
        if ask == UPGRADE:
            work = partial(http.forward_upgrade, request, stream, "http://origin.test")
        with pytest.raises(error) as info:
            await work(**options)
        caught.append(info.value)

    memory_network.listen("front.test", 80, server.serve_stream)
    stream = await memory_network.connect("front.test")
    await stream.send_all(ask)
    assert await read_all(stream) == b""
    assert next(iter(options)) in str(caught[0])
