"""A peer joined to an agent over each kind of wire, and cancelling at a checkpoint."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import attrs
import trio
import trustme

import trio_nodehttp as http
from trio_nodehttp._memory import memory_pipe

KINDS = ("memory", "tcp", "tls")
Peer = Callable[[Any], Awaitable[object]]


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS contexts for the server and for the client, made once."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@attrs.define
class Wire:
    """Where the peer answers, the agent that reaches it, and how many were served."""

    url: str
    agent: http.Agent
    begun: int = 0
    ended: int = 0
    changed: trio.Event = attrs.field(factory=trio.Event)

    async def all_ended(self) -> None:
        """Wait until the peer is done with every connection."""
        with trio.fail_after(2):
            while self.ended < self.begun:
                await self.changed.wait()

    def counts(self) -> tuple[int, int, int, int]:
        """Active, connecting, idle and queued."""
        stats = self.agent.stats()
        return stats.active, stats.connecting, stats.idle, stats.queued


async def wire(
    nursery: trio.Nursery, kind: str, peer: Peer, *, buffer_size: int = 65536, **options: Any
) -> Wire:
    """Let a peer, an async function of one stream, answer over such a wire."""
    made: list[Wire] = []

    async def answer(stream: Any) -> None:
        made[0].begun += 1
        try:
            await peer(stream)
        finally:
            made[0].ended += 1
            made[0].changed.set()
            made[0].changed = trio.Event()
            await trio.aclose_forcefully(stream)

    async def connect(_: object) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        ours, theirs = memory_pipe(buffer_size)
        nursery.start_soon(answer, theirs)
        return ours

    if kind == "memory":
        made.append(Wire("http://origin.test/", http.Agent(create_connection=connect, **options)))
        return made[0]
    if kind == "tls":
        server, client = contexts()
        serve = trio.serve_ssl_over_tcp
        listeners = await nursery.start(
            lambda task_status: serve(
                answer, 0, server, host="127.0.0.1", https_compatible=True, task_status=task_status
            )
        )
        port = listeners[0].transport_listener.socket.getsockname()[1]
        agent = http.Agent(ssl_context=client, **options)
        made.append(Wire(f"https://127.0.0.1:{port}/", agent))
        return made[0]
    serve_tcp = trio.serve_tcp
    listeners = await nursery.start(
        lambda task_status: serve_tcp(answer, 0, host="127.0.0.1", task_status=task_status)
    )
    port = listeners[0].socket.getsockname()[1]
    made.append(Wire(f"http://127.0.0.1:{port}/", http.Agent(**options)))
    return made[0]


async def read_head(stream: Any) -> bytes:
    """Read up to the end of a head; what came behind it is in the answer, too."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some()
        if not more:
            return bytes(data)
        data += more
    return bytes(data)


async def read_all(stream: Any) -> bytes:
    """Read to the end, or to where the connection breaks."""
    data = bytearray()
    try:
        while more := await stream.receive_some():
            data += more
    except trio.BrokenResourceError:
        pass
    return bytes(data)


class _CancelAt(trio.abc.Instrument):
    """Cancels a scope when one task has come to its nth checkpoint."""

    def __init__(self, count: int, scope: trio.CancelScope) -> None:
        self.task = trio.lowlevel.current_task()
        self.left = count
        self.scope = scope
        self.since = math.inf

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.left -= 1
            if not self.left:
                self.since = time.perf_counter()
                self.scope.cancel()


async def cancel_at(count: int, operation: Callable[[], Awaitable[object]]) -> float | None:
    """Run an operation, cancelled at its nth checkpoint.

    Returns:
        The seconds that it took from there to its end; None if it has fewer.
    """
    with trio.CancelScope() as scope:
        instrument = _CancelAt(count, scope)
        trio.lowlevel.add_instrument(instrument)
        try:
            await operation()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return max(0.0, time.perf_counter() - instrument.since) if instrument.left <= 0 else None
