"""100 MB each way, through either side: every byte arrives and memory stays flat."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import trio

from tests.interop import handlers, peers
from tests.interop.conftest import Tell

CHUNKS = 1600
SIZE = CHUNKS * len(handlers.BIG_CHUNK)
GROWTH_LIMIT = 20_000_000
SECONDS = 60.0


@pytest.fixture
def server() -> Iterator[peers.Peer]:
    with peers.run_peer(peers.ours("our_server")) as peer:
        yield peer


async def upload(address: tuple[str, int], count: int) -> int:
    """Upload chunks over a raw socket; returns the size that the server counted."""
    size = count * len(handlers.BIG_CHUNK)
    head = f"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n"
    with trio.fail_after(SECONDS):
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(head.encode() + b"Connection: close\r\n\r\n")
            for _ in range(count):
                await stream.send_all(handlers.BIG_CHUNK)
            reply = b"".join([piece async for piece in stream])
    return int(reply.partition(b"\r\n\r\n")[2])


async def download(address: tuple[str, int], count: int) -> int:
    """Download chunks over a raw socket; returns the bytes that came in all."""
    head = f"GET /stream/{count} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    received = 0
    with trio.fail_after(SECONDS):
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(head.encode())
            async for piece in stream:
                received += len(piece)
    return received


async def test_our_server_moves_100_mb_each_way(server: peers.Peer, tell: Tell) -> None:
    await upload(server.address, 16)
    await download(server.address, 16)
    before = peers.memory_peak(server.pid)
    assert await upload(server.address, CHUNKS) == SIZE
    # Head, chunk lines and the last chunk come on top.
    assert SIZE < await download(server.address, CHUNKS) < SIZE + CHUNKS * 10 + 1000
    growth = peers.memory_peak(server.pid) - before
    tell(f"peak memory of our server grew by {growth:,} bytes")
    assert growth < GROWTH_LIMIT


async def test_our_server_waits_for_a_slow_reader(server: peers.Peer) -> None:
    await download(server.address, 16)
    before = peers.memory_peak(server.pid)
    with trio.fail_after(SECONDS):
        async with await trio.open_tcp_stream(*server.address) as stream:
            head = f"GET /stream/{CHUNKS} HTTP/1.1\r\nHost: a\r\n\r\n"
            await stream.send_all(head.encode())
            await trio.sleep(1)
    assert peers.memory_peak(server.pid) - before < GROWTH_LIMIT


def test_our_client_moves_100_mb_each_way(tell: Tell) -> None:
    with peers.run_peer(peers.node("server.js")) as peer:
        command = peers.ours("our_client", {"url": peer.url, "chunks": CHUNKS})
        told = json.loads(peers.run_program(command, seconds=SECONDS))
    tell(f"peak memory of our client grew by {told['growth']:,} bytes")
    assert (told["sent"], told["received"]) == (SIZE, SIZE)
    assert told["growth"] < GROWTH_LIMIT
