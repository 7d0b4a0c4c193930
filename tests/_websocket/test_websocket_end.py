"""Closing, leaving the scope, and errors on the way (promise 27)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests._websocket.scopes import answer_close, entered, make
from tests._websocket.wire import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    Opening,
    close_payload,
)
from trio_nodehttp._errors import (
    InvalidArgTypeError,
    InvalidArgValueError,
)
from trio_nodehttp._websocket.errors import WebSocketClosedError
from trio_nodehttp._websocket.events import (
    CloseEvent,
)
from trio_nodehttp._websocket.websocket import WebSocket

# -- closing


async def test_leaving_closes() -> None:
    opening = Opening()
    seen: list[Frame] = []

    async def serve() -> None:
        seen.extend(await answer_close(opening))

    async with trio.open_nursery() as nursery, make(opening) as ws:
        await ws.send("last")
        nursery.start_soon(serve)
    assert seen == [
        Frame(TEXT, b"last", masked=True),
        Frame(CLOSE, close_payload(1000), masked=True),
    ]
    assert ws.ready_state == WebSocket.CLOSED
    assert ws.close_code == 1000


async def test_close_waits_for_the_peer() -> None:
    opening = Opening()
    async with trio.open_nursery() as nursery, make(opening) as ws:
        nursery.start_soon(ws.close, 3333, "é" * 61)
        await wait_all_tasks_blocked()
        assert ws.ready_state == WebSocket.CLOSING
        with pytest.raises(WebSocketClosedError):
            await ws.send("late")
        (frame,) = await answer_close(opening)
        assert frame.payload == close_payload(3333, "é" * 61)
        await ws.close()
        assert ws.close_code == 3333
        await ws.close()


@pytest.mark.parametrize("code", [0, 999, 1001, 1005, 1006, 2999, 5000])
async def test_a_client_may_not_send_every_code(code: int) -> None:
    async with entered(Opening()) as ws:
        with pytest.raises(InvalidArgValueError, match="code"):
            await ws.close(code)
        assert ws.ready_state == WebSocket.OPEN


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (1000, "é" * 62, InvalidArgValueError),
        (1000, "\ud800", InvalidArgValueError),
        (1000, b"bytes", InvalidArgTypeError),
        ("1000", "", InvalidArgTypeError),
        (True, "", InvalidArgTypeError),
    ],
)
async def test_bad_reasons(code: Any, reason: Any, error: type[Exception]) -> None:
    async with entered(Opening()) as ws:
        with pytest.raises(error):
            await ws.close(code, reason)
        assert ws.ready_state == WebSocket.OPEN


async def test_a_cancelled_close_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    opening = Opening()
    async with make(opening, close_timeout=5) as ws:
        with trio.move_on_after(1) as scope:
            await ws.close()
        assert scope.cancelled_caught
        assert ws.ready_state == WebSocket.CLOSING
        await trio.sleep(10)
        assert ws.ready_state == WebSocket.CLOSED
        assert (ws.close_code, ws.close_reason) == (
            1006,
            "the peer did not close in time",
        )


# -- promise 27: leaving with unread messages, a flood, a peer that does nothing


async def test_promise_27_leaving_with_unread_messages() -> None:
    opening = Opening()
    async with make(opening, max_queue=1) as ws:
        for _ in range(50):
            await opening.peer.send(TEXT, b"unread")
        await opening.peer.send(PING, b"behind")
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_close, opening)
            await ws.close()
    assert ws.close_code == 1000


async def test_promise_27_pings_are_answered_up_to_the_buffer() -> None:
    opening = Opening()
    async with entered(opening, max_queue=8):
        for _ in range(7):
            await opening.peer.send(TEXT, b"unread")
        await opening.peer.send(PING, b"?")
        assert await opening.peer.read() == Frame(PONG, b"?", masked=True)


async def test_promise_27_leaving_takes_close_timeout_at_most(
    autojump_clock: trio.testing.MockClock,
) -> None:
    opening = Opening()
    async with make(opening, close_timeout=4):
        pass
    assert trio.current_time() == 4
    assert opening.stream.closed


async def test_promise_27_a_flood_does_not_hold_up_leaving(
    autojump_clock: trio.testing.MockClock,
) -> None:
    opening = Opening()
    got = 0

    async def flood() -> None:
        data = opening.peer.frame(TEXT, b"spam" * 9) * 500
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                await opening.peer.stream.send_all(data)
                await trio.sleep(0.1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        async with make(opening, close_timeout=2) as ws:
            async for _ in ws:
                got += 1
                if got == 2000:
                    break
            started = trio.current_time()
        assert trio.current_time() <= started + 2
        assert ws.close_code == 1006


# -- errors of the block


async def test_an_error_of_the_block_leaves_unchanged() -> None:
    opening = Opening()
    error = ValueError("mine")
    frames: list[Frame] = []

    async def serve() -> None:
        frames.extend(await answer_close(opening))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(ValueError, match="mine") as caught:
            async with make(opening):
                raise error
    assert caught.value is error
    assert frames == [Frame(CLOSE, close_payload(1001), masked=True)]


async def test_an_error_goes_before_a_cancellation(
    autojump_clock: trio.testing.MockClock,
) -> None:
    opening = Opening()
    with trio.move_on_after(1) as scope, pytest.raises(ValueError, match="mine"):
        async with make(opening):
            raise ValueError("mine")
    assert trio.current_time() == 1
    assert not scope.cancelled_caught
    assert opening.stream.closed


async def test_a_cancelled_block_ends_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    opening = Opening()
    seen: list[Any] = []
    with trio.move_on_after(1) as scope:
        async with make(opening) as ws:
            ws.on("close", seen.append)
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() == 1
    assert opening.stream.closed
    assert not opening.is_open
    assert seen == [CloseEvent(1006, "the scope was cancelled", was_clean=False)]
    assert await opening.peer.read() is None


async def test_leaving_may_be_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    opening = Opening()
    with trio.move_on_after(1) as scope:
        async with make(opening):
            pass
    assert scope.cancelled_caught
    assert trio.current_time() == 1
    assert opening.stream.closed


async def test_a_lost_connection_does_not_cancel_the_block() -> None:
    opening = Opening()
    async with make(opening) as ws:
        await opening.peer.stream.aclose()
        await wait_all_tasks_blocked()
        assert ws.ready_state == WebSocket.CLOSED
        await trio.lowlevel.checkpoint()
