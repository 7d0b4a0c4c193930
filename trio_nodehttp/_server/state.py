"""What a session is at a moment, and what may be done to it from outside."""

from __future__ import annotations

from collections.abc import Callable

import trio

from .._connection import Connection
from .._errors import AbortedError, SocketTimeoutError
from .._incoming import IncomingMessage
from .._sansio.codec_h11 import H11Codec
from .._transport import Socket
from .access import Access
from .handlers import Handlers
from .options import ServerSettings, logger
from .progress import Progress
from .response import ServerResponse

IDLE, HEAD, HANDLER, DRAIN, DETACHED = range(5)
GRACE = 0.5
"""Seconds for the first byte of a connection, once the server stops."""


class SessionState:
    """One connection: its phase, its messages, and ways to end it.

    Args:
        server: The options, read anew for every request.
        handlers: Answering functions.
        stream: The accepted stream.
        number: Of this connection, for the access record.
        closing: Says whether the server accepts no further requests.
        draining: Set once the server is to stop, for handlers that would not end.
        observe: Tells the server's observers of an event.
        spawn: Runs an answering function beside the connection's own task.
    """

    __slots__ = (
        "_access",
        "_beside",
        "_closing",
        "_codec",
        "_dismissed",
        "_draining",
        "_handlers",
        "_observe",
        "_progress",
        "_scope",
        "_server",
        "_spawn",
        "_told",
        "connection",
        "killed",
        "number",
        "outcome",
        "peer_left",
        "phase",
        "request",
        "requests",
        "response",
        "socket",
    )

    def __init__(  # noqa: PLR0917 - made in one place, once per connection
        self,
        server: ServerSettings,
        handlers: Handlers,
        stream: trio.abc.Stream,
        number: int,
        closing: Callable[[], bool],
        draining: trio.Event,
        observe: Callable[..., bool],
        spawn: Callable[..., trio.CancelScope],
    ) -> None:
        self._server = server
        self._handlers = handlers
        self._closing = closing
        self._draining = draining
        self._observe = observe
        self._spawn = spawn
        self.number = number
        self.socket = Socket(stream)
        self.socket.readable_high_water_mark = server.high_water_mark
        self.socket.writable_high_water_mark = server.high_water_mark
        self.socket.on_destroy = self._destroyed
        self._codec = H11Codec(is_server=True, max_header_size=server.max_header_size)
        self.connection = Connection(self.socket, self._codec)
        self._progress = Progress(server, self.connection)
        self._scope = trio.CancelScope()
        self._beside: trio.CancelScope | None = None
        self.phase = IDLE
        self.request: IncomingMessage | None = None
        self.response: ServerResponse | None = None
        self.requests = 0
        self.outcome: str | None = None  # of the current request, once it went wrong
        self.peer_left = False  # as a memory stream told
        self.killed = False
        self._dismissed = False
        self._told = False  # the timeout handler knows of this idle time
        self._access: Access | None = None

    async def _begin_body(self) -> None:
        """Watch the progress of a body from here on: its first read is near."""
        self._progress.restart()

    # --- from outside ----------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Between requests, with nothing of the next one received."""
        return self.phase == IDLE and not self._codec.begun

    @property
    def at_work(self) -> bool:
        """A handler runs, and thinks that its peer is there."""
        return self.phase == HANDLER and self.request is not None and not self.request.aborted

    def kill(self) -> None:
        """Close at once, whatever is going on; a handler is cancelled."""
        self.killed = True
        self.outcome = self.outcome or "cancelled"
        self._scope.cancel()
        self.socket.destroy()

    def dismiss(self) -> None:
        """Close an idle connection."""
        self._dismissed = True
        self._scope.cancel()

    def wind_up(self) -> None:
        """The server stops: close if nothing is under way, not even in the kernel."""
        if not self.idle:
            return
        if self.requests == 0:
            # Its first request may be on the way.
            grace = trio.current_time() + GRACE
            self._scope.deadline = min(self._scope.deadline, grace)
        elif not self.socket.is_readable():
            self.dismiss()

    def depart(self, outcome: str = "client-gone") -> None:
        """The peer has left while a handler runs, or the socket is destroyed."""
        request = self.request
        assert request is not None
        self.outcome = self.outcome or outcome
        if request.aborted:
            return
        try:
            request._abort(AbortedError("aborted"))
        except Exception:  # noqa: BLE001 - logged
            logger.exception("connection %d: an observer raised", self.number)

    def _destroyed(self) -> None:
        if self.at_work:
            silent = isinstance(self.socket.errored, SocketTimeoutError)
            # A write that the peer's departure breaks destroys the socket too.
            ours = "aborted" if self.socket.broken is None else "client-gone"
            self.depart("timeout" if silent else ours)

    # --- silence ----------------------------------------------------------------------

    def _watch_silence(self) -> None:
        self.socket.set_timeout(self._server.timeout)
        if self._notice_silence not in self.socket.watchers:
            self.socket.watchers.append(self._notice_silence)

    def _notice_silence(self) -> bool:
        """Silence on the socket, noticed while a handler may be running."""
        if self.phase == IDLE and self.requests and self._server.keep_alive_timeout:
            return True  # that is the time that counts here
        handler = self._handlers.named.get("timeout")
        if handler is not None:
            self._beside = self._spawn(handler, self.socket)
        return handler is not None
