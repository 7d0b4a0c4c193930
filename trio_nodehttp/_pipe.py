"""Copying streams: one into another, or two into each other."""

from __future__ import annotations

from typing import Final

import trio

_CHUNK: Final = 65536


async def pipe(source: trio.abc.ReceiveStream, destination: trio.abc.SendStream) -> int:
    """Copy a stream to its end, and end the destination (Node: ``stream.pipeline``).

    The source is read only as fast as the destination takes it.

    Args:
        source: Read to its end, and closed.
        destination: Written, and ended: a message by ``end``, a half-closeable
            stream by ``send_eof``, another by ``aclose``.

    Returns:
        How many bytes were copied.

    Raises:
        trio.BrokenResourceError: Either side broke; both are closed.

    A cancelled call closes both sides at once.
    """
    copied = 0
    try:
        while data := await source.receive_some():
            await destination.send_all(data)
            copied += len(data)
        if isinstance(destination, trio.abc.HalfCloseableStream):
            await destination.send_eof()
        else:
            await destination.aclose()
    except BaseException:
        await trio.aclose_forcefully(source)
        await trio.aclose_forcefully(destination)
        raise
    return copied


async def tunnel(
    a: trio.abc.HalfCloseableStream, b: trio.abc.HalfCloseableStream
) -> tuple[int, int]:
    """Join two streams both ways until both have ended, as a CONNECT proxy does.

    The end of one direction is passed on while the other goes on. Where a side
    breaks, both are closed.

    Args:
        a: One stream; closed at the end.
        b: The other; closed at the end.

    Returns:
        How many bytes went from ``a`` to ``b``, and from ``b`` to ``a``.

    A cancelled call closes both at once.
    """
    counts = [0, 0]

    async def copy(
        index: int,
        source: trio.abc.HalfCloseableStream,
        destination: trio.abc.HalfCloseableStream,
        scope: trio.CancelScope,
    ) -> None:
        try:
            while data := await source.receive_some(_CHUNK):
                await destination.send_all(data)
                counts[index] += len(data)
            await destination.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy, 0, a, b, nursery.cancel_scope)
            nursery.start_soon(copy, 1, b, a, nursery.cancel_scope)
    finally:
        await trio.aclose_forcefully(a)
        await trio.aclose_forcefully(b)
    return counts[0], counts[1]
