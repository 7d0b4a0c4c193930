"""The async functions that answer a server's events: one for each, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, overload

from .._errors import InvalidArgTypeError, InvalidArgValueError
from .._observers import Observable
from .._sansio.events import RequestHead
from .answers import Handler

Fn = TypeVar("Fn", bound=Callable[..., Any])
Self = TypeVar("Self", bound="Answering")

ANSWERING: Final = frozenset(
    {
        "request",
        "check_continue",
        "check_expectation",
        "connect",
        "upgrade",
        "client_error",
        "timeout",
    }
)


class Handlers:
    """What a server answers with.

    Attributes:
        named: Answering functions by the name of their event.
        upgrades: Those of ``upgrade`` by protocol token; ``""`` for any token.
    """

    __slots__ = ("named", "upgrades")

    def __init__(self) -> None:
        self.named: dict[str, Handler] = {}
        self.upgrades: dict[str, Handler] = {}

    def add(self, name: str, fn: Callable[..., Any], protocol: str | None) -> None:
        """Register a function; see ``Server.on``."""
        if not callable(fn):
            raise InvalidArgTypeError(f"fn must be an async function, not {type(fn).__name__}")
        table, key = self._place(name, protocol)
        if key in table:
            raise InvalidArgValueError(f"{name} is answered by {table[key]!r}: off() it first")
        table[key] = fn

    def remove(self, name: str, fn: Callable[..., Any], protocol: str | None) -> None:
        """Undo ``add``; no error if the function is not there."""
        table, key = self._place(name, protocol)
        found = table.get(key)
        if found == fn or (isinstance(found, _Once) and found.answering == fn):
            del table[key]

    def _place(self, name: str, protocol: str | None) -> tuple[dict[str, Handler], str]:
        if name == "upgrade":
            return self.upgrades, (protocol or "").lower()
        if protocol is not None:
            raise InvalidArgValueError(f"protocol goes with the upgrade event, not with {name}")
        return self.named, name

    def find_switch(self, head: RequestHead) -> Handler | None:
        """Find who takes the socket over, after a CONNECT or an Upgrade.

        Where a list of protocols was offered, ``head.upgrade`` then has the one that
        found its function.
        """
        if head.method == "CONNECT":
            return self.named.get("connect")
        for offered in (head.upgrade or "").split(","):
            token = offered.strip()
            if token and token.lower() in self.upgrades:
                head.upgrade = token  # a proxy passes on no other
                return self.upgrades[token.lower()]
        return self.upgrades.get("")


class _Once:
    """A function that answers one event, and is forgotten before it does."""

    __slots__ = ("_forget", "answering")

    def __init__(self, answering: Handler, forget: Callable[[], object]) -> None:
        self.answering = answering
        self._forget = forget

    async def __call__(self, *args: object) -> None:
        self._forget()
        await self.answering(*args)

    def __repr__(self) -> str:
        return f"once {self.answering!r}"


class Answering(Observable):
    """Something whose events are observed by many, or answered by one (``ANSWERING``)."""

    EVENTS = ANSWERING

    _handlers: Handlers

    @overload
    def on(
        self: Self, name: str, fn: None = None, *, protocol: str | None = None
    ) -> Callable[[Fn], Fn]: ...
    @overload
    def on(
        self: Self, name: str, fn: Callable[..., Any], *, protocol: str | None = None
    ) -> Self: ...
    def on(
        self: Self, name: str, fn: Callable[..., Any] | None = None, *, protocol: str | None = None
    ) -> Self | Callable[[Fn], Fn]:
        """Register for an event; also as a decorator.

        Args:
            name: The event.
            fn: A plain function for an observed event, an async one for an
                answering event, of which there can be one at a time.
            protocol: For ``upgrade``: the protocol token that it answers, such as
                ``"websocket"``; None for all that have no function of their own.

        Returns:
            This server; or, without ``fn``, the decorator.

        Raises:
            InvalidArgValueError: There is no such event, or it is answered already.
            InvalidArgTypeError: ``fn`` is not a function, or async for an observed event.
        """
        if fn is None:

            def decorate(function: Fn) -> Fn:
                self.on(name, function, protocol=protocol)
                return function

            return decorate
        if name in ANSWERING:
            self._handlers.add(name, fn, protocol)
        else:
            self._add(name, fn, fn)
        return self

    @overload
    def once(
        self: Self, name: str, fn: None = None, *, protocol: str | None = None
    ) -> Callable[[Fn], Fn]: ...
    @overload
    def once(
        self: Self, name: str, fn: Callable[..., Any], *, protocol: str | None = None
    ) -> Self: ...
    def once(
        self: Self, name: str, fn: Callable[..., Any] | None = None, *, protocol: str | None = None
    ) -> Self | Callable[[Fn], Fn]:
        """Register for the next event of that name only; see ``on``."""
        if fn is None:

            def decorate(function: Fn) -> Fn:
                self.once(name, function, protocol=protocol)
                return function

            return decorate
        if name not in ANSWERING:
            return Observable.once(self, name, fn)
        if not callable(fn):
            raise InvalidArgTypeError(f"fn must be an async function, not {type(fn).__name__}")
        forget = partial(self.off, name, fn, protocol=protocol)
        return self.on(name, _Once(fn, forget), protocol=protocol)

    def off(self: Self, name: str, fn: Callable[..., Any], *, protocol: str | None = None) -> Self:
        """Undo ``on``; no error if the function is not there."""
        if name in ANSWERING:
            self._handlers.remove(name, fn, protocol)
        else:
            Observable.off(self, name, fn)
        return self
