"""Observers: order, once and off, also in the middle of an emit."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

import trio_nodehttp as http
from trio_nodehttp._observers import Observable


class Bell(Observable):
    EVENTS = frozenset({"ring", "stop"})

    def __init__(self) -> None:
        self._observers = None


def test_observers_are_called_in_order_with_what_is_told() -> None:
    bell = Bell()
    told: list[Any] = []
    assert bell._emit("ring", 0) is False
    assert bell.on("ring", lambda number: told.append(("first", number))) is bell
    assert bell.on("ring", lambda number: told.append(("second", number))) is bell
    assert bell._emit("ring", 1) is True
    assert bell._emit("stop") is False
    assert told == [("first", 1), ("second", 1)]
    assert bell._observed("ring")
    assert not bell._observed("stop")


def test_one_function_may_be_added_twice() -> None:
    bell = Bell()
    told: list[Any] = []
    bell.on("ring", told.append).on("ring", told.append)
    bell._emit("ring", 1)
    bell.off("ring", told.append)
    bell._emit("ring", 2)
    assert told == [1, 1, 2]


async def late(*_: object) -> None:
    raise AssertionError


@pytest.mark.parametrize("fn", [late, partial(late, 1)])
def test_an_async_function_is_no_observer(fn: Any) -> None:
    bell = Bell()
    for register in (bell.on, bell.once):
        with pytest.raises(http.InvalidArgTypeError, match="nobody awaits it at 'ring'"):
            register("ring", fn)
        with pytest.raises(http.InvalidArgTypeError):
            register("ring")(fn)
    assert not bell._observed("ring")
    with pytest.raises(http.InvalidArgTypeError):
        http.create_server().on("connection", fn)


def test_once() -> None:
    bell = Bell()
    told: list[Any] = []
    assert bell.once("ring", told.append) is bell
    bell._emit("ring", 1)
    assert bell._emit("ring", 2) is False
    assert told == [1]
    assert not bell._observed("ring")


def test_once_can_be_taken_back() -> None:
    bell = Bell()
    told: list[Any] = []
    bell.once("ring", told.append)
    assert bell.off("ring", told.append) is bell
    assert bell._emit("ring", 1) is False
    assert told == []


def test_once_is_called_once_when_it_rings_again_itself() -> None:
    bell = Bell()
    told: list[Any] = []

    def ring_again() -> None:
        told.append("rung")
        bell._emit("ring")

    bell.once("ring", ring_again)
    bell._emit("ring")
    assert told == ["rung"]


def test_off_during_an_emit_counts_from_the_next_one() -> None:
    bell = Bell()
    told: list[Any] = []

    def second() -> None:
        told.append("second")

    def first() -> None:
        told.append("first")
        bell.off("ring", second)
        bell.off("ring", first)

    bell.on("ring", first).on("ring", second)
    bell._emit("ring")
    assert bell._emit("ring") is False
    assert told == ["first", "second"]


def test_on_during_an_emit_counts_from_the_next_one() -> None:
    bell = Bell()
    told: list[Any] = []
    bell.once("ring", lambda: bell.on("ring", lambda: told.append("added")))
    bell._emit("ring")
    assert told == []
    bell._emit("ring")
    assert told == ["added"]


def test_what_one_raises_stops_the_others_and_comes_out() -> None:
    bell = Bell()
    told: list[Any] = []

    def fail() -> None:
        raise LookupError

    bell.on("ring", fail).on("ring", lambda: told.append("never"))
    with pytest.raises(LookupError):
        bell._emit("ring")
    assert told == []


def test_on_and_once_are_decorators() -> None:
    bell = Bell()
    told: list[Any] = []

    @bell.on("ring")
    def always(number: int) -> None:
        told.append(number)

    @bell.once("ring")
    def first(number: int) -> None:
        told.append(-number)

    bell._emit("ring", 1)
    bell._emit("ring", 2)
    always(3)
    first(3)
    assert told == [1, -1, 2, 3, -3]


def test_off_without_on_is_no_error() -> None:
    bell = Bell()
    assert bell.off("ring", print) is bell
    bell.on("ring", repr)
    assert bell.off("ring", print) is bell
    assert bell.off("unknown", print) is bell
    assert bell._observed("ring")


@pytest.mark.parametrize("method", ["on", "once"])
def test_wrong_arguments_are_named(method: str) -> None:
    bell: Any = Bell()
    with pytest.raises(http.InvalidArgValueError, match="name must be one of ring, stop"):
        getattr(bell, method)("song", print)
    with pytest.raises(http.InvalidArgTypeError, match="fn must be a function, not int"):
        getattr(bell, method)("ring", 3)
    assert bell._observers is None
