"""What the agent deals in: pooled connections, waiters and counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import attrs
import trio

from .._connection import Connection
from .._errors import HTTPError
from .._sansio.codec_h11 import H11Codec
from .._transport import Socket

NEVER: Final = math.inf


class PooledConnection(Connection):
    """A connection of the pool.

    Attributes:
        origin: The pool's key.
        created: When it was made.
        expires: When it must have left the pool, if it is idle then.
        served: How many requests it has served.
        holder: The request that uses it, or None.
    """

    __slots__ = ("created", "expires", "holder", "origin", "served")

    def __init__(self, socket: Socket, codec: H11Codec, origin: str) -> None:
        Connection.__init__(self, socket, codec)
        self.origin = origin
        self.created = trio.current_time()
        self.expires = NEVER
        self.served = 0
        self.holder: Any = None


class Waiter:
    """One request that wants a socket; it sleeps on a channel with one place."""

    __slots__ = ("_give", "_take", "origin", "request", "since")

    def __init__(self, origin: str, request: Any) -> None:
        self.origin = origin
        self.request = request
        self.since = trio.current_time()
        self._give, self._take = trio.open_memory_channel[Any](1)

    def grant(self, what: PooledConnection | HTTPError | None) -> None:
        """Hand over a connection, the right to open one (None), or an error."""
        self._give.send_nowait(what)

    def granted(self) -> Any:
        """Take what was handed over; raises ``trio.WouldBlock`` if nothing was."""
        return self._take.receive_nowait()

    async def wait(self) -> Any:
        """Sleep until something is handed over. Cancelled, nothing was taken."""
        return await self._take.receive()


@attrs.frozen
class OriginStats:
    """How one origin stands: counts of sockets and requests."""

    active: int = 0
    connecting: int = 0
    idle: int = 0
    queued: int = 0


@attrs.frozen
class AgentStats:
    """A snapshot of an agent; see ``Agent.stats``.

    Attributes:
        active: Sockets in use.
        connecting: Sockets being opened.
        idle: Sockets kept for reuse.
        queued: Requests that wait for a socket.
        opened: Sockets opened so far.
        reused: Times that a socket served a further request.
        origins: The same counts by origin; origins with nothing are absent.
    """

    active: int
    connecting: int
    idle: int
    queued: int
    opened: int
    reused: int
    origins: Mapping[str, OriginStats]
