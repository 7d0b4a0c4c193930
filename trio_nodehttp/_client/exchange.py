"""One request and its response on a socket: what is sent, and the heads that come.

Whoever needs a head reads it, one task at a time: the task in ``get_response``, or a
watcher beside a send that blocks. A final response that wants no more ends the send;
that socket is then of no more use, for the request was cut short (RFC 9112 section 9.5).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NoReturn

import trio

from .._encodings import to_bytes
from .._errors import (
    HTTPError,
    ParseError,
    SocketHangUpError,
    StaleConnectionError,
    StreamDestroyedError,
)
from .._incoming import IncomingMessage
from .._sansio.events import CONTINUE, UNTIL_CLOSE, ResponseHead
from .._transport import Socket
from .._upgraded import UpgradedStream
from .holding import Holding
from .information import Information

# RFC 9110 section 9.2.2.
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_SURE_TO_FIT: Final = 16384
_MAX_INFORMATIONAL: Final = 100
# Seconds for an answer to arrive on a connection that no longer takes what we send.
_LAST_WORD: Final = 0.5
# Seconds for a server to ask for the body; RFC 9110 section 10.1.1 lets us go on without.
_GO_AHEAD: Final = 1.0


class Exchange(Holding):
    """The part of a ``ClientRequest`` that moves bytes."""

    __slots__ = ()

    # Another task reads while we send, and wants the rest of the body sent also behind
    # the head of the response: a proxy must not cut a request short.
    _duplex = False

    # --- sending ---------------------------------------------------------------------------

    def _unwanted(self) -> bool:
        """Say whether the server wants no more: it has refused, or has said all it will.

        One that is still answering may be reading as well, and send back what it gets;
        but not where its answer ends with the connection.
        """
        response, connection = self.response, self._connection
        if response is None:
            return False
        if connection is None or self._duplex:
            return connection is None
        refused = response.status_code >= 300 or response._head.body == UNTIL_CLOSE
        return refused or connection.codec.arrived

    def _check_writable(self) -> None:
        # Behind the response nothing is wanted, which `write` tells by its answer.
        if self.response is None or self.errored is not None or self.writable_ended:
            Holding._check_writable(self)

    async def _transmit(self, data: bytes) -> bool:
        if self._unwanted():
            self._closes = True
            await trio.lowlevel.checkpoint()
            return False
        socket = self._socket
        if socket is None or self._connection is None:
            raise StreamDestroyedError("enter the request's scope first: async with request(...)")
        if self._torn:
            raise StreamDestroyedError("an earlier write was cut short: the request is unusable")
        last = self.writable_ended
        self._replay = data if not self._begun and (last or not self._body_sent) else None
        self._begun = True
        try:
            fits = last and socket._raw is not None and len(data) + self._body_sent <= _SURE_TO_FIT
            if fits or self._duplex or self._upload is not None or self.response is not None:
                await socket.send(data)
                return True
            return await self._send_watched(socket, data)
        except HTTPError as error:
            return await self._after_broken(error)
        except BaseException:
            self._torn = True
            raise

    async def _send_watched(self, socket: Socket, data: bytes) -> bool:
        """Send while watching for a response that makes the rest unwanted."""
        await trio.lowlevel.checkpoint_if_cancelled()
        sent = socket.send_now(data)
        if sent < len(data):
            rest = memoryview(data)[sent:]
            heard = await self._watched(lambda: self._send_and_look(socket, rest))
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
            if self._reading or not socket.is_readable():
                return not self._unwanted()
            heard = await self._watched(_look)
        if self._unwanted():
            self._closes = True
            return False
        if heard is not None:
            raise heard
        return True

    async def _send_and_look(self, socket: Socket, rest: memoryview) -> None:
        await socket.send(rest)
        if socket.is_readable():
            await _look()

    async def _watched(self, work: Callable[[], Awaitable[None]]) -> HTTPError | None:
        """Do some work that ends when a response, or the failure of one, is here.

        Returns:
            What reading met, or None.

        Raises what the work, or an observer, raises; never inside the nursery, which
        would wrap it.
        """
        failure: BaseException | None = None
        self._heard = None
        async with trio.open_nursery() as nursery:
            self._upload = nursery.cancel_scope
            nursery.start_soon(self._watch)
            try:
                await work()
            except BaseException as error:  # noqa: BLE001  # raised outside the nursery
                failure = error
            nursery.cancel_scope.cancel()
        self._upload = None
        heard, self._heard = self._heard, None
        over = self.response is not None or heard is not None
        if over and isinstance(failure, trio.Cancelled):
            # It was ours; one from outside is raised here.
            await trio.lowlevel.checkpoint()
        elif failure is not None:
            raise failure
        if heard is not None and not isinstance(heard, HTTPError):
            raise heard  # an observer's
        return heard

    async def _watch(self) -> None:
        """Read heads beside a send; a failure, or a refusal, ends it. Raises nothing."""
        try:
            while self.response is None:
                await self._read_head()
            if not self._unwanted():
                return
        except trio.Cancelled:
            return
        except BaseException as error:  # noqa: BLE001  # raised again outside the nursery
            self._heard = error
        assert self._upload is not None
        self._upload.cancel()

    async def _after_broken(self, error: HTTPError) -> bool:
        """The connection does not take what we send: perhaps the peer has answered."""
        if isinstance(error, SocketHangUpError) and not self.destroyed:
            with trio.move_on_after(_LAST_WORD):
                try:
                    while self.response is None:
                        await self._read_head()
                except SocketHangUpError:
                    pass
                except HTTPError as better:
                    error = better
        if self.response is not None:
            self._closes = True
            return False
        if self._may_retry() and isinstance(error, SocketHangUpError):
            return True  # `get_response` does it
        return self._give_up(error)

    def _finished(self) -> None:
        assert self.timings is not None
        self.timings.mark("sent")
        response = self.response
        if response is not None and self._connection is not None and response._head.body == 0:
            self._settle(response._head)  # type: ignore[arg-type]

    # --- the response ------------------------------------------------------------------------

    async def _send_body(self) -> None:
        """Send what ``body`` gave, and end the request."""
        body, self._body = self._body, None
        if body is not None and str(self.get_header("expect")).lower() == CONTINUE:
            await self._hold_back(body)
            if self.response is not None:
                self._closes = True
                return
        if body is None or isinstance(body, (bytes, bytearray, memoryview, str)):
            await self.end(body)
            return
        await self._supply(lambda: self._send_pieces(body))

    async def _supply(self, work: Callable[[], Awaitable[None]]) -> None:
        if self._unwanted():
            await trio.lowlevel.checkpoint()
            return  # nothing is wanted
        self._check_entered()
        heard = await self._watched(work)
        if heard is not None:
            await self._after_broken(heard)

    async def _hold_back(self, body: Any) -> None:
        """Send the head, and wait until the server asks for the body, or for a second."""
        if not self._rendered:
            if not hasattr(body, "__aiter__"):
                self._shape.length = len(to_bytes("body", body))
            self._settle_head(body=True)
        head = self._head
        try:
            await self.flush_headers()
            with trio.move_on_after(_GO_AHEAD):
                await self._wait_for_continue()
        except SocketHangUpError as error:
            if not self._died_unheard():
                self._give_up(error)
            # The whole goes next, which may be sent again; a head alone may not.
            self._head, self._begun = head, False

    async def _wait_for_continue(self) -> None:
        while self.response is None and not self._continued():
            await self._read_head()

    def _continued(self) -> bool:
        return any(one.status_code == 100 for one in self.informational)

    async def _send_pieces(self, body: Any) -> None:
        pieces: AsyncIterator[Any] = body.__aiter__()
        try:
            async for piece in pieces:
                if not await self.write(piece):
                    return
            await self.end()
        finally:
            # What we made we close: a generator left to the collector would warn.
            close = getattr(pieces, "aclose", None)
            if close is not None and (pieces is not body or hasattr(pieces, "asend")):
                await close()

    async def _wait_for_response(self) -> None:
        while self.response is None:
            await self._hear()

    async def _hear(self) -> None:
        """Read one head, informational or final, also on a second connection."""
        try:
            await self._read_head()
        except SocketHangUpError as error:
            if not self._may_retry():
                self._give_up(error)
            await self._retry()

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
        """The socket was reused, its peer closed it, and not a byte of a response came."""
        socket = self._socket
        return (
            self.reused_socket
            and not self.destroyed
            and socket is not None
            and not socket.destroyed
            and socket.bytes_read == self._seen
        )

    def _give_up(self, error: HTTPError) -> NoReturn:
        """The request came to nothing: raise what its caller gets."""
        if self.destroyed:
            raise self._gone() from error
        if type(error) is SocketHangUpError and self._died_unheard():
            text = f"the reused connection was closed by the server: {error}"
            stale = StaleConnectionError(text)
            self._fail(stale)
            raise stale from error
        why = None if self._socket is None else self._socket.errored
        if isinstance(why, Exception) and why is not error:
            # Somebody destroyed the socket, and said why.
            self._fail(why)
            raise why from error
        self._fail(error)
        raise error

    async def _retry(self) -> None:
        """Send the request once more, on a fresh connection."""
        self.attempts = 2
        data = self._replay
        assert data is not None
        self._part(reusable=False)
        self._reading = True  # whoever else wants the response waits
        try:
            await self._enter(fresh=True)
        finally:
            self._stop_reading()
        self._begun = False
        await self._transmit(data)
        self._finished()

    async def _read_head(self) -> None:
        """Read one head, or wait for the task that does; the final one is ``response``."""
        if self._reading:
            if self._arrived is None:
                self._arrived = trio.Event()
            await self._arrived.wait()
            return
        connection = self._connection
        if connection is None:
            raise self._gone()
        self._reading = True
        try:
            self._take(await connection.read_response(self.method))
        except HTTPError as error:
            if self.destroyed and error is not self.errored:
                raise self._gone() from error
            raise
        finally:
            self._stop_reading()

    def _stop_reading(self) -> None:
        self._reading = False
        if self._arrived is not None:
            self._arrived.set()
            self._arrived = None

    def _take(self, head: ResponseHead) -> None:
        status = head.status
        if status == 101 or (self.method == "CONNECT" and 200 <= status < 300):
            self._switch(head)
        elif status < 200:
            self._inform(head)
        else:
            self._accept(head)

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
        self._replay = None
        head.max_pairs = self.max_headers_count or 0
        response = IncomingMessage(
            connection, head, join_duplicate_headers="_join" in self.__dict__
        )
        response.timings = self.timings
        response.attempts = self.attempts
        response.on_end = self._response_ended
        response.on_destroy = self._response_destroyed
        response.on_aborted = self._response_aborted
        self.response = response
        if self._observers is not None:
            self._emit("response", response)
        if head.body == 0 and self.writable_finished and self._connection is not None:
            self._settle(head)

    def _switch(self, head: ResponseHead) -> None:
        """The connection is no longer HTTP's."""
        connection = self._connection
        assert connection is not None
        assert self.timings is not None
        self.timings.mark("first_byte")
        event = "connect" if self.method == "CONNECT" else "upgrade"
        head.max_pairs = self.max_headers_count or 0
        response = IncomingMessage(None, head, join_duplicate_headers="_join" in self.__dict__)
        response.socket = connection.socket
        response.timings = self.timings
        response.attempts = self.attempts
        stream = UpgradedStream(connection.socket, connection.codec.take_rest())
        self._stream = stream
        self.response = response
        self._connection = None
        connection.socket.watchers.clear()
        connection.socket.set_timeout(None)
        self._agent._drop(connection)
        if self._observed(event):
            self._wanted = True
            self._emit(event, response, stream)
        self._close()

    def _answer(self) -> IncomingMessage:
        """Tell the response; a switch of protocols that nobody asked for is none."""
        response = self.response
        assert response is not None
        # RFC 9110 section 9.3.6: what opens a tunnel is a 2xx.
        if self._stream is not None and (
            not self._wanted or (self.method == "CONNECT" and response.status_code == 101)
        ):
            self._stream.destroy()
            self.errored = SocketHangUpError(f"socket hang up: unasked {response.status_code}")
            raise self.errored
        return response


async def _look() -> None:
    """Let the watcher read what is there."""
    for _ in range(3):
        await trio.lowlevel.checkpoint()
