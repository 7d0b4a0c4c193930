"""A pair of joined streams in memory, with the bounded buffers of a socket.

`trio.testing.memory_stream_pair` takes any amount of data at once, so a test on
it cannot see back-pressure.  Here each direction holds at most ``buffer_size``
bytes and a sender waits for its reader, as the kernel makes it wait.  A stream
also tells what ``poll`` tells of a socket: what waits to be read, and whether
the peer has left.

Nothing here reads a clock or touches the operating system.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

import trio

#: Bytes that one direction of a pipe holds when the caller names no size.
DEFAULT_BUFFER_SIZE = 65536


class _Turn:
    """Refuses a second task while one is inside."""

    __slots__ = ("_message", "_taken")

    def __init__(self, message: str) -> None:
        self._message = message
        self._taken = False

    def __enter__(self) -> None:
        if self._taken:
            raise trio.BusyResourceError(self._message)
        self._taken = True

    def __exit__(self, *exc_info: object) -> None:
        self._taken = False


class _Flow:
    """One direction of a pipe: its bytes, its state and those who wait on it."""

    __slots__ = (
        "abandoned",
        "arrivals",
        "buffer",
        "departures",
        "ended",
        "limit",
        "lost",
        "watchers",
    )

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.buffer = bytearray()
        self.ended = False  # the writer will add nothing more
        self.abandoned = False  # the reader has closed
        self.lost = False  # one of them has reset the connection
        self.arrivals = trio.lowlevel.ParkingLot()
        self.departures = trio.lowlevel.ParkingLot()
        self.watchers: list[Callable[[], object]] = []

    def put(self, view: memoryview) -> int:
        """Take as much of *view* as there is room for; its length in bytes."""
        room = self.limit - len(self.buffer)
        if room <= 0:
            return 0
        piece = view[:room]
        self.buffer += piece
        self.arrivals.unpark_all()
        return len(piece)

    def take(self, size: int) -> bytes:
        """Remove and return at most *size* bytes."""
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        self.departures.unpark_all()
        return data

    def end(self) -> None:
        """The writer is done: its reader gets what is left, then ``b""``."""
        self.ended = True
        self.wake()
        self.tell()

    def abandon(self) -> None:
        """The reader has closed: what it did not read is gone."""
        self.abandoned = True
        self.buffer.clear()
        self.wake()
        self.watchers.clear()

    def lose(self) -> None:
        """The connection is reset."""
        self.lost = True
        self.buffer.clear()
        self.wake()
        self.tell()

    def wake(self) -> None:
        """Let both sides look at the new state."""
        self.arrivals.unpark_all()
        self.departures.unpark_all()

    def tell(self) -> None:
        """Call each watcher of the reader, once in its life."""
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            watcher()


class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a pipe made by `memory_pipe`.

    One task may send while another receives; a second sender or receiver gets
    `trio.BusyResourceError`.  Every async method is a checkpoint.

    Attributes:
        bytes_sent: bytes that the pipe has taken from this end, read or not.
        max_receive: most bytes that one `receive_some` returns; None is no
            limit.  With 1, the reader sees everything byte by byte.
    """

    __slots__ = (
        "_closed",
        "_eof_sent",
        "_incoming",
        "_outgoing",
        "_receiving",
        "_sending",
        "bytes_sent",
        "max_receive",
    )

    def __init__(self, outgoing: _Flow, incoming: _Flow, max_receive: int | None) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._closed = False
        self._eof_sent = False
        self._sending = _Turn("another task is sending on this stream")
        self._receiving = _Turn("another task is receiving from this stream")
        self.bytes_sent = 0
        self.max_receive = max_receive

    def __repr__(self) -> str:
        state = (
            "closed"
            if self._closed
            else "reset by peer"
            if self._incoming.lost
            else "peer closed"
            if self.peer_closed
            else "open"
        )
        return f"<MemoryStream {state} sent={self.bytes_sent} unread={self.unread}>"

    @property
    def closed(self) -> bool:
        """Whether this end was closed or reset from here."""
        return self._closed

    @property
    def peer_closed(self) -> bool:
        """Whether the peer has closed, half-closed or reset (``POLLRDHUP``)."""
        return self._incoming.ended or self._incoming.lost

    @property
    def readable(self) -> bool:
        """Whether `receive_some` would return or raise without waiting (``POLLIN``)."""
        return self.peer_closed or bool(self._incoming.buffer)

    @property
    def unread(self) -> int:
        """Bytes that the peer has sent and this end has not received."""
        return len(self._incoming.buffer)

    def on_peer_close(self, callback: Callable[[], object]) -> None:
        """Have *callback* called when the peer closes, half-closes or resets.

        It is called once, in place, by the task that does it; at once if that
        has happened already; never after this end was closed.  Bytes may still
        wait to be read then.

        Args:
            callback: plain function without arguments; it must not raise.
        """
        if self._closed:
            return
        if self.peer_closed:
            callback()
        else:
            self._incoming.watchers.append(callback)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of *data*, waiting for the reader whenever the pipe is full.

        Cancellation leaves an unknown part of *data* sent; the stream is then
        good for closing only.

        Raises:
            trio.BrokenResourceError: the peer has closed or reset, before or
                while this waits.
            trio.ClosedResourceError: this end was closed, or had sent its end.
            trio.BusyResourceError: another task is sending.
        """
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_sendable()
            flow = self._outgoing
            with memoryview(data) as whole, whole.cast("B") as view:
                sent = 0
                while sent < len(view):
                    taken = flow.put(view[sent:])
                    if not taken:
                        await flow.departures.park()
                        self._check_sendable()
                    sent += taken
                    self.bytes_sent += taken

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the pipe has room for at least one byte.

        Being cancelled changes nothing.

        Raises:
            trio.BrokenResourceError: the peer has closed or reset.
            trio.ClosedResourceError: this end was closed, or had sent its end.
            trio.BusyResourceError: another task is sending.
        """
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_sendable()
            flow = self._outgoing
            while len(flow.buffer) >= flow.limit:
                await flow.departures.park()
                self._check_sendable()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what has arrived, waiting for the first byte if nothing has.

        Being cancelled loses no bytes.

        Args:
            max_bytes: most bytes to return, at least 1; None is all there is.

        Returns:
            At least one byte, or ``b""`` once the peer has ended its side and
            everything before that was received.

        Raises:
            TypeError, ValueError: *max_bytes* is no positive integer.
            trio.BrokenResourceError: the peer has reset the connection.
            trio.ClosedResourceError: this end was closed.
            trio.BusyResourceError: another task is receiving.
        """
        size = self._receive_size(max_bytes)
        with self._receiving:
            await trio.lowlevel.checkpoint()
            self._check_receivable()
            flow = self._incoming
            while not flow.buffer:
                if flow.ended:
                    return b""
                await flow.arrivals.park()
                self._check_receivable()
            return flow.take(len(flow.buffer) if size is None else size)

    async def send_eof(self) -> None:
        """End this direction; the other one stays open.

        A second call does nothing.  If cancelled, the end was not sent.

        Raises:
            trio.BrokenResourceError: the peer has reset the connection.
            trio.ClosedResourceError: this end was closed.
            trio.BusyResourceError: another task is sending.
        """
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_open()
            if self._outgoing.lost:
                raise trio.BrokenResourceError("the peer has reset the connection")
            if not self._eof_sent:
                self._eof_sent = True
                self._outgoing.end()

    async def aclose(self) -> None:
        """Close both directions (`close_now`), then pass a checkpoint.

        If cancelled, the stream is closed all the same.
        """
        self.close_now()
        await trio.lowlevel.checkpoint()

    def close_now(self) -> None:
        """Close both directions without waiting; harmless when repeated.

        The peer receives what was sent before, then ``b""``, and cannot send.
        Tasks blocked on this end get `trio.ClosedResourceError`.
        """
        if self._closed:
            return
        self._closed = True
        self._incoming.abandon()
        if not self._eof_sent:
            self._outgoing.end()

    def reset(self) -> None:
        """Cut the connection as a TCP reset does; nothing on a closed stream.

        Unread bytes of both directions are lost; the peer's blocked and later
        calls raise `trio.BrokenResourceError`.  Tasks blocked on this end get
        `trio.ClosedResourceError`.
        """
        if self._closed:
            return
        self._closed = True
        self._incoming.watchers.clear()
        self._incoming.lose()
        self._outgoing.lose()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed")

    def _check_sendable(self) -> None:
        self._check_open()
        if self._eof_sent:
            raise trio.ClosedResourceError("this stream has sent its end")
        if self._outgoing.lost:
            raise trio.BrokenResourceError("the peer has reset the connection")
        if self._outgoing.abandoned:
            raise trio.BrokenResourceError("the peer has closed the connection")

    def _check_receivable(self) -> None:
        self._check_open()
        if self._incoming.lost:
            raise trio.BrokenResourceError("the peer has reset the connection")

    def _receive_size(self, max_bytes: int | None) -> int | None:
        """The smaller of the caller's limit and the stream's own."""
        if max_bytes is None:
            return self.max_receive
        size = operator.index(max_bytes)
        if size < 1:
            raise ValueError("max_bytes must be at least 1")
        return size if self.max_receive is None else min(size, self.max_receive)


def memory_pipe(
    buffer_size: int = DEFAULT_BUFFER_SIZE,
    *,
    max_receive: int | None = None,
) -> tuple[MemoryStream, MemoryStream]:
    """Make two streams, each of which receives what the other sends.

    Args:
        buffer_size: bytes that wait in each direction before a sender blocks.
        max_receive: most bytes that one `receive_some` returns on either end;
            None is no limit.

    Raises:
        TypeError, ValueError: a size is no positive integer.
    """
    if operator.index(buffer_size) < 1:
        raise ValueError("buffer_size must be at least 1")
    if max_receive is not None and operator.index(max_receive) < 1:
        raise ValueError("max_receive must be at least 1")
    there, back = _Flow(buffer_size), _Flow(buffer_size)
    return MemoryStream(there, back, max_receive), MemoryStream(back, there, max_receive)
