"""The pool against a plain model of it, through random histories.

The model keeps four dicts in order and looks for everything by walking through them.
Every action is checked against it before it is carried out, every view after each step.
"""

from __future__ import annotations

from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from trio_nodehttp._sansio.pool import Action, Close, Open, Pool, Use

ORIGINS = ("a:80:", "b:80:", "c:80:")
STRANGER = -1

origins = st.sampled_from(ORIGINS)
limits = st.sampled_from([3, inf, 5, 2, 1, 0])
mostly = st.sampled_from([True, True, True, False])
picks = st.integers(0, 1000)


def grouped(names: dict[int, str]) -> dict[str, tuple[int, ...]]:
    """The names by origin, in order, without empty keys."""
    groups: dict[str, list[int]] = {}
    for name, origin in names.items():
        groups.setdefault(origin, []).append(name)
    return {origin: tuple(group) for origin, group in groups.items()}


class PoolMachine(RuleBasedStateMachine):
    """An agent whose requests, dials, returns and changes of limits come at random."""

    pool: Pool[str, int, int]

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[int, str] = {}
        self.dialling: dict[int, str] = {}
        self.active: dict[int, str] = {}
        self.idle: dict[int, str] = {}
        self.names = 0
        self.served: list[int] = []
        self.gone: list[int] = []
        # False from a change of limits to the next decision.
        self.settled = True
        self.cleared = False
        self.sizes = dict.fromkeys(ORIGINS, 0)
        self.size = 0

    # -- the model

    def of(self, names: dict[int, str], origin: str) -> list[int]:
        return [name for name, its_origin in names.items() if its_origin == origin]

    def busy_of(self, origin: str) -> int:
        return len(self.of(self.active, origin)) + len(self.of(self.dialling, origin))

    def busy(self) -> int:
        return len(self.active) + len(self.dialling)

    def can_serve(self, origin: str) -> bool:
        room = self.busy_of(origin) < self.pool.max_sockets
        return room and self.busy() < self.pool.max_total_sockets

    def next_idle(self, origin: str) -> int:
        idle = self.of(self.idle, origin)
        return idle[-1] if self.pool.scheduling == "lifo" else idle[0]

    def new_name(self) -> int:
        self.names += 1
        return self.names

    # -- carrying out

    def carry_out(self, actions: list[Action[str, int, int]]) -> None:
        self.settled = True
        closing = False
        for action in actions:
            closing = isinstance(action, Close)
            match action:
                case Close(connection):
                    assert self.busy() + len(self.idle) >= self.pool.max_total_sockets
                    assert connection == next(iter(self.idle))
                    del self.idle[connection]
                    self.gone.append(connection)
                case Use(waiter, connection):
                    origin = self.check_turn(waiter)
                    assert connection == self.next_idle(origin)
                    self.active[connection] = self.idle.pop(connection)
                    self.served.append(waiter)
                case Open(waiter, origin):
                    assert origin == self.check_turn(waiter)
                    assert not self.of(self.idle, origin)
                    size = self.busy() + len(self.idle)
                    assert size < self.pool.max_total_sockets
                    self.dialling[waiter] = origin
        assert not closing, "evicted for nobody"

    def check_turn(self, waiter: int) -> str:
        """Take the waiter out of the queue; it is the oldest that can be served."""
        turn = next(w for w, o in self.waiting.items() if self.can_serve(o))
        assert waiter == turn
        return self.waiting.pop(waiter)

    # -- rules

    @initialize(per_origin=limits, total=limits, free=limits, fifo=st.booleans())
    def start(self, per_origin: float, total: float, free: float, fifo: bool) -> None:
        self.pool = Pool(
            max_sockets=per_origin,
            max_total_sockets=total,
            max_free_sockets=free,
            scheduling="fifo" if fifo else "lifo",
        )

    @rule(origin=origins)
    def take_idle(self, origin: str) -> None:
        others = self.of(self.waiting, origin)
        idle = self.of(self.idle, origin)
        expected = None
        if idle and not others and self.can_serve(origin):
            expected = self.next_idle(origin)
            self.active[expected] = self.idle.pop(expected)
        assert self.pool.take_idle(origin) == expected

    @rule(origin=origins, count=st.integers(1, 4), dial=mostly)
    def request(self, origin: str, count: int, dial: bool) -> None:
        for _ in range(count):
            waiter = self.new_name()
            self.waiting[waiter] = origin
            self.carry_out(self.pool.request(origin, waiter))
        while dial and self.dialling:
            self.dial_succeeds(0)

    @rule(pick=picks)
    def come_and_go(self, pick: int) -> None:
        """Keep a history going, for Hypothesis leaves out some rules in each."""
        if not self.active:
            self.change_limit(2 + pick % 3, per_origin=True)
            self.change_limit(4 + pick % 5, per_origin=False)
        for origin in ORIGINS:
            self.request(origin, 1 + pick % 4, dial=True)
        self.release_some(pick, 1 + pick % 7, reusable=True)

    @precondition(lambda self: self.dialling)
    @rule(pick=picks)
    def dial_succeeds(self, pick: int) -> None:
        waiter = list(self.dialling)[pick % len(self.dialling)]
        connection = self.new_name()
        self.active[connection] = self.dialling.pop(waiter)
        self.pool.opened(waiter, connection)
        self.served.append(waiter)

    @precondition(lambda self: self.dialling)
    @rule(pick=picks)
    def dial_fails(self, pick: int) -> None:
        waiter = list(self.dialling)[pick % len(self.dialling)]
        del self.dialling[waiter]
        self.served.append(waiter)
        self.carry_out(self.pool.failed(waiter))

    @rule(pick=picks, count=st.integers(1, 4), reusable=mostly)
    def release_some(self, pick: int, count: int, reusable: bool) -> None:
        for _ in range(min(count, len(self.active))):
            self.release(pick, reusable)

    def release(self, pick: int, reusable: bool) -> None:
        connection = list(self.active)[pick % len(self.active)]
        origin = self.active.pop(connection)
        actions = self.pool.release(connection, reusable=reusable)
        queue = self.of(self.waiting, origin)
        if reusable and queue and self.can_serve(origin):
            assert actions.pop(0) == Use(queue[0], connection)
            del self.waiting[queue[0]]
            self.active[connection] = origin
            self.served.append(queue[0])
        elif reusable and self.fits_idle(origin):
            self.idle[connection] = origin
        else:
            assert actions.pop(0) == Close(connection)
            self.gone.append(connection)
        self.carry_out(actions)

    def fits_idle(self, origin: str) -> bool:
        idle = len(self.of(self.idle, origin))
        return (
            idle < self.pool.max_free_sockets
            and self.busy_of(origin) + idle < self.pool.max_sockets
            and self.busy() + len(self.idle) < self.pool.max_total_sockets
        )

    @precondition(lambda self: self.active or self.idle)
    @rule(pick=picks)
    def discard(self, pick: int) -> None:
        connections = [*self.active, *self.idle]
        connection = connections[pick % len(connections)]
        self.active.pop(connection, None)
        self.idle.pop(connection, None)
        self.gone.append(connection)
        self.carry_out(self.pool.discard(connection))

    @precondition(lambda self: self.waiting)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        waiter = list(self.waiting)[pick % len(self.waiting)]
        del self.waiting[waiter]
        self.served.append(waiter)
        assert self.pool.cancel(waiter) == []

    @rule(reusable=st.booleans())
    def name_those_who_are_not_meant(self, reusable: bool) -> None:
        gone = [*self.gone[-3:], STRANGER]
        for connection in (*self.idle, *gone):
            assert self.pool.release(connection, reusable=reusable) == []
        for connection in gone:
            assert self.pool.discard(connection) == []
        served = [*self.served[-3:], STRANGER]
        for waiter in (*self.dialling, *served):
            assert self.pool.cancel(waiter) == []
        for waiter in (*self.waiting, *served):
            assert self.pool.failed(waiter) == []

    @rule(limit=limits, per_origin=st.booleans())
    def change_limit(self, limit: float, per_origin: bool) -> None:
        if per_origin:
            self.pool.max_sockets = limit
        else:
            self.pool.max_total_sockets = limit
        self.settled = False

    @rule(limit=limits)
    def change_max_free_sockets(self, limit: float) -> None:
        self.pool.max_free_sockets = limit

    @rule(origin=origins, per_origin=st.booleans())
    def forbid_one_more_in_use(self, origin: str, per_origin: bool) -> None:
        busy = self.busy_of(origin) if per_origin else self.busy()
        self.change_limit(busy, per_origin)
        self.request(origin, 1, dial=False)

    @rule(origin=origins)
    def allow_all_and_take_idle(self, origin: str) -> None:
        self.change_limit(inf, per_origin=True)
        self.change_limit(inf, per_origin=False)
        self.take_idle(origin)

    @rule()
    def wake(self) -> None:
        self.carry_out(self.pool.wake())

    @rule(fifo=st.booleans())
    def change_scheduling(self, fifo: bool) -> None:
        self.pool.scheduling = "fifo" if fifo else "lifo"

    @precondition(lambda self: self.names > 30 and not self.cleared)
    @rule()
    def clear(self) -> None:
        self.cleared = True
        connections, waiters = self.pool.clear()
        assert sorted(connections) == sorted([*self.active, *self.idle])
        assert waiters == list(self.waiting)
        self.served += waiters
        self.gone += connections
        for names in (self.active, self.idle, self.waiting):
            names.clear()

    # -- invariants

    @invariant()
    def views_show_the_model(self) -> None:
        pool = self.pool
        assert pool.active == grouped(self.active)
        assert pool.idle == grouped(self.idle)
        assert pool.waiting == grouped(self.waiting)
        assert pool.connecting == grouped(self.dialling)
        for origin in ORIGINS:
            assert list(pool.active_of(origin)) == self.of(self.active, origin)
            assert list(pool.idle_of(origin)) == self.of(self.idle, origin)
            assert list(pool.waiting_of(origin)) == self.of(self.waiting, origin)

    @invariant()
    def counts_show_the_model(self) -> None:
        pool = self.pool
        assert pool.len_active == len(self.active)
        assert pool.len_idle == len(self.idle)
        assert pool.len_waiting == len(self.waiting)
        assert pool.len_connecting == len(self.dialling)

    @invariant()
    def everybody_is_found(self) -> None:
        for connection, origin in {**self.active, **self.idle}.items():
            assert self.pool.origin_of(connection) == origin
        for waiter, origin in self.waiting.items():
            place = self.of(self.waiting, origin).index(waiter)
            assert self.pool.position(waiter) == place
        assert all(self.pool.origin_of(name) is None for name in self.gone)

    @invariant()
    def limits_hold(self) -> None:
        """What is above a limit was there before the limit came down."""
        for origin in ORIGINS:
            size = self.busy_of(origin) + len(self.of(self.idle, origin))
            assert size <= max(self.pool.max_sockets, self.sizes[origin])
            self.sizes[origin] = size
        size = self.busy() + len(self.idle)
        assert size <= max(self.pool.max_total_sockets, self.size)
        self.size = size

    @invariant()
    def nobody_waits_who_could_be_served(self) -> None:
        if self.settled:
            assert not [o for o in self.waiting.values() if self.can_serve(o)]

    def teardown(self) -> None:
        """Let everybody finish: each waiter was served once, each connection is gone."""
        if not hasattr(self, "pool"):
            return
        self.pool.max_sockets = 2
        self.pool.max_total_sockets = 3
        self.wake()
        for _ in range(self.names * 3):
            if self.dialling:
                self.dial_succeeds(0)
            elif self.active:
                self.release(0, reusable=True)
        assert (self.waiting, self.dialling, self.active) == ({}, {}, {})
        while self.idle:
            self.discard(0)
        assert repr(self.pool).count(" 0 ") == 4
        assert sorted(self.served + self.gone) == list(range(1, self.names + 1))


PoolMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
TestPoolMachine = PoolMachine.TestCase
