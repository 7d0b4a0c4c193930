"""One request and its response on a socket: acquire, send, read heads, give it back."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from .._errors import (
    AbortedError,
    HTTPError,
    ParseError,
    SocketHangUpError,
    StaleConnectionError,
    StreamDestroyedError,
)
from .._incoming import IncomingMessage
from .._sansio.events import ResponseHead
from .._transport import Socket
from .._upgraded import UpgradedStream
from .agent import Agent
from .information import Information
from .lease import PooledConnection
from .options import ConnectOptions
from .outset import Outset
from .timings import Timings

# RFC 9110 section 9.2.2.
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_REPLAY_MAX: Final = 1 << 20
_SURE_TO_FIT: Final = 16384
_MAX_INFORMATIONAL: Final = 100


class Exchange(Outset):
    """The part of a ``ClientRequest`` that moves bytes."""

    __slots__ = ()

    # --- the scope -----------------------------------------------------------------------

    def _enter_fast(self) -> bool:
        """Take an idle socket, if there is one."""
        self.timings = Timings()
        if self.destroyed:
            return False
        connection = self._agent._take_idle(self._origin, self)
        if connection is not None:
            self._assign(connection)
        return connection is not None

    async def _enter(self, *, fresh: bool = False) -> None:
        assert self.timings is not None
        try:
            if self.destroyed:
                await trio.lowlevel.checkpoint()
                raise self.errored or SocketHangUpError("socket hang up")
            with trio.CancelScope() as self._scope:
                self._assign(
                    await self._agent._acquire(self._options, self, self.timings, fresh=fresh)
                )
            if self._connection is None:
                raise self.errored or SocketHangUpError("socket hang up")
        except Exception as error:
            self._fail(error)
            self._close()
            raise
        finally:
            self._scope = None

    async def _connect(self, agent: Agent, options: ConnectOptions) -> trio.abc.Stream:
        """Open a connection for this request; called by the agent."""
        options = attrs.evolve(
            options,
            timings=self.timings,
            timeout=self._timeout,
            keep_alive=agent.keep_alive,
            keep_alive_initial_delay=agent.keep_alive_initial_delay,
        )
        assert self.timings is not None
        self.timings.mark("queued")
        if self._connector is not None:
            return await self._connector(options)  # type: ignore[no-any-return]
        return await agent.create_connection(options)

    def _assign(self, connection: PooledConnection) -> None:
        self._connection = connection
        socket = self._socket = connection.socket
        self.reused_socket = connection.served > 0
        self._seen = socket.bytes_read
        assert self.timings is not None
        self.timings.reused = self.reused_socket
        timeout = self.__dict__.get("_early_timeout", self._timeout)
        if timeout:
            socket.set_timeout(timeout)
            socket.watchers.append(self._notice_silence)
        elif self._agent.timeout:
            socket.watchers.append(self._only_notify)
            if self._observed("timeout"):
                socket.set_timeout(self._agent.timeout)
        if self._observers is not None:
            self._emit("socket", socket)

    def _only_notify(self) -> bool:
        # The agent's timeout is for idle sockets; one in use is only told about.
        self._emit("timeout")
        return True

    def _leave(self) -> None:
        response = self.response
        if self._connection is not None:
            if response is not None and not response.closed:
                response.destroy()
            self._part(reusable=False)
        self._close()
        if response is not None:
            response._close()

    # --- sending ---------------------------------------------------------------------------

    async def _transmit(self, data: bytes) -> bool:
        if self.response is not None:
            await trio.lowlevel.checkpoint()
            return False
        socket = self._socket
        if socket is None:
            raise StreamDestroyedError("enter the request's scope first: async with request(...)")
        first = self._replay is None and self._body_sent <= len(data)
        self._replay = data if first and self.writable_ended and len(data) <= _REPLAY_MAX else None
        try:
            if socket._send is not None and len(data) + self._body_sent <= _SURE_TO_FIT:
                sent = socket.send_now(data)
                if sent < len(data):
                    await socket.send(data[sent:])
                elif not self._will_read:
                    await trio.lowlevel.checkpoint()
                return True
            return await self._transmit_watching(socket, data)
        except SocketHangUpError as error:
            return await self._after_broken_send(error)

    async def _transmit_watching(self, socket: Socket, data: bytes) -> bool:
        """Send while watching for a final response that makes the rest unwanted."""
        sent = socket.send_now(data)
        if sent == len(data):
            await trio.lowlevel.checkpoint()
            if not socket.is_readable() or self._reading:
                return True
        broken: list[SocketHangUpError] = []
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                if not self._reading:
                    nursery.start_soon(self._watch)
                try:
                    if sent == len(data):
                        await self._peek()
                    else:
                        await socket.send(data[sent:])
                except SocketHangUpError as error:
                    broken.append(error)
                nursery.cancel_scope.cancel()
        self._scope = None
        if self.destroyed:
            raise self.errored or SocketHangUpError("socket hang up")
        if self.response is None and broken:
            raise broken[0]
        return self.response is None

    async def _peek(self) -> None:
        """Let the watcher read what is there."""
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()

    async def _watch(self) -> None:
        """Read heads beside a send; the final one ends it."""
        try:
            await self._read_final()
        except HTTPError:
            return  # the send, or the next read, meets it too
        if self._scope is not None:
            self._scope.cancel()

    async def _after_broken_send(self, error: SocketHangUpError) -> bool:
        """The peer stopped listening: perhaps it has answered (RFC 9112 section 9.5)."""
        if self.response is None and not self._reading and not self.destroyed:
            try:
                await self._read_final()
            except HTTPError:
                if self._may_retry():
                    return True
                failed = self._as_stale(error)
                self._fail(failed)
                raise failed from error
        return False

    def _finished(self) -> None:
        assert self.timings is not None
        self.timings.mark("sent")

    # --- the response ------------------------------------------------------------------------

    def _check_entered(self) -> None:
        if self.destroyed:
            raise self.errored or SocketHangUpError("socket hang up")
        if self._connection is None:
            raise StreamDestroyedError("enter the request's scope first: async with request(...)")

    async def _send_body(self) -> None:
        body, self._body = self._body, None
        if body is None or isinstance(body, (bytes, bytearray, memoryview, str)):
            await self.end(body)
            return
        failure: list[BaseException] = []

        async def send(scope: trio.CancelScope) -> None:
            try:
                async for chunk in body:
                    if not await self.write(chunk):
                        return
                await self.end()
            except Exception as error:  # noqa: BLE001  # raised again below, outside the nursery
                failure.append(error)
                scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, nursery.cancel_scope)
            await self._watch()
            if self.response is not None:
                nursery.cancel_scope.cancel()
        if failure and self.response is None:
            raise failure[0]

    async def _wait_for_response(self) -> IncomingMessage:
        while self.response is None:
            try:
                await self._read_final()
            except SocketHangUpError as error:
                if self.destroyed:
                    raise self.errored or error from None
                if not self._may_retry():
                    raise self._as_stale(error) from error
                await self._retry()
        return self.response

    def _may_retry(self) -> bool:
        return (
            self._died_unheard()
            and self.attempts == 1
            and self.retry_stale
            and self.method in _IDEMPOTENT
            and self._replay is not None
            and self.writable_ended
        )

    def _died_unheard(self) -> bool:
        """The socket was reused, and not a byte of a response came."""
        socket = self._socket
        return (
            self.reused_socket
            and not self.destroyed
            and socket is not None
            and socket.bytes_read == self._seen
        )

    def _as_stale(self, error: SocketHangUpError) -> SocketHangUpError:
        if not self._died_unheard() or isinstance(error, StaleConnectionError):
            return error
        return StaleConnectionError(f"the reused connection was closed by the server: {error}")

    async def _retry(self) -> None:
        """Send the request once more, on a fresh connection."""
        self.attempts = 2
        assert self._replay is not None
        self._part(reusable=False)
        await self._enter(fresh=True)
        assert self._socket is not None
        await self._socket.send(self._replay)
        self._finished()

    async def _read_final(self) -> None:
        """Read heads until the final one, which becomes ``response``."""
        if self._reading:
            if self._arrived is None:
                self._arrived = trio.Event()
            await self._arrived.wait()
            return
        connection = self._connection
        assert connection is not None
        self._reading = True
        try:
            while self.response is None:
                head = await connection.read_response(self.method)
                if head.status == 101 or (self.method == "CONNECT" and head.status < 300):
                    if head.status >= 101 and head.status not in (102, 103):
                        self._switch(head)
                        return
                if head.status < 200:
                    self._inform(head)
                else:
                    self._accept(head)
        except SocketHangUpError as error:
            if self.destroyed and self.errored is not None:
                raise self.errored from error
            raise
        finally:
            self._reading = False
            if self._arrived is not None:
                self._arrived.set()
                self._arrived = None

    def _inform(self, head: ResponseHead) -> None:
        information = Information._of(head)
        self.informational.append(information)
        if len(self.informational) > _MAX_INFORMATIONAL:
            raise ParseError("HPE_INVALID_STATUS", "Too many informational responses")
        if self._observers is not None:
            if head.status == 100:
                self._emit("continue")
            self._emit("information", information)

    def _accept(self, head: ResponseHead) -> None:
        """The final head is here."""
        connection = self._connection
        assert connection is not None
        assert self.timings is not None
        self.timings.mark("first_byte")
        head.max_pairs = self.max_headers_count or 0
        response = IncomingMessage(
            connection, head, join_duplicate_headers="_join" in self.__dict__
        )
        response.timings = self.timings
        response.attempts = self.attempts
        response.on_end = self._response_ended
        response.on_destroy = self._response_destroyed
        response.on_aborted = self._close
        self.response = response
        if self._observers is not None:
            self._emit("response", response)
        if head.body == 0 and self.writable_finished and self._connection is not None:
            self._settle(head)

    def _response_ended(self) -> None:
        response = self.response
        assert response is not None
        assert self.timings is not None
        self.timings.mark("done")
        if self._connection is not None:
            self._settle(response._head)  # type: ignore[arg-type]
        self._close()
        response._close()

    def _settle(self, head: ResponseHead) -> None:
        """The response was received whole: keep the socket if that is safe."""
        codec = self._connection.codec  # type: ignore[union-attr]
        self._part(
            reusable=self.writable_finished
            and head.keep_alive
            and not self._closes
            and not codec.buffered
            and not codec.eof,
            hint=head.keep_alive_timeout,
        )

    def _part(self, *, reusable: bool, hint: int | None = None) -> None:
        """Give the connection back. Never awaits."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        socket = connection.socket
        if self.response is not None:
            self.response.socket = socket
            self.response._connection = None
        if socket.watchers:
            socket.watchers.clear()
            if not socket.destroyed:
                socket.set_timeout(None)
        self._agent._release(connection, reusable=reusable, hint=hint)

    def _response_destroyed(self, error: BaseException | None) -> None:
        """The caller gave the response up."""
        response = self.response
        assert response is not None
        connection = self._connection
        if connection is None:
            return
        connection.socket.destroy(error)
        if not response.complete:
            response._abort(error or AbortedError("aborted"))
        self._part(reusable=False)
        self._close()
        response._close()

    def _switch(self, head: ResponseHead) -> None:
        """The connection is no longer HTTP's."""
        connection = self._connection
        assert connection is not None
        event = "connect" if self.method == "CONNECT" else "upgrade"
        if self.__dict__.get("_wanted") != event and not self._observed(event):
            raise SocketHangUpError(f"socket hang up: unasked {head.status}")
        response = IncomingMessage(None, head)
        response.socket = connection.socket
        response.timings = self.timings
        stream = UpgradedStream(connection.socket, connection.codec.take_rest())
        self.__dict__["_stream"] = stream
        self.response = response
        self._connection = None
        connection.socket.watchers.clear()
        connection.socket.set_timeout(None)
        self._agent._drop(connection)
        if self._observers is not None:
            self._emit(event, response, stream)
        self._close()

    def _fail(self, error: BaseException) -> None:
        """The request came to nothing."""
        if self.errored is None and not self.closed:
            self.errored = error
            self.destroyed = True
            self._part(reusable=False)
            if not self.aborted:
                self._emit("error", error)
