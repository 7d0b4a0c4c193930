"""Watches idle connections: one heap, one timer, whatever their number."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Final

import trio

from .._timeouts import Timer, call_at, call_at_exit, drop_exit
from .lease import NEVER, PooledConnection

# Seconds between two looks at an idle connection: has the peer left?
LOOK_EVERY: Final = 5.0


class IdleWatch:
    """Looks at each idle connection when it expires, and every few seconds before.

    A connection has one entry in the heap however often it is lent and returned, so
    a busy one costs a comparison each time. An entry is never later than the expiry.

    Args:
        look: Told of a connection whose time has come; answers whether it is idle
            still, and is to be watched further.
        on_exit: Called when the Trio run ends while connections are watched.
    """

    __slots__ = ("_due", "_heap", "_look", "_on_exit", "_serial", "_timer")

    def __init__(
        self, look: Callable[[PooledConnection], bool], on_exit: Callable[[], object]
    ) -> None:
        self._look = look
        self._on_exit = on_exit
        self._heap: list[tuple[float, int, PooledConnection]] = []
        self._serial = count()
        self._timer: Timer | None = None
        self._due = NEVER

    def add(self, connection: PooledConnection, now: float) -> None:
        """Watch a connection that has just turned idle; ``expires`` says until when."""
        if connection.look_at <= connection.expires and connection.look_at <= now + LOOK_EVERY:
            return
        if not self._heap:
            call_at_exit(self._on_exit)
        self._push(connection, now)
        self._set_timer()

    def clear(self) -> None:
        """Watch nothing any more."""
        if not self._heap:
            return
        for _, _, connection in self._heap:
            connection.look_at = NEVER
        self._heap.clear()
        self._set_timer()
        drop_exit(self._on_exit)

    def _push(self, connection: PooledConnection, now: float) -> None:
        connection.look_at = due = min(connection.expires, now + LOOK_EVERY)
        heappush(self._heap, (due, next(self._serial), connection))

    def _set_timer(self) -> None:
        due = self._heap[0][0] if self._heap else NEVER
        if due == self._due:
            return
        former = self._timer
        self._due = due
        self._timer = None if due == NEVER else call_at(due, self._fire)
        if former is not None:
            former.cancel()

    def _fire(self) -> None:
        """Look at those whose time has come."""
        heap, now = self._heap, trio.current_time()
        while heap and heap[0][0] <= now:
            due, _, connection = heappop(heap)
            # Otherwise an earlier entry took the place of this one.
            if due == connection.look_at:
                connection.look_at = NEVER
                if self._look(connection):
                    self._push(connection, now)
        self._set_timer()
        if not heap:
            drop_exit(self._on_exit)
