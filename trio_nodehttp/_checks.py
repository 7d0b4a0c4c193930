"""Checks of options, shared by the records that hold them."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

import attrs

from ._errors import InvalidArgTypeError, InvalidArgValueError, OutOfRangeError
from ._timeouts import check_seconds

Field = attrs.Attribute
Class = TypeVar("Class", bound=type)


def describing(options: type) -> Callable[[Class], Class]:
    """Append what options a base of a class has to its description, for ``help``."""

    def describe(owner: Class) -> Class:
        lines = [inspect.getdoc(owner) or "", *(inspect.getdoc(options) or "").splitlines()[1:]]
        owner.__doc__ = "\n".join(lines)
        return owner

    return describe


def unexpected(function: str, name: str, known: Iterable[str]) -> TypeError:
    """Make the error of an option that there is not; it names the closest, if one is close."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return TypeError(f"{function}() got an unexpected option {name!r}{hint}")


def check_known(function: str, names: Iterable[str], known: Collection[str]) -> None:
    """Check that there are options of these names.

    Raises:
        TypeError: There is none of one name; the message names the closest.
    """
    for name in names:
        if name not in known:
            raise unexpected(function, name, known)


def seconds(_: object, field: Field[Any], value: object) -> None:
    """A duration: a number, None for no limit."""
    check_seconds(field.name, value)


def flag(_: object, field: Field[Any], value: object) -> None:
    """True or False."""
    check_flag(field.name, value)


def check_flag(name: str, value: object) -> None:
    """Check a switch.

    Raises:
        InvalidArgTypeError: It is neither True nor False.
    """
    if not isinstance(value, bool):
        raise InvalidArgTypeError(f"{name} must be True or False, not {value!r}")


def count(_: object, field: Field[Any], value: object) -> None:
    """A whole number, None or ``math.inf`` for no limit."""
    check_count(field.name, value, least=0)


def positive(_: object, field: Field[Any], value: object) -> None:
    """A whole number of at least 1, None or ``math.inf`` for no limit."""
    check_count(field.name, value, least=1)


def check_count(name: str, value: object, *, least: int) -> None:
    """Check a number of things.

    Raises:
        InvalidArgTypeError: It is no whole number.
        OutOfRangeError: It is too small, or NaN.
    """
    if value is None or value == math.inf:
        return
    if isinstance(value, float) and math.isnan(value):
        raise OutOfRangeError(f"{name} must be at least {least}, not {value!r}")
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgTypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise OutOfRangeError(f"{name} must be at least {least}, not {value!r}")


def size(_: object, field: Field[Any], value: object) -> None:
    """A number of bytes, at least 1."""
    check_size(field.name, value)


def check_size(name: str, value: object) -> None:
    """Check a number of bytes.

    Raises:
        InvalidArgTypeError: It is no whole number.
        OutOfRangeError: It is less than 1.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgTypeError(f"{name} must be a number of bytes, not {value!r}")
    if value < 1:
        raise OutOfRangeError(f"{name} must be at least 1 byte, not {value!r}")


def one_of(*choices: str) -> Any:
    """One of some words."""

    def check(_: object, field: Field[Any], value: object) -> None:
        if value not in choices:
            raise InvalidArgValueError(f"{field.name} must be one of {choices}, not {value!r}")

    return check


def subclass(base: type) -> Any:
    """A class, or one derived from it."""

    def check(_: object, field: Field[Any], value: object) -> None:
        if not (isinstance(value, type) and issubclass(value, base)):
            raise InvalidArgTypeError(
                f"{field.name} must be a subclass of {base.__name__}, not {value!r}"
            )

    return check


def function(_: object, field: Field[Any], value: object) -> None:
    """A function or None."""
    check_function(field.name, value)


def check_function(name: str, value: object) -> None:
    """Check that something can be called, or is None.

    Raises:
        InvalidArgTypeError: It is neither.
    """
    if value is not None and not callable(value):
        raise InvalidArgTypeError(f"{name} must be a function, not {value!r}")


def check_methods(name: str, value: object, *methods: str) -> None:
    """Check that something can do what a stream can.

    Raises:
        InvalidArgTypeError: It lacks one of these methods.
    """
    for method in methods:
        if not callable(getattr(value, method, None)):
            raise InvalidArgTypeError(f"{name} must be a stream with {method}, not {value!r}")


def listed_strings(name: str, value: str | Iterable[str]) -> tuple[str, ...]:
    """List what is given as one string, or as several.

    Raises:
        InvalidArgTypeError: It is neither.
    """
    if not isinstance(value, Iterable):
        raise InvalidArgTypeError(f"{name} must be strings, not {value!r}")
    listed = (value,) if isinstance(value, str) else tuple(value)
    for item in listed:
        if not isinstance(item, str):
            raise InvalidArgTypeError(f"{name} must be strings, not {item!r}")
    return listed


def check_text(name: str, value: object) -> None:
    """Check that something is text, or None.

    Raises:
        InvalidArgTypeError: It is neither.
    """
    if value is not None and not isinstance(value, str):
        raise InvalidArgTypeError(f"{name} must be a string, not {value!r}")


def check_names(name: str, value: object) -> None:
    """Check that something is a collection of names, or None.

    Raises:
        InvalidArgTypeError: It is neither.
    """
    if value is None:
        return
    many = isinstance(value, Collection) and not isinstance(value, str)
    if not many or not all(isinstance(item, str) for item in value):  # type: ignore[attr-defined]
        raise InvalidArgTypeError(f"{name} must be a list of names, not {value!r}")
