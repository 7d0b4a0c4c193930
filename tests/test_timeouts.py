"""Timers: when they strike, and when their one task comes and goes."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from trio_nodehttp._timeouts import (
    _GARBAGE,
    _current,
    call_at,
    call_at_exit,
    check_seconds,
    drop_exit,
)


def tasks() -> int:
    """How many tasks of timers there are."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    return sum(
        "timers" in task.name for nursery in root.child_nurseries for task in nursery.child_tasks
    )


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_calls_come_exactly_and_in_order(autojump_clock: Any) -> None:
    start, told = trio.current_time(), []

    def at(seconds: float) -> None:
        call_at(start + seconds, lambda: told.append((seconds, trio.current_time() - start)))

    for seconds in (3, 1, 2, 1.5, 7.25):
        at(seconds)
    await trio.sleep(2.5)
    assert told == [(1, 1), (1.5, 1.5), (2, 2)]
    await trio.sleep(20)
    assert told[3:] == [(3, 3), (7.25, 7.25)]


async def test_a_past_time_is_now(autojump_clock: Any) -> None:
    told: list[float] = []
    start = trio.current_time()
    call_at(start - 1, lambda: told.append(trio.current_time()))
    await settle()
    assert told == [start]


async def test_the_same_time_keeps_the_order(autojump_clock: Any) -> None:
    told: list[int] = []
    when = trio.current_time() + 1
    for number in range(5):
        call_at(when, lambda number=number: told.append(number))  # type: ignore[misc]
    await trio.sleep(2)
    assert told == [0, 1, 2, 3, 4]


async def test_a_cancelled_call_does_not_come(autojump_clock: Any) -> None:
    told: list[str] = []
    now = trio.current_time()
    timer = call_at(now + 1, lambda: told.append("cancelled"))
    other = call_at(now + 2, lambda: told.append("other"))
    assert timer.pending
    timer.cancel()
    timer.cancel()
    assert not timer.pending
    await trio.sleep(3)
    assert told == ["other"]
    assert not other.pending
    other.cancel()


async def test_the_task_lives_as_long_as_it_is_needed(autojump_clock: Any) -> None:
    assert tasks() == 0
    timer = call_at(trio.current_time() + 5, print)
    await settle()
    assert tasks() == 1
    timer.cancel()
    await settle()
    assert tasks() == 0
    call_at(trio.current_time() + 5, int)
    await trio.sleep(6)
    assert tasks() == 0


async def test_one_task_for_many_timers(autojump_clock: Any) -> None:
    told: list[int] = []
    for number in range(100):
        call_at(trio.current_time() + number, lambda: told.append(1))
    await settle()
    assert tasks() == 1
    await trio.sleep(200)
    assert len(told) == 100
    assert tasks() == 0


async def test_a_timer_taken_up_at_once_again(autojump_clock: Any) -> None:
    told: list[str] = []
    call_at(trio.current_time() + 1, lambda: told.append("never")).cancel()
    # The task was told to end, and has not yet.
    call_at(trio.current_time() + 1, lambda: told.append("second"))
    assert tasks() == 1
    await trio.sleep(2)
    assert told == ["second"]


async def test_an_earlier_timer_moves_the_next_waking(autojump_clock: Any) -> None:
    start, told = trio.current_time(), []
    call_at(start + 100, lambda: told.append(100.0))
    await settle()
    call_at(start + 1, lambda: told.append(trio.current_time() - start))
    await trio.sleep(2)
    assert told == [1]
    await trio.sleep(200)
    assert told == [1, 100]


async def test_a_timer_may_set_another(autojump_clock: Any) -> None:
    start, told = trio.current_time(), []

    def again() -> None:
        told.append(trio.current_time() - start)
        if len(told) < 3:
            call_at(trio.current_time() + 1, again)

    call_at(start + 1, again)
    await trio.sleep(10)
    assert told == [1, 2, 3]
    assert tasks() == 0


async def test_what_a_call_raises_is_logged(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []

    def fail() -> None:
        raise LookupError("nothing here")

    now = trio.current_time()
    call_at(now + 1, fail)
    call_at(now + 1, lambda: told.append(1))
    with caplog.at_level(logging.ERROR, "trio_nodehttp"):
        await trio.sleep(2)
    assert told == [1]
    assert [record.name for record in caplog.records] == ["trio_nodehttp"]
    assert "nothing here" in caplog.text


async def test_cancelled_timers_leave_no_heap(autojump_clock: Any) -> None:
    kept = call_at(trio.current_time() + 1e6, print)
    for _ in range(10 * _GARBAGE):
        call_at(trio.current_time() + 1e6, print).cancel()
    assert len(_current.get()[0]._heap) <= _GARBAGE + 4
    assert kept.pending
    kept.cancel()


def test_exits_are_called_when_the_run_ends(autojump_clock: Any) -> None:
    told: list[str] = []

    def first() -> None:
        told.append("first")

    def second() -> None:
        told.append("second")

    async def main() -> None:
        for fn in (first, second, first):
            call_at_exit(fn)
        drop_exit(second)
        drop_exit(second)
        await trio.sleep(10)
        assert tasks() == 1
        assert told == []

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert told == ["first"]


def test_a_dropped_exit_ends_the_task() -> None:
    told: list[str] = []

    def never() -> None:
        told.append("never")

    async def main() -> None:
        drop_exit(never)
        call_at_exit(never)
        await settle()
        assert tasks() == 1
        drop_exit(never)
        await settle()
        assert tasks() == 0

    trio.run(main)
    assert told == []


def test_each_run_has_timers_of_its_own() -> None:
    told: list[int] = []

    async def main(number: int) -> None:
        call_at(trio.current_time() + 1e9, lambda: told.append(-1))
        call_at(trio.current_time(), lambda: told.append(number))
        await settle()

    for number in range(3):
        trio.run(main, number)
    assert told == [0, 1, 2]


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, math.inf), (math.inf, math.inf), (0, 0.0), (2, 2.0), (0.5, 0.5)]
)
def test_seconds(value: float | None, seconds: float) -> None:
    checked = check_seconds("timeout", value)
    assert checked == seconds
    assert type(checked) is float


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("1", http.InvalidArgTypeError, "timeout must be a number of seconds, not '1'"),
        (True, http.InvalidArgTypeError, "timeout must be a number of seconds, not True"),
        (-1, http.OutOfRangeError, "timeout must be at least 0 seconds, not -1"),
        (math.nan, http.OutOfRangeError, "timeout must be at least 0 seconds, not nan"),
    ],
)
def test_bad_seconds(value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        check_seconds("timeout", value)
    assert str(caught.value) == message
