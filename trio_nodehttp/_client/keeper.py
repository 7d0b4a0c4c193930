"""Keeps an agent's sockets within one Trio run: carries out what the pool decides.

Nothing here awaits but ``acquire``: it sleeps while it is queued, and it connects.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import trio

from .._errors import HTTPError, QueueTimeoutError, SocketHangUpError
from .._sansio.codec_h11 import H11Codec
from .._sansio.pool import Action, Close, Open, Pool, Use
from .idle import IdleWatch
from .lease import NEVER, PooledConnection, Tally, Waiter
from .options import ConnectOptions
from .overrides import Overrides
from .timings import Timings

_DESTROYED: Final = "socket hang up: the agent was destroyed"


class Keeper:
    """The sockets of one agent, its queue, and the watch over the idle ones.

    Attributes:
        pool: The books.
    """

    __slots__ = ("_agent", "_closed", "_tally", "_watch", "pool")

    def __init__(self, agent: Overrides, tally: Tally) -> None:
        self._agent = agent
        self._tally = tally
        self._closed = 0
        self._watch = IdleWatch(self._look_at, self.close)
        self.pool: Pool[str, PooledConnection, Waiter] = Pool()
        self.limit()

    def limit(self) -> Pool[str, PooledConnection, Waiter]:
        """Tell the pool the limits as they are now."""
        pool, agent = self.pool, self._agent
        pool.max_sockets = _or_never(agent.max_sockets)
        pool.max_total_sockets = _or_never(agent.max_total_sockets)
        pool.max_free_sockets = _or_never(agent.max_free_sockets)
        pool.scheduling = agent.scheduling
        return pool

    def wake(self) -> None:
        """A limit was changed: serve whoever can be served now."""
        self._carry_out(self.limit().wake())

    # --- lending ---------------------------------------------------------------------------

    def take_idle(self, origin: str, request: Any) -> PooledConnection | None:
        """Lend an idle connection that is still good; None where there is none."""
        pool = self.limit()
        while True:
            connection = pool.take_idle(origin)
            if connection is None:
                return None
            connection.holder = request
            if _is_good(connection):
                return self._lend(connection, request)
            self._discard(connection)

    async def acquire(
        self, options: ConnectOptions, request: Any, timings: Timings, *, fresh: bool
    ) -> PooledConnection:
        """Lend a connection: an idle one, a new one, or after a wait.

        Args:
            options: Where to.
            request: For whom.
            timings: Where the wait and the connecting are noted.
            fresh: An idle one has just proved dead: do without the others of its origin.

        Raises:
            QueueTimeoutError: ``queue_timeout`` passed.
            SocketHangUpError: The agent was destroyed.

        Raises otherwise what connecting does. Cancelled, whatever was granted is given
        back, and wakes the next in the queue.
        """
        waiter, closed = Waiter(options.name, request), self._closed
        if fresh:
            for connection in self.pool.idle_of(waiter.origin):
                self._discard(connection)
        self._carry_out(self.limit().request(waiter.origin, waiter))
        while True:
            grant = await self._wait(waiter)
            timings.mark("queued")
            if request.destroyed or closed != self._closed:
                self._give_back(waiter, grant)
                raise request.errored or SocketHangUpError(_DESTROYED)
            if grant is None:
                return await self._open(waiter, options)
            connection = grant
            if _is_good(connection):
                return self._lend(connection, request)
            # Dead on arrival: its place goes to us again, or to who waits longer.
            waiter = Waiter(waiter.origin, request)
            connection.socket.destroy()
            pool = self.pool
            self._carry_out([*pool.discard(connection), *pool.request(waiter.origin, waiter)])

    def _lend(self, connection: PooledConnection, request: Any) -> PooledConnection:
        connection.holder = request
        if connection.served:
            socket = connection.socket
            socket.on_destroy = None
            if socket.timeout < NEVER:
                socket.set_timeout(None)  # it was for the idle time
            self._tally.reused += 1
            try:
                self._agent.reuse_socket(socket, request)
            except BaseException:
                self._discard(connection)
                raise
        return connection

    async def _open(self, waiter: Waiter, options: ConnectOptions) -> PooledConnection:
        request = waiter.request
        try:
            socket = await request._connect(self._agent, options)
            if self._agent.keep_alive:
                socket.set_keep_alive(True, self._agent.keep_alive_initial_delay)
        except BaseException:
            self._carry_out(self.pool.failed(waiter))
            raise
        codec = H11Codec(is_server=False, max_header_size=request.max_header_size)
        connection = PooledConnection(socket, codec, waiter.origin)
        connection.on_lost = partial(self._lost, connection)
        self.pool.opened(waiter, connection)
        self._tally.opened += 1
        return self._lend(connection, request)

    # --- the queue -------------------------------------------------------------------------

    async def _wait(self, waiter: Waiter) -> PooledConnection | None:
        """Sleep until something is granted: a connection, or the right to open one."""
        limit = _or_never(self._agent.queue_timeout)
        try:
            if limit == NEVER or waiter.granted:
                grant = await waiter.wait()
            else:
                with trio.move_on_after(limit) as scope:
                    grant = await waiter.wait()
                if scope.cancelled_caught:
                    grant = self._take_late(waiter, limit)
        except BaseException:
            if waiter.granted:
                self._give_back(waiter, waiter.take())
            else:
                self._carry_out(self.pool.cancel(waiter))
            raise
        if isinstance(grant, HTTPError):
            raise grant
        connection: PooledConnection | None = grant
        return connection

    def _take_late(self, waiter: Waiter, limit: float) -> Any:
        """Take what was granted in the very moment in which the time was up."""
        if waiter.granted:
            return waiter.take()
        raise QueueTimeoutError(self._describe_queue(waiter, limit))

    def _give_back(self, waiter: Waiter, grant: Any) -> None:
        """Whoever waited wants no more: what was granted goes on to the next."""
        if grant is None:
            self._carry_out(self.pool.failed(waiter))
        elif isinstance(grant, PooledConnection):
            self._put_back(grant, trio.current_time(), reusable=_is_good(grant))

    def _describe_queue(self, waiter: Waiter, limit: float) -> str:
        now = trio.current_time()
        holders = [
            connection.holder._describe(now)
            for connections in self.pool.active.values()
            for connection in connections
        ]
        holders += [
            other.request._describe(now)
            for others in self.pool.connecting.values()
            for other in others
        ]
        return (
            f"no socket for {waiter.origin} became free within {limit} s; "
            f"place {self.pool.position(waiter) + 1} in the queue; "
            f"held by: {'; '.join(holders) or 'nobody'}"
        )

    # --- taking back -------------------------------------------------------------------------

    def release(self, connection: PooledConnection, *, reusable: bool, hint: int | None) -> None:
        """Take a connection back that has served a request.

        Args:
            connection: The connection.
            reusable: Nothing is left on it of that request.
            hint: Seconds after which the server will close it, or None.
        """
        connection.served += 1
        now = trio.current_time()
        keep = False
        try:
            keep = reusable and self._is_worth(connection, now, hint)
        finally:
            self._put_back(connection, now, reusable=keep)

    def _is_worth(self, connection: PooledConnection, now: float, hint: int | None) -> bool:
        agent, socket, pool = self._agent, connection.socket, self.pool
        if socket.destroyed or not (agent.keep_alive or pool.is_waited_for(connection.origin)):
            return False
        expires = NEVER
        if hint is not None:
            expires = now + hint - agent.keep_alive_timeout_buffer
        if agent.max_age is not None:
            expires = min(expires, connection.created + agent.max_age)
        if expires <= now or not agent.keep_socket_alive(socket):
            return False
        # A timeout that the hook has set holds in place of the agent's.
        if agent.timeout and socket.timeout == NEVER:
            expires = min(expires, now + agent.timeout)
        connection.expires = expires
        return True

    def _put_back(self, connection: PooledConnection, now: float, *, reusable: bool) -> None:
        """Hand a connection to the next in the queue, or let it idle, or close it."""
        pool, socket = self.limit(), connection.socket
        origin = connection.origin
        keep = (
            reusable
            and not socket.destroyed
            and (self._agent.keep_alive or pool.is_waited_for(origin))
            and pool.origin_of(connection) is not None
        )
        connection.holder = None
        if keep:
            socket.on_destroy = connection.on_lost
            self._carry_out(pool.release(connection, reusable=True))
            if connection.holder is None and not socket.destroyed:
                self._watch.add(connection, now)
        else:
            socket.destroy()
            self._carry_out(pool.release(connection, reusable=False))

    def drop(self, connection: PooledConnection) -> None:
        """Forget a connection that was handed over for good."""
        connection.socket.on_destroy = None
        self._carry_out(self.limit().discard(connection))

    def forget(self, connection: PooledConnection) -> None:
        """Count a connection no more; a request that holds it keeps it to its end."""
        if connection.holder is None:
            self._discard(connection)
        else:
            self.drop(connection)

    def _discard(self, connection: PooledConnection) -> None:
        """Close a connection that is of no more use."""
        connection.socket.on_destroy = None
        connection.socket.destroy()
        self._carry_out(self.limit().discard(connection))

    def _lost(self, connection: PooledConnection) -> None:
        """The socket of an idle connection was destroyed."""
        self._carry_out(self.limit().discard(connection))

    # --- idle ones, and the end ----------------------------------------------------------------

    def look(self) -> None:
        """Close each idle connection that has expired, or that its peer has left."""
        for held in self.pool.idle.values():
            for connection in held:
                self._look_at(connection)

    def _look_at(self, connection: PooledConnection) -> bool:
        """Close an idle connection that has expired, or that its peer has left."""
        if connection.holder is not None or connection.socket.destroyed:
            return False
        if _is_good(connection):
            return True
        self._discard(connection)
        return False

    def close(self) -> None:
        """Close all there is; whoever waits or connects fails."""
        self._closed += 1
        self._watch.clear()
        connections, waiters = self.pool.clear()
        for connection in connections:
            in_use = connection.holder is not None
            connection.socket.on_destroy = None
            connection.socket.destroy(SocketHangUpError(_DESTROYED) if in_use else None)
        for waiter in waiters:
            waiter.grant(SocketHangUpError(_DESTROYED))
        for connecting in self.pool.connecting.values():
            for waiter in connecting:
                waiter.request.destroy(SocketHangUpError(_DESTROYED))

    def _carry_out(self, actions: list[Action[str, Waiter, PooledConnection]]) -> None:
        """Do what the pool decided."""
        for action in actions:
            if isinstance(action, Use):
                action.connection.holder = action.waiter.request
                action.waiter.grant(action.connection)
            elif isinstance(action, Open):
                action.waiter.grant(None)
            else:
                assert isinstance(action, Close)
                action.connection.socket.destroy()


def _or_never(limit: float | None) -> float:
    return NEVER if limit is None else limit


def _is_good(connection: PooledConnection) -> bool:
    """Nothing has arrived on it since, not even its end, and its time is not up."""
    socket = connection.socket
    return not (
        socket.destroyed or connection.expires <= trio.current_time() or socket.is_readable()
    )
