"""Requests cancelled at random for five seconds on real sockets leave an empty pool."""

from __future__ import annotations

import random

import trio

import trio_nodehttp as http
from tests.interop.conftest import Tell
from trio_nodehttp.pytest_plugin import HTTPServerFactory

SECONDS = 5


async def briefly(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    await trio.sleep(0.001)
    await response.end("done")


async def test_twenty_tasks_over_ten_sockets(http_server: HTTPServerFactory, tell: Tell) -> None:
    chance = random.Random(642)  # noqa: S311  # nothing secret
    server = await http_server(briefly)
    answered = cancelled = 0

    async def ask() -> None:
        async with http.get(server.url, agent=agent) as response:
            assert await response.text() == "done"

    async def keep_asking(end: float) -> None:
        nonlocal answered, cancelled
        while trio.current_time() < end:
            with trio.move_on_after(chance.uniform(0, patience)) as scope:
                await ask()
                answered += 1
            cancelled += scope.cancelled_caught

    async with http.Agent(keep_alive=True, max_sockets=10) as agent:
        # How long twenty take at once differs from machine to machine.
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
        patience = 2 * (trio.current_time() - started)
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(keep_asking, trio.current_time() + SECONDS)
        stats = agent.stats()
        assert (stats.active, stats.connecting, stats.queued) == (0, 0, 0)
        with trio.fail_after(1):
            async with http.get(server.url, agent=agent) as response:
                assert await response.text() == "done"
    tell(f"{answered} answered, {cancelled} cancelled")
    assert answered > 0
    assert cancelled > 0
