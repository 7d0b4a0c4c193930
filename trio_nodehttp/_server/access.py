"""The access record: one log record for every request, refused ones included."""

from __future__ import annotations

import logging
from typing import Any, Final

import trio

from .._errors import HTTPError
from .._sansio.events import RequestHead
from .answers import refusal_status

_logger: Final = logging.getLogger("trio_nodehttp.access")
_OUTCOMES: Final = {"ERR_HTTP_REQUEST_TIMEOUT": "timeout"}


class Access:
    """Measures one request; made only while somebody listens to the logger."""

    __slots__ = ("_head", "_read", "_started", "_written")

    def __init__(self, session: Any, head: RequestHead | None) -> None:
        self._head = head
        self._started = trio.current_time()
        self._read = session.socket.bytes_read - (0 if head is None else head.size)
        self._written = session.socket.bytes_written

    @staticmethod
    def begin(session: Any, head: RequestHead) -> None:
        """Start measuring, if the record is wanted."""
        if _logger.isEnabledFor(logging.INFO):
            session._access = Access(session, head)

    @staticmethod
    def refused(session: Any, error: HTTPError) -> None:
        """Record a request that no handler saw, or finish the one that failed."""
        if session._access is None and _logger.isEnabledFor(logging.INFO):
            session._access = Access(session, None)
        if session._access is not None:
            outcome = _OUTCOMES.get(error.code, "parse-error")
            session._access.end(session, outcome, status=refusal_status(error))

    def end(self, session: Any, outcome: str | None = None, status: int | None = None) -> None:
        """Write the record; a second call does nothing."""
        if session._access is not self:
            return
        session._access = None
        request, response, head = session.request, session.response, self._head
        if status is None:
            sent = response is not None and response.headers_sent
            status = response.status_code if sent else None
        if outcome is None:
            finished = response is None or response.writable_finished
            gone = request is not None and request.aborted
            outcome = "client-gone" if gone else "ok" if finished else "aborted"
        _logger.info(
            "%s %s %s %s",
            head.method if head else "-",
            head.target if head else "-",
            status if status is not None else "-",
            outcome,
            extra={
                "method": head.method if head else None,
                "target": head.target if head else None,
                "status": status,
                "duration": trio.current_time() - self._started,
                "bytes_in": session.socket.bytes_read - self._read,
                "bytes_out": session.socket.bytes_written - self._written,
                "connection": session.number,
                "request": session.requests,
                "peer": session.socket.remote_address,
                "outcome": outcome,
            },
        )
