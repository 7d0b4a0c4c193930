"""The pool's cost, counted in lookups of names and in function calls, never in time."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from types import FrameType
from typing import Any

import pytest

from trio_nodehttp._sansio.pool import Close, Open, Pool

A, B = "a:80:", "b:80:"


class Name:
    """A connection or a waiter that counts how often it is looked up."""

    lookups = 0

    def __hash__(self) -> int:
        Name.lookups += 1
        return id(self)

    def __eq__(self, other: object) -> bool:
        Name.lookups += 1
        return self is other


class Cost:
    """How many lookups, and how many calls of Python's and C's functions."""

    def __init__(self) -> None:
        self.lookups = self.calls = 0

    def count(self, frame: FrameType, event: str, arg: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1


@contextmanager
def counted() -> Iterator[Cost]:
    """Count what happens inside the `with` block."""
    cost = Cost()
    before = Name.lookups
    gc.disable()  # what other tests left to be finalised is not ours to count
    sys.setprofile(cost.count)
    try:
        yield cost
    finally:
        sys.setprofile(None)
        gc.enable()
        cost.lookups = Name.lookups - before


def cost_with_idle(count: int) -> list[tuple[int, int]]:
    pool: Pool[str, Name, Name] = Pool(max_free_sockets=inf)
    names = [Name() for _ in range(count)]
    for name in names:
        pool.request(A, name)
        pool.opened(name, name)
    for name in names:
        pool.release(name, reusable=True)
    costs = []
    for scheduling in ("lifo", "fifo"):
        pool.scheduling = scheduling
        for _ in range(3):
            with counted() as cost:
                taken = pool.take_idle(A)
                assert taken is not None
                pool.release(taken, reusable=True)
            costs.append((cost.lookups, cost.calls))
    pool.max_total_sockets = count
    with counted() as cost:
        assert [type(a) for a in pool.request(B, Name())] == [Close, Open]
    costs.append((cost.lookups, cost.calls))
    return costs


def test_checkout_costs_the_same_with_5_idle_and_with_5000() -> None:
    assert cost_with_idle(5000) == cost_with_idle(5)


def cost_of_queue(count: int, *, reusable: bool) -> tuple[int, int]:
    pool: Pool[str, Name, Name] = Pool(max_sockets=1)
    waiters = [Name() for _ in range(count)]
    with counted() as cost:
        for waiter in waiters:
            pool.request(A, waiter)
        connection = waiters[0]
        pool.opened(connection, connection)
        for waiter in waiters[1:]:
            actions = pool.release(connection, reusable=reusable)
            if not reusable:
                pool.opened(waiter, connection := waiter)
            assert actions[-1].waiter is waiter  # type: ignore[union-attr]
    return cost.lookups // count, cost.calls // count


@pytest.mark.parametrize("reusable", [True, False])
def test_grant_costs_the_same_in_a_queue_of_100_and_of_10000(*, reusable: bool) -> None:
    short = cost_of_queue(100, reusable=reusable)
    assert cost_of_queue(10_000, reusable=reusable) == short


def test_cancel_costs_the_same_in_any_queue() -> None:
    costs = []
    for count in (10, 10_000):
        pool: Pool[str, Name, Name] = Pool(max_sockets=0)
        waiters = [Name() for _ in range(count)]
        for waiter in waiters:
            pool.request(A, waiter)
        with counted() as cost:
            for waiter in (waiters[0], waiters[-1], waiters[count // 2]):
                pool.cancel(waiter)
        costs.append((cost.lookups, cost.calls))
    assert costs[0] == costs[1]


def test_full_origins_cost_the_others_nothing() -> None:
    costs = []
    for count in (10, 1000):
        pool: Pool[str, Name, Name] = Pool(max_sockets=1)
        for origin in range(count):
            for _ in range(2):  # one connects, one is queued at a full origin
                pool.request(f"origin {origin}", Name())
        with counted() as cost:
            pool.request(A, name := Name())
            pool.failed(name)
        costs.append((cost.lookups, cost.calls))
    assert costs[0] == costs[1]


def cost_of_turns(count: int) -> int:
    """What it costs to serve `count` origins, of which the last has a long queue."""
    pool: Pool[str, Name, Name] = Pool(max_total_sockets=1)
    pool.request(A, dialling := Name())
    with counted() as cost:
        for number in range(count):
            pool.request(f"origin {number}", Name())
        for _ in range(count):
            pool.request(B, Name())
        for _ in range(2 * count):
            [granted] = pool.failed(dialling)
            assert isinstance(granted, Open)
            dialling = granted.waiter
    assert pool.len_waiting == 0
    return cost.calls // count


def test_turn_costs_the_same_among_10_origins_and_among_1000() -> None:
    assert cost_of_turns(1000) <= cost_of_turns(10)


class Key(str):
    """An origin's key that can be watched."""

    __slots__ = ("__weakref__",)


def cancelled(pool: Pool[str, int, int], origin: str, name: int) -> None:
    pool.max_sockets = 0
    pool.request(origin, name)
    pool.cancel(name)


def cancelled_under_a_full_total(pool: Pool[str, int, int], origin: str, name: int) -> None:
    pool.max_total_sockets = 0
    pool.request(origin, name)
    pool.cancel(name)


def failed(pool: Pool[str, int, int], origin: str, name: int) -> None:
    pool.request(origin, name)
    pool.failed(name)


def closed(pool: Pool[str, int, int], origin: str, name: int) -> None:
    pool.request(origin, name)
    pool.opened(name, name)
    pool.release(name, reusable=False)


def evicted(pool: Pool[str, int, int], origin: str, name: int) -> None:
    pool.max_total_sockets = 1
    pool.request(origin, name)
    pool.opened(name, name)
    pool.release(name, reusable=True)


@pytest.mark.parametrize("live", [cancelled, cancelled_under_a_full_total, failed, closed, evicted])
def test_origins_that_come_and_go_are_forgotten(
    live: Callable[[Pool[str, int, int], str, int], None],
) -> None:
    pool: Pool[str, int, int] = Pool()
    keys = [Key(f"origin {number}") for number in range(1000)]
    watched = weakref.WeakSet(keys)
    for name, key in enumerate(keys):
        live(pool, key, name)
    del keys, key
    gc.collect()
    assert len(watched) < 20
