"""What the agent deals in: pooled connections, waiters and counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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
        created: When it was made, as ``trio.current_time()`` counts.
        expires: When it must have left the pool, if it is idle then.
        look_at: When the idle watch will look at it, ``NEVER`` if it will not.
        served: How many requests it has served.
        holder: The request that uses it, or is about to; None while it is idle.
        on_lost: Called when its socket is destroyed while it is idle.
    """

    __slots__ = ("created", "expires", "holder", "look_at", "on_lost", "origin", "served")

    def __init__(self, socket: Socket, codec: H11Codec, origin: str) -> None:
        Connection.__init__(self, socket, codec)
        self.origin = origin
        self.created = trio.current_time()
        self.expires = NEVER
        self.look_at = NEVER
        self.served = 0
        self.holder: Any = None
        self.on_lost: Callable[[], object] | None = None


class Waiter:
    """One request that wants a socket; it sleeps on a channel with one place.

    Attributes:
        origin: The pool's key.
        request: The ``ClientRequest``.
        granted: Something was handed over, and not taken yet.
    """

    __slots__ = ("_give", "_take", "granted", "origin", "request")

    def __init__(self, origin: str, request: Any) -> None:
        self.origin = origin
        self.request = request
        self.granted = False
        self._give, self._take = trio.open_memory_channel[Any](1)

    def grant(self, what: PooledConnection | HTTPError | None) -> None:
        """Hand over a connection, the right to open one (None), or an error."""
        self.granted = True
        self._give.send_nowait(what)

    def take(self) -> Any:
        """Take what was handed over.

        Raises:
            trio.WouldBlock: Nothing was.
        """
        what = self._take.receive_nowait()
        self.granted = False
        return what

    async def wait(self) -> Any:
        """Sleep until something is handed over. Cancelled, nothing was taken."""
        what = await self._take.receive()
        self.granted = False
        return what


@attrs.define(eq=False)
class Tally:
    """What an agent has counted over all its Trio runs."""

    opened: int = 0
    reused: int = 0


@attrs.frozen
class OriginStats:
    """How one origin stands: counts of sockets and requests.

    Attributes:
        active: Sockets in use.
        connecting: Sockets being opened.
        idle: Sockets kept for reuse.
        queued: Requests that wait for a socket.
    """

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
