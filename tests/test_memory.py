"""The memory pipe: Trio's own stream checks, back-pressure, and the ways a peer leaves."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from trio_nodehttp._memory import MemoryStream, memory_pipe

SIZE = 10


async def make_pair() -> tuple[MemoryStream, MemoryStream]:
    # Smaller than the 16 KiB pieces of Trio's two-way check, so they wait.
    return memory_pipe(4096)


async def make_clogged_pair() -> tuple[MemoryStream, MemoryStream]:
    left, right = memory_pipe(SIZE)
    await left.send_all(b"x" * SIZE)
    await right.send_all(b"x" * SIZE)
    return left, right


async def receive_all(stream: MemoryStream) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def expect_error(
    error: type[Exception],
    async_fn: Callable[..., Awaitable[object]],
    *args: object,
) -> None:
    with pytest.raises(error):
        await async_fn(*args)


async def test_passes_trios_half_closeable_stream_checks() -> None:
    # This runs the one-way checks both ways, the two-way checks and its own.
    await trio.testing.check_half_closeable_stream(make_pair, make_clogged_pair)


async def test_passes_trios_checks_byte_by_byte() -> None:
    async def make_dribbling_pair() -> tuple[MemoryStream, MemoryStream]:
        return memory_pipe(1, max_receive=1)

    async def make_clogged_dribbling_pair() -> tuple[MemoryStream, MemoryStream]:
        left, right = memory_pipe(1, max_receive=1)
        await left.send_all(b"x")
        return left, right

    # The two-way checks would send two mebibytes, a step of the scheduler each.
    await trio.testing.check_one_way_stream(
        make_dribbling_pair,
        make_clogged_dribbling_pair,
    )


async def test_send_waits_until_the_reader_takes_bytes(nursery: trio.Nursery) -> None:
    left, right = memory_pipe(SIZE)
    sent = trio.Event()

    async def send() -> None:
        await left.send_all(bytes(range(SIZE + 3)))
        sent.set()

    nursery.start_soon(send)
    await trio.testing.wait_all_tasks_blocked()
    assert not sent.is_set()
    assert (left.bytes_sent, right.unread) == (SIZE, SIZE)
    # Room for two of the three bytes that wait.
    assert await right.receive_some(2) == bytes([0, 1])
    await trio.testing.wait_all_tasks_blocked()
    assert not sent.is_set()
    assert (left.bytes_sent, right.unread) == (SIZE + 2, SIZE)
    assert await right.receive_some(1) == bytes([2])
    await sent.wait()
    assert await right.receive_some() == bytes(range(3, SIZE + 3))
    assert (left.bytes_sent, right.unread) == (SIZE + 3, 0)


async def test_the_directions_have_separate_buffers() -> None:
    left, right = await make_clogged_pair()
    assert await left.receive_some() == b"x" * SIZE
    # Right has room again; left's own direction is still full.
    await right.send_all(b"y" * SIZE)
    with trio.move_on_after(0) as scope:
        await left.wait_send_all_might_not_block()
    assert scope.cancelled_caught


async def test_a_large_send_arrives_whole_and_in_order(nursery: trio.Nursery) -> None:
    left, right = memory_pipe(1000)
    data = bytes(itertools.islice(itertools.cycle(range(251)), 100_000))

    async def send() -> None:
        await left.send_all(memoryview(data))
        await left.aclose()

    nursery.start_soon(send)
    assert await receive_all(right) == data
    assert left.bytes_sent == len(data)


async def test_sends_a_view_of_wider_items_as_bytes() -> None:
    left, right = memory_pipe()
    await left.send_all(memoryview(b"abcdefgh").cast("I"))
    assert await right.receive_some() == b"abcdefgh"


async def test_max_receive_dribbles_and_never_exceeds_the_callers_limit() -> None:
    left, right = memory_pipe(max_receive=2)
    await left.send_all(b"abcdef")
    assert await right.receive_some() == b"ab"
    assert await right.receive_some(100) == b"cd"
    assert await right.receive_some(1) == b"e"
    right.max_receive = None
    await left.send_all(b"ghi")
    assert await right.receive_some() == b"fghi"


async def test_cancelling_a_receive_loses_no_bytes() -> None:
    left, right = memory_pipe()
    with trio.move_on_after(0) as scope:
        await right.receive_some()
    assert scope.cancelled_caught
    await left.send_all(b"kept")
    with trio.CancelScope() as scope:
        scope.cancel()
        await right.receive_some()
    assert scope.cancelled_caught
    assert await right.receive_some() == b"kept"


async def test_cancelling_a_send_leaves_a_part_sent_and_the_stream_closable(
    autojump_clock: trio.testing.MockClock,
) -> None:
    left, right = memory_pipe(SIZE)
    with trio.move_on_after(60) as scope:
        await left.send_all(b"x" * 100)
    assert scope.cancelled_caught
    assert left.bytes_sent == SIZE
    await left.aclose()
    assert await receive_all(right) == b"x" * SIZE


async def test_close_delivers_what_was_sent_then_the_end() -> None:
    left, right = memory_pipe()
    await left.send_all(b"last words")
    await left.aclose()
    assert right.peer_closed
    assert right.unread == 10
    assert await right.receive_some() == b"last words"
    assert await right.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError, match="closed"):
        await right.send_all(b"x")
    # Trio's shutdown() of a socket whose peer has closed succeeds too.
    await right.send_eof()


async def test_close_breaks_a_blocked_send_of_the_peer() -> None:
    left, right = await make_clogged_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_error, trio.BrokenResourceError, left.send_all, b"more")
        await trio.testing.wait_all_tasks_blocked()
        right.close_now()
    # The reader threw away what it had not read.
    assert right.unread == 0
    assert await left.receive_some() == b"x" * SIZE


async def test_close_after_half_close_still_breaks_the_peers_send() -> None:
    left, right = memory_pipe(SIZE)
    await right.send_all(b"x" * SIZE)
    await left.send_eof()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_error, trio.BrokenResourceError, right.send_all, b"more")
        await trio.testing.wait_all_tasks_blocked()
        left.close_now()
    assert await right.receive_some() == b""


async def test_half_close_ends_one_direction_only() -> None:
    left, right = memory_pipe()
    await left.send_all(b"question")
    await left.send_eof()
    await left.send_eof()
    with pytest.raises(trio.ClosedResourceError, match="end"):
        await left.send_all(b"x")
    assert await receive_all(right) == b"question"
    await right.send_all(b"answer")
    await right.aclose()
    assert await receive_all(left) == b"answer"


async def test_reset_breaks_blocked_calls_and_drops_unread_bytes() -> None:
    left, right = await make_clogged_pair()
    await left.receive_some()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_error, trio.BrokenResourceError, left.receive_some)
        nursery.start_soon(expect_error, trio.BrokenResourceError, left.send_all, b"more")
        await trio.testing.wait_all_tasks_blocked()
        right.reset()
    assert left.unread == 0


async def test_later_calls_after_a_reset_break_too() -> None:
    left, right = memory_pipe()
    await right.send_all(b"never read")
    right.reset()
    right.reset()
    assert left.peer_closed
    for _ in range(2):
        await expect_error(trio.BrokenResourceError, left.receive_some)
        await expect_error(trio.BrokenResourceError, left.send_all, b"x")
        await expect_error(trio.BrokenResourceError, left.send_eof)
        await expect_error(trio.BrokenResourceError, left.wait_send_all_might_not_block)
        await expect_error(trio.ClosedResourceError, right.receive_some)
        await expect_error(trio.ClosedResourceError, right.send_all, b"x")
        await expect_error(trio.ClosedResourceError, right.send_eof)
    await left.aclose()


async def test_reset_wakes_the_tasks_of_the_same_end_as_closed() -> None:
    left, right = await make_clogged_pair()
    await left.receive_some()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_error, trio.ClosedResourceError, left.receive_some)
        nursery.start_soon(expect_error, trio.ClosedResourceError, left.send_all, b"more")
        await trio.testing.wait_all_tasks_blocked()
        left.reset()
    assert right.peer_closed


async def test_reset_of_a_closed_end_changes_nothing() -> None:
    left, right = memory_pipe()
    await left.send_all(b"kept")
    left.close_now()
    left.reset()
    assert await receive_all(right) == b"kept"


@pytest.mark.parametrize("way", ["aclose", "close_now", "reset", "send_eof"])
async def test_each_way_of_leaving_is_told_once_in_place(way: str) -> None:
    left, right = memory_pipe()
    calls: list[str] = []
    left.on_peer_close(lambda: calls.append("first"))
    left.on_peer_close(lambda: calls.append("second"))
    assert not left.peer_closed
    assert not left.readable
    result = getattr(right, way)()
    if way in {"aclose", "send_eof"}:
        await result
    assert calls == ["first", "second"]
    assert left.peer_closed
    assert left.readable
    left.on_peer_close(lambda: calls.append("late"))
    right.close_now()
    assert calls == ["first", "second", "late"]


async def test_a_reset_after_a_half_close_is_not_told_again() -> None:
    left, right = memory_pipe()
    calls: list[str] = []
    left.on_peer_close(lambda: calls.append("called"))
    await right.send_eof()
    right.reset()
    assert calls == ["called"]
    await expect_error(trio.BrokenResourceError, left.receive_some)


async def test_the_end_that_closes_is_told_nothing() -> None:
    for leave in (MemoryStream.close_now, MemoryStream.reset):
        left, right = memory_pipe()
        calls: list[str] = []
        left.on_peer_close(lambda: calls.append("called"))  # noqa: B023
        leave(left)
        left.on_peer_close(lambda: calls.append("called"))  # noqa: B023
        right.close_now()
        left.on_peer_close(lambda: calls.append("called"))  # noqa: B023
        assert calls == []


async def test_readable_means_that_receive_would_not_wait() -> None:
    left, right = memory_pipe()
    assert not right.readable
    await left.send_all(b"x")
    assert right.readable
    await right.receive_some()
    assert not right.readable
    await left.send_eof()
    assert right.readable


async def test_repr_shows_state_and_counts() -> None:
    left, right = memory_pipe()
    assert not left.closed
    await left.send_all(b"abc")
    assert repr(left) == "<MemoryStream open sent=3 unread=0>"
    await left.aclose()
    assert left.closed
    assert repr(right) == "<MemoryStream peer closed sent=0 unread=3>"
    assert repr(left) == "<MemoryStream closed sent=3 unread=0>"
    left, right = memory_pipe()
    left.reset()
    assert repr(right) == "<MemoryStream reset by peer sent=0 unread=0>"


@pytest.mark.parametrize(("size", "dribble"), [(0, None), (-1, None), (1, 0), (1, -3)])
def test_sizes_below_one_are_refused(size: int, dribble: int | None) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        memory_pipe(size, max_receive=dribble)


def test_sizes_that_are_no_integers_are_refused() -> None:
    with pytest.raises(TypeError):
        memory_pipe(1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        memory_pipe(max_receive="1")  # type: ignore[arg-type]
