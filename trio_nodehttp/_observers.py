"""Node's events, as plain functions that are called in place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, overload

from ._errors import InvalidArgTypeError, InvalidArgValueError

Observer = Callable[..., Any]
Self = TypeVar("Self", bound="Observable")
Fn = TypeVar("Fn", bound=Observer)


class Observable:
    """Something that tells of its events (Node: ``EventEmitter``).

    Observers are called in place, in the order in which they were added, and must
    not await. With none registered an event costs one test.
    """

    __slots__ = ("_observers",)

    EVENTS: ClassVar[frozenset[str]] = frozenset()
    """The names that ``on`` takes."""

    _observers: dict[str, list[tuple[Observer, Observer]]] | None

    @overload
    def on(self, name: str) -> Callable[[Fn], Fn]: ...
    @overload
    def on(self: Self, name: str, fn: Observer) -> Self: ...
    def on(self: Self, name: str, fn: Observer | None = None) -> Self | Callable[[Fn], Fn]:
        """Call a function at every event of that name.

        Args:
            name: The event, in snake_case.
            fn: The function; without one this is a decorator.

        Returns:
            This object, so that calls can be chained; or the decorator.

        Raises:
            InvalidArgValueError: This object has no event of that name.
            InvalidArgTypeError: ``fn`` cannot be called, or is async.
        """
        if fn is None:

            def decorate(function: Fn) -> Fn:
                self._add(name, function, function)
                return function

            return decorate
        self._add(name, fn, fn)
        return self

    @overload
    def once(self, name: str) -> Callable[[Fn], Fn]: ...
    @overload
    def once(self: Self, name: str, fn: Observer) -> Self: ...
    def once(self: Self, name: str, fn: Observer | None = None) -> Self | Callable[[Fn], Fn]:
        """Call a function at the next event of that name only.

        Args:
            name: The event, in snake_case.
            fn: The function; without one this is a decorator.

        Returns and raises what ``on`` does.
        """
        if fn is None:

            def decorate(function: Fn) -> Fn:
                self.once(name, function)
                return function

            return decorate

        def call_once(*args: object) -> object:
            self.off(name, fn)
            return fn(*args)

        self._add(name, fn, call_once)
        return self

    def off(self: Self, name: str, fn: Observer) -> Self:
        """Stop calling a function that ``on`` or ``once`` added.

        Args:
            name: The event.
            fn: The function; no error if it is not there. Added twice, it goes once.

        Returns:
            This object.
        """
        added = (self._observers or {}).get(name, [])
        for index, (given, _) in enumerate(added):
            if given == fn:
                # A new list, since the old one may be in the middle of an emit.
                rest = added[:index] + added[index + 1 :]
                assert self._observers is not None
                self._observers[name] = rest
                if not rest:
                    del self._observers[name]
                break
        return self

    def _add(self, name: str, given: Observer, called: Observer) -> None:
        if name not in self.EVENTS:
            known = ", ".join(sorted(self.EVENTS))
            raise InvalidArgValueError(f"name must be one of {known}, not {name!r}")
        if not callable(given):
            raise InvalidArgTypeError(f"fn must be a function, not {type(given).__name__}")
        if inspect.iscoroutinefunction(given):
            raise InvalidArgTypeError(f"fn must not be async: nobody awaits it at {name!r}")
        if self._observers is None:
            self._observers = {}
        self._observers[name] = [*self._observers.get(name, ()), (given, called)]

    def _observed(self, name: str) -> bool:
        """Say whether anybody listens."""
        return self._observers is not None and name in self._observers

    def _emit(self, name: str, *args: object) -> bool:
        """Call the observers of an event; answer whether there was one."""
        if self._observers is None:
            return False
        added = self._observers.get(name)
        if added is None:
            return False
        for _, called in added:
            called(*args)
        return True
