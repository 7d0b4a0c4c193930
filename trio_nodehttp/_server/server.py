"""The server: where it listens, whom it serves, how it stops (Node: ``http.Server``)."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any

import attrs
import trio

from .._checks import check_known, describing
from .._errors import (
    InvalidArgTypeError,
    ServerAlreadyListenError,
    ServerNotRunningError,
)
from .._timeouts import Timer, call_at, check_seconds
from .._typing import Unpack
from .answers import Handler
from .handlers import ANSWERING, Answering, Handlers
from .listeners import (
    accept_streams,
    accept_waiting,
    check_port,
    listening_address,
    open_listeners,
    url_of,
)
from .options import OPTIONS, ServerOptions, ServerSettings
from .session import Session
from .state import DETACHED
from .sweep import find_departed

_logger = logging.getLogger("trio_nodehttp")

_KILL_TIME = 0.75  # that a cut connection may take to end
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


@describing(ServerSettings)
class Server(ServerSettings, Answering):
    """An HTTP/1.1 server (Node: ``http.Server``); made by ``create_server``.

    Every option of ``create_server`` is an attribute. Observers may watch
    ``connection`` (socket), ``drop_request`` (request, socket), ``listening`` and
    ``close``; the answering events ``request``, ``check_continue``,
    ``check_expectation``, ``connect``, ``upgrade``, ``client_error`` and ``timeout``
    take one async function each, which runs in the connection's own task.

    ``client_error`` (error, stream) is told of what cannot be served, and answers it in
    our place; and of a connection that broke, which nobody can answer: its ``code`` is
    ``"ECONNRESET"`` or ``"EPIPE"``, and writing to it is not logged.

    Attributes:
        address: ``(host, port)`` of the first listener, or the path of a Unix socket;
            None before the server listened.
        url: Such as ``"http://127.0.0.1:8000"``; empty before it listened, and for a Unix
            socket.
        listening: Connections are accepted.
        draining: A ``trio.Event``, set once ``drain`` or ``close`` was called; then
            ``accept_websocket`` closes with code 1001.
    """

    EVENTS = ANSWERING | _OBSERVED

    def __init__(
        self, request_listener: Handler | None = None, /, **options: Unpack[ServerOptions]
    ) -> None:
        check_known("create_server", options, OPTIONS)
        ServerSettings.__init__(self, **options)
        self._observers = None
        self._handlers = Handlers()
        self._sessions: dict[Session, None] = {}
        self._session_count = 0
        self._stopping = False
        self._occupied = False
        self._nursery: trio.Nursery | None = None
        self._accepting = trio.CancelScope()
        self._released = trio.Event()
        self._ssl_context: ssl.SSLContext | None = None
        self._sweep: Timer | None = None
        self._failure: Exception | None = None
        self._gone = trio.lowlevel.ParkingLot()
        self.draining = trio.Event()
        self.listening = False
        self.address: tuple[str, int] | str | None = None
        self.url = ""
        if request_listener is not None:
            self.on("request", request_listener)

    def set_timeout(
        self, seconds: float | None, callback: Callable[..., Awaitable[object]] | None = None
    ) -> Server:
        """Set ``timeout``, and the async function that answers the event.

        Args:
            seconds: Of silence; 0 or None for no limit.
            callback: Called with the socket, which then is left open. It takes the
                place of an earlier one.

        Returns:
            This server.
        """
        self.timeout = seconds
        if callback is not None:
            self._handlers.named.pop("timeout", None)
            self.on("timeout", callback)
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
            InvalidArgTypeError: An argument has the wrong type.
            InvalidArgValueError: Arguments contradict each other.
            OSError: The address is not free, or not ours; the text names it.

        When it is cancelled, all connections are closed at once.
        """
        if self._occupied:
            raise ServerAlreadyListenError("Listen method has been called more than once")
        check_port(port)
        self._occupied = True
        self._stopping = False
        if self.draining.is_set():  # else somebody may wait for it already
            self.draining = trio.Event()
        self._accepting = trio.CancelScope()
        self._released = trio.Event()
        try:
            opened = await open_listeners(port, host, path, listeners, backlog)
            self._ssl_context = ssl_context
            self.address = listening_address(opened[0])
            self.url = url_of(self.address, secure=ssl_context is not None)
            await self._listen(opened, task_status)
        finally:
            self._occupied = False
            self._gone.unpark_all()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    async def _listen(
        self, listeners: list[trio.abc.Listener[Any]], task_status: trio.TaskStatus[Server]
    ) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self.listening = True
                self._emit("listening")
                task_status.started(self)
                try:
                    await self._accept(listeners)
                finally:
                    self.listening = False
                    with trio.CancelScope(shield=True):
                        for listener in listeners:
                            await listener.aclose()
                    self._released.set()
                await self._wait_for_sessions()
        finally:
            self.listening = False
            self._nursery = None
            self._stop_sweep()
            self._emit("close")

    async def _accept(self, listeners: list[trio.abc.Listener[Any]]) -> None:
        try:
            with self._accepting:
                async with trio.open_nursery() as accepting:
                    for listener in listeners:
                        accepting.start_soon(accept_streams, listener, self._take)
        except Exception as error:  # noqa: BLE001 - raised by listen
            self._fail(error)
            return
        # Those that wait in the backlog think that they are connected: serve them too.
        for listener in listeners:
            for stream in await accept_waiting(listener):
                self._take(stream)

    def _take(self, stream: trio.abc.Stream) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._serve_accepted, stream)

    def _fail(self, error: BaseException) -> None:
        """End ``listen`` with an error, which arrives alone and not in a group."""
        while (inner := getattr(error, "exceptions", None)) is not None:
            error = inner[0]
        if self._failure is None and isinstance(error, Exception):
            self._failure = error
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()

    async def _wait_for_sessions(self) -> None:
        while self._sessions:
            await self._gone.park()

    async def _wait_for_end(self) -> None:
        """Wait until no connection is left, and ``listen`` has ended."""
        while self._sessions or self._occupied:
            await self._gone.park()

    async def _serve_accepted(self, stream: trio.abc.Stream) -> None:
        if self._ssl_context is not None:
            stream = trio.SSLStream(stream, self._ssl_context, server_side=True)
        try:
            await self.serve_stream(stream)
        except Exception as error:  # noqa: BLE001 - raised by listen
            self._fail(error)

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection on any Trio stream, until it ends.

        Args:
            stream: A connected stream; it is closed at the end.

        When it is cancelled, the stream is closed at once. A handler's error is
        logged and not raised, unless ``on_error`` is ``"raise"``.
        """
        self._session_count += 1
        if self.max_connections is not None and len(self._sessions) >= self.max_connections:
            await trio.aclose_forcefully(stream)
            return
        session = Session(
            self,
            self._handlers,
            stream,
            self._session_count,
            self._is_stopping,
            self.draining,
            self._emit,
            self._spawn,
        )
        self._sessions[session] = None
        try:
            self._prepare(session)
            await session.run()
        except Exception:
            if self.on_error == "raise":
                raise
            _logger.exception("connection %d: internal error", session.number)
        finally:
            del self._sessions[session]
            session.socket.destroy()
            self._gone.unpark_all()
            await session.socket.see_closed()

    def _prepare(self, session: Session) -> None:
        socket = session.socket
        if not self.no_delay:
            socket.set_no_delay(False)
        if self.keep_alive:
            socket.set_keep_alive(True, self.keep_alive_initial_delay)
        if self._observers is not None:
            self._emit("connection", socket)
        if not socket.watch_peer(partial(self._peer_left, session)) and (
            self._sweep is None and socket.watch_descriptor() is not None
        ):
            self._arm_sweep()

    def _is_stopping(self) -> bool:
        return self._stopping

    def _spawn(self, fn: Handler, *args: object) -> trio.CancelScope:
        """Run an answering function beside the connection's task; its scope can end it."""
        scope = trio.CancelScope()

        async def guarded() -> None:
            with scope:
                try:
                    await fn(*args)
                except Exception:
                    _logger.exception("%r raised", fn)

        if self._nursery is not None:
            self._nursery.start_soon(guarded)
        else:
            trio.lowlevel.spawn_system_task(guarded)
        return scope

    # --- departed peers ------------------------------------------------------------------

    def _peer_left(self, session: Session) -> None:
        """A memory stream tells at once; before the handler runs it is for the sweep."""
        session.peer_left = True
        if session.at_work:
            session.depart()
        elif self._sweep is None:
            self._arm_sweep()

    def _arm_sweep(self) -> None:
        interval = max(self.connections_checking_interval, 0.001)
        self._sweep = call_at(trio.current_time() + interval, self._sweep_now)

    def _stop_sweep(self) -> None:
        if self._sweep is not None and not self._sessions:
            self._sweep.cancel()
            self._sweep = None

    def _sweep_now(self) -> None:
        """Notice the peers that left while a handler runs."""
        self._sweep = None
        if self._sessions:
            self._arm_sweep()
            for session in find_departed(self._sessions):
                session.depart()

    # --- stopping ------------------------------------------------------------------------

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._sessions)

    def _stop(self) -> None:
        self._stopping = True
        self.listening = False
        self.draining.set()
        self._accepting.cancel()
        for session in self._sessions:
            session.wind_up()

    async def close(self) -> Server:
        """Stop accepting, close idle connections and let the others finish.

        Returns when the address is free again; ``listen`` does once the last connection
        is done. Upgraded connections go on, but WebSockets are told that the server goes
        away, as by ``drain``. A new connection on which nothing was received yet has half
        a second to say something.

        Returns:
            This server.

        Raises:
            ServerNotRunningError: It is not listening.

        The server stops also when the call is cancelled.
        """
        if not self.listening:
            raise ServerNotRunningError("Server is not running.")
        self._stop()
        await self._released.wait()
        return self

    def close_idle_connections(self) -> None:
        """Close the connections that are between requests (Node: the same name).

        As in Node, one that has not made its first request yet is left alone; so is one
        whose next request has come, and not been read.
        """
        for session in self._sessions:
            if session.idle and session.requests and not session.socket.is_readable():
                session.dismiss()

    def close_all_connections(self) -> None:
        """Close every connection at once; running handlers are cancelled.

        As in Node, connections that were upgraded are left alone.
        """
        for session in [*self._sessions]:
            if session.phase != DETACHED:
                session.kill()

    def _cut(self) -> None:
        """Close whatever is left, upgraded connections and tasks beside them too."""
        for session in [*self._sessions]:
            session.kill()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    async def drain(self, timeout: float | None = None) -> DrainReport:
        """Stop without losing a request.

        In this order: stop accepting; set ``draining``, at which WebSockets begin to
        close with code 1001; close idle connections; answer what the others have sent,
        the last with ``Connection: close``; wait for them; at the deadline cancel what
        is left, upgraded connections too, and close.

        Args:
            timeout: Seconds to wait; None for as long as it takes.

        Returns:
            Who finished and who was cancelled, at most a second after the deadline:
            a handler that shields itself is not waited for.

        When it is cancelled, the server has stopped accepting, and the connections
        that are left go on. A handler that calls it waits for itself.
        """
        limit = check_seconds("timeout", timeout)
        started = trio.current_time()
        self._stop()
        waiting = [*self._sessions]
        with trio.move_on_at(started + limit):
            await self._wait_for_end()
        everyone = dict.fromkeys([*waiting, *self._sessions])
        self._cut()
        with trio.move_on_after(_KILL_TIME):
            await self._wait_for_end()
        await trio.lowlevel.checkpoint()
        cancelled = sum(session.killed for session in everyone)
        return DrainReport(
            finished=len(everyone) - cancelled,
            cancelled=cancelled,
            duration=trio.current_time() - started,
        )

    async def aclose(self) -> None:
        """Close, and wait for the connections; cancelled, close them all at once.

        Without effect on a server that is not listening.
        """
        self._stop()
        try:
            await self._wait_for_end()
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            self._cut()
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
            self._cut()
        await self.aclose()

    def reload_tls(self, ssl_context: ssl.SSLContext) -> None:
        """Use another TLS context for new handshakes; connections go on as they are.

        Args:
            ssl_context: With the new certificate.

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
