"""Who waits, who gets which connection, what is closed: the Agent's pool, decided.

Nothing here awaits, reads a clock or touches a socket. The caller says what happened
and carries out the answer, a list of actions, in order; the books are right already.

    request --> Open --> connecting --opened--> active --release--> idle
                             |                    |  ^------Use------|
                           failed          discard, Close     discard, Close

Idle connections count: an origin opens only when it has none, so `max_sockets` bounds
all it has (as in Node); where `max_total_sockets` is reached, the connection idle
longest is evicted for another origin (where Node hangs). A lowered limit takes nothing
in use away; what comes back above it is closed. The cost of a step does not grow with
the idle, active or waiting, only with log(origins that wait for the total alone).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from math import inf
from typing import Generic, Literal, TypeAlias, TypeVar, final

K = TypeVar("K", bound=Hashable)  # an origin's key
C = TypeVar("C", bound=Hashable)  # a connection
W = TypeVar("W", bound=Hashable)  # a waiter: one request that wants a connection


@final
@dataclass(slots=True)
class Use(Generic[W, C]):
    """Hand this connection, which is active now, to that waiter; its wait is over."""

    waiter: W
    connection: C


@final
@dataclass(slots=True)
class Open(Generic[K, W]):
    """That waiter opens a connection, counted until it says `opened` or `failed`."""

    waiter: W
    origin: K


@final
@dataclass(slots=True)
class Close(Generic[C]):
    """Close this connection; it has already left the pool."""

    connection: C


Action: TypeAlias = Open[K, W] | Use[W, C] | Close[C]


@final
class _Origin(Generic[K, C, W]):
    """All that the pool holds for one origin, each in order; dropped once empty."""

    __slots__ = ("active", "connecting", "idle", "key", "listed", "waiting")

    def __init__(self, key: K) -> None:
        self.key = key
        # Ordered where the first leaves: a dict would step over all that left before.
        self.idle: OrderedDict[C, None] = OrderedDict()
        self.waiting: OrderedDict[W, int] = OrderedDict()  # with arrival numbers
        self.active: dict[C, None] = {}
        self.connecting: dict[W, None] = {}
        self.listed = False  # whether Pool._ready has an entry for it

    def busy(self) -> int:
        return len(self.active) + len(self.connecting)


@final
class Pool(Generic[K, C, W]):
    """The connections and queued requests of one agent.

    Args:
        max_sockets: most connections of one origin; 0 keeps every request queued.
        max_total_sockets: most connections of all origins, idle ones counted.
        max_free_sockets: most idle connections of one origin.
        scheduling: the idle one to use next, `"lifo"` the latest, `"fifo"` the oldest.

    All four may be changed while running; the next decision obeys. An origin's waiters
    go first come, first served; among origins that can be served, the oldest waiter.
    """

    def __init__(
        self,
        *,
        max_sockets: float = inf,
        max_total_sockets: float = inf,
        max_free_sockets: float = 256,
        scheduling: Literal["lifo", "fifo"] = "lifo",
    ) -> None:
        self.max_sockets = max_sockets
        self.max_total_sockets = max_total_sockets
        self.max_free_sockets = max_free_sockets
        self.scheduling = scheduling
        self._origins: dict[K, _Origin[K, C, W]] = {}
        self._owner: dict[C, _Origin[K, C, W]] = {}  # every active or idle connection
        self._idle: OrderedDict[C, None] = OrderedDict()  # of all, longest idle first
        self._connecting: dict[W, _Origin[K, C, W]] = {}
        self._waiting: dict[W, _Origin[K, C, W]] = {}
        self._arrivals = 0
        # A heap of every origin that waits and is below max_sockets, once each, by the
        # number of its first waiter. What is out of date is put right as it surfaces.
        self._ready: list[tuple[int, _Origin[K, C, W]]] = []
        self._listed_for = max_sockets

    def __repr__(self) -> str:
        in_use = f"{self.len_active} active, {self.len_connecting} connecting"
        return f"<Pool: {in_use}, {self.len_idle} idle, {self.len_waiting} waiting>"

    def take_idle(self, origin: K) -> C | None:
        """Make an idle one active. None if none may be: limits, or others wait."""
        entry = self._origins.get(origin)
        if entry is None or not entry.idle or entry.waiting:
            return None
        if entry.busy() >= self.max_sockets or self._busy() >= self.max_total_sockets:
            return None
        return self._activate(entry)

    def request(self, origin: K, waiter: W) -> list[Action[K, W, C]]:
        """Ask for a connection: queue `waiter` and serve who can be, in order.

        Raises:
            ValueError: `waiter` is queued or connecting already.
        """
        if waiter in self._waiting or waiter in self._connecting:
            raise ValueError(f"{waiter!r} already waits for a connection")
        entry = self._origins.get(origin)
        if entry is None:
            entry = self._origins[origin] = _Origin(origin)
        entry.waiting[waiter] = self._arrivals = self._arrivals + 1
        self._waiting[waiter] = entry
        return self._serve(entry)

    def opened(self, waiter: W, connection: C) -> None:
        """Report the connection that `waiter` opened: it is active now.

        Raises:
            KeyError: `waiter` has no `Open`.
            ValueError: `connection` is in the pool already.
        """
        if connection in self._owner:
            raise ValueError(f"{connection!r} is in the pool already")
        entry = self._owner[connection] = self._connecting.pop(waiter)
        del entry.connecting[waiter]
        entry.active[connection] = None

    def failed(self, waiter: W) -> list[Action[K, W, C]]:
        """Give back an `Open` that failed or was cancelled. Unknown waiter: []."""
        entry = self._connecting.pop(waiter, None)
        if entry is None:
            return []
        del entry.connecting[waiter]
        self._prune(entry)
        return self._serve(entry)

    def release(self, connection: C, *, reusable: bool) -> list[Action[K, W, C]]:
        """Give back an active connection; one that is not active: [].

        The oldest waiter of its origin gets it, even before an older one of another
        origin (reuse beats age, as in Node). Else it turns idle; it is closed if not
        `reusable`, above a limit, or where another origin needs the room.
        """
        entry = self._owner.get(connection)
        if entry is None or connection not in entry.active:
            return []
        room = self.max_sockets - entry.busy() + 1  # without this one
        total_room = self.max_total_sockets - self._busy() + 1
        if reusable and entry.waiting and room > 0 and total_room > 0:
            entry.active[connection] = entry.active.pop(connection)  # latest in use
            return [Use(self._next_waiter(entry), connection), *self._serve(entry)]
        can_idle = len(entry.idle) < min(self.max_free_sockets, room)
        if reusable and can_idle and len(self._idle) < total_room:
            del entry.active[connection]
            entry.idle[connection] = self._idle[connection] = None
            return self._serve(entry)
        self._remove(connection)
        return [Close(connection), *self._serve(entry)]

    def discard(self, connection: C) -> list[Action[K, W, C]]:
        """Forget one that closed, expired or was upgraded. Unknown connection: []."""
        entry = self._remove(connection)
        return [] if entry is None else self._serve(entry)

    def cancel(self, waiter: W) -> list[Action[K, W, C]]:
        """Take a queued waiter back, nobody else affected: []. Any other is ignored."""
        entry = self._waiting.pop(waiter, None)
        if entry is not None:
            del entry.waiting[waiter]
            self._prune(entry)
        return []

    def wake(self) -> list[Action[K, W, C]]:
        """Serve who can be served now; to be called when a limit has been raised."""
        return self._serve(None)

    def clear(self) -> tuple[list[C], list[W]]:
        """Forget, and return in order, all connections and all queued waiters.

        Those still connecting stay counted and report `opened` or `failed` as ever.
        """
        cleared = list(self._owner), list(self._waiting)
        for connection in cleared[0]:
            self._remove(connection)
        for waiter in cleared[1]:
            self.cancel(waiter)
        return cleared

    def idle_of(self, origin: K) -> tuple[C, ...]:
        """Return the idle connections of `origin`, longest idle first."""
        return tuple(entry.idle) if (entry := self._origins.get(origin)) else ()

    def active_of(self, origin: K) -> tuple[C, ...]:
        """Return the connections of `origin` in use, longest in use first."""
        return tuple(entry.active) if (entry := self._origins.get(origin)) else ()

    def is_waited_for(self, origin: K) -> bool:
        """Tell whether anybody is queued for `origin`, at the same cost for any number."""
        entry = self._origins.get(origin)
        return entry is not None and bool(entry.waiting)

    def waiting_of(self, origin: K) -> tuple[W, ...]:
        """Return the queued waiters of `origin`, first come first."""
        return tuple(entry.waiting) if (entry := self._origins.get(origin)) else ()

    @property
    def idle(self) -> dict[K, tuple[C, ...]]:
        """Idle connections of each origin that has any (`agent.freeSockets`)."""
        return {k: tuple(e.idle) for k, e in self._origins.items() if e.idle}

    @property
    def active(self) -> dict[K, tuple[C, ...]]:
        """Connections in use of each origin that has any (`agent.sockets`)."""
        return {k: tuple(e.active) for k, e in self._origins.items() if e.active}

    @property
    def waiting(self) -> dict[K, tuple[W, ...]]:
        """Queued waiters of each origin that has any (`agent.requests`)."""
        return {k: tuple(e.waiting) for k, e in self._origins.items() if e.waiting}

    @property
    def connecting(self) -> dict[K, tuple[W, ...]]:
        """Waiters opening a connection, of each origin that has any."""
        items = self._origins.items()
        return {k: tuple(e.connecting) for k, e in items if e.connecting}

    @property
    def len_active(self) -> int:
        """How many connections are in use."""
        return len(self._owner) - len(self._idle)

    @property
    def len_idle(self) -> int:
        """How many connections are idle."""
        return len(self._idle)

    @property
    def len_connecting(self) -> int:
        """How many connections are being opened."""
        return len(self._connecting)

    @property
    def len_waiting(self) -> int:
        """How many waiters are queued."""
        return len(self._waiting)

    def position(self, waiter: W) -> int:
        """Return how many of its origin wait before `waiter`. KeyError: not queued."""
        return list(self._waiting[waiter].waiting).index(waiter)

    def origin_of(self, connection: C) -> K | None:
        """Return the origin of an idle or active connection, None of any other."""
        return entry.key if (entry := self._owner.get(connection)) else None

    def _serve(self, entry: _Origin[K, C, W] | None) -> list[Action[K, W, C]]:
        """Serve every waiter that can be, now that `entry` may have room."""
        actions: list[Action[K, W, C]] = []
        if not self._waiting:
            return actions
        changed = self._listed_for != self.max_sockets
        if changed or len(self._ready) > 2 * len(self._origins) + 8:
            self._relist()  # the second: without the entries of origins that are gone
        elif entry is not None and entry.waiting and not entry.listed:
            entry.listed = True
            heappush(self._ready, (next(iter(entry.waiting.values())), entry))
        while self._ready and self._busy() < self.max_total_sockets:
            arrival, entry = self._ready[0]
            first = next(iter(entry.waiting.values()), None)
            if first is None or entry.busy() >= self.max_sockets:
                heappop(self._ready)
                entry.listed = False
            elif first != arrival:
                heapreplace(self._ready, (first, entry))
            else:
                self._grant(entry, actions)
        return actions

    def _grant(self, entry: _Origin[K, C, W], actions: list[Action[K, W, C]]) -> None:
        waiter = self._next_waiter(entry)
        if entry.idle:
            actions.append(Use(waiter, self._activate(entry)))
            return
        while len(self._owner) + len(self._connecting) >= self.max_total_sockets:
            victim = next(iter(self._idle))  # of another origin: this one has none
            self._remove(victim)
            actions.append(Close(victim))
        entry.connecting[waiter] = None
        self._connecting[waiter] = entry
        actions.append(Open(waiter, entry.key))

    def _busy(self) -> int:
        return len(self._owner) - len(self._idle) + len(self._connecting)

    def _next_waiter(self, entry: _Origin[K, C, W]) -> W:
        waiter, _ = entry.waiting.popitem(last=False)
        del self._waiting[waiter]
        return waiter

    def _activate(self, entry: _Origin[K, C, W]) -> C:
        connection, _ = entry.idle.popitem(last=self.scheduling == "lifo")
        del self._idle[connection]
        entry.active[connection] = None
        return connection

    def _remove(self, connection: C) -> _Origin[K, C, W] | None:
        entry = self._owner.pop(connection, None)
        if entry is not None:
            entry.active.pop(connection, None)
            entry.idle.pop(connection, None)
            self._idle.pop(connection, None)
            self._prune(entry)
        return entry

    def _prune(self, entry: _Origin[K, C, W]) -> None:
        if not (entry.active or entry.idle or entry.connecting or entry.waiting):
            del self._origins[entry.key]

    def _relist(self) -> None:
        self._listed_for = self.max_sockets
        self._ready.clear()
        for entry in self._origins.values():
            entry.listed = bool(entry.waiting)
            if entry.listed:
                self._ready.append((next(iter(entry.waiting.values())), entry))
        heapify(self._ready)
