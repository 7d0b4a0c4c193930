"""The server: where it listens, whom it serves, how it stops (Node: ``http.Server``)."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, TypeVar, overload

import attrs
import trio

from .._errors import (
    InvalidArgTypeError,
    InvalidArgValueError,
    OutOfRangeError,
    ServerAlreadyListenError,
    ServerNotRunningError,
)
from .._observers import Observable
from .._timeouts import Timer, call_at, check_seconds
from .answers import Handler
from .listeners import listening_address, open_listeners, url_of
from .options import ServerOptions
from .session import DETACHED, Session
from .sweep import find_departed

Fn = TypeVar("Fn", bound=Callable[..., Awaitable[object]])
_logger = logging.getLogger("trio_nodehttp")

_ANSWERING = frozenset(
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
_KILL_TIME = 1.0
_OBSERVED = frozenset({"connection", "drop_request", "listening", "close"})


@attrs.frozen
class DrainReport:
    """How a ``drain`` went.

    Attributes:
        finished: Connections that ended by themselves.
        cancelled: Connections that were cut at the deadline.
        duration: Seconds that it took.
    """

    finished: int
    cancelled: int
    duration: float


class Server(ServerOptions, Observable):
    """An HTTP/1.1 server (Node: ``http.Server``); made by ``create_server``.

    Every option of ``create_server`` is an attribute. Observers may watch
    ``connection`` (socket), ``drop_request`` (request, socket), ``listening`` and
    ``close``; the answering events ``request``, ``check_continue``,
    ``check_expectation``, ``connect``, ``upgrade``, ``client_error`` and ``timeout``
    take one async function each, which runs in the connection's own task.

    Attributes:
        address: ``(host, port)`` of the first listener, a path for a Unix socket,
            None while not listening.
        url: Such as ``"http://127.0.0.1:8000"``; empty before it listens, and for a Unix
            socket.
        listening: Connections are accepted.
        draining: A ``trio.Event``, set once ``drain`` or ``close`` was called.
    """

    EVENTS = _ANSWERING | _OBSERVED

    def __init__(self, request_listener: Handler | None = None, /, **options: Any) -> None:
        ServerOptions.__init__(self, **options)
        self._observers = None
        self._handlers: dict[str, Handler] = {}
        self._upgrades: dict[str, Handler] = {}
        self._sessions: dict[Session, None] = {}
        self._session_count = 0
        self._stopping = False
        self._nursery: trio.Nursery | None = None
        self._accepting: trio.CancelScope | None = None
        self._listeners: list[trio.abc.Listener[Any]] = []
        self._ssl_context: ssl.SSLContext | None = None
        self._sweep: Timer | None = None
        self._failure: Exception | None = None
        self._gone: trio.Event = trio.Event()
        self.draining = trio.Event()
        self.listening = False
        self.address: tuple[str, int] | str | None = None
        self.url = ""
        if request_listener is not None:
            self.on("request", request_listener)

    # --- events ------------------------------------------------------------------------

    @overload
    def on(
        self, name: str, fn: None = None, *, protocol: str | None = None
    ) -> Callable[[Fn], Fn]: ...
    @overload
    def on(self, name: str, fn: Callable[..., Any], *, protocol: str | None = None) -> Server: ...
    def on(
        self, name: str, fn: Callable[..., Any] | None = None, *, protocol: str | None = None
    ) -> Server | Callable[[Fn], Fn]:
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
            InvalidArgTypeError: ``fn`` is not a function.
        """
        if fn is None:

            def decorate(function: Fn) -> Fn:
                self.on(name, function, protocol=protocol)
                return function

            return decorate
        if name not in _ANSWERING:
            self._add(name, fn, fn)
            return self
        if not callable(fn):
            raise InvalidArgTypeError(f"fn must be an async function, not {type(fn).__name__}")
        table, key = self._answering(name, protocol)
        if key in table:
            raise InvalidArgValueError(f"{name} is answered by {table[key]!r}: off() it first")
        table[key] = fn
        return self

    def off(self, name: str, fn: Callable[..., Any], *, protocol: str | None = None) -> Server:
        """Undo ``on``; no error if the function is not there."""
        if name not in _ANSWERING:
            Observable.off(self, name, fn)
            return self
        table, key = self._answering(name, protocol)
        if table.get(key) == fn:
            del table[key]
        return self

    def _answering(self, name: str, protocol: str | None) -> tuple[dict[str, Handler], str]:
        if name == "upgrade":
            return self._upgrades, (protocol or "").lower()
        if protocol is not None:
            raise InvalidArgValueError(f"protocol goes with the upgrade event, not with {name}")
        return self._handlers, name

    def set_timeout(
        self, seconds: float | None, callback: Callable[..., Awaitable[object]] | None = None
    ) -> Server:
        """Set ``timeout``, and the async function that answers the event.

        Args:
            seconds: Of silence; 0 or None for no limit.
            callback: Called with the socket, which then is left open.

        Returns:
            This server.
        """
        self.timeout = seconds
        if callback is not None:
            self._handlers["timeout"] = callback
        return self

    # --- listening -----------------------------------------------------------------------

    async def listen(
        self,
        port: int = 0,
        host: str | Sequence[str] | None = None,
        *,
        path: str | None = None,
        listeners: Iterable[trio.abc.Listener[Any]] | None = None,
        backlog: int | None = None,
        ssl_context: ssl.SSLContext | None = None,
        task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept and serve connections, until ``close`` and the last one is done.

        Args:
            port: The TCP port; 0 for any that is free.
            host: An address or several; None for all of this machine.
            path: A Unix socket instead.
            listeners: Ready-made listeners instead; they are closed at the end.
            backlog: Connections that may wait to be accepted.
            ssl_context: Speak TLS.
            task_status: For ``await nursery.start(server.listen, ...)``, which gives
                this server once ``address`` and ``url`` are set.

        Raises:
            ServerAlreadyListenError: It is listening.
            OutOfRangeError: ``port`` is not within 0 to 65535.
            OSError: The address is not free, or not ours.

        When it is cancelled, all connections are closed at once.
        """
        if self._nursery is not None:
            raise ServerAlreadyListenError("Listen method has been called more than once")
        if isinstance(port, bool) or not isinstance(port, int):
            raise InvalidArgTypeError(f"port must be a whole number, not {port!r}")
        if not 0 <= port <= 65535:
            raise OutOfRangeError(f"port must be within 0 and 65535, not {port!r}")
        self._listeners = await open_listeners(port, host, path, listeners, backlog)
        self._ssl_context = ssl_context
        self.address = listening_address(self._listeners[0])
        self.url = url_of(self.address, secure=ssl_context is not None)
        self._stopping = False
        self.draining = trio.Event()
        self._gone = trio.Event()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self.listening = True
                self._emit("listening")
                task_status.started(self)
                await self._accept(nursery)
                await self._wait_for_sessions()
        finally:
            self.listening = False
            self._nursery = None
            self._emit("close")
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    async def _accept(self, nursery: trio.Nursery) -> None:
        listeners = self._listeners
        try:
            with trio.CancelScope() as self._accepting:
                await trio.serve_listeners(self._serve_accepted, listeners, handler_nursery=nursery)
        finally:
            with trio.CancelScope(shield=True):
                for listener in listeners:
                    await listener.aclose()
            self.listening = False

    async def _wait_for_sessions(self) -> None:
        while self._sessions:
            self._gone = trio.Event()
            await self._gone.wait()

    async def _serve_accepted(self, stream: trio.abc.Stream) -> None:
        if self._ssl_context is not None:
            stream = trio.SSLStream(
                stream, self._ssl_context, server_side=True, https_compatible=True
            )
        await self.serve_stream(stream)

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection on any Trio stream, until it ends.

        Args:
            stream: A connected stream; it is closed at the end.

        When it is cancelled, the stream is closed at once. A handler's error is
        logged and not raised, unless ``on_error`` is ``"raise"``.
        """
        self._session_count += 1
        session = Session(
            self,
            self._handlers,
            self._upgrades,
            stream,
            self._session_count,
            self._is_stopping,
            self._emit,
            self._spawn,
        )
        if self.max_connections is not None and len(self._sessions) >= self.max_connections:
            session.socket.destroy()
            await trio.lowlevel.checkpoint()
            return
        self._prepare(session)
        self._sessions[session] = None
        try:
            await session.run()
        except Exception as error:
            if self.on_error != "raise":
                _logger.exception("connection %d: internal error", session.number)
            elif self._nursery is None:
                raise
            else:
                self._failure = error
                self._nursery.cancel_scope.cancel()
        finally:
            del self._sessions[session]
            session.socket.destroy()
            self._gone.set()

    def _prepare(self, session: Session) -> None:
        socket = session.socket
        if not self.no_delay:
            socket.set_no_delay(False)
        if self.keep_alive:
            socket.set_keep_alive(True, self.keep_alive_initial_delay)
        if self._observers is not None:
            self._emit("connection", socket)
        if socket.watch_peer(session.peer_left) or self._sweep is not None:
            return
        if socket.watch_descriptor() is not None:
            self._arm_sweep()

    def _is_stopping(self) -> bool:
        return self._stopping

    def _spawn(self, fn: Handler, *args: object) -> None:
        """Run an answering function beside the connection's task."""

        async def guarded() -> None:
            try:
                await fn(*args)
            except Exception:
                _logger.exception("%r raised", fn)

        if self._nursery is not None:
            self._nursery.start_soon(guarded)
        else:
            trio.lowlevel.spawn_system_task(guarded)

    # --- departed peers ------------------------------------------------------------------

    def _arm_sweep(self) -> None:
        interval = max(self.connections_checking_interval, 0.001)
        self._sweep = call_at(trio.current_time() + interval, self._sweep_now)

    def _sweep_now(self) -> None:
        """Notice the peers that left while a handler runs."""
        self._sweep = None
        if not self._sessions:
            return
        for session in find_departed(self._sessions):
            session.depart()
        self._arm_sweep()

    # --- stopping ------------------------------------------------------------------------

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._sessions)

    def _stop(self) -> None:
        self._stopping = True
        self.draining.set()
        if self._accepting is not None:
            self._accepting.cancel()
        self.close_idle_connections()

    async def close(self) -> Server:
        """Stop accepting, close idle connections and let the others finish.

        Does not wait for them: ``listen`` returns once the last one is done.

        Returns:
            This server.

        Raises:
            ServerNotRunningError: It is not listening.

        The server stops also when the call is cancelled.
        """
        if not self.listening:
            raise ServerNotRunningError("Server is not running.")
        self._stop()
        self.listening = False
        await trio.lowlevel.checkpoint()
        return self

    def close_idle_connections(self) -> None:
        """Close the connections that are between requests (Node: the same name)."""
        for session in [*self._sessions]:
            if session.idle:
                session.kill()

    def close_all_connections(self) -> None:
        """Close every connection at once; running handlers are cancelled.

        As in Node, connections that were upgraded are left alone.
        """
        for session in [*self._sessions]:
            if session.phase != DETACHED:
                session.kill()

    async def drain(self, timeout: float | None = None) -> DrainReport:
        """Stop without losing a request.

        In this order: stop accepting; set ``draining``; close idle connections;
        answer ``Connection: close`` on the others; wait for them; at the deadline
        cancel what is left, upgraded connections too, and close.

        Args:
            timeout: Seconds to wait; None for as long as it takes.

        Returns:
            Who finished and who was cancelled.

        When it is cancelled, the server has stopped accepting, and the connections
        that are left go on.
        """
        limit = check_seconds("timeout", timeout)
        started = trio.current_time()
        self._stop()
        waiting = [*self._sessions]
        with trio.move_on_at(started + limit):
            await self._wait_for_sessions()
        left = [session for session in waiting if session in self._sessions]
        for session in [*self._sessions]:
            session.kill()
        with trio.move_on_after(_KILL_TIME):
            await self._wait_for_sessions()
        await trio.lowlevel.checkpoint()
        return DrainReport(
            finished=len(waiting) - len(left),
            cancelled=len(left),
            duration=trio.current_time() - started,
        )

    async def aclose(self) -> None:
        """Close, and wait for the connections; cancelled, close them all at once.

        Without effect on a server that is not listening.
        """
        self._stop()
        self.listening = False
        try:
            await self._wait_for_sessions()
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            for session in [*self._sessions]:
                session.kill()
            raise

    async def __aenter__(self) -> Server:
        """Enter; a checkpoint."""
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave: ``aclose``; with an error, all connections are closed at once."""
        if exc is not None:
            self._stop()
            for session in [*self._sessions]:
                session.kill()
        await self.aclose()

    def reload_tls(self, ssl_context: ssl.SSLContext) -> None:
        """Use another TLS context for new handshakes; connections go on as they are.

        Raises:
            InvalidArgTypeError: It is no ``ssl.SSLContext``.
            ServerNotRunningError: The server does not speak TLS.
        """
        if not isinstance(ssl_context, ssl.SSLContext):
            raise InvalidArgTypeError(f"ssl_context must be an ssl.SSLContext, not {ssl_context!r}")
        if self._ssl_context is None:
            raise ServerNotRunningError("The server does not speak TLS.")
        self._ssl_context = ssl_context

    def __repr__(self) -> str:
        state = "listening" if self.listening else "stopping" if self._sessions else "closed"
        return f"<Server {self.url or '-'} {state} connections={len(self._sessions)}>"
