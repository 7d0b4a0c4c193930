"""The tasks of one open connection, against a peer that speaks raw frames."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests._websocket.watched import running
from tests._websocket.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    Through,
    frame,
)
from trio_nodehttp._websocket.session import MOST_PONGS, WRITE_BUFFER, Ending, Session

both = pytest.mark.parametrize("client", [True, False])


# -- messages


@both
async def test_messages_go_both_ways(client: bool) -> None:
    async with running(client=client) as session:
        await session.send("é")
        await session.send(b"\x00")
        assert await session.peer.read() == Frame(TEXT, "é".encode(), client)
        assert await session.peer.read() == Frame(BINARY, b"\x00", client)
        await session.peer.send(TEXT, b"one")
        await session.peer.send(BINARY, b"two")
        assert await session.receive() == "one"
        assert await session.receive() == b"two"
        assert session.messages == ["one", b"two"]


async def test_frames_that_wait_leave_together() -> None:
    sent: list[bytes] = []

    class Noting(Through):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            sent.append(bytes(data))
            await super().send_all(data)

    async with running(client=False, buffer_size=3, stream=Noting) as session:
        await session.send("first")
        await wait_all_tasks_blocked()
        for letter in "abc":
            await session.send(letter)
        assert session.buffered_amount == 8
        for _ in range(4):
            await session.peer.read()
        assert sent == [b"\x81\x05first", b"\x81\x01a\x81\x01b\x81\x01c"]
        assert session.buffered_amount == 0


async def test_a_sender_waits_while_the_buffer_is_full() -> None:
    async with running(client=False, buffer_size=10, max_message_size=None) as session:
        await session.send(bytes(WRITE_BUFFER))
        with trio.move_on_after(0) as scope:
            await session.send("waits")
        assert scope.cancelled_caught
        assert session.buffered_amount == WRITE_BUFFER
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.send, "first")
            await wait_all_tasks_blocked()
            nursery.start_soon(session.send, "é")
            await wait_all_tasks_blocked()
            found = [await session.peer.read() for _ in range(3)]
        # The cancelled message was not sent, and nothing was torn.
        assert [item and item.payload for item in found[1:]] == [b"first", "é".encode()]
        assert found[0] == Frame(BINARY, bytes(WRITE_BUFFER))


async def test_a_cancelled_receive_loses_nothing() -> None:
    async with running() as session:
        with trio.move_on_after(0):
            await session.receive()
        await session.peer.send(TEXT, b"kept")
        await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.receive()
        assert scope.cancelled_caught
        assert await session.receive() == "kept"


async def test_receivers_share_the_messages() -> None:
    got: list[object] = []

    async def take(session: Session) -> None:
        got.append(await session.receive())

    async with running() as session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take, session)
            nursery.start_soon(take, session)
            await wait_all_tasks_blocked()
            await session.peer.send(TEXT, b"a")
            await session.peer.send(TEXT, b"b")
        assert sorted(got, key=str) == ["a", "b"]


@pytest.mark.parametrize(
    ("limits", "payload", "most"),
    [
        ({"max_queue": 2}, b"x", 2),
        ({"max_queue": 99, "max_message_size": 100}, bytes(60), 2),
        ({"max_queue": 5, "max_message_size": None}, bytes(60), 5),
        ({"max_queue": 3, "max_message_size": 0}, b"", 3),
    ],
)
async def test_a_full_queue_stops_the_reading(limits: Any, payload: bytes, most: int) -> None:
    async with running(**limits) as session:
        for _ in range(20):
            await session.peer.send(BINARY, payload)
        await wait_all_tasks_blocked()
        assert len(session.messages) == most
        await session.receive()
        await wait_all_tasks_blocked()
        assert len(session.messages) == most + 1
        for _ in range(19):
            assert await session.receive() == payload


async def test_messages_that_observers_had_are_forgotten() -> None:
    async with running(max_queue=2) as session:
        session.wanted = True
        for number in range(20):
            await session.peer.send(TEXT, b"%d" % number)
        await wait_all_tasks_blocked()
        assert session.messages == [str(number) for number in range(20)]
        # Once somebody receives, nothing is forgotten any more.
        assert await session.receive() == "19"
        for number in range(20):
            await session.peer.send(TEXT, b"%d" % number)
        await wait_all_tasks_blocked()
        assert len(session.messages) == 22
        assert [await session.receive() for _ in range(20)] == session.messages[20:]


async def test_a_flood_of_empty_fragments_leaves_others_their_turn() -> None:
    flood = frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 20_000
    turns = 0
    async with running() as session:
        await session.peer.stream.send_all(flood + frame(CONTINUATION, b"end"))
        while not session.messages:
            turns += 1
            await trio.lowlevel.checkpoint()
    assert turns > 20


# -- pings


@both
async def test_pings_are_answered_while_nobody_reads(client: bool) -> None:
    async with running(client=client, max_queue=2) as session:
        await session.peer.send(TEXT, b"unread")
        await session.peer.send(PING, b"1")
        await session.peer.send(PING, b"2")
        assert await session.peer.read() == Frame(PONG, b"1", client)
        assert await session.peer.read() == Frame(PONG, b"2", client)
        await session.peer.send(PONG, b"nobody asked")
        await session.peer.send(TEXT, b"unread")
        await session.peer.send(PING, b"3")  # behind a full queue
        await wait_all_tasks_blocked()
        assert session.peer.stream.unread == 0
        assert await session.receive() == "unread"
        assert await session.peer.read() == Frame(PONG, b"3", client)


async def test_a_pong_overtakes_messages_that_wait() -> None:
    async with running(client=False, buffer_size=10) as session:
        await session.send("first")
        await session.send("a message that fills the pipe")
        await wait_all_tasks_blocked()
        await session.send("second")
        await session.peer.send(PING, b"?")
        await wait_all_tasks_blocked()
        found = [await session.peer.read() for _ in range(4)]
        assert [item and item.opcode for item in found] == [TEXT, TEXT, PONG, TEXT]


@both
async def test_a_ping_is_answered_though_a_close_is_right_behind_it(client: bool) -> None:
    async with running(client=client) as session:
        peer = session.peer
        await peer.stream.send_all(peer.frame(PING, b"?") + peer.frame(CLOSE))
        found = [await peer.read(), await peer.read()]
        assert found == [Frame(PONG, b"?", client), Frame(CLOSE, b"", client)]


async def test_a_ping_during_the_close_is_not_answered() -> None:
    async with running() as session:
        session.start_closing(1000, "")
        await session.peer.send(PING, b"?")
        await session.peer.close()
        assert [each.opcode for each in await session.peer.read_all()] == [CLOSE]


async def test_a_flood_of_pings_keeps_the_latest() -> None:
    async with running(client=False, buffer_size=100) as session:
        await session.send(bytes(200))
        await wait_all_tasks_blocked()  # the writer is held up
        for number in range(1000):
            await session.peer.send(PING, b"%d" % number)
        await wait_all_tasks_blocked()
        first = await session.peer.read()
        assert first is not None
        assert first.payload == bytes(200)
        await wait_all_tasks_blocked()
        pongs = [await session.peer.read() for _ in range(MOST_PONGS)]
        expected = [b"%d" % number for number in range(1000 - MOST_PONGS, 1000)]
        assert [pong and pong.payload for pong in pongs] == expected


async def test_a_peer_that_answers_pings_is_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(ping_interval=10, ping_timeout=5) as session:
        for _ in range(5):
            assert await session.peer.read() == Frame(PING, b"", masked=True)
            await trio.sleep(4)
            await session.peer.send(PONG)
        assert trio.current_time() == 5 * 10 + 4
        assert session.endings == []


@pytest.mark.parametrize(("interval", "timeout"), [(10, 5), (10, 10), (4, 11)])
async def test_pings_keep_their_interval(
    interval: float, timeout: float, autojump_clock: trio.testing.MockClock
) -> None:
    async with running(ping_interval=interval, ping_timeout=timeout) as session:
        for number in range(1, 5):
            assert await session.peer.read() == Frame(PING, b"", masked=True)
            assert trio.current_time() == number * interval
            if number < 4:
                await session.peer.send(PONG)
        await session.ended.wait()
        # The fourth is the first without an answer.
        assert trio.current_time() == 4 * interval + timeout


async def test_no_limit_on_the_answer_to_a_ping(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(ping_interval=10, ping_timeout=None) as session:
        await trio.sleep(1000)
        assert session.endings == []


async def test_a_silent_peer_is_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(ping_interval=10, ping_timeout=5) as session:
        await session.ended.wait()
        assert trio.current_time() == 15
        assert session.ending == Ending(1006, "the peer did not answer a ping in time")
        assert session.peer.stream.peer_closed


async def test_an_application_that_does_not_read_keeps_its_peer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(ping_interval=10, ping_timeout=5, max_queue=1) as session:
        await session.peer.send(TEXT, b"unread")
        await trio.sleep(60)
        assert session.endings == []
        await session.receive()
        await trio.sleep(14)
        assert session.endings == []
        await session.ended.wait()
        assert session.endings[0].code == 1006


async def test_no_pings_while_closing(autojump_clock: trio.testing.MockClock) -> None:
    async with running(ping_interval=1, ping_timeout=1, close_timeout=60) as session:
        await trio.sleep(1.5)
        session.start_closing(1000, "")
        await session.ended.wait()
        assert trio.current_time() == 61.5
        kinds = [found.opcode for found in await session.peer.read_all()]
        assert kinds == [PING, CLOSE]
