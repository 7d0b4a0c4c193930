"""The access record: one log record for every request, refused ones included.

Its logger is ``trio_nodehttp.access``, its level INFO, and these are the fields that
a formatter finds on it: ``method``, ``target``, ``status`` (None where none was settled),
``duration`` in seconds, ``bytes_in``, ``bytes_out``, ``connection``, ``request``,
``peer`` and ``outcome``, which is one of

==============  ========================================================
``ok``          the response was sent whole
``client-gone`` the peer left before that
``timeout``     the request, or the peer's reading, took too long
``parse-error`` the bytes were no request
``error``       the handler raised
``refused``     a CONNECT that nobody answers
``cancelled``   the server was told to close the connection
``aborted``     the handler destroyed the response or its socket
==============  ========================================================
"""

from __future__ import annotations

import logging
from typing import Any, Final

import trio

from .._errors import HTTPError, SocketTimeoutError
from .._sansio.events import RequestHead

_logger: Final = logging.getLogger("trio_nodehttp.access")


class Access:
    """Measures one request; made only while somebody listens to the logger."""

    __slots__ = ("_head", "_peer", "_read", "_started", "_written")

    def __init__(self, session: Any, head: RequestHead | None) -> None:
        self._head = head
        self._started = trio.current_time()
        self._read = 0
        self._read = self._consumed(session) - (0 if head is None else head.size)
        self._written = session.socket.bytes_written
        self._peer = session.socket.remote_address

    def _consumed(self, session: Any) -> int:
        """Count what was read, without what belongs to requests that follow."""
        unread: int = self._read + session.connection.codec.buffered
        return session.socket.bytes_read - unread  # type: ignore[no-any-return]

    @staticmethod
    def begin(session: Any, head: RequestHead) -> None:
        """Start measuring, if the record is wanted."""
        if _logger.isEnabledFor(logging.INFO):
            session._access = Access(session, head)

    @staticmethod
    def outcome_of(error: HTTPError) -> str:
        """Name the outcome of a request that cannot be served."""
        return "timeout" if isinstance(error, SocketTimeoutError) else "parse-error"

    @staticmethod
    def refuse(session: Any, error: HTTPError) -> None:
        """Say why a request is refused; one that no handler saw gets its record now."""
        if session._access is None and _logger.isEnabledFor(logging.INFO):
            session._access = Access(session, None)
            session._access._read -= session.connection.codec.buffered
        session.outcome = Access.outcome_of(error)

    def end(self, session: Any, status: int | None = None) -> None:
        """Write the record.

        Args:
            session: The session, whose record it then is no more.
            status: The status sent, where no response tells it.
        """
        session._access = None
        response, head, outcome = session.response, self._head, session.outcome
        finished = response is not None and response.writable_finished
        if status is None and response is not None and response.headers_sent:
            status = response.status_code
        if outcome is None or (finished and outcome == "client-gone"):
            outcome = "ok" if finished else "aborted"
        method = None if head is None else head.method
        target = None if head is None else head.target
        _logger.info(
            "%s %s %s %s",
            method or "-",
            target or "-",
            "-" if status is None else status,
            outcome,
            extra={
                "method": method,
                "target": target,
                "status": status,
                "duration": trio.current_time() - self._started,
                "bytes_in": self._consumed(session),
                "bytes_out": session.socket.bytes_written - self._written,
                "connection": session.number,
                "request": session.requests,
                "peer": self._peer,
                "outcome": outcome,
            },
        )
