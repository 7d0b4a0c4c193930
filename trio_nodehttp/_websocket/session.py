"""One open WebSocket: the tasks that move its frames, and the buffers between.

A *reader* owns the connection's life: it reads frames until the peer closes, leaves
or breaks a rule, then ends the transport.  A *writer* sends what lies in the outbox,
so a cancelled `Session.send` never leaves half a frame behind and a pong never waits
for the application.

Once closing starts, from either side, ``close_timeout`` seconds remain for all that
is left to do; then the stream is closed whatever the peer does.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Callable
from typing import Final

import attrs
import trio

from .._errors import HTTPError
from .errors import WebSocketClosedError
from .options import Limits
from .protocol import ABNORMAL, GOING_AWAY, Close, Failure, Message, Ping, Protocol

#: Bytes of frames that may wait to be sent before `Session.send` waits too.
WRITE_BUFFER: Final = 65536
#: Pongs that may wait; RFC 6455 section 5.5.3 lets the oldest go unanswered.
MOST_PONGS: Final = 128
#: Events handled in one go, so that a flood leaves other tasks their turn.
MOST_EVENTS: Final = 256
RECEIVE_BYTES: Final = 65536
#: How a stream says that it is of no more use.
LOST: Final = (trio.BrokenResourceError, trio.ClosedResourceError, HTTPError)
#: Seconds in which a peer that broke a rule may still read our close frame.
LINGER: Final = 1.0


@attrs.frozen
class Ending:
    """How a connection ended.

    Attributes:
        code: RFC 6455 section 7.4.
        reason: in words.
        was_clean: both close frames were exchanged.
        cause: the error that ended it, if one did.
        under_way: it is not over, but closing has started.
    """

    code: int
    reason: str
    was_clean: bool = False
    cause: BaseException | None = None
    under_way: bool = False

    def error(self) -> WebSocketClosedError:
        """Make the error that tells of it."""
        error = WebSocketClosedError(
            self.code, self.reason, was_clean=self.was_clean, under_way=self.under_way
        )
        error.__cause__ = self.cause
        return error


class Session:
    """Sends, receives and closes while `run` is running in a task of its own.

    Args:
        stream: the connection after its handshake; closed when `run` ends.
        protocol: its frames.
        limits: its bounds.
        client: whether this end is the client, who leaves the closing of the
            transport to the server (RFC 6455 section 7.1.1).
        on_message: called in place with each message; answers whether anybody
            listened.
        on_end: called in place once the stream is closed.
        leaving: closes with code 1001 once it is set; None never does.
    """

    __slots__ = (
        "_arrivals",
        "_deadline",
        "_failure",
        "_heard",
        "_is_broken",
        "_is_client",
        "_is_consumed",
        "_is_paused",
        "_is_writing",
        "_leaving",
        "_limits",
        "_on_end",
        "_on_message",
        "_outbox",
        "_own_close",
        "_pongs",
        "_protocol",
        "_queue",
        "_queued",
        "_received",
        "_room",
        "_stream",
        "_turn",
        "_unwritten",
        "_work",
        "_written",
        "buffered_amount",
        "ended",
        "ending",
        "is_closing",
    )

    def __init__(
        self,
        stream: trio.abc.Stream,
        protocol: Protocol,
        limits: Limits,
        *,
        client: bool,
        on_message: Callable[[str | bytes], bool],
        on_end: Callable[[Ending], None],
        leaving: trio.Event | None = None,
    ) -> None:
        self._stream = stream
        self._protocol = protocol
        self._limits = limits
        self._is_client = client
        self._on_message = on_message
        self._on_end = on_end
        self._leaving = leaving
        # From the reader to the application.
        self._queue: collections.deque[Message] = collections.deque()
        self._queued = 0  # bytes in it
        self._arrivals = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._is_consumed = False  # somebody has called receive
        self._is_paused = False
        self._heard = -math.inf  # when the last bytes came
        # From everybody to the writer: frames, and the payload bytes in each.
        self._outbox: collections.deque[tuple[bytes, int]] = collections.deque()
        self._pongs: collections.deque[bytes] = collections.deque(maxlen=MOST_PONGS)
        self._unwritten = 0  # bytes of frames, those being sent included
        self._turn = trio.Lock()
        self._work = trio.lowlevel.ParkingLot()
        self._written = trio.lowlevel.ParkingLot()
        self._is_writing = False
        self._is_broken = False
        self.buffered_amount = 0
        # The end.
        self._deadline = trio.CancelScope()
        self._own_close = Ending(ABNORMAL, "", under_way=True)
        self._received: Close | None = None
        self._failure: Ending | None = None
        self.is_closing = False
        self.ending: Ending | None = None
        self.ended = trio.Event()

    # --- for the application ------------------------------------------------------

    async def send(self, data: str | bytes) -> None:
        """Put a message in the outbox, waiting while that is full.

        If cancelled, nothing of the message is sent; once this has returned, all of
        it will be, unless the connection ends.

        Raises:
            WebSocketClosedError: closing has started.
        """
        async with self._turn:
            while self._unwritten >= WRITE_BUFFER and not self.is_closing:
                await self._written.park()
            if self.is_closing:
                raise self._why_closing().error()
            self._put(self._protocol.encode_message(data), _size_of(data))

    async def receive(self) -> str | bytes:
        """Take the next message; being cancelled loses none.

        Raises:
            WebSocketClosedError: there is none, and none will come.
        """
        self._is_consumed = True
        if self._queue or self.ending is not None:
            await trio.lowlevel.checkpoint()
        while not self._queue:
            if self.ending is not None:
                raise self.ending.error()
            await self._arrivals.park()
        message = self._queue.popleft()
        self._queued -= message.size
        self._room.unpark_all()
        return message.data

    def start_closing(self, code: int, reason: str) -> None:
        """Send a close frame behind all that waits; does nothing the second time."""
        if not self.is_closing:
            self._own_close = Ending(code, reason, under_way=True)
            self._put(self._protocol.encode_close(code, reason))
            self._begin_closing()

    # --- the reader ---------------------------------------------------------------

    async def run(self) -> None:
        """Serve the connection to its end.

        If cancelled, the stream is closed without a close frame.
        """
        try:
            async with trio.open_nursery() as helpers:
                helpers.start_soon(self._write_frames)
                if self._limits.ping_interval < math.inf:
                    helpers.start_soon(self._ping_peer)
                if self._leaving is not None:
                    helpers.start_soon(self._go_away, self._leaving)
                with self._deadline:
                    await self._read_to_the_end()
                helpers.cancel_scope.cancel()
        finally:
            try:
                await trio.aclose_forcefully(self._stream)
            finally:
                self._end()

    async def _read_to_the_end(self) -> None:
        try:
            await self._read_frames()
            self._begin_closing()
            if self._received or self._protocol.close_sent:
                await self._end_transport()
        except LOST as exc:
            self._fail(ABNORMAL, "the connection was lost", exc)

    async def _read_frames(self) -> None:
        """Handle what the peer sends, until nothing more may be read."""
        handled = 0
        while self._received is None and self._failure is None:
            event = self._protocol.next_event()
            if event is None:
                await self._read_bytes()
            elif isinstance(event, Message):
                await self._deliver(event)
            elif isinstance(event, Ping):
                # Framed before the next event, which may be a close that forbids it.
                if pong := self._protocol.encode_pong(event.payload):
                    self._pongs.append(pong)
                    self._work.unpark()
            elif isinstance(event, Close):
                self._received = event
                self._answer_close(event.code, event.reason)
            elif isinstance(event, Failure):
                self._fail(event.code, event.reason)
                self._answer_close(event.code, event.reason)
            handled += 1
            if handled % MOST_EVENTS == 0:
                await trio.lowlevel.checkpoint()

    async def _read_bytes(self) -> None:
        data = await self._stream.receive_some(RECEIVE_BYTES)
        if data:
            self._heard = trio.current_time()
            self._protocol.feed(bytes(data))
        else:
            # RFC 6455 section 7.1.5.
            self._fail(ABNORMAL, "the peer left without a close frame")

    def _answer_close(self, code: int, reason: str) -> None:
        """Send a close frame, unless one was sent; no message may follow it."""
        self._put(self._protocol.encode_close(code, reason))
        self._begin_closing()

    async def _deliver(self, message: Message) -> None:
        """Queue a message, and wait while the queue is full."""
        if self.is_closing:
            return  # as in a browser; else unread messages would hold up the end
        is_observed = self._on_message(message.data)
        self._queue.append(message)
        self._queued += message.size
        self._arrivals.unpark()
        if is_observed and not self._is_consumed:
            self._trim_queue()
        elif self._is_full():
            await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        self._is_paused = True
        while self._is_full() and not self.is_closing:
            await self._room.park()
        self._is_paused = False
        self._heard = trio.current_time()

    def _is_full(self) -> bool:
        # With no limit at all, infinity is never reached; 0 bytes would be always.
        most_bytes = self._limits.max_message_size or math.inf
        return len(self._queue) >= self._limits.max_queue or self._queued >= most_bytes

    def _trim_queue(self) -> None:
        """Forget the oldest messages, which the observers have had already."""
        while len(self._queue) > 1 and self._is_full():
            self._queued -= self._queue.popleft().size

    # --- the writer ---------------------------------------------------------------

    async def _write_frames(self) -> None:
        try:
            while True:
                while not (self._outbox or self._pongs):
                    await self._work.park()
                await self._write_some()
        except LOST as exc:
            # The peer's close frame may still wait to be read, so the reader goes on.
            self._is_broken = True
            self._own_close = Ending(ABNORMAL, "the connection was lost", cause=exc)
            self._outbox.clear()
            self._pongs.clear()
            self._begin_closing()

    async def _write_some(self) -> None:
        """Send pongs, then frames, about as many as fill the write buffer."""
        frames = [*self._pongs]
        self._pongs.clear()
        payload = length = 0
        while self._outbox and length < WRITE_BUFFER:
            frame, size = self._outbox.popleft()
            frames.append(frame)
            length += len(frame)
            payload += size
        self._is_writing = True
        await self._stream.send_all(b"".join(frames) if len(frames) > 1 else frames[0])
        self._is_writing = False
        self._unwritten -= length
        self.buffered_amount -= payload
        self._written.unpark_all()

    async def _flush(self) -> None:
        """Wait until everything is written, or the writer has failed."""
        while self._outbox or self._pongs or self._is_writing:
            if self._is_broken:
                break
            await self._written.park()

    def _put(self, frame: bytes, payload: int = 0) -> None:
        if frame and not self._is_broken:
            self._outbox.append((frame, payload))
            self._unwritten += len(frame)
            self.buffered_amount += payload
            self._work.unpark()

    async def _ping_peer(self) -> None:
        """Ping at each interval; give up a peer of whom nothing comes after a ping."""
        interval, timeout = self._limits.ping_interval, self._limits.ping_timeout
        due, unanswered = trio.current_time() + interval, math.inf
        while True:
            await trio.sleep_until(min(due, unanswered + timeout))
            now = trio.current_time()
            if self.is_closing:
                return
            # While the application does not read, the pong may lie behind messages.
            if self._heard >= unanswered or self._is_paused:
                unanswered = math.inf
            elif unanswered + timeout <= now:
                self._fail(ABNORMAL, "the peer did not answer a ping in time")
                self._deadline.cancel()
                return
            if due <= now:
                self._put(self._protocol.encode_ping(b""))
                due, unanswered = now + interval, min(unanswered, now)

    # --- the end ------------------------------------------------------------------

    async def _go_away(self, leaving: trio.Event) -> None:
        await leaving.wait()
        self.start_closing(GOING_AWAY, "")

    def _begin_closing(self) -> None:
        """Start the time limit of closing, and wake all that wait for the peer."""
        if not self.is_closing:
            self.is_closing = True
            now = trio.current_time()
            self._deadline.deadline = now + self._limits.close_timeout
        self._room.unpark_all()
        self._written.unpark_all()

    async def _end_transport(self) -> None:
        """Let the peer have our close frame, and the last word where it is due."""
        await self._flush()
        if self._failure is not None:
            # Closing with bytes unread would reset, and our close frame with it.
            with trio.move_on_after(LINGER):
                if isinstance(self._stream, trio.abc.HalfCloseableStream):
                    await self._stream.send_eof()
                await self._discard_rest()
        elif self._is_client:
            await self._discard_rest()
        await self._stream.aclose()

    async def _discard_rest(self) -> None:
        while await self._stream.receive_some(RECEIVE_BYTES):
            pass

    def _fail(self, code: int, reason: str, cause: Exception | None = None) -> None:
        if self._failure is None:
            self._failure = Ending(code, reason, cause=cause)

    def _why_closing(self) -> Ending:
        """Say as much as is known before the end."""
        if self.ending is None and self._received is not None:
            return Ending(*self._received, under_way=True)
        return self.ending or self._failure or self._own_close

    def _end(self) -> None:
        """Tell everybody that it is over."""
        self.is_closing = True
        if self._received is not None and self._protocol.close_sent:
            self.ending = Ending(*self._received, was_clean=True)
        elif self._failure is not None:
            self.ending = self._failure
        elif self._is_broken:
            self.ending = self._own_close
        elif self._deadline.cancelled_caught:
            self.ending = Ending(ABNORMAL, "the peer did not close in time")
        else:
            self.ending = Ending(ABNORMAL, "the scope was cancelled")
        self._arrivals.unpark_all()
        self._room.unpark_all()
        self._written.unpark_all()
        self.ended.set()
        self._on_end(self.ending)


def _size_of(data: str | bytes) -> int:
    if isinstance(data, bytes) or data.isascii():
        return len(data)
    return len(data.encode())
