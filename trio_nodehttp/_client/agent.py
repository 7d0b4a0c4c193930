"""The agent: one pool of sockets for each Trio run that it is used in."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final
from weakref import WeakKeyDictionary

import trio

from .._checks import describing
from .._errors import InvalidArgTypeError
from .._transport import Socket
from .._typing import Unpack
from .keeper import Keeper
from .lease import AgentStats, OriginStats, PooledConnection, Tally
from .options import AgentOptions, AgentSettings, ConnectOptions, Connector
from .overrides import Overrides
from .timings import Timings

_LIMITS: Final = frozenset({"max_sockets", "max_total_sockets", "max_free_sockets"})


@describing(AgentSettings)
class Agent(Overrides):
    """Keeps sockets for requests to share (Node: ``http.Agent``).

    ``async with Agent(...) as agent`` destroys it at the end. Used without, its idle
    sockets are closed when the Trio run ends. An agent may serve several runs, one
    after another or in several threads; they share its options, not its sockets.

    Every option is an attribute too, and may be changed: a raised limit serves whoever
    waits, a lowered one closes no socket in use.

    Args:
        create_connection: ``async create_connection(options)`` giving a connected
            stream, in place of the method of that name.

    Further keyword arguments are the options below.

    Raises:
        TypeError: There is no such option; the message names the closest.
        InvalidArgTypeError: An option has the wrong type; the message names it.
        InvalidArgValueError: An option has a wrong value; the message names it.
        OutOfRangeError: An option is out of its range; the message names it.
    """

    def __init__(
        self, *, create_connection: Connector | None = None, **options: Unpack[AgentOptions]
    ) -> None:
        Overrides.__init__(self, create_connection=create_connection, **options)
        self._tally = Tally()
        self._keepers: WeakKeyDictionary[trio.lowlevel.TrioToken, Keeper] = WeakKeyDictionary()
        self._last: tuple[object, Keeper] = (None, Keeper(self, self._tally))

    def __setattr__(self, name: str, value: Any) -> None:
        Overrides.__setattr__(self, name, value)
        if name in _LIMITS:
            self._seen().wake()

    def _keeper(self) -> Keeper:
        """Find the sockets of this Trio run."""
        token = trio.lowlevel.current_trio_token()
        # One attribute, since another thread may be here with its own run.
        last, keeper = self._last
        return keeper if last is token else self._switch(token)

    def _switch(self, token: trio.lowlevel.TrioToken) -> Keeper:
        keeper = self._keepers.get(token)
        if keeper is None:
            keeper = self._keepers[token] = Keeper(self, self._tally)
        self._last = (token, keeper)
        return keeper

    def _seen(self) -> Keeper:
        """Find the sockets to show: outside of a run, those of the last one."""
        try:
            return self._keeper()
        except RuntimeError:
            return self._last[1]

    def _looked(self) -> Keeper:
        """Find the sockets to show, less the idle ones that are of no more use."""
        try:
            keeper = self._keeper()
        except RuntimeError:
            return self._last[1]  # without a run there is nothing to look with
        keeper.look()
        return keeper

    # --- for requests --------------------------------------------------------------------

    def _take_idle(self, origin: str, request: Any) -> PooledConnection | None:
        """Lend an idle connection, if there is one. Never awaits."""
        return self._keeper().take_idle(origin, request)

    async def _acquire(
        self, options: ConnectOptions, request: Any, timings: Timings, *, fresh: bool = False
    ) -> PooledConnection:
        """Lend a connection, see ``Keeper.acquire``; cancelled, nothing is left."""
        return await self._keeper().acquire(options, request, timings, fresh=fresh)

    def _release(self, connection: PooledConnection, *, reusable: bool, hint: int | None) -> None:
        """Take a connection back. Never awaits."""
        self._keeper().release(connection, reusable=reusable, hint=hint)

    def _drop(self, connection: PooledConnection) -> None:
        """Forget a connection that was handed over for good. Never awaits."""
        self._keeper().drop(connection)

    # --- the end -----------------------------------------------------------------------------

    def remove_socket(self, socket: Socket) -> None:
        """Forget a socket (Node: the socket's ``agentRemove`` event).

        It no longer counts, and will not be used again; a request that holds it keeps
        it to its end, as a response that never ends should.

        Args:
            socket: A socket of ``sockets`` or ``free_sockets``; any other is ignored.
        """
        keeper = self._seen()
        for held in (*keeper.pool.active.values(), *keeper.pool.idle.values()):
            for connection in held:
                if connection.socket is socket:
                    keeper.forget(connection)

    def destroy(self) -> None:
        """Close every socket, in use or idle (Node: ``agent.destroy``).

        Requests that use one, connect or wait fail with SocketHangUpError. The agent
        can be used again afterwards.
        """
        self._seen().close()

    async def __aenter__(self) -> Agent:
        """Enter; a checkpoint, and cancelled it has done nothing."""
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave: ``destroy``, also when cancelled, then a checkpoint."""
        self.destroy()
        await trio.lowlevel.checkpoint()

    # --- to look at ----------------------------------------------------------------------------

    @property
    def sockets(self) -> dict[str, tuple[Socket, ...]]:
        """The sockets in use, by origin (Node: ``agent.sockets``)."""
        return _sockets(self._seen().pool.active)

    @property
    def free_sockets(self) -> dict[str, tuple[Socket, ...]]:
        """The idle sockets, by origin (Node: ``agent.freeSockets``), but none left by its peer."""
        return _sockets(self._looked().pool.idle)

    @property
    def requests(self) -> dict[str, tuple[Any, ...]]:
        """The requests that wait for a socket, by origin (Node: ``agent.requests``)."""
        waiting = self._seen().pool.waiting
        return {origin: tuple(w.request for w in waiters) for origin, waiters in waiting.items()}

    def stats(self) -> AgentStats:
        """Take a snapshot of all counts, cheap enough to balance each request by it.

        No socket is looked at: an idle one that its peer has left is counted until the
        agent's watch comes by, within 5 seconds, or ``free_sockets`` is asked for.
        """
        pool = self._seen().pool
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
            opened=self._tally.opened,
            reused=self._tally.reused,
            origins=origins,
        )

    def __repr__(self) -> str:
        pool = self._seen().pool
        return (
            f"<Agent active={pool.len_active} connecting={pool.len_connecting} "
            f"idle={pool.len_idle} queued={pool.len_waiting} "
            f"opened={self._tally.opened} reused={self._tally.reused}>"
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
