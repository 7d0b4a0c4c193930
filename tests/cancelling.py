"""What is left behind by a client operation that is cancelled, wherever that happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

import trio_nodehttp as http
from tests.wires import Wire, cancel_at

MAX_CHECKPOINTS = 200
SHIELDED = 0.1


async def sweep(wired: Wire, operation: Callable[[Wire], Awaitable[object]]) -> int:
    """Cancel an operation at its first checkpoint, its second, and so on to its end.

    Behind each the agent must be empty and usable, and the peer must see the end.

    Returns:
        How many checkpoints the operation has.
    """
    slow = 0
    for count in range(1, MAX_CHECKPOINTS):
        cancelled = False

        async def run() -> None:
            nonlocal cancelled
            try:
                await operation(wired)
            except BaseException as error:
                assert type(error) is trio.Cancelled, repr(error)  # noqa: PT017
                cancelled = True
                raise

        spent = await cancel_at(count, run)
        slow += spent is not None and spent > SHIELDED
        stats = wired.agent.stats()
        assert (stats.active, stats.connecting, stats.queued) == (0, 0, 0), (count, stats)
        if cancelled:
            assert stats.idle <= 1
        wired.agent.destroy()
        await wired.all_ended()
        if spent is None:
            # A busy machine may stop for a while now and then.
            assert slow <= 1, "something is shielded"
            return count
    raise AssertionError("it never ends")


async def still_works(wired: Wire) -> None:
    """The next request succeeds."""
    with trio.fail_after(1):
        options: Any = {"agent": wired.agent}
        async with http.get(wired.url, **options) as response:
            assert await response.read() == b"0"
