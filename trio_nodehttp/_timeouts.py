"""Timers on Trio's clock: plain functions called at a time, one task for all of a run."""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Callable
from typing import Final

import trio

from ._errors import InvalidArgTypeError, OutOfRangeError

_logger = logging.getLogger("trio_nodehttp")
_GARBAGE: Final = 64
_current: Final = trio.lowlevel.RunVar[list["_Timers"]]("trio_nodehttp timers")


def check_seconds(name: str, value: object) -> float:
    """Check a duration from a caller.

    Args:
        name: What the error calls it.
        value: Seconds; None and ``math.inf`` mean no limit.

    Returns:
        The seconds, with None as ``math.inf``.

    Raises:
        InvalidArgTypeError: It is no number.
        OutOfRangeError: It is negative or NaN.
    """
    if value is None:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidArgTypeError(f"{name} must be a number of seconds, not {value!r}")
    if not value >= 0:
        raise OutOfRangeError(f"{name} must be at least 0 seconds, not {value!r}")
    return float(value)


class Timer:
    """A function that will be called once, unless cancelled."""

    __slots__ = ("_fn", "_timers")

    def __init__(self, fn: Callable[[], object], timers: _Timers) -> None:
        self._fn: Callable[[], object] | None = fn
        self._timers = timers

    @property
    def pending(self) -> bool:
        """The call is still to come."""
        return self._fn is not None

    def cancel(self) -> None:
        """Forget the call; a second time does nothing."""
        if self._fn is not None:
            self._fn = None
            self._timers.forget()

    def _fire(self) -> None:
        fn, self._fn = self._fn, None
        if fn is None:
            return
        self._timers.live -= 1
        try:
            fn()
        except Exception:
            _logger.exception("a timer's function raised")


class _Timers:
    """The timers of one run. Its task lives while there is something to wait for."""

    __slots__ = ("_exits", "_heap", "_scope", "_serial", "live")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._serial = 0
        self._scope = trio.CancelScope()
        self._exits: dict[Callable[[], object], None] = {}
        self.live = 0

    def add(self, deadline: float, fn: Callable[[], object]) -> Timer:
        timer = Timer(fn, self)
        self._serial += 1
        self.live += 1
        if len(self._heap) > 2 * self.live + _GARBAGE:
            # Cancelled timers would wait for their time, however far that is.
            self._heap = [entry for entry in self._heap if entry[2].pending]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (deadline, self._serial, timer))
        if deadline < self._scope.deadline:  # noqa: PLR1730  # assigning it costs
            self._scope.deadline = deadline
        return timer

    def forget(self) -> None:
        self.live -= 1
        self._end_if_unused()

    def add_exit(self, fn: Callable[[], object]) -> None:
        self._exits[fn] = None

    def drop_exit(self, fn: Callable[[], object]) -> None:
        self._exits.pop(fn, None)
        self._end_if_unused()

    def _end_if_unused(self) -> None:
        if not self.live and not self._exits:
            self._scope.cancel()

    async def run(self) -> None:
        try:
            while self.live or self._exits:
                with self._scope:
                    await trio.sleep_forever()
                self._fire_due()
                self._scope = trio.CancelScope(deadline=self._next())
        finally:
            _current.get().remove(self)
            for fn in list(self._exits):
                fn()

    def _fire_due(self) -> None:
        now = trio.current_time()
        while self._heap and (self._heap[0][0] <= now or not self._heap[0][2].pending):
            heapq.heappop(self._heap)[2]._fire()

    def _next(self) -> float:
        return self._heap[0][0] if self._heap else math.inf


def _timers() -> _Timers:
    """Find this run's timers, or start them."""
    try:
        running = _current.get()
    except LookupError:
        running = []
        _current.set(running)
    if not running:
        timers = _Timers()
        running.append(timers)
        trio.lowlevel.spawn_system_task(timers.run, name="trio_nodehttp timers")
    return running[0]


def call_at(deadline: float, fn: Callable[[], object]) -> Timer:
    """Call a plain function at a time of Trio's clock.

    Args:
        deadline: When, as ``trio.current_time()`` counts.
        fn: What to call, in a task of its own; what it raises is logged.

    Returns:
        A handle that can cancel the call.
    """
    return _timers().add(deadline, fn)


def call_at_exit(fn: Callable[[], object]) -> None:
    """Call a plain function when the current Trio run ends; once, however often asked."""
    _timers().add_exit(fn)


def drop_exit(fn: Callable[[], object]) -> None:
    """Forget what ``call_at_exit`` was told; no error if it was not."""
    for timers in list(_current.get([])):
        timers.drop_exit(fn)
