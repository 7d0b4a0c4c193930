"""A request reduced to what an agent sees of it, over streams in memory."""

from __future__ import annotations

from typing import Any

import trio

from trio_nodehttp import Agent, ConnectOptions, Socket
from trio_nodehttp._client.lease import PooledConnection
from trio_nodehttp._client.timings import Timings
from trio_nodehttp._memory import MemoryStream, memory_pipe

OPTIONS = ConnectOptions(host="origin.test")
NAME = OPTIONS.name


class Ask:
    """Asks an agent for connections.

    Attributes:
        peer: the other end of what was opened.
        connection: what was acquired.
        failure: what acquiring raised, other than being cancelled.
    """

    max_header_size = 16384

    def __init__(self, agent: Agent, name: str = "ask") -> None:
        self.agent = agent
        self.name = name
        self.timings = Timings()
        self.destroyed = False
        self.errored: BaseException | None = None
        self.peer: MemoryStream
        self.connection: PooledConnection | None = None
        self.failure: BaseException | None = None
        self.dialling: trio.Event | None = None

    async def _connect(self, agent: Agent, options: ConnectOptions) -> Socket:
        if self.dialling is not None:
            await self.dialling.wait()
        await trio.lowlevel.checkpoint()
        stream, self.peer = memory_pipe()
        return Socket(stream)

    def _describe(self, now: float) -> str:
        return self.name

    def destroy(self, error: BaseException | None = None) -> None:
        self.destroyed = True
        self.errored = error

    def take(self) -> PooledConnection | None:
        self.connection = self.agent._take_idle(NAME, self)
        return self.connection

    async def acquire(self, **options: Any) -> PooledConnection:
        """Take an idle connection, or wait for one, as a request does."""
        if not self.take():
            acquired = self.agent._acquire(OPTIONS, self, self.timings, **options)
            self.connection = await acquired
        assert self.connection is not None
        return self.connection

    async def try_to_acquire(self) -> None:
        try:
            await self.acquire()
        except Exception as error:  # noqa: BLE001  # for the test to look at
            self.failure = error

    def release(self, *, reusable: bool = True, hint: int | None = None) -> None:
        assert self.connection is not None
        self.agent._release(self.connection, reusable=reusable, hint=hint)


def counts(agent: Agent) -> tuple[int, int, int, int]:
    """Active, connecting, idle, queued."""
    stats = agent.stats()
    return stats.active, stats.connecting, stats.idle, stats.queued
