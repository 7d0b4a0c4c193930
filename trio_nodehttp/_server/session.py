"""One accepted connection, served in one task.

A session goes through these phases, over and over::

    idle       nothing received: the deadline is keep_alive_timeout (on a new
               connection headers_timeout, since a silent client is answered 408)
    head       bytes of a head are there: the deadline is headers_timeout
    handler    the handler runs in this same task: no deadline. A body read that
               blocks has a scope of its own until request_timeout
    drain      the rest of an unread body is thrown away, so that the next
               request can be found; too much of it, and the connection closes

One cancel scope belongs to the whole connection; its deadline moves with the
phase. When it strikes, ``_expired`` looks at the phase to know what it means.
Requests that a client pipelines wait in the codec and are served in order
(RFC 9112 section 9.3.2). Nothing that a peer sends, and nothing that a handler
raises, leaves this module, unless the server was told ``on_error="raise"``.
"""

from __future__ import annotations

import math

import trio

from .._errors import (
    HTTPError,
    ParseError,
    RequestTimeoutError,
    SocketHangUpError,
)
from .._incoming import IncomingMessage
from .._sansio.events import CONTINUE, RequestHead
from .access import Access
from .answers import (
    Handler,
    answer_expectation,
    answer_no_host,
    answer_nothing,
    answer_overload,
    cancelling,
    close_politely,
    find_fault,
    keep_alive_hint,
    refusal_status,
    send_refusal,
)
from .handover import Handover
from .options import logger
from .response import ServerResponse
from .state import DETACHED, DRAIN, GRACE, HANDLER, HEAD, IDLE


class Session(Handover):
    """Serves one connection; see ``SessionState`` for its arguments."""

    __slots__ = ()

    # --- the loop --------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the connection ends. Cancelled, it closes the socket at once."""
        if self._server.timeout:
            self._watch_silence()
        work = self._serve
        try:
            while True:
                with self._scope as scope:
                    await work()
                if self.killed or not scope.cancelled_caught:
                    break
                self._scope = trio.CancelScope()
                work = self._expired
        except HTTPError as error:
            if error is not self.socket.broken:
                raise
            logger.debug("connection %d: %s", self.number, error)
        finally:
            self._finish_messages()
            if self._beside is not None:
                self._beside.cancel()
        await self._tell_broken()

    async def _serve(self) -> None:
        while True:
            try:
                head = await self._next_head()
            except ParseError as error:
                await self._refuse(error)
                return
            if head is None:
                break
            if not await self._exchange(head):
                await self._turn_away()
                break
        if not self.socket.destroyed:
            await close_politely(self.connection)

    async def _next_head(self) -> RequestHead | None:
        """Read the next head; None when there is no further request."""
        codec = self._codec
        head = codec.read_request() if codec.buffered else None
        if head is not None:
            return head
        if not self._await_head():
            return None
        while True:
            data = await self.socket.receive()
            codec.feed(data)
            head = codec.read_request()
            if head is not None:
                self._scope.deadline = math.inf
                return head
            if not data:
                return None
            if self.phase == IDLE and codec.begun:
                self.phase = HEAD
                if self.requests or self._closing():
                    self._scope.deadline = trio.current_time() + self._head_limit()

    def _await_head(self) -> bool:
        """Set the phase and its deadline; answers whether to wait at all."""
        if self._codec.begun:
            self.phase = HEAD
            limit = self._head_limit()
        elif self.requests == 0:
            limit = min(self._head_limit(), GRACE if self._closing() else math.inf)
        elif self._closing() and not self.socket.is_readable():
            return False
        else:
            self.phase = IDLE
            server = self._server
            limit = server.keep_alive_timeout or math.inf
            limit = math.inf if self._told else limit + server.keep_alive_timeout_buffer
        self._scope.deadline = trio.current_time() + limit
        return True

    def _head_limit(self) -> float:
        server = self._server
        return min(server.headers_timeout or math.inf, server.request_timeout or math.inf)

    async def _exchange(self, head: RequestHead) -> bool:
        """Serve one request; answers whether another may follow."""
        server = self._server
        self.phase = HANDLER
        self.requests += 1
        self.outcome = None
        self._told = False
        connection = self.connection
        connection.body_bytes = 0
        head.max_pairs = server.max_headers_count or 0
        request = server.incoming_message_class(
            connection, head, join_duplicate_headers=server.join_duplicate_headers
        )
        if head.body:
            request.before_body = self._before_body
        elif server.optimize_empty_requests:
            _skip_body(request)
        self.request = request
        Access.begin(self, head)
        if head.upgrade is not None or head.method == "CONNECT":
            handler = self._find_switch(head, request)
            if handler is not None:
                await self._switch(handler, request)
                return False
            if head.method == "CONNECT":
                self.outcome = "refused"
                self._codec.take_rest()  # it was for the tunnel
                return False
        response = self._make_response(request)
        handler = self._choose_handler(head, request)
        error: Exception | None = None
        try:
            await handler(request, response)
            if not response.writable_ended and not response.destroyed:
                if request._cut_short:
                    response.destroy()  # who ended only its own side would take a part for all
                else:
                    await response.end()
        except Exception as caught:  # noqa: BLE001 - judged below
            error = caught
        if error is not None:
            await self._fail(error, request, response)
        return await self._conclude(request, response)

    def _make_response(self, request: IncomingMessage) -> ServerResponse:
        server = self._server
        response = server.server_response_class(request)
        response._socket = self.socket
        response._may_persist = self._may_persist
        response.keep_alive_hint = self._keep_alive_hint()
        if server.unique_headers is not None:
            response.unique_headers = server.unique_headers
        if server.reject_non_standard_body_writes:
            response.reject_non_standard_body_writes = True
        self.response = response
        return response

    def _keep_alive_hint(self) -> str | None:
        server = self._server
        limit = server.max_requests_per_socket or 0
        if limit and self.requests >= limit:
            return ""
        return keep_alive_hint(server.keep_alive_timeout, limit)

    def _may_persist(self) -> bool:
        request, response = self.request, self.response
        codec = self._codec
        if codec.eof or self.connection.fault is not None:
            return False
        if self._closing() and not (codec.complete and codec.begun):
            return False  # what was pipelined before is still answered
        # The client may send the body that it announced, or may not: both end here.
        unsure = request is not None and request._head.body and request._head.expect == CONTINUE  # type: ignore[union-attr]
        return not (unsure and response is not None and not response._sent_continue)

    def _choose_handler(self, head: RequestHead, request: IncomingMessage) -> Handler:
        server = self._server
        if head.host is None and head.minor == 1 and server.require_host_header:
            return answer_no_host
        limit = server.max_requests_per_socket or 0
        if limit and self.requests > limit:
            self._observe("drop_request", request, self.socket)
            return answer_overload
        handlers = self._handlers.named
        if head.expect is not None:
            if head.expect != CONTINUE:
                return handlers.get("check_expectation", answer_expectation)
            if "check_continue" in handlers:
                request.before_body = self._begin_body
                return handlers["check_continue"]
        handler = handlers.get("request", answer_nothing)
        if server.on_disconnect == "cancel":
            return cancelling(handler)
        return handler

    async def _turn_away(self) -> None:
        """Answer what was pipelined beyond ``max_requests_per_socket``, as Node does."""
        limit = self._server.max_requests_per_socket or 0
        codec = self._codec
        while limit and self.requests >= limit and codec.complete and not self.socket.destroyed:
            try:
                head = codec.read_request()
            except ParseError:
                return
            if head is None and not codec.eof and self.socket.is_readable():
                with trio.move_on_after(GRACE):  # of TLS there may be a part only
                    codec.feed(await self.socket.receive())
                continue
            if head is None or head.upgrade is not None:
                return
            if head.method == "CONNECT":
                return  # a tunnel begins where a 503 would be
            await self._exchange(head)

    # --- reading a body ----------------------------------------------------------------

    async def _before_body(self) -> None:
        """At the first body read: tell a client that waits to go on (RFC 9110 10.1.1)."""
        request, response = self.request, self.response
        assert request is not None
        waits = request._head.expect == CONTINUE  # type: ignore[union-attr]
        if waits and response is not None and not response._sent_continue:
            if not response.headers_sent and not self._codec.buffered:
                await response.write_continue()
            response._sent_continue = True
        self._progress.restart()

    # --- the end of an exchange ----------------------------------------------------------

    async def _conclude(self, request: IncomingMessage, response: ServerResponse) -> bool:
        more = response.writable_finished and not (response._shape.last or self.socket.destroyed)
        if self._access is not None:
            self._access.end(self)
        if request._ended:
            request._close()
            response._close()
        else:
            response._close()
            if not self._codec.complete:
                more = await self._drain(request, response) and more
            if request.complete and not request.aborted:
                request._end()
            request._close()
        self.request = self.response = None
        if self.socket.timeout != (self._server.timeout or math.inf):
            self.socket.set_timeout(self._server.timeout)
            self._watch_silence()
        return more and not self._codec.eof

    async def _drain(self, request: IncomingMessage, response: ServerResponse) -> bool:
        """Throw away the rest of a body; answers whether its end was found."""
        self.phase = DRAIN
        # A client that was not told to continue may go on with another request instead.
        unsure = request._head.expect == CONTINUE and not response._sent_continue  # type: ignore[union-attr]
        if self.socket.destroyed or unsure:
            return False
        try:
            request.complete = await self._progress.drain(request._head.body)
        except HTTPError as error:
            logger.debug("connection %d: the rest of a body: %s", self.number, error)
        return request.complete

    async def _fail(
        self, error: Exception, request: IncomingMessage, response: ServerResponse
    ) -> None:
        """A handler raised: 500 if nothing was sent, else cut the connection."""
        fault = find_fault(error, self.connection, request)
        if fault is None:
            self.outcome = "error"
            if self._server.on_error == "raise":
                self.socket.destroy()
                raise error
            logger.error(
                "connection %d: the handler of %s %s raised",
                self.number,
                request.method,
                request.url,
                exc_info=error,
            )
        elif isinstance(fault, SocketHangUpError):
            self.depart()
        if self.socket.destroyed:
            return
        bad = self.connection.fault
        if bad is not None and fault is not None and bad in (fault, fault.__cause__):
            await self._refuse(bad)
        elif response.headers_sent or fault is not None:
            self.socket.destroy()
        else:
            await self._send_500(response)

    async def _send_500(self, response: ServerResponse) -> None:
        response._headers = None
        response._shape.removed = 0
        response._shape.length = None
        response.status_code, response.status_message = 500, ""
        try:
            await response.end("Internal Server Error")
        except SocketHangUpError:
            self.socket.destroy()

    async def _refuse(self, error: HTTPError) -> None:
        """Answer what cannot be served, as Node does: a bare status line, and close."""
        response = self.response
        if self.socket.destroyed or (response is not None and response.headers_sent):
            self.outcome = self.outcome or Access.outcome_of(error)
            self.socket.destroy(error)
            return
        if self.request is None or error.code != "HPE_INVALID_EOF_STATE":
            self._note_refusal(error)  # one who left in a body has done nothing wrong
        self.phase = HANDLER
        self._scope.deadline = math.inf
        handler = self._handlers.named.get("client_error")
        status = None
        if handler is not None:
            await self._ask(handler, error)
        elif self.socket.bytes_read or not self.socket.encrypted:
            await send_refusal(self.connection, error)
            status = refusal_status(error)
        if self._access is not None:
            self._access.end(self, status)
        self.socket.destroy(error)

    def _note_refusal(self, error: HTTPError) -> None:
        """Write the record of a request that is no good."""
        logger.warning(
            "connection %d from %s: %s (%s); %d bytes received, max_header_size is %d",
            self.number,
            self.socket.remote_address,
            error,
            error.code,
            self.socket.bytes_read,
            self._server.max_header_size,
        )
        Access.refuse(self, error)

    async def _ask(self, handler: Handler, error: HTTPError) -> None:
        """Let the client_error handler answer; its last bytes must not be lost."""
        before = self.socket.bytes_written
        try:
            await handler(error, self.socket_stream())
        except Exception as caught:  # noqa: BLE001 - logged
            if caught is not self.socket.broken:
                logger.exception("the client_error handler raised")
        if self.socket.bytes_written > before and not self.socket.destroyed:
            await close_politely(self.connection, error)

    async def _tell_broken(self) -> None:
        """Tell client_error of a connection that broke, as Node does of ECONNRESET."""
        handler = self._handlers.named.get("client_error")
        error = self.socket.broken
        if handler is None or error is None or self.killed or self.phase == DETACHED:
            return
        # One that we closed ourselves, or told of before, is none.
        ours = isinstance(error.__cause__, trio.ClosedResourceError)
        if not ours and self.socket.errored in (None, error):
            self.phase = HANDLER
            with trio.CancelScope() as self._scope:
                await self._ask(handler, error)

    # --- the deadline struck -------------------------------------------------------------

    async def _expired(self) -> None:
        handler = self._handlers.named.get("timeout")
        fresh = self.requests == 0 and not self._closing()
        if self._dismissed:
            await self.socket.aclose()
        elif self.phase == HEAD or (self.phase == IDLE and fresh):
            await self._refuse(RequestTimeoutError("Request timeout"))
        elif handler is None or self._closing():
            await self.socket.aclose()
        else:
            await handler(self.socket)
            self._told = True
            if not self.socket.destroyed:
                await self._serve()

    def _finish_messages(self) -> None:
        """The connection is over: whatever was going on is closed."""
        request, response = self.request, self.response
        if request is not None:
            self.depart("cancelled")
        if self._access is not None:
            self._access.end(self)
        if response is not None:
            response._close()
        if request is not None:
            request._close()


def _skip_body(request: IncomingMessage) -> None:
    """End a request that announces no body before anybody asks for one."""
    if "content-length" not in request.headers and "transfer-encoding" not in request.headers:
        request._sent = -1
        request.destroyed = True
