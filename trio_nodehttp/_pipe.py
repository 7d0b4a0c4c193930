"""Copying streams: one into another, or two into each other."""

from __future__ import annotations

from typing import Final

import trio

from ._checks import check_methods
from ._facts import is_half_closeable
from ._outgoing import OutgoingMessage

_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
_FAREWELL: Final = 0.1  # seconds that telling an end may take
_LINGER: Final = 30.0  # seconds for what a side had sent before it left


async def pipe(source: trio.abc.ReceiveStream, destination: trio.abc.SendStream) -> int:
    """Copy a stream to its end, and end the destination (Node: ``stream.pipeline``).

    The source is read only as fast as the destination takes it, and no further than
    a request wants it: an upload ends where its final response comes early and wants no
    more (see ``ClientRequest.write``), also while the source has nothing to give.

    Args:
        source: Read to its end, and left open.
        destination: Written, and ended: a message by ``end``, a half-closeable
            stream by ``send_eof``, another by ``aclose``.

    Returns:
        How many bytes were taken from the source.

    Raises:
        InvalidArgTypeError: Either is no stream of its kind; nothing was done then.
        trio.BrokenResourceError: Either side broke.

    Raises unchanged whatever either side raises. Both are closed then, and nothing
    tells the destination's peer that what it got was all. A cancelled call closes
    both at once, too.
    """
    check_methods("source", source, "receive_some")
    check_methods("destination", destination, "send_all")
    copied = 0

    async def copy() -> None:
        nonlocal copied
        while data := await source.receive_some():
            copied += len(data)
            await destination.send_all(data)

    try:
        if isinstance(destination, OutgoingMessage):
            await destination._supply(copy)
        else:
            await copy()
        if is_half_closeable(destination):
            await destination.send_eof()  # type: ignore[attr-defined]
        else:
            await destination.aclose()
    except BaseException:
        await _cut(source, destination)
        raise
    return copied


async def tunnel(
    a: trio.abc.HalfCloseableStream, b: trio.abc.HalfCloseableStream
) -> tuple[int, int]:
    """Join two streams both ways until both have ended, as a CONNECT proxy does.

    The end of one direction is passed on while the other goes on. Where it cannot be
    passed on alone (over TLS) the tunnel is over with it. Where a side breaks, what it
    had sent before is still delivered (RFC 9110 section 9.3.6), if that takes no more
    than 30 seconds. A side that breaks is a usual end of a tunnel, and raises nothing:
    the counts tell how much went through.

    Args:
        a: One stream; closed at the end.
        b: The other; closed at the end.

    Returns:
        How many bytes went from ``a`` to ``b``, and from ``b`` to ``a``.

    Raises:
        InvalidArgTypeError: Either is no such stream; nothing was done then.

    Raises unchanged what a side raises that is neither a ``trio.BrokenResourceError``
    nor a ``trio.ClosedResourceError``. A cancelled call closes both at once.
    """
    check_methods("a", a, "receive_some", "send_all")
    check_methods("b", b, "receive_some", "send_all")
    there, back = _Copy(a, b), _Copy(b, a)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(back.run, there)
            await there.run(back)
        await there.finish()
        await back.finish()
    except BaseException:
        await _cut(a, b)
        raise
    failure = await _cut(a, b)
    if failure is not None and not isinstance(failure, _GONE):
        raise failure
    return there.copied, back.copied


class _Copy:
    """One direction of a tunnel. Running raises nothing, since a nursery would wrap it."""

    __slots__ = ("_failure", "_scope", "_untold", "copied", "destination", "source")

    def __init__(
        self, source: trio.abc.ReceiveStream, destination: trio.abc.HalfCloseableStream
    ) -> None:
        self.source = source
        self.destination = destination
        self.copied = 0
        self._failure: BaseException | None = None
        self._scope = trio.CancelScope()
        self._untold = False  # the destination does not know of the end

    async def run(self, other: _Copy) -> None:
        """Copy to the end, which may be that of the other direction, too."""
        both = True
        try:
            with self._scope:
                both = not await self._copy(other)
        except BaseException as error:  # noqa: BLE001  # raised outside the nursery
            self._failure = error
        if both:
            other._scope.cancel()

    async def _copy(self, other: _Copy) -> bool:
        """Copy; answers whether the other direction may go on."""
        sending = False
        try:
            while data := await self.source.receive_some():
                sending = True
                await self.destination.send_all(data)
                sending = False
                self.copied += len(data)
            if not is_half_closeable(self.destination):
                self._untold = True
                return False
            sending = True
            await self.destination.send_eof()
        except _GONE:
            # What a side sent before it left may wait to be read; then comes its end.
            other._scope.deadline = trio.current_time() + _LINGER
            return sending
        return True

    async def finish(self) -> None:
        """Tell the destination of the end; raise what came in between."""
        if self._failure is not None:
            raise self._failure
        if self._untold:
            try:
                with trio.move_on_after(_FAREWELL):
                    await self.destination.aclose()
            except _GONE:
                pass


async def _cut(*streams: trio.abc.AsyncResource) -> Exception | None:
    """Close at once, also when cancelled; answers what that raised, instead of raising."""
    failure = None
    for stream in streams:
        try:
            # Shielded, or a cancellation from outside would end it at the first.
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
        except Exception as error:  # noqa: BLE001  # the other must be closed, too
            failure = failure or error
    return failure
