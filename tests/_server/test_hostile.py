"""A thousand slow or hostile connections beside fifty honest clients."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import (
    TIMED_OUT,
    Client,
    Served,
    ask,
    drip,
    dripping_head,
    serving,
    silent,
    stalled_head,
)

HEADERS_TIMEOUT = 4
REQUEST_TIMEOUT = 5
TIMEOUT = 6
HOSTILE = 1000
HONEST = 50
TURNS = 6
BIG = 300_000


async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    if request.url == "/big":
        await response.end(b"x" * BIG)
    else:
        await response.end(await request.read())


async def dripping_body(client: Client) -> None:
    await client.send(ask("/", "Content-Length: 1000", method="POST"))
    await drip(client, b"y" * 1000)


async def never_reading(client: Client) -> None:
    await client.send(ask("/big"))
    await trio.sleep(TIMEOUT + 1)


KINDS: dict[Callable[[Client], Awaitable[None]], int] = {
    silent: HEADERS_TIMEOUT,
    stalled_head: HEADERS_TIMEOUT,
    dripping_head: HEADERS_TIMEOUT,
    dripping_body: REQUEST_TIMEOUT,
    never_reading: TIMEOUT,
}


async def attack(
    served: Served, kind: Callable[[Client], Awaitable[None]], ends: Counter[tuple[str, float]]
) -> None:
    client = await served.connect()
    begun = trio.current_time()
    ended = trio.Event()
    client.stream.on_peer_close(ended.set)  # type: ignore[attr-defined]

    async def bother() -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await kind(client)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bother)
        await ended.wait()
        ends[kind.__name__, round(trio.current_time() - begun, 3)] += 1
        nursery.cancel_scope.cancel()
    reply = await client.until_end()
    if kind is never_reading:
        assert 0 < len(reply) < BIG
    else:
        assert reply == TIMED_OUT


async def be_honest(served: Served, number: int) -> int:
    client = await served.connect()
    for turn in range(TURNS):
        body = f"{number} {turn} " * 100
        await client.send(ask("/", method="POST", body=body))
        begun = trio.current_time()
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, body.encode())
        assert trio.current_time() == begun  # nobody made it wait
        await trio.sleep(1)
    client.leave()
    return TURNS


async def test_hostile_connections_end_and_honest_ones_do_not_notice(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ends: Counter[tuple[str, float]] = Counter()
    answered = 0

    async def honest(served: Served, number: int) -> None:
        nonlocal answered
        count = await be_honest(served, number)
        answered += count

    options = {
        "headers_timeout": HEADERS_TIMEOUT,
        "request_timeout": REQUEST_TIMEOUT,
        "timeout": TIMEOUT,
    }
    async with serving(handler, **options) as served, trio.open_nursery() as nursery:
        for kind in KINDS:
            for _ in range(HOSTILE // len(KINDS)):
                nursery.start_soon(attack, served, kind, ends)
        for number in range(HONEST):
            nursery.start_soon(honest, served, number)
        await trio.sleep(TIMEOUT + 2)
        assert served.server.connections == 0
    assert answered == HONEST * TURNS
    assert ends == {
        (kind.__name__, float(second)): HOSTILE // len(KINDS) for kind, second in KINDS.items()
    }
    # One record for each 408, and no traceback.
    assert len(caplog.records) == HOSTILE * 4 // 5
    assert not any(record.exc_info for record in caplog.records)
