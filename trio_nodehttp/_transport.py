"""One socket: the stream below, its addresses, counters, timeout and forceful close."""

from __future__ import annotations

import errno
import logging
import math
import os
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from ._errors import HTTPError, SocketHangUpError, SocketTimeoutError
from ._facts import SocketFacts, system_errno
from ._timeouts import Timer, call_at, check_seconds

HIGH_WATER_MARK: Final = 65536

_GROWTH: Final = 4  # larger receives cost half as much per byte
_FAREWELL: Final = 0.1

_logger = logging.getLogger("trio_nodehttp")
_NETWORK_ERRORS: Final = (
    OSError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    ssl.SSLError,
)


class _Unconnected(trio.abc.Stream):
    """What a socket is made of before it is connected: nothing that works."""

    async def send_all(self, data: object) -> None:
        del data
        await self.wait_send_all_might_not_block()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()
        raise trio.BrokenResourceError("not connected yet")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        del max_bytes
        await trio.lowlevel.checkpoint()
        raise trio.BrokenResourceError("not connected yet")

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


_UNCONNECTED: Final = _Unconnected()


class Socket(SocketFacts):
    """A connection's socket (Node: ``net.Socket``), whatever stream it is made of.

    Attributes:
        stream: The Trio stream; a broken one while ``connecting``.
        connecting: A client's socket that has no connection yet.
        bytes_read: Bytes received.
        bytes_written: Bytes that the stream below has accepted so far.
        destroyed: ``destroy`` was called, or the stream is closed.
        errored: The error that destroyed it, or None.
        broken: The last error that a read or write met, or None.
        readable_high_water_mark: Bytes that one receive asks for; up to four times as
            many, once such a receive came back full.
        watchers: Called after silence; True says that it was noticed.
        writable_high_water_mark: Bytes in one write that count as much.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_active",
        "_closed_below",
        "_plenty",
        "_receive",
        "_send",
        "_sending",
        "_timeout",
        "_timer",
        "broken",
        "bytes_read",
        "bytes_written",
        "errored",
        "on_destroy",
        "readable_high_water_mark",
        "watchers",
        "writable_high_water_mark",
    )

    EVENTS = frozenset({"timeout", "error", "close"})

    def __init__(self, stream: trio.abc.Stream | None = None) -> None:
        self._observers = None
        self._bottom = None
        self._close_below = None
        self._raw = None
        self._tls = None
        self.stream = _UNCONNECTED
        self._receive: Callable[[int], Awaitable[Any]] = _UNCONNECTED.receive_some
        self._send: Callable[[bytes | memoryview], Awaitable[int]] | None = None
        self.bytes_read = 0
        self.bytes_written = 0
        self.destroyed = False
        self.errored: BaseException | None = None
        self.on_destroy: Callable[[], object] | None = None
        self.broken: HTTPError | None = None
        self.watchers: list[Callable[[], bool]] = []
        self._timeout = math.inf
        self._timer: Timer | None = None
        self._active = 0.0
        self._closed_below = False
        self._plenty = False
        self._sending = False
        self.readable_high_water_mark = HIGH_WATER_MARK
        self.writable_high_water_mark = HIGH_WATER_MARK
        self.connecting = stream is None
        if stream is not None:
            self.attach(stream)

    def attach(self, stream: trio.abc.Stream) -> None:
        """Take the stream that was connected; closes it if ``destroy`` came first."""
        self._look_into(stream)
        self.connecting = False
        if isinstance(stream, trio.SocketStream):
            # Straight to the socket: the stream's own layer costs more than the call.
            self._receive = stream.socket.recv
            self._send = stream.socket.send
        else:
            self._receive = stream.receive_some
        if self.destroyed:
            self._close_now()

    def __repr__(self) -> str:
        state = "destroyed" if self.destroyed else "open"
        host, port = self._address("getpeername")
        if host:
            peer = f"{host}:{port}"
        else:
            peer = "connecting" if self.connecting else type(self.stream).__name__
        return f"<Socket {peer} {state} read={self.bytes_read} written={self.bytes_written}>"

    # --- silence -------------------------------------------------------------------

    @property
    def timeout(self) -> float:
        """Seconds of silence that ``timeout`` reports; ``math.inf`` for never."""
        return self._timeout

    def set_timeout(
        self, seconds: float | None, callback: Callable[[], object] | None = None
    ) -> Socket:
        """Watch for silence (Node: ``socket.setTimeout``).

        When neither side sent a byte for so long, the observers of ``timeout`` are
        called; with none, the socket is destroyed with SocketTimeoutError. It is
        told once, and again only after further bytes.

        Args:
            seconds: How long; 0 or None switches the watch off.
            callback: Registered with ``once("timeout", ...)``.

        Returns:
            This socket.

        Raises:
            InvalidArgTypeError: ``seconds`` is no number.
            OutOfRangeError: ``seconds`` is negative.
        """
        limit = check_seconds("seconds", seconds) or math.inf
        if callback is not None:
            self.once("timeout", callback)
        self._timeout = limit
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if limit != math.inf and not self.destroyed:
            self._active = trio.current_time()
            self._timer = call_at(self._active + limit, self._check_silence)
        return self

    def _check_silence(self) -> None:
        deadline = self._active + self._timeout
        now = trio.current_time()
        if deadline > now:
            self._timer = call_at(deadline, self._check_silence)
            return
        noticed = self._emit("timeout")
        for watcher in list(self.watchers):
            noticed = watcher() or noticed
        if not noticed and not self.destroyed:
            self.destroy(SocketTimeoutError(f"no byte was sent or received for {self._timeout} s"))

    def _touch(self) -> None:
        """Bytes went through while silence is watched."""
        self._active = trio.current_time()
        if self._timer is not None and not self._timer.pending and not self.destroyed:
            self._timer = call_at(self._active + self._timeout, self._check_silence)

    # --- bytes ---------------------------------------------------------------------

    async def receive(self, max_bytes: int | None = None) -> bytes:
        """Receive some bytes; ``b""`` when the peer has ended its side.

        Args:
            max_bytes: At most so many; None for ``readable_high_water_mark``.

        Raises:
            SocketHangUpError: The connection broke, or ``destroy`` was called.

        A cancelled call has received nothing.
        """
        size = max_bytes or self.readable_high_water_mark * (_GROWTH if self._plenty else 1)
        try:
            data = await self._receive(size)
        except _NETWORK_ERRORS as error:
            if not _is_end(error):
                raise self._broken("read", error) from error
            data = b""
        self._note_received(len(data))
        return data if type(data) is bytes else bytes(data)

    def receive_now(self) -> bytes | None:
        """Receive what is there without waiting.

        Returns:
            Bytes, ``b""`` when the peer has ended its side; None when nothing is there,
            or only ``receive`` can tell.
        """
        if self._send is None or self.destroyed:
            return None
        mark = self.readable_high_water_mark
        try:
            data = os.read(self._raw.fileno(), mark * _GROWTH if self._plenty else mark)  # type: ignore[union-attr]
        except OSError:  # nothing there, or broken: ``receive`` will tell which
            return None
        self._note_received(len(data))
        return data

    def _note_received(self, count: int) -> None:
        self._plenty = count >= self.readable_high_water_mark
        self.bytes_read += count
        if self._timer is not None:
            self._touch()

    async def send(self, data: bytes | memoryview) -> None:
        """Send all the bytes.

        Raises:
            SocketHangUpError: The connection broke, or ``destroy`` was called.
            trio.BusyResourceError: Another task is sending.

        A cancelled call has sent an unknown part: the connection is of no more use.
        """
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this connection")
        self._sending = True
        try:
            if self._send is None:
                await self._send_stream(data)
            else:
                sent = await self._send(data)
                self.bytes_written += sent
                if sent < len(data):
                    await self._send_rest(memoryview(data)[sent:])
        except _NETWORK_ERRORS as error:
            raise self._broken("write", error) from error
        finally:
            self._sending = False
        if self._timer is not None:
            self._touch()

    async def _send_stream(self, data: bytes | memoryview) -> None:
        # A peer that reads slowly must not be taken for a silent one.
        size = len(data) if self._timer is None else self.writable_high_water_mark
        for at in range(0, len(data) or 1, size or 1):
            piece = data[at : at + size]
            await self.stream.send_all(piece)
            self.bytes_written += len(piece)
            self._active = trio.current_time()

    async def _send_rest(self, rest: memoryview) -> None:
        assert self._send is not None
        while rest:
            if self._timer is not None:
                self._touch()
            sent = await self._send(rest)
            self.bytes_written += sent
            rest = rest[sent:]

    def send_now(self, data: bytes) -> int:
        """Send what fits without waiting; answers how many bytes that was."""
        if self._send is None or self._sending or self.destroyed:
            return 0
        try:
            sent = os.write(self._raw.fileno(), data)  # type: ignore[union-attr]
        except OSError:  # full, or broken: the next send will tell which
            return 0
        self.bytes_written += sent
        return sent

    async def wait_writable(self) -> None:
        """Wait until ``send`` might not block. A cancelled call changes nothing.

        Raises:
            SocketHangUpError: The connection broke.
        """
        try:
            await self.stream.wait_send_all_might_not_block()
        except _NETWORK_ERRORS as error:
            raise self._broken("write", error) from error

    # --- the end -------------------------------------------------------------------

    def destroy(self, error: BaseException | None = None) -> Socket:
        """Close at once, without waiting for anything (Node: ``socket.destroy``).

        Whoever reads or writes it gets the error if that is an HTTPError, or else
        SocketHangUpError; a request that awaits its response gets any error as it is.

        Args:
            error: Why; kept as ``errored`` and told to observers of ``error``.

        Returns:
            This socket.
        """
        if self.destroyed:
            return self
        self.destroyed = True
        self.errored = error
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._close_now()
        if self.on_destroy is not None:
            self.on_destroy()
        try:
            if error is not None:
                self._emit("error", error)
        finally:
            self._emit("close")
        return self

    def _close_now(self) -> None:
        if self.connecting:
            return
        if self._close_below is not None:
            self._close_below()
        elif self._raw is not None:
            self._raw.close()
        else:
            # Such a stream can only be closed in a task.
            trio.lowlevel.spawn_system_task(self._close_by_force)

    async def see_closed(self) -> None:
        """Close here what ``destroy`` left to another task; also when cancelled."""
        if self._close_below is None and self._raw is None:
            with trio.CancelScope(shield=True):
                await self._close_by_force()

    async def _close_by_force(self) -> None:
        if self._closed_below:
            return
        self._closed_below = True
        try:
            await trio.aclose_forcefully(self.stream)
        except Exception:  # in a system task it would end the whole run
            _logger.exception("%r could not be closed", self.stream)

    async def aclose(self, error: BaseException | None = None) -> None:
        """Close politely: over TLS the close is announced, and no answer awaited.

        Args:
            error: Why; kept and told as by ``destroy``.

        Takes at most 0.1 s; a cancelled call closes at once.
        """
        try:
            if self.encrypted and not self.destroyed:
                with trio.move_on_after(_FAREWELL):
                    await self.stream.aclose()
        except _NETWORK_ERRORS:
            _logger.debug("closing TLS on a dead connection", exc_info=True)
        finally:
            self.destroy(error)
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        """End our side where the stream can; else do nothing.

        Raises:
            SocketHangUpError: The connection broke.
            trio.BusyResourceError: Another task is sending.

        A cancelled call may or may not have ended it.
        """
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this connection")
        if isinstance(self.stream, trio.abc.HalfCloseableStream):
            try:
                await self.stream.send_eof()
            except _NETWORK_ERRORS as error:
                raise self._broken("shutdown", error) from error

    def _broken(self, verb: str, error: BaseException) -> HTTPError:
        if isinstance(self.errored, HTTPError):
            self.broken = self.errored
            return self.errored
        number = system_errno(error) or system_errno(error.__cause__)
        name = errno.errorcode.get(number or 0, "ECONNRESET")
        hang_up = SocketHangUpError(f"{verb} {name}")
        hang_up.code = name if name in ("EPIPE", "ETIMEDOUT") else "ECONNRESET"
        self.broken = hang_up
        return hang_up


def _is_end(error: BaseException) -> bool:
    """Say whether TLS complains of a peer that closed without a word, as they all do."""
    cause = error.__cause__  # on Python 3.10 only the reason tells
    return isinstance(cause, ssl.SSLError) and "EOF" in (cause.reason or type(cause).__name__)
