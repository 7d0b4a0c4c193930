"""The agent: carries out what the pool decides, and watches idle sockets."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import trio

from .. import _checks
from .._errors import InvalidArgTypeError, QueueTimeoutError, SocketHangUpError
from .._sansio.codec_h11 import H11Codec
from .._sansio.destination import origin_name
from .._sansio.pool import Action, Close, Open, Pool, Use
from .._timeouts import Timer, call_at, call_at_exit, drop_exit
from .._transport import Socket
from .dial import dial
from .lease import NEVER, AgentStats, OriginStats, PooledConnection, Waiter
from .options import AgentOptions, ConnectOptions, Connector
from .timings import Timings


class Agent(AgentOptions):
    """Keeps sockets for requests to share (Node: ``http.Agent``).

    ``async with Agent(...) as agent`` destroys it at the end. Used without, its idle
    sockets are closed when the Trio run ends; an agent may serve several runs, one
    after another.

    Args:
        create_connection: ``async create_connection(options)`` giving a connected
            stream, in place of the method of that name.

    Further keyword arguments are the attributes of ``AgentOptions``.

    Raises:
        InvalidArgTypeError: An option has the wrong type; the message names it.
        OutOfRangeError: An option is out of its range.
    """

    def __init__(self, *, create_connection: Connector | None = None, **options: Any) -> None:
        _checks.check_function("create_connection", create_connection)
        AgentOptions.__init__(self, **options)
        self._connector = create_connection
        self._pool: Pool[str, PooledConnection, Waiter] = Pool()
        self._run: object = None
        self._reaper: Timer | None = None
        self._reaper_due = NEVER
        self._opened = 0
        self._reused = 0

    # --- override points -----------------------------------------------------------------

    async def create_connection(self, options: ConnectOptions) -> trio.abc.Stream:
        """Open a connection (Node: ``agent.createConnection``); override to change how.

        Args:
            options: Where and how.

        Raises:
            ConnectionFailedError: Nobody answers, the name is unknown, TLS fails.
            SocketTimeoutError: ``options.timeout`` passed.

        Must leave nothing open when it is cancelled.
        """
        if self._connector is not None:
            return await self._connector(options)
        return await dial(options)

    def keep_socket_alive(self, socket: Socket) -> bool:
        """Decide whether a socket is kept (Node: ``agent.keepSocketAlive``); override.

        Args:
            socket: It has just been freed.

        Returns:
            True to keep it.
        """
        del socket
        return True

    def reuse_socket(self, socket: Socket, request: Any) -> None:
        """A kept socket is about to serve a request (Node: ``agent.reuseSocket``); override.

        Args:
            socket: The socket.
            request: The ``ClientRequest``.
        """

    def get_name(self, options: Any = None) -> str:
        """Write the key of an origin (Node: ``agent.getName``).

        Args:
            options: A mapping or record with ``host``, ``port``, ``local_address``,
                ``family`` and ``socket_path``, each of which may be absent.
        """
        if isinstance(options, ConnectOptions):
            return options.name
        given = options if isinstance(options, Mapping) else vars(options) if options else {}
        return origin_name(
            given.get("host"),
            given.get("port"),
            given.get("local_address"),
            given.get("family"),
            given.get("socket_path"),
        )

    # --- taking a connection -------------------------------------------------------------

    def _begin_run(self) -> None:
        """Forget the sockets of an earlier Trio run; they were closed when it ended."""
        token = trio.lowlevel.current_trio_token()
        if self._run is not token:
            self._run = token
            self._pool.clear()
            self._reaper = None
            self._reaper_due = NEVER

    def _limit(self) -> Pool[str, PooledConnection, Waiter]:
        pool = self._pool
        pool.max_sockets = NEVER if self.max_sockets is None else self.max_sockets
        pool.max_total_sockets = NEVER if self.max_total_sockets is None else self.max_total_sockets
        pool.max_free_sockets = NEVER if self.max_free_sockets is None else self.max_free_sockets
        pool.scheduling = self.scheduling
        return pool

    def _take_idle(self, origin: str, request: Any) -> PooledConnection | None:
        """Take an idle connection that is still good. Never awaits."""
        self._begin_run()
        pool = self._limit()
        while True:
            connection = pool.take_idle(origin)
            if connection is None:
                return None
            if self._is_good(connection):
                return self._lend(connection, request)
            self._carry_out(pool.discard(connection))
            connection.socket.destroy()

    def _is_good(self, connection: PooledConnection) -> bool:
        socket = connection.socket
        return not (
            socket.destroyed or connection.expires <= trio.current_time() or socket.is_readable()
        )

    def _lend(self, connection: PooledConnection, request: Any) -> PooledConnection:
        connection.holder = request
        connection.expires = NEVER
        if connection.served:
            self._reused += 1
            self.reuse_socket(connection.socket, request)
        return connection

    async def _acquire(
        self, options: ConnectOptions, request: Any, timings: Timings, *, fresh: bool = False
    ) -> PooledConnection:
        """Get a connection: an idle one, a new one, or after a wait.

        Raises:
            QueueTimeoutError: ``queue_timeout`` passed.

        Raises otherwise what ``create_connection`` does. A cancelled call gives back
        whatever it was granted.
        """
        origin = options.name
        if not fresh:
            connection = self._take_idle(origin, request)
            if connection is not None:
                return connection
        self._begin_run()
        pool = self._limit()
        waiter = Waiter(origin, request)
        if fresh:
            self._make_room(origin)
        self._carry_out(pool.request(origin, waiter))
        while True:
            try:
                grant = waiter.granted()
            except trio.WouldBlock:
                grant = await self._wait(waiter)
                timings.mark("queued")
            if isinstance(grant, BaseException):
                raise grant
            if grant is None:
                return await self._open(waiter, options)
            connection = grant
            if self._is_good(connection):
                return self._lend(connection, request)
            # Dead on arrival: its place goes to us again, or to who waits longer.
            connection.socket.destroy()
            waiter = Waiter(origin, request)
            self._carry_out([*pool.discard(connection), *pool.request(origin, waiter)])

    def _make_room(self, origin: str) -> None:
        """Drop the idle sockets of an origin, of which one has just proved dead."""
        for connection in self._pool.idle_of(origin):
            self._carry_out(self._pool.discard(connection))
            connection.socket.destroy()

    async def _wait(self, waiter: Waiter) -> Any:
        limit = self.queue_timeout or NEVER
        try:
            if limit == NEVER:
                return await waiter.wait()
            with trio.move_on_after(limit):
                return await waiter.wait()
        except BaseException:
            self._give_back(waiter)
            raise
        error = QueueTimeoutError(self._describe_queue(waiter, limit))
        self._give_back(waiter)
        raise error

    def _give_back(self, waiter: Waiter) -> None:
        """Whoever waited gives up; what was granted meanwhile goes on to the next."""
        try:
            grant = waiter.granted()
        except trio.WouldBlock:
            self._carry_out(self._pool.cancel(waiter))
            return
        if grant is None:
            self._carry_out(self._pool.failed(waiter))
        elif isinstance(grant, PooledConnection):
            self._carry_out(self._pool.release(grant, reusable=True))

    def _describe_queue(self, waiter: Waiter, limit: float) -> str:
        now = trio.current_time()
        try:
            place = self._pool.position(waiter) + 1
        except (KeyError, ValueError):
            place = 0
        holders = [
            connection.holder._describe(now)
            for connections in self._pool.active.values()
            for connection in connections
            if connection.holder is not None
        ]
        return (
            f"no socket for {waiter.origin} became free within {limit} s; "
            f"place {place} in the queue; held by: {'; '.join(holders) or 'nobody'}"
        )

    async def _open(self, waiter: Waiter, options: ConnectOptions) -> PooledConnection:
        try:
            socket = await waiter.request._connect(self, options)
        except BaseException:
            self._carry_out(self._pool.failed(waiter))
            raise
        codec = H11Codec(is_server=False, max_header_size=waiter.request.max_header_size)
        connection = PooledConnection(socket, codec, waiter.origin)
        self._pool.opened(waiter, connection)
        self._opened += 1
        if self.keep_alive:
            socket.set_keep_alive(True, self.keep_alive_initial_delay)
        return self._lend(connection, waiter.request)

    def _carry_out(self, actions: list[Action[str, Waiter, PooledConnection]]) -> None:
        """Do what the pool decided. Never awaits."""
        for action in actions:
            if isinstance(action, Use):
                action.waiter.grant(action.connection)
            elif isinstance(action, Open):
                action.waiter.grant(None)
            else:
                assert isinstance(action, Close)
                action.connection.socket.destroy()

    # --- giving it back --------------------------------------------------------------------

    def _release(self, connection: PooledConnection, *, reusable: bool, hint: int | None) -> None:
        """Take a connection back. Never awaits."""
        connection.holder = None
        connection.served += 1
        socket = connection.socket
        now = trio.current_time()
        if reusable and (self.keep_alive or self._pool.waiting_of(connection.origin)):
            connection.expires = self._expiry(connection, now, hint)
            reusable = connection.expires > now and not socket.destroyed
            reusable = reusable and self.keep_socket_alive(socket)
        else:
            reusable = False
        if not reusable:
            socket.destroy()
        self._carry_out(self._limit().release(connection, reusable=reusable))
        if reusable:
            self._watch(connection.expires)

    def _expiry(self, connection: PooledConnection, now: float, hint: int | None) -> float:
        expires = now + (self.timeout or NEVER)
        if hint is not None:
            expires = min(expires, now + hint - self.keep_alive_timeout_buffer)
        if self.max_age is not None:
            expires = min(expires, connection.created + self.max_age)
        return expires

    def _drop(self, connection: PooledConnection) -> None:
        """Forget a connection that was handed over, or is dead. Never awaits."""
        connection.holder = None
        self._carry_out(self._limit().discard(connection))

    # --- idle sockets ------------------------------------------------------------------------

    def _watch(self, expires: float) -> None:
        if self._reaper is not None and self._reaper_due <= expires:
            return
        if self._reaper is None:
            call_at_exit(self._end_run)
        else:
            self._reaper.cancel()
        self._reaper_due = expires
        self._reaper = call_at(expires, self._reap)

    def _reap(self) -> None:
        """Close the idle sockets whose time has come."""
        self._reaper = None
        now = trio.current_time()
        due = NEVER
        for connections in self._pool.idle.values():
            for connection in connections:
                if connection.expires <= now or connection.socket.destroyed:
                    connection.socket.destroy()
                    self._carry_out(self._pool.discard(connection))
                else:
                    due = min(due, connection.expires)
        if self._pool.len_idle:
            self._watch(due)
        else:
            drop_exit(self._end_run)

    def _end_run(self) -> None:
        """The Trio run ends: close what is left of it."""
        self._reaper = None
        connections, _ = self._pool.clear()
        for connection in connections:
            connection.socket.destroy()

    def destroy(self) -> None:
        """Close every socket, in use or idle; requests that wait fail.

        The agent can be used again afterwards.
        """
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        drop_exit(self._end_run)
        connections, waiters = self._pool.clear()
        for connection in connections:
            connection.socket.destroy()
        for waiter in waiters:
            waiter.grant(SocketHangUpError("socket hang up: the agent was destroyed"))

    async def __aenter__(self) -> Agent:
        """Enter; a checkpoint."""
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave: ``destroy``; also when cancelled."""
        self.destroy()
        await trio.lowlevel.checkpoint()

    # --- to look at ----------------------------------------------------------------------------

    @property
    def sockets(self) -> dict[str, tuple[Socket, ...]]:
        """The sockets in use, by origin (Node: ``agent.sockets``)."""
        return _sockets(self._pool.active)

    @property
    def free_sockets(self) -> dict[str, tuple[Socket, ...]]:
        """The idle sockets, by origin (Node: ``agent.freeSockets``)."""
        return _sockets(self._pool.idle)

    @property
    def requests(self) -> dict[str, tuple[Any, ...]]:
        """The requests that wait for a socket, by origin (Node: ``agent.requests``)."""
        waiting = self._pool.waiting
        return {origin: tuple(w.request for w in waiters) for origin, waiters in waiting.items()}

    def stats(self) -> AgentStats:
        """Take a snapshot of all counts."""
        pool = self._pool
        parts = (pool.active, pool.connecting, pool.idle, pool.waiting)
        origins = {
            origin: OriginStats(*(len(part.get(origin, ())) for part in parts))
            for origin in {key: None for part in parts for key in part}
        }
        return AgentStats(
            active=pool.len_active,
            connecting=pool.len_connecting,
            idle=pool.len_idle,
            queued=pool.len_waiting,
            opened=self._opened,
            reused=self._reused,
            origins=origins,
        )

    def __repr__(self) -> str:
        s = self.stats()
        return (
            f"<Agent active={s.active} connecting={s.connecting} idle={s.idle} "
            f"queued={s.queued} opened={s.opened} reused={s.reused}>"
        )


def _sockets(table: Mapping[str, tuple[PooledConnection, ...]]) -> dict[str, tuple[Socket, ...]]:
    return {origin: tuple(c.socket for c in held) for origin, held in table.items()}


def check_agent(agent: object) -> None:
    """Check the ``agent`` option.

    Raises:
        InvalidArgTypeError: It is neither an Agent, nor None, nor False.
    """
    if agent is not None and agent is not False and not isinstance(agent, Agent):
        raise InvalidArgTypeError(f"agent must be an Agent, None or False, not {agent!r}")
