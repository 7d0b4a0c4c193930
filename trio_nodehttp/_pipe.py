"""Copying streams: one into another, or two into each other."""

from __future__ import annotations

import trio


async def pipe(source: trio.abc.ReceiveStream, destination: trio.abc.SendStream) -> int:
    """Copy a stream to its end, and end the destination (Node: ``stream.pipeline``).

    The source is read only as fast as the destination takes it, and no further than
    a destination wants it: an upload ends where its final response came early.

    Args:
        source: Read to its end, and left open.
        destination: Written, and ended: a message by ``end``, a half-closeable
            stream by ``send_eof``, another by ``aclose``.

    Returns:
        How many bytes were taken from the source.

    Raises:
        trio.BrokenResourceError: Either side broke.

    Raises unchanged whatever either side raises. Both are closed then, and nothing
    tells the destination's peer that what it got was all. A cancelled call closes
    both at once, too.
    """
    copied = 0
    try:
        while data := await source.receive_some():
            await destination.send_all(data)
            copied += len(data)
            if getattr(destination, "response", None) is not None:
                break  # a request that has its final response wants no more
        if _half_closeable(destination):
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
    passed on (over TLS), and where a side breaks, the tunnel is over, as RFC 9110
    section 9.3.6 has it. A side that breaks is a usual end of a tunnel, and raises
    nothing: the counts tell how much went through.

    Args:
        a: One stream; closed at the end.
        b: The other; closed at the end.

    Returns:
        How many bytes went from ``a`` to ``b``, and from ``b`` to ``a``.

    Raises unchanged what a side raises that is neither a ``trio.BrokenResourceError``
    nor a ``trio.ClosedResourceError``. A cancelled call closes both at once.
    """
    there, back = _Copy(a, b), _Copy(b, a)

    async def copy_back(scope: trio.CancelScope) -> None:
        if not await back.run():
            scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy_back, nursery.cancel_scope)
            if not await there.run():
                nursery.cancel_scope.cancel()
        for failure in (there.failure, back.failure):
            if failure is not None and not isinstance(failure, trio.Cancelled):
                raise failure
        # A cancellation was ours, when one way ended the other; one from outside is
        # raised here.
        await trio.lowlevel.checkpoint()
    finally:
        await _cut(a, b)
    return there.copied, back.copied


class _Copy:
    """One direction of a tunnel. It raises nothing, since a nursery would wrap it."""

    __slots__ = ("copied", "destination", "failure", "source")

    def __init__(
        self, source: trio.abc.ReceiveStream, destination: trio.abc.HalfCloseableStream
    ) -> None:
        self.source = source
        self.destination = destination
        self.copied = 0
        self.failure: BaseException | None = None

    async def run(self) -> bool:
        """Copy to the end; answers whether the other direction may go on."""
        try:
            while data := await self.source.receive_some():
                await self.destination.send_all(data)
                self.copied += len(data)
            if not _half_closeable(self.destination):
                return False
            await self.destination.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        except BaseException as error:  # noqa: BLE001  # raised outside the nursery
            self.failure = error
            return False
        return True


def _half_closeable(stream: trio.abc.SendStream) -> bool:
    return isinstance(stream, trio.abc.HalfCloseableStream) and getattr(
        stream, "half_closeable", True
    )


async def _cut(one: trio.abc.AsyncResource, other: trio.abc.AsyncResource) -> None:
    """Close both at once, also when cancelled."""
    try:
        await trio.aclose_forcefully(one)
    finally:
        await trio.aclose_forcefully(other)
