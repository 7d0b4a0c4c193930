"""Checks of options: what each takes, and what its error says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from trio_nodehttp import _checks
from trio_nodehttp import _errors as errors

TYPE = errors.InvalidArgTypeError
RANGE = errors.OutOfRangeError


@attrs.define
class Options:
    """One option for each check."""

    seconds: Any = attrs.field(default=1.0, validator=_checks.seconds)
    flag: Any = attrs.field(default=True, validator=_checks.flag)
    count: Any = attrs.field(default=0, validator=_checks.count)
    positive: Any = attrs.field(default=1, validator=_checks.positive)
    size: Any = attrs.field(default=1, validator=_checks.size)
    word: Any = attrs.field(default="a", validator=_checks.one_of("a", "b"))
    kind: Any = attrs.field(default=dict, validator=_checks.subclass(dict))
    function: Any = attrs.field(default=None, validator=_checks.function)


GOOD: dict[str, list[Any]] = {
    "seconds": [0, 0.0, 1, 2.5, None, math.inf],
    "flag": [True, False],
    "count": [0, 1, 10**9, None, math.inf],
    "positive": [1, 2, None, math.inf],
    "size": [1, 65536],
    "word": ["a", "b"],
    "kind": [dict, type("Derived", (dict,), {})],
    "function": [None, len, lambda: None, dict],
}
BAD: dict[str, list[tuple[Any, type[Exception]]]] = {
    "seconds": [("1", TYPE), (True, TYPE), ([], TYPE), (-1, RANGE), (math.nan, RANGE)],
    "flag": [(0, TYPE), (1, TYPE), (None, TYPE), ("yes", TYPE)],
    "count": [("1", TYPE), (1.5, TYPE), (1.0, TYPE), (True, TYPE), (-1, RANGE), (math.nan, RANGE)],
    "positive": [(0, RANGE), (-math.inf, TYPE), ([], TYPE)],
    "size": [(0, RANGE), (-1, RANGE), (1.0, TYPE), (True, TYPE), (None, TYPE), (math.inf, TYPE)],
    "word": [("c", errors.InvalidArgValueError), (None, errors.InvalidArgValueError)],
    "kind": [(list, TYPE), ({}, TYPE), (None, TYPE)],
    "function": [(1, TYPE), ("f", TYPE), ([], TYPE)],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in GOOD for value in GOOD[name]]
)
def test_good_values(name: str, value: Any) -> None:
    assert getattr(Options(**{name: value}), name) is value


@pytest.mark.parametrize(
    ("name", "value", "error"), [(name, *bad) for name in BAD for bad in BAD[name]]
)
def test_bad_values(name: str, value: Any, error: type[Exception]) -> None:
    options = Options()
    for attempt in (lambda: Options(**{name: value}), lambda: setattr(options, name, value)):
        with pytest.raises(error, match=rf"^{name} must be ") as caught:
            attempt()
        assert type(caught.value) is error


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (_checks.check_flag, [True], [1]),
        (_checks.check_size, [1], [None]),
        (_checks.check_function, [None, len], [1]),
        (_checks.check_text, [None, "", "a"], [1, b"a", ["a"]]),
        (_checks.listed_strings, ["a", ["a"], (), iter("ab")], [1, None, b"a", ["a", 1]]),
    ],
)
def test_plain_checks(check: Callable[..., None], good: list[Any], bad: list[Any]) -> None:
    for value in good:
        check("it", value)
    for value in bad:
        with pytest.raises(TYPE, match=r"^it must be "):
            check("it", value)


def test_least() -> None:
    _checks.check_count("it", 3, least=3)
    with pytest.raises(RANGE, match="it must be at least 3, not 2"):
        _checks.check_count("it", 2, least=3)
