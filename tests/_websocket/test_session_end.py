"""How a connection ends: by either side, by a broken rule, by loss."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests._websocket.watched import running
from tests._websocket.wire import (
    CLOSE,
    TEXT,
    Frame,
    Peer,
    Through,
    close_payload,
    frame,
)
from trio_nodehttp._websocket.errors import WebSocketClosedError
from trio_nodehttp._websocket.session import WRITE_BUFFER, Ending, Session

both = pytest.mark.parametrize("client", [True, False])


@both
async def test_the_peer_closes(client: bool) -> None:
    async with running(client=client) as session:
        await session.peer.send(TEXT, b"last")
        await session.peer.close(3000, "bye")
        assert await session.peer.read() == Frame(CLOSE, close_payload(3000, "bye"), client)
        if client:
            # The server is the one that closes the transport.
            await wait_all_tasks_blocked()
            assert session.is_closing
            assert session.endings == []
            await session.peer.stream.aclose()
        await session.ended.wait()
        assert session.ending == Ending(3000, "bye", was_clean=True)
        assert session.endings == [session.ending]
        assert await session.receive() == "last"
        for _ in range(2):
            with pytest.raises(WebSocketClosedError, match=r"was closed \(3000\): bye"):
                await session.receive()


@both
async def test_we_close(client: bool) -> None:
    async with running(client=client) as session:
        await session.send("before")
        session.start_closing(3001, "done")
        session.start_closing(3002, "again")
        with pytest.raises(WebSocketClosedError, match=r"is closing \(3001\): done"):
            await session.send("after")
        await session.peer.send(TEXT, b"dropped")
        assert await session.peer.read() == Frame(TEXT, b"before", client)
        assert await session.peer.read() == Frame(CLOSE, close_payload(3001, "done"), client)
        await session.peer.close(3001)
        if client:
            await session.peer.stream.send_eof()
        await session.ended.wait()
        assert await session.peer.read() is None
        assert session.ending == Ending(3001, "", was_clean=True)
        assert session.messages == []


async def test_both_close_at_once() -> None:
    async with running(client=False) as session:
        session.start_closing(1000, "")
        await session.peer.close(1001)
        await session.ended.wait()
        assert session.ending == Ending(1001, "", was_clean=True)
        assert [found.opcode for found in await session.peer.read_all()] == [CLOSE]


async def test_a_close_without_a_code_is_answered_in_kind() -> None:
    async with running(client=False) as session:
        await session.peer.send(CLOSE)
        assert await session.peer.read_all() == [Frame(CLOSE, b"")]
        await session.ended.wait()
        assert session.ending == Ending(1005, "", was_clean=True)


async def test_a_sender_learns_the_code_of_the_peer() -> None:
    async with running() as session:
        await session.peer.close(3003)
        await wait_all_tasks_blocked()
        with pytest.raises(WebSocketClosedError) as caught:
            await session.send("too late")
        assert caught.value.close_code == 3003


@both
async def test_the_peer_leaves_without_a_close(client: bool) -> None:
    async with running(client=client) as session:
        await session.peer.stream.aclose()
        with pytest.raises(WebSocketClosedError, match=r"failed \(1006\): the peer left") as caught:
            await session.receive()
        assert isinstance(caught.value, trio.BrokenResourceError)
        assert session.ending == Ending(1006, "the peer left without a close frame")


async def test_the_peer_leaves_in_the_middle_of_closing() -> None:
    async with running() as session:
        session.start_closing(1000, "")
        assert await session.peer.read() == Frame(CLOSE, close_payload(1000), masked=True)
        await session.peer.stream.aclose()
        await session.ended.wait()
        assert session.ending is not None
        assert session.ending.code == 1006


async def test_a_reset_is_a_loss() -> None:
    async with running() as session:
        await wait_all_tasks_blocked()
        session.peer.stream.reset()
        with pytest.raises(WebSocketClosedError, match="1006") as caught:
            await session.receive()
        assert isinstance(caught.value.__cause__, trio.BrokenResourceError)


async def test_the_close_of_a_peer_is_read_after_sending_broke() -> None:
    async with running(client=False, max_queue=1) as session:
        await session.peer.send(TEXT, b"fills the queue")
        await session.peer.close(1008, "policy")
        await wait_all_tasks_blocked()
        await session.peer.stream.aclose()
        await session.send("nobody reads this")
        await session.ended.wait()
        assert session.ending == Ending(1008, "policy", was_clean=True)
        assert session.buffered_amount == 17


async def test_sending_breaks_and_nothing_comes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Half(Through):
        async def send_all(self, data: object) -> None:
            await trio.lowlevel.checkpoint()
            raise trio.BrokenResourceError

    async with running(stream=Half) as session:
        await session.send("lost")
        await wait_all_tasks_blocked()
        with pytest.raises(WebSocketClosedError, match="connection was lost"):
            await session.send("more")
        session.start_closing(1000, "")
        await session.ended.wait()
        assert trio.current_time() == 10
        assert session.ending is not None
        assert session.ending.reason == "the connection was lost"
        assert isinstance(session.ending.cause, trio.BrokenResourceError)
        assert session.buffered_amount == 4


async def test_a_closer_that_waits_to_flush_sees_the_loss() -> None:
    async with running(client=False, buffer_size=10, max_message_size=None) as session:
        await session.send(bytes(500))
        await session.peer.close()
        await wait_all_tasks_blocked()
        await session.peer.stream.aclose()
        await session.ended.wait()
        assert session.ending == Ending(1000, "", was_clean=True)


@both
async def test_a_peer_that_never_answers(
    client: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with running(client=client, close_timeout=7) as session:
        session.start_closing(1000, "")
        await session.ended.wait()
        assert trio.current_time() == 7
        assert session.ending == Ending(1006, "the peer did not close in time")


async def test_a_server_that_does_not_hang_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(client=True, close_timeout=7) as session:
        await session.peer.close(1000)
        await session.ended.wait()
        assert trio.current_time() == 7
        assert session.ending == Ending(1000, "", was_clean=True)


async def test_a_peer_that_does_not_read_its_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(client=False, buffer_size=10, close_timeout=7) as session:
        await session.send(bytes(500))
        await session.peer.close()
        await session.ended.wait()
        assert trio.current_time() == 7


async def test_a_flood_does_not_hold_up_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def flood(peer: Peer) -> None:
        data = frame(TEXT, b"spam", masked=True) * 1000
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                await peer.stream.send_all(data)
                await trio.sleep(0.1)

    async with running(client=False, close_timeout=3) as session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, session.peer)
            await trio.sleep(1)
            assert len(session.messages) == 2
            session.start_closing(1000, "")
            await session.ended.wait()
            assert trio.current_time() == pytest.approx(4)
        assert len(session.messages) == 2


async def test_an_answer_behind_a_flood_is_found() -> None:
    async with running(client=False) as session:
        await session.peer.stream.send_all(frame(TEXT, b"", masked=True) * 999)
        await session.peer.close()
        await wait_all_tasks_blocked()
        session.start_closing(1000, "")
        await session.ended.wait()
        assert session.ending == Ending(1000, "", was_clean=True)


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, bytes(1001)), 1009),
        (frame(5), 1002),
    ],
)
async def test_a_broken_rule_closes_with_its_code(wire: bytes, code: int) -> None:
    async with running() as session:
        await session.peer.stream.send_all(wire + b"never read")
        answer = await session.peer.read()
        assert answer is not None
        assert answer.opcode == CLOSE
        assert answer.payload[:2] == close_payload(code)
        assert answer.payload[2:]
        # Our side ends at once, so that the peer's answer is not met by a reset.
        assert await session.peer.read() is None
        await session.peer.close(code)
        await session.peer.stream.aclose()
        with pytest.raises(WebSocketClosedError) as caught:
            await session.receive()
        assert caught.value.close_code == code
        assert not caught.value.was_clean


async def test_a_peer_that_broke_a_rule_gets_a_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(stream=Through) as session:
        await session.peer.stream.send_all(frame(5))
        await session.ended.wait()
        assert trio.current_time() == 1
        assert session.ending is not None
        assert session.ending.code == 1002


async def test_a_reset_does_not_hide_what_was_wrong() -> None:
    async with running() as session:
        await session.peer.send(5)
        answer = await session.peer.read()
        assert answer is not None
        assert answer.opcode == CLOSE
        session.peer.stream.reset()
        await session.ended.wait()
        assert session.ending is not None
        assert session.ending.code == 1002


async def test_a_broken_frame_after_our_close() -> None:
    async with running() as session:
        session.start_closing(1000, "")
        await session.peer.stream.send_all(frame(5))
        await session.peer.stream.send_eof()
        kinds = [found.opcode for found in await session.peer.read_all()]
        assert kinds == [CLOSE]
        await session.ended.wait()
        assert session.ending is not None
        assert session.ending.code == 1002


async def test_those_who_wait_are_woken_by_the_end() -> None:
    async def receive(session: Session) -> None:
        with pytest.raises(WebSocketClosedError):
            await session.receive()

    async def send(session: Session) -> None:
        with pytest.raises(WebSocketClosedError):
            await session.send("stuck")

    limits: Any = {"buffer_size": 10, "max_message_size": None}
    async with (
        running(client=False, **limits) as session,
        trio.open_nursery() as nursery,
    ):
        await session.send(bytes(WRITE_BUFFER))
        nursery.start_soon(receive, session)
        nursery.start_soon(send, session)
        nursery.start_soon(send, session)
        await wait_all_tasks_blocked()
        session.peer.stream.reset()


async def test_being_cancelled_closes_the_stream() -> None:
    async with running() as session:
        await wait_all_tasks_blocked()
    assert session.ending == Ending(1006, "the scope was cancelled")
    assert session.peer.stream.peer_closed
    assert await session.peer.read_all() == []
