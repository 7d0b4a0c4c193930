"""What becomes of a connection that leaves HTTP: an upgrade, or a tunnel."""

from __future__ import annotations

import logging
import math
from typing import Final

from .._errors import WebSocketError
from .._incoming import IncomingMessage
from .._sansio.events import RequestHead
from .._upgraded import UpgradedStream
from .answers import Handler, find_fault, hang_up, raising
from .options import logger
from .state import DETACHED, SessionState

# Close codes of a WebSocket that ended as its users wanted (RFC 6455 section 7.4).
_ORDERLY: Final = frozenset((1000, 1001, 1005, *range(3000, 5000)))


class Handover(SessionState):
    """The part of a session that gives its socket to a handler."""

    __slots__ = ()

    def _find_switch(self, head: RequestHead, request: IncomingMessage) -> Handler | None:
        """Find who takes the socket over; None where the request is an ordinary one."""
        handler = self._handlers.find_switch(head)
        decide = self._server.should_upgrade_callback
        if decide is None or head.method == "CONNECT":
            return handler
        try:
            return (handler or hang_up) if decide(request) else None
        except Exception as error:  # noqa: BLE001 - told like a handler's
            return raising(error)

    def socket_stream(self) -> UpgradedStream:
        """Make the stream that a handler of raw bytes is given."""
        return UpgradedStream(self.socket, self._codec.take_rest(), draining=self._draining)

    async def _switch(self, handler: Handler, request: IncomingMessage) -> None:
        """Give the socket to an upgrade or connect handler, whose scope it belongs to.

        A handler that returned leaves it open, for ``_serve`` to close politely.
        """
        self.phase = DETACHED
        if self._codec.complete:
            stream = self.socket_stream()
        else:
            # The body is HTTP's still (RFC 9110 section 7.8), and 100 the handler's to send.
            request.before_body = self._begin_body
            stream = UpgradedStream(
                self.socket, b"", before=self._pass_body, draining=self._draining
            )
        self.request = None
        if self.socket.timeout != math.inf:
            self.socket.set_timeout(None)  # silence is the other protocol's to judge
            self.socket.watchers.clear()
        returned = False
        try:
            await handler(request, stream)
            self.outcome = "ok"
            returned = True
        except Exception as error:  # noqa: BLE001 - judged
            self._judge(error, request)
        finally:
            self.outcome = self.outcome or "cancelled"
            if self._access is not None:
                self._access.end(self)
            if returned:
                stream._closed = True  # for the tasks that the handler left behind
            else:
                stream.destroy()

    def _judge(self, error: Exception, request: IncomingMessage) -> None:
        """Log what a handler raised; raise it where the server was told to."""
        fault = find_fault(error, self.connection, request, WebSocketError)
        if isinstance(fault, WebSocketError):
            # What a peer can bring about deserves a line, not a traceback.
            orderly = fault.close_code in _ORDERLY
            self.outcome = "ok" if orderly else "error"
            level = logging.DEBUG if orderly else logging.WARNING
            logger.log(level, "connection %d: %s", self.number, fault)
            return
        self.outcome = "error" if fault is None else "client-gone"
        if fault is not None:
            return
        if self._server.on_error == "raise":
            raise error
        logger.error("the handler of %s %s raised", request.method, request.url, exc_info=error)

    async def _pass_body(self) -> bytes:
        """Discard what is left of an upgrade's body; gives what came behind it."""
        self._progress.restart()
        while await self.connection.read_body(None):
            pass
        return self._codec.take_rest()
