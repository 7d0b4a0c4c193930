"""Every public operation of the client, cancelled at each of its checkpoints."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.lowlevel

import trio_nodehttp as http
from tests.cancelling import still_works, sweep
from tests.wires import KINDS, Wire, cancel_at, read_head, wire

pytestmark = pytest.mark.parametrize("kind", KINDS)
ASK = {"Connection": "Upgrade", "Upgrade": "raw"}


async def handle(request: Any, response: Any) -> None:
    """Answer how many bytes came; a part of it after a while."""
    if request.method == "PUT":
        await response.end("early")  # without reading
        return
    body = await request.read()
    response.set_header("Content-Type", "text/plain")
    await response.write(str(len(body)))
    await response.end()


async def echo(_: Any, stream: Any) -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n"
    await stream.send_all(head)
    while data := await stream.receive_some():
        await stream.send_all(data)


async def tunnel(_: Any, stream: Any) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\nhello")
    while await stream.receive_some():
        pass


async def served(nursery: Any, kind: str, **options: Any) -> Wire:
    server = http.create_server(handle, connections_checking_interval=0.01)
    server.on("upgrade", echo)
    server.on("connect", tunnel)
    return await wire(nursery, kind, server.serve_stream, **options)


async def pieces() -> AsyncIterator[bytes]:
    yield b"x" * 1000
    await trio.lowlevel.checkpoint()
    yield b"x" * 100_000


async def get(wired: Wire) -> None:
    async with http.get(wired.url, agent=wired.agent) as response:
        assert await response.text() == "0"


async def twice(wired: Wire) -> None:
    await get(wired)
    await get(wired)


async def get_and_leave(wired: Wire) -> None:
    async with http.get(wired.url, agent=wired.agent):
        pass


async def write(wired: Wire) -> None:
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        await request.flush_headers()
        await request.write(b"some")
        await request.write(b"x" * 300_000)
        await request.wait_send_all_might_not_block()
        await request.send_all(b"more")
        await request.end(b"last")
        response = await request.get_response()
        assert await response.receive_some(1) == b"3"
        await response.resume()


async def body_of_bytes(wired: Wire) -> None:
    options: Any = {"method": "POST", "agent": wired.agent, "body": b"x" * 300_000}
    async with http.get(wired.url, **options) as response:
        assert [part async for part in response]


async def body_of_pieces(wired: Wire) -> None:
    options: Any = {"method": "POST", "agent": wired.agent, "body": pieces()}
    async with http.request(wired.url, **options) as request:
        response = await request.get_response()
        assert await response.json() == 101_000


async def expect(wired: Wire) -> None:
    options: Any = {"method": "POST", "agent": wired.agent, "headers": {"Expect": "100-continue"}}
    async with http.request(wired.url, **options) as request:
        assert await request.wait_continue()
        await request.aclose()
        response = await request.get_response()
        await response.aclose()


async def refused(wired: Wire) -> None:
    async with http.request(wired.url, method="PUT", agent=wired.agent) as request:
        while await request.write(b"x" * 100_000):
            pass
        response = await request.get_response()
        assert await response.read() == b"early"


async def upgrade(wired: Wire) -> None:
    async with http.request(wired.url, agent=wired.agent, headers=ASK) as request:
        _, stream = await request.upgrade()
        await stream.send_all(b"ping")
        assert await stream.receive_some() == b"ping"
        await stream.send_eof()
        await stream.aclose()


async def connect(wired: Wire) -> None:
    options: Any = {"method": "CONNECT", "path": "a.test:1", "agent": wired.agent}
    async with http.request(wired.url, **options) as request:
        _, stream = await request.connect()
        assert await stream.receive_some() == b"hello"
        await stream.wait_send_all_might_not_block()


OPERATIONS = [
    get,
    twice,
    get_and_leave,
    write,
    body_of_bytes,
    body_of_pieces,
    expect,
    refused,
    upgrade,
    connect,
]


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_cancelled_at_every_checkpoint(nursery: Any, kind: str, operation: Any) -> None:
    wired = await served(nursery, kind, keep_alive=True)
    assert await sweep(wired, operation) >= 4
    await still_works(wired)


async def test_cancelled_while_queued(nursery: Any, kind: str) -> None:
    wired = await served(nursery, kind, keep_alive=True, max_sockets=1)
    for count in range(1, 50):
        async with http.request(wired.url, agent=wired.agent) as holder, trio.open_nursery() as two:

            async def queued() -> None:
                async with http.get(wired.url, agent=wired.agent) as response:
                    await response.read()

            spent: list[float | None] = []

            async def run(count: int = count, spent: list[float | None] = spent) -> None:
                spent.append(await cancel_at(count, queued))

            two.start_soon(run)
            await trio.lowlevel.checkpoint()
            response = await holder.get_response()
            await response.read()
        stats = wired.agent.stats()
        assert (stats.active, stats.connecting, stats.queued) == (0, 0, 0)
        if spent == [None]:
            break
    else:
        pytest.fail("it never ends")
    await still_works(wired)


async def test_cancelling_takes_no_time_beside_a_silent_peer(nursery: Any, kind: str) -> None:
    async def silent(stream: Any) -> None:
        await read_head(stream)
        await trio.sleep_forever()

    wired = await wire(nursery, kind, silent)
    for verb in ("get_response", "wait_continue", "upgrade", "connect"):
        begin = 0.0
        with trio.CancelScope() as scope:
            async with http.request(wired.url, agent=wired.agent) as request:

                def cancel(scope: trio.CancelScope = scope) -> None:
                    nonlocal begin
                    begin = time.perf_counter()
                    scope.cancel()

                async def cancel_soon() -> None:
                    await trio.sleep(0.01)
                    cancel()

                nursery.start_soon(cancel_soon)
                await getattr(request, verb)()
        assert scope.cancelled_caught
        assert time.perf_counter() - begin < 0.1
        assert wired.counts() == (0, 0, 0, 0)


async def test_random_cancelling_over_a_small_pool(nursery: Any, kind: str) -> None:
    wired = await served(nursery, kind, keep_alive=True, max_sockets=3)
    chance = random.Random(7)  # noqa: S311

    async def client() -> None:
        for _ in range(6):
            with trio.move_on_after(chance.uniform(0, 0.004)):
                await get(wired)

    async with trio.open_nursery() as clients:
        for _ in range(8):
            clients.start_soon(client)
    stats = wired.agent.stats()
    assert (stats.active, stats.connecting, stats.queued) == (0, 0, 0)
    await still_works(wired)
