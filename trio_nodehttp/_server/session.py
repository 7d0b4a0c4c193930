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
from collections.abc import Callable

import trio

from .._connection import Connection
from .._errors import AbortedError, HTTPError, ParseError, RequestTimeoutError, SocketHangUpError
from .._incoming import IncomingMessage
from .._sansio.codec_h11 import H11Codec
from .._sansio.events import RequestHead
from .._transport import Socket
from .._upgraded import UpgradedStream
from .access import Access
from .answers import (
    MAX_DRAIN,
    Handler,
    answer_expectation,
    answer_no_host,
    answer_nothing,
    answer_overload,
    cancelling,
    close_politely,
    keep_alive_hint,
    send_refusal,
)
from .options import ServerOptions, logger
from .progress import Progress
from .response import ServerResponse

IDLE, HEAD, HANDLER, DRAIN, DETACHED = range(5)


class Session:
    """Serves one connection.

    Args:
        server: The options, read anew for every request.
        handlers: Answering functions by event name.
        upgrades: Answering functions by protocol token; ``""`` for any.
        stream: The accepted stream.
        number: Of this connection, for the access record.
        closing: Says whether the server accepts no further requests.
        observe: Tells the server's observers of an event.
        spawn: Runs an answering function beside the connection's own task.
    """

    __slots__ = (
        "_access",
        "_closing",
        "_codec",
        "_handlers",
        "_observe",
        "_progress",
        "_scope",
        "_server",
        "_spawn",
        "_upgrades",
        "connection",
        "killed",
        "number",
        "phase",
        "request",
        "requests",
        "response",
        "socket",
        "swept",
    )

    def __init__(
        self,
        server: ServerOptions,
        handlers: dict[str, Handler],
        upgrades: dict[str, Handler],
        stream: trio.abc.Stream,
        number: int,
        closing: Callable[[], bool],
        observe: Callable[..., bool],
        spawn: Callable[..., object],
    ) -> None:
        self._server = server
        self._handlers = handlers
        self._upgrades = upgrades
        self._closing = closing
        self._observe = observe
        self._spawn = spawn
        self.number = number
        self.socket = Socket(stream)
        self.socket.writable_high_water_mark = server.high_water_mark
        self._codec = H11Codec(is_server=True, max_header_size=server.max_header_size)
        self.connection = Connection(self.socket, self._codec)
        self._progress = Progress(server, self.connection)
        self._scope = trio.CancelScope()
        self.phase = IDLE
        self.request: IncomingMessage | None = None
        self.response: ServerResponse | None = None
        self.requests = 0
        self.swept = 0  # the request that the last sweep saw at work
        self.killed = False
        self._access: Access | None = None

    # --- from outside ----------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Between requests, with nothing of the next one received."""
        return self.phase == IDLE and not self._codec.buffered

    def kill(self) -> None:
        """Close at once, whatever is going on; a handler is cancelled."""
        self.killed = True
        self._scope.cancel()
        self.socket.destroy()

    def peer_left(self) -> None:
        """A memory stream's peer has left; only a running handler is told."""
        if self.phase == HANDLER:
            self.depart()

    def depart(self) -> None:
        """The peer has left while a handler runs."""
        if self.request is not None:
            self.request._abort(AbortedError("aborted"))

    # --- the loop --------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the connection ends. Cancelled, it closes the socket at once."""
        if self._server.timeout:
            self.socket.set_timeout(self._server.timeout)
            self.socket.watchers.append(self._notice_silence)
        try:
            while True:
                with self._scope:
                    await self._serve()
                if not self._scope.cancelled_caught or self.killed:
                    break
                if not await self._expired():
                    break
                self._scope = trio.CancelScope()
        except SocketHangUpError as error:
            logger.debug("connection %d: %s", self.number, error)
        finally:
            self._finish_messages()
            if self.phase != DETACHED:
                self.socket.destroy()

    async def _serve(self) -> None:
        try:
            while True:
                head = await self._next_head()
                if head is None:
                    break
                if not await self._exchange(head):
                    break
        except ParseError as error:
            await self._refuse(error)
            return
        if self.phase != DETACHED and not self.socket.destroyed:
            await close_politely(self.connection)

    async def _next_head(self) -> RequestHead | None:
        """Read the next head; None when there is no further request."""
        codec = self._codec
        head = codec.read_request() if codec.buffered else None
        if head is not None:
            return head
        server = self._server
        now = trio.current_time()
        if codec.buffered or (self.requests == 0 and self.phase == IDLE):
            self.phase = HEAD if codec.buffered else IDLE
            self._scope.deadline = now + self._head_limit()
        else:
            if self._closing():
                return None
            self.phase = IDLE
            limit = server.keep_alive_timeout or math.inf
            self._scope.deadline = now + limit + server.keep_alive_timeout_buffer
        while True:
            data = await self.socket.receive()
            codec.feed(data)
            head = codec.read_request()
            if head is not None:
                self._scope.deadline = math.inf
                return head
            if not data:
                return None
            if self.phase == IDLE and codec.buffered:
                self.phase = HEAD
                if self.requests:
                    self._scope.deadline = trio.current_time() + self._head_limit()

    def _head_limit(self) -> float:
        server = self._server
        return min(server.headers_timeout or math.inf, server.request_timeout or math.inf)

    async def _exchange(self, head: RequestHead) -> bool:
        """Serve one request; answers whether another may follow."""
        server = self._server
        self.phase = HANDLER
        self.requests += 1
        connection = self.connection
        connection.body_bytes = 0
        head.max_pairs = server.max_headers_count or 0
        request = server.incoming_message_class(
            connection, head, join_duplicate_headers=server.join_duplicate_headers
        )
        if head.body:
            request.before_body = self._before_body
        self.request = request
        if head.upgrade is not None or head.method == "CONNECT":
            handler = self._find_switch(head)
            if handler is not None:
                await self._switch(handler, request)
                return False
            if head.method == "CONNECT":
                return False
        response = self._make_response(request, head)
        Access.begin(self, head)
        handler = self._choose_handler(head, request, response)
        error: Exception | None = None
        try:
            await handler(request, response)
            if not response.writable_ended and not response.destroyed:
                await response.end()
        except Exception as caught:
            error = caught
        if error is not None:
            await self._fail(error, request, response)
        return await self._conclude(request, response)

    def _make_response(self, request: IncomingMessage, head: RequestHead) -> ServerResponse:
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
        if self._closing() or self._codec.eof:
            return False
        # The client may send the body that it announced, or may not: both end here.
        unsure = request is not None and request._head.expect == "100-continue"  # type: ignore[union-attr]
        return not (unsure and response is not None and not response._sent_continue)

    def _choose_handler(
        self, head: RequestHead, request: IncomingMessage, response: ServerResponse
    ) -> Handler:
        server = self._server
        if head.host is None and head.minor == 1 and server.require_host_header:
            return answer_no_host
        limit = server.max_requests_per_socket or 0
        if limit and self.requests > limit:
            self._observe("drop_request", request, self.socket)
            return answer_overload
        handlers = self._handlers
        if head.expect is not None and head.minor == 1:
            if head.expect != "100-continue":
                return handlers.get("check_expectation", answer_expectation)
            if "check_continue" in handlers:
                request.before_body = self._begin_body
                return handlers["check_continue"]
        handler = handlers.get("request", answer_nothing)
        if server.on_disconnect == "cancel":
            return cancelling(handler)
        return handler

    # --- reading a body ----------------------------------------------------------------

    async def _begin_body(self) -> None:
        self._progress.restart()

    async def _before_body(self) -> None:
        """At the first body read: tell a client that waits to go on (RFC 9110 10.1.1)."""
        request, response = self.request, self.response
        assert request is not None
        head = request._head
        waits = head.expect == "100-continue" and head.minor == 1  # type: ignore[union-attr]
        if waits and response is not None and not response._sent_continue:
            if not response.headers_sent and not self._codec.buffered:
                await response.write_continue()
            response._sent_continue = True
        self._progress.restart()

    # --- the end of an exchange ----------------------------------------------------------

    async def _conclude(self, request: IncomingMessage, response: ServerResponse) -> bool:
        shape = response._shape
        access = self._access
        more = response.writable_finished and not (shape.last or self.socket.destroyed)
        if access is not None:
            access.end(self)
        if request._ended:
            request._close()
            response._close()
        else:
            if not self._codec.complete:
                more = await self._drain(request) and more
            response._close()
            if request.complete and not request._ended:
                request._end()
            request._close()
        self.request = self.response = None
        if self.socket.timeout != (self._server.timeout or math.inf):
            self.socket.set_timeout(self._server.timeout)
        return more and not self._codec.eof

    async def _drain(self, request: IncomingMessage) -> bool:
        """Throw away the rest of a body; answers whether its end was found."""
        self.phase = DRAIN
        head = request._head
        if self.socket.destroyed or head.expect is not None:  # type: ignore[union-attr]
            return False
        budget = MAX_DRAIN
        if head.body > budget:
            return False
        self._progress.restart()
        try:
            while budget > 0:
                data = await self.connection.read_body(None)
                if not data:
                    request.complete = True
                    return True
                budget -= len(data)
        except HTTPError as error:
            logger.debug("connection %d: the rest of a body: %s", self.number, error)
            self.socket.destroy()
        return False

    async def _fail(
        self, error: Exception, request: IncomingMessage, response: ServerResponse
    ) -> None:
        """A handler raised: 500 if nothing was sent, else cut the connection."""
        blamed = self._blame(error, request)
        if not blamed and self._server.on_error == "raise":
            self.socket.destroy()
            raise error
        if not blamed:
            logger.error(
                "connection %d: the handler of %s %s raised",
                self.number,
                request.method,
                request.url,
                exc_info=error,
            )
        if self.socket.destroyed:
            return
        if isinstance(error, (ParseError, RequestTimeoutError)) and not response.headers_sent:
            await self._refuse(error)
            return
        if response.headers_sent or blamed:
            self.socket.destroy()
            return
        response._headers = None
        response._shape.removed = 0
        response.status_code, response.status_message = 500, ""
        response._shape.last = True
        response._shape.length = None
        try:
            await response.end("Internal Server Error")
        except SocketHangUpError:
            self.socket.destroy()

    def _blame(self, error: Exception, request: IncomingMessage) -> bool:
        """Say whether the peer, and not the handler, is at fault."""
        if isinstance(error, (ParseError, RequestTimeoutError)):
            return True
        if error is self.socket.broken or isinstance(error, AbortedError):
            self.depart()
            return True
        return request.aborted and isinstance(error, HTTPError)

    async def _refuse(self, error: HTTPError) -> None:
        """Answer what cannot be served, as Node does: a bare status line, and close."""
        response = self.response
        if self.socket.destroyed or (response is not None and response.headers_sent):
            self.socket.destroy(error)
            return
        logger.warning(
            "connection %d from %s: %s (%s)",
            self.number,
            self.socket.remote_address,
            error,
            error.code,
        )
        Access.refused(self, error)
        self.phase = HANDLER
        self._scope.deadline = math.inf
        handler = self._handlers.get("client_error")
        if handler is not None:
            try:
                await handler(error, self.socket_stream())
            except Exception:
                logger.exception("the client_error handler raised")
        elif self.socket.bytes_read or not self.socket.encrypted:
            await send_refusal(self.connection, error)
        self.socket.destroy(error)

    def socket_stream(self) -> UpgradedStream:
        """Make the stream that a handler of raw bytes is given."""
        return UpgradedStream(self.socket, self._codec.take_rest())

    # --- the deadline struck -------------------------------------------------------------

    async def _expired(self) -> bool:
        """Answers whether to go on serving."""
        if self.phase == HEAD or (self.phase == IDLE and self.requests == 0):
            await self._refuse(RequestTimeoutError("Request timeout"))
        elif self.phase == IDLE and "timeout" in self._handlers:
            await self._handlers["timeout"](self.socket)
            return not self.socket.destroyed
        elif self.phase == IDLE:
            await self.socket.aclose()
        return False

    def _notice_silence(self) -> bool:
        """Silence on the socket, noticed while a handler may be running."""
        handler = self._handlers.get("timeout")
        if handler is not None:
            self._spawn(handler, self.socket)
        return handler is not None

    def _finish_messages(self) -> None:
        """The connection is over: whatever was going on is closed."""
        request, response = self.request, self.response
        if request is not None:
            if not request.closed and (self.phase != DETACHED):
                self.depart()
        if self._access is not None:
            self._access.end(self)
        if response is not None:
            response._close()
        if request is not None:
            request._close()

    # --- handing the socket over -----------------------------------------------------------

    def _find_switch(self, head: RequestHead) -> Handler | None:
        if head.method == "CONNECT":
            return self._handlers.get("connect")
        for name in (head.upgrade or "").split(","):
            handler = self._upgrades.get(name.strip().lower())
            if handler is not None:
                return handler
        return self._upgrades.get("")

    async def _switch(self, handler: Handler, request: IncomingMessage) -> None:
        """Give the socket to an upgrade or connect handler; its scope ends with it."""
        self.phase = DETACHED
        self._codec.complete = True
        request.complete = True
        stream = self.socket_stream()
        Access.begin(self, request._head)  # type: ignore[arg-type]
        try:
            await handler(request, stream)
        except Exception as error:
            if error is not self.socket.broken:
                if self._server.on_error == "raise":
                    raise
                logger.exception("the handler of %s %s raised", request.method, request.url)
        finally:
            if self._access is not None:
                self._access.end(self)
            self.request = None
            self.socket.destroy()
