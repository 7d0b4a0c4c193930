"""Clients that take part.

Each is given the server's port, then reads lines ``TASKS SECONDS``, fetches
that long with that many tasks, and prints how many answers it read whole.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Iterator

SIZE = 13

Fetch = Callable[[], Awaitable[int]]


def url() -> str:
    """What to fetch."""
    return f"http://127.0.0.1:{port()}/"


def port() -> int:
    """Where the server listens."""
    return int(sys.argv[1])


def turns() -> Iterator[tuple[int, float]]:
    """Number of tasks and end on the `time.perf_counter` clock, per turn.

    Waits for the parent and so blocks the event loop, which has nothing to do
    between turns.
    """
    for line in sys.stdin:
        tasks, seconds = line.split()
        yield int(tasks), time.perf_counter() + float(seconds)


class Count:
    """How many answers all tasks of a turn have read."""

    def __init__(self) -> None:
        self.value = 0

    async def fetch_until(self, end: float, fetch: Fetch) -> None:
        """One task: fetch, look at the size, again.

        Raises:
            ValueError: *fetch* returned another size than the server sends.
        """
        while time.perf_counter() < end:
            size = await fetch()
            if size != SIZE:
                raise ValueError(size)
            self.value += 1

    def tell(self) -> None:
        """Report to the parent."""
        print(self.value, flush=True)
