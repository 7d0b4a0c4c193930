"""Servers and agents joined in memory, and peers that misbehave on purpose.

Nothing here opens a socket or sleeps in real time, so with Trio's `MockClock`
a test of an hour's keep-alive takes milliseconds::

    async def test_hello(nursery, autojump_clock):
        async with MemoryNetwork() as network:
            server = create_server(handler)
            await nursery.start(network.serve, server, "origin.test", 80)
            async with network.agent(keep_alive=True) as agent:
                async with get("http://origin.test/", agent=agent) as response:
                    assert await response.text() == "hello"

`FaultyServer` plays a script to whoever connects, in memory or over TCP.
"""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol, final

import attrs
import trio

from ._client.agent import Agent
from ._client.options import AgentOptions
from ._faulty import (
    Close,
    Dialogue,
    Expect,
    ExpectEnd,
    FaultyServer,
    HalfClose,
    Reset,
    Send,
    Stall,
    Step,
)
from ._memory import DEFAULT_BUFFER_SIZE, MemoryStream, memory_pipe
from ._typing import Unpack

__all__ = [
    "Close",
    "ConnectTarget",
    "Dialogue",
    "Expect",
    "ExpectEnd",
    "FaultyServer",
    "HalfClose",
    "MemoryConnection",
    "MemoryNetwork",
    "MemoryStream",
    "Reset",
    "Send",
    "Stall",
    "Step",
    "StreamServer",
    "memory_pipe",
]


class StreamServer(Protocol):
    """What can be served: a `Server`, or anything that serves one stream."""

    async def serve_stream(self, stream: trio.abc.Stream, /) -> object:
        """Serve the peer at the other end; if cancelled, cut it off."""


class ConnectTarget(Protocol):
    """What `MemoryNetwork.create_connection` reads of an agent's options."""

    @property
    def host(self) -> str:
        """Name of the peer, in any case."""

    @property
    def port(self) -> int:
        """Port of the peer."""


@attrs.frozen(eq=False)
class MemoryConnection:
    """One connection of a `MemoryNetwork`.

    Attributes:
        host: name that was connected to, in lower case.
        port: port that was connected to.
        client: the end of the one who connected.
        server: the end of the one who listens.
    """

    host: str
    port: int
    client: MemoryStream
    server: MemoryStream

    @property
    def is_open(self) -> bool:
        """Whether at least one end has not been closed by its owner."""
        return not (self.client.closed and self.server.closed)


@attrs.frozen(eq=False)
class _Listener:
    """Who answers at one address, and the nursery in which it does."""

    handler: Callable[[MemoryStream], Awaitable[object]]
    nursery: trio.Nursery
    stopped: trio.Event = attrs.field(factory=trio.Event)


@attrs.frozen(eq=False)
class _Server:
    """A server, and the TLS in front of it."""

    server: StreamServer
    ssl_context: ssl.SSLContext | None

    async def serve(self, stream: MemoryStream) -> None:
        secure: trio.abc.Stream = stream
        if self.ssl_context is not None:
            secure = trio.SSLStream(
                stream, self.ssl_context, server_side=True, https_compatible=True
            )
        await self.server.serve_stream(secure)


@final
class MemoryNetwork:
    """Joins servers and clients without sockets.

    Use it as ``async with MemoryNetwork() as network``.  Leaving the block frees
    every address, cancels whatever serves a connection and closes its end.  An
    error raised in the block arrives unchanged; errors of the peers of `listen`
    arrive in an `ExceptionGroup`.

    Args:
        buffer_size: bytes that wait in each direction of a connection before
            its sender blocks.
        max_receive: most bytes that one `receive_some` returns on either end;
            1 runs every exchange byte by byte, None is no limit.
    """

    def __init__(
        self,
        *,
        buffer_size: int = DEFAULT_BUFFER_SIZE,
        max_receive: int | None = None,
    ) -> None:
        # Wrong sizes are refused here, not at the first connection.
        memory_pipe(buffer_size, max_receive=max_receive)
        self._buffer_size = buffer_size
        self._max_receive = max_receive
        self._listeners: dict[tuple[str, int], _Listener] = {}
        self._connections: list[MemoryConnection] = []
        self._sweep_at = 64
        self._serving: set[trio.CancelScope] = set()
        self._nursery: trio.Nursery | None = None
        self._scope: trio.CancelScope
        self._manager: AbstractAsyncContextManager[trio.Nursery, bool | None]

    def __repr__(self) -> str:
        return (
            f"<MemoryNetwork listeners={len(self._listeners)} connections={len(self.connections)}>"
        )

    async def __aenter__(self) -> MemoryNetwork:
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        self._scope = self._nursery.cancel_scope
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._listeners.clear()
        for scope in (*self._serving, self._scope):
            scope.cancel()
        self._nursery = None
        try:
            return await self._manager.__aexit__(exc_type, exc, traceback)
        except BaseException as error:
            # The nursery wraps even a lone error of the block itself.
            if exc is not None and getattr(error, "exceptions", None) == (exc,):
                return False
            raise

    @property
    def connections(self) -> list[MemoryConnection]:
        """The connections with an end that its owner has not closed, oldest first."""
        self._connections = [each for each in self._connections if each.is_open]
        return list(self._connections)

    async def serve(
        self,
        server: StreamServer,
        host: str,
        port: int = 80,
        *,
        ssl_context: ssl.SSLContext | None = None,
        task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Let *server* answer at ``host:port``; made for `Nursery.start`.

        Returns after `unserve`, once the last connection is done, or when the
        network's block is left.  Cancelling it frees the address and cancels
        its connections.

        Args:
            server: its ``serve_stream`` runs in a task for each connection.
            host: name to answer at, in any case.
            port: port to answer at.
            ssl_context: speak TLS there; the server's side of it.
            task_status: told the URL of the address once it can be reached.

        Raises:
            OSError: with `errno.EADDRINUSE`, the address is taken.
            ExceptionGroup: of what ``serve_stream`` raised.
        """
        with trio.CancelScope() as scope:
            self._serving.add(scope)
            try:
                await self._serve(_Server(server, ssl_context), host, port, task_status)
            finally:
                self._serving.discard(scope)

    def listen(
        self,
        host: str,
        port: int,
        handler: Callable[[MemoryStream], Awaitable[object]],
    ) -> None:
        """Let a raw peer answer at ``host:port`` until `unserve` or the end.

        Args:
            host: name to answer at, in any case.
            port: port to answer at.
            handler: async function of one stream, run in the network's nursery
                for each connection; its stream is closed when it returns, and
                what it raises ends the network's block.

        Raises:
            RuntimeError: the network's block was not entered, or was left.
            OSError: with `errno.EADDRINUSE`, the address is taken.
        """
        if self._nursery is None:
            raise RuntimeError("listen() works inside `async with` of its network only")
        self._register(host, port, _Listener(handler, self._nursery))

    def unserve(self, host: str, port: int = 80) -> None:
        """Stop answering at ``host:port``; open connections go on.

        Raises:
            ValueError: nobody answers there.
        """
        try:
            listener = self._listeners.pop((host.lower(), port))
        except KeyError:
            raise ValueError(f"nobody listens on {host}:{port}") from None
        listener.stopped.set()

    async def connect(self, host: str, port: int = 80) -> MemoryStream:
        """Connect to ``host:port`` and return the client's end.

        If cancelled, there is no connection.

        Raises:
            ConnectionRefusedError: nobody answers there (`errno.ECONNREFUSED`).
        """
        await trio.lowlevel.checkpoint()
        listener = self._listeners.get((host.lower(), port))
        if listener is None:
            raise _os_error(errno.ECONNREFUSED, host, port)
        client, server = memory_pipe(self._buffer_size, max_receive=self._max_receive)
        self._remember(MemoryConnection(host.lower(), port, client, server))
        listener.nursery.start_soon(_answer, listener.handler, server)
        return client

    async def create_connection(self, options: ConnectTarget, /) -> MemoryStream:
        """Connect to ``options.host`` and ``options.port``, as `connect` does.

        It is made for an agent (see `agent`), which itself starts TLS on the stream
        where the protocol is https.  If cancelled, there is no connection.

        Raises:
            ConnectionRefusedError: nobody answers there (`errno.ECONNREFUSED`).
        """
        return await self.connect(options.host, options.port)

    def agent(self, **options: Unpack[AgentOptions]) -> Agent:
        """Make an agent whose connections go through this network.

        Args:
            options: those of `Agent`, except ``create_connection``.

        Raises:
            InvalidArgTypeError: an option has the wrong type.
            OutOfRangeError: an option is out of its range.
        """
        return Agent(create_connection=self.create_connection, **options)

    async def _serve(
        self,
        server: _Server,
        host: str,
        port: int,
        task_status: trio.TaskStatus[str],
    ) -> None:
        """Be registered until stopped, then wait for the connections."""
        async with trio.open_nursery() as nursery:
            listener = _Listener(server.serve, nursery)
            self._register(host, port, listener)
            try:
                task_status.started(_url(host, port, secure=server.ssl_context is not None))
                await listener.stopped.wait()
            finally:
                self._forget(host, port, listener)

    def _register(self, host: str, port: int, listener: _Listener) -> None:
        address = (host.lower(), port)
        if address in self._listeners:
            raise _os_error(errno.EADDRINUSE, host, port)
        self._listeners[address] = listener

    def _forget(self, host: str, port: int, listener: _Listener) -> None:
        """Free the address unless someone else has it by now."""
        address = (host.lower(), port)
        if self._listeners.get(address) is listener:
            del self._listeners[address]

    def _remember(self, connection: MemoryConnection) -> None:
        self._connections.append(connection)
        # Closed ones are dropped in batches, so that connecting stays cheap.
        if len(self._connections) >= self._sweep_at:
            self._sweep_at = 2 * len(self.connections) + 64


async def _answer(
    handler: Callable[[MemoryStream], Awaitable[object]],
    stream: MemoryStream,
) -> None:
    """Run *handler*; no end of a connection outlives it."""
    try:
        await handler(stream)
    finally:
        stream.close_now()


def _os_error(code: int, host: str, port: int) -> OSError:
    return OSError(code, f"{os.strerror(code)}: {host}:{port}")


def _url(host: str, port: int, *, secure: bool) -> str:
    authority = f"[{host}]" if ":" in host else host
    scheme, usual = ("https", 443) if secure else ("http", 80)
    return f"{scheme}://{authority}" if port == usual else f"{scheme}://{authority}:{port}"


# Tracebacks and pages show the names that users import.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
