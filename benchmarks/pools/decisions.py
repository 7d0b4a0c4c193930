"""The pool's decisions alone: no sockets, no tasks, no clock.

Reads lines ``WHAT SIZE`` and prints nanoseconds of CPU per step.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from trio_nodehttp._sansio.pool import Close, Open, Pool, Use

Books: TypeAlias = Pool[str, int, int]
Scheduling: TypeAlias = Literal["lifo", "fifo"]

STEPS = 100_000


def fill(pool: Books, origin: str, connection: int) -> None:
    """Put one more active connection into the pool."""
    (action,) = pool.request(origin, connection)
    assert isinstance(action, Open)
    pool.opened(action.waiter, connection)


def checkout(idle: int, scheduling: Scheduling) -> float:
    """Take and return one of *idle* connections of one origin."""
    pool: Books = Pool(max_free_sockets=idle, scheduling=scheduling)
    for connection in range(idle):
        fill(pool, "a", connection)
    for connection in range(idle):
        pool.release(connection, reusable=True)
    start = begin()
    for _ in range(STEPS):
        taken = pool.take_idle("a")
        assert taken is not None
        actions = pool.release(taken, reusable=True)
        assert not actions
    return since(start, STEPS)


def checkout_among_origins(origins: int) -> float:
    """Take and return the only connection of each of *origins* in turn."""
    pool: Books = Pool()
    names = [f"host-{number}:80:" for number in range(origins)]
    for connection, name in enumerate(names):
        fill(pool, name, connection)
        pool.release(connection, reusable=True)
    start = begin()
    for _ in range(STEPS // origins):
        for name in names:
            taken = pool.take_idle(name)
            assert taken is not None
            actions = pool.release(taken, reusable=True)
        assert not actions
    return since(start, STEPS // origins * origins)


def grant(queued: int) -> float:
    """Serve *queued* requests for one origin over ten connections."""
    rounds = max(1, STEPS // queued)
    total = 0.0
    for _ in range(rounds):
        pool: Books = Pool(max_sockets=10)
        for connection in range(10):
            fill(pool, "a", connection)
        for waiter in range(10, queued + 10):
            pool.request("a", waiter)
        start = begin()
        for waiter in range(10, queued + 10):
            (action,) = pool.release(waiter % 10, reusable=True)
            assert isinstance(action, Use)
            assert action.waiter == waiter
        total += since(start, queued)
    return total / rounds


def grant_among_origins(queued: int) -> float:
    """Serve *queued* requests, an origin each, over ten connections in all."""
    rounds = max(1, STEPS // queued)
    total = 0.0
    for _ in range(rounds):
        pool: Books = Pool(max_total_sockets=10)
        for connection in range(10):
            fill(pool, f"host-{connection}", connection)
        for waiter in range(10, queued + 10):
            pool.request(f"host-{waiter}", waiter)
        start = begin()
        for waiter in range(10, queued + 10):
            close, opening = pool.release(waiter - 10, reusable=True)
            assert isinstance(close, Close)
            assert isinstance(opening, Open)
            pool.opened(waiter, waiter)
        total += since(start, queued)
    return total / rounds


def withdraw(queued: int) -> float:
    """Take *queued* requests back, the latest first."""
    rounds = max(1, STEPS // queued)
    total = 0.0
    for _ in range(rounds):
        pool: Books = Pool(max_sockets=0)
        for waiter in range(queued):
            pool.request("a", waiter)
        start = begin()
        for waiter in reversed(range(queued)):
            pool.cancel(waiter)
        total += since(start, queued)
    return total / rounds


def begin() -> int:
    """CPU nanoseconds now, with no garbage left for the collector to meet."""
    gc.collect()
    return time.process_time_ns()


def since(start: int, steps: int) -> float:
    """CPU nanoseconds per step."""
    return (time.process_time_ns() - start) / steps


MEASURES: Mapping[str, Callable[[int], float]] = {
    "lifo": lambda size: checkout(size, "lifo"),
    "fifo": lambda size: checkout(size, "fifo"),
    "origins": checkout_among_origins,
    "grant": grant,
    "grant-origins": grant_among_origins,
    "withdraw": withdraw,
}


def main() -> None:
    """Do what the parent asks for."""
    for line in sys.stdin:
        what, size = line.split()
        print(round(MEASURES[what](int(size))), flush=True)


main()
