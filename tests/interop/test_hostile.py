"""A thousand slow or hostile connections beside fifty honest clients, on real sockets."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import attrs
import pytest
import trio

from tests._server.kit import TIMED_OUT, Client, ask, drip, dripping_head, silent, stalled_head
from tests.interop import peers
from tests.interop.conftest import Tell

HOSTILE = 1000
HONEST = 50
LIMITS = {"headers_timeout": 3, "request_timeout": 4, "timeout": 5}
SLACK = 1.5  # seconds that a loaded machine may add
IDLE_LIMIT = 64 * 1024

Kind = Callable[[Client], Awaitable[None]]


@attrs.frozen
class End:
    """How one hostile connection ended."""

    kind: str
    seconds: float
    reply: bytes


@pytest.fixture(autouse=True)
def many_descriptors() -> Iterator[None]:
    """Allow this process, and the server that it starts, enough sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HOSTILE + HONEST + 200
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident(pid: int) -> int:
    """Return the resident memory of a process now, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no memory figures")


async def dripping_body(client: Client) -> None:
    await client.send(ask("/sink", "Content-Length: 1000", method="POST"))
    await drip(client, b"y" * 1000)


async def never_reading(client: Client) -> None:
    await client.send(ask("/stream/1000"))
    await trio.sleep(LIMITS["timeout"] + SLACK)


KINDS: dict[Kind, int] = {
    silent: LIMITS["headers_timeout"],
    stalled_head: LIMITS["headers_timeout"],
    dripping_head: LIMITS["headers_timeout"],
    dripping_body: LIMITS["request_timeout"],
    never_reading: LIMITS["timeout"],
}


async def attack(address: tuple[str, int], kind: Kind, ends: list[End]) -> None:
    begun = trio.current_time()
    async with await trio.open_tcp_stream(*address) as stream:
        client = Client(stream)

        async def bother() -> None:
            with contextlib.suppress(trio.BrokenResourceError):
                await kind(client)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(bother)
            if kind is never_reading:
                await trio.sleep(LIMITS["timeout"] + SLACK)
            reply = await client.until_end()
            nursery.cancel_scope.cancel()
        ends.append(End(kind.__name__, trio.current_time() - begun, reply))


async def be_honest(address: tuple[str, int], waits: list[float], end: float) -> None:
    async with await trio.open_tcp_stream(*address) as stream:
        client = Client(stream)
        while trio.current_time() < end:
            begun = trio.current_time()
            answer = await client.get("/hello")
            assert answer.status == 200
            waits.append(trio.current_time() - begun)
            await trio.sleep(0.5)


async def besiege(address: tuple[str, int]) -> tuple[list[End], list[float]]:
    ends: list[End] = []
    waits: list[float] = []
    async with trio.open_nursery() as nursery:
        for number in range(HOSTILE):
            nursery.start_soon(attack, address, list(KINDS)[number % len(KINDS)], ends)
        end = trio.current_time() + LIMITS["timeout"] + SLACK
        for _ in range(HONEST):
            nursery.start_soon(be_honest, address, waits, end)
    return ends, waits


def test_hostile_connections_end_and_honest_ones_go_on(tell: Tell) -> None:
    with peers.run_peer(peers.ours("our_server", {"options": LIMITS})) as peer:
        ends, waits = trio.run(besiege, peer.address)
    assert len(ends) == HOSTILE
    assert len(waits) >= HONEST * LIMITS["timeout"]
    for kind, second in KINDS.items():
        mine = [end for end in ends if end.kind == kind.__name__]
        times = [end.seconds for end in mine]
        tell(f"{kind.__name__}: {len(mine)} ended after {min(times):.2f} to {max(times):.2f} s")
        assert min(times) >= second - 0.1
        assert max(times) <= second + 2 * SLACK
        if kind is not never_reading:
            assert {end.reply for end in mine} == {TIMED_OUT}
    waits.sort()
    median, longest = waits[len(waits) // 2] * 1000, waits[-1] * 1000
    tell(f"{len(waits)} honest requests, median {median:.1f} ms, longest {longest:.0f} ms")


async def stay_idle(peer: peers.Peer) -> tuple[int, int]:
    """Return the server's memory with no idle connection, and with many."""
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for count in (HONEST, HOSTILE):
            for _ in range(count):
                stream = await trio.open_tcp_stream(*peer.address)
                clients.append(Client(await stack.enter_async_context(stream)))
            for client in clients[-count:]:
                assert (await client.get("/hello")).status == 200
            if count == HONEST:
                before = resident(peer.pid)
        return before, resident(peer.pid)


def test_memory_per_idle_connection(tell: Tell) -> None:
    options = {"keep_alive_timeout": 60}
    with peers.run_peer(peers.ours("our_server", {"options": options})) as peer:
        begun = time.monotonic()
        before, after = trio.run(stay_idle, peer)
        took = time.monotonic() - begun
    each = (after - before) / HOSTILE
    tell(f"{each / 1024:.1f} KiB for each of {HOSTILE} idle connections ({took:.1f} s)")
    assert each < IDLE_LIMIT
