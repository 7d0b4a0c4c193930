"""The watch over idle connections: exact, one entry each, and gone with its agent."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from trio_nodehttp._client.idle import LOOK_EVERY, IdleWatch
from trio_nodehttp._client.lease import NEVER, PooledConnection
from trio_nodehttp._memory import memory_pipe
from trio_nodehttp._sansio.codec_h11 import H11Codec
from trio_nodehttp._transport import Socket


class Looking:
    """Notes who was looked at and when; an expired one is not watched any further."""

    def __init__(self) -> None:
        self.looks: list[tuple[float, PooledConnection]] = []
        self.exits: list[float] = []
        self.lent: set[PooledConnection] = set()
        self.watch = IdleWatch(self.look, lambda: self.exits.append(trio.current_time()))

    def look(self, connection: PooledConnection) -> bool:
        now = trio.current_time()
        self.looks.append((now, connection))
        return connection.expires > now and connection not in self.lent

    def idle(self, expires: float = NEVER) -> PooledConnection:
        stream, _ = memory_pipe()
        connection = PooledConnection(Socket(stream), H11Codec(is_server=False), "origin")
        connection.expires = expires
        self.watch.add(connection, trio.current_time())
        return connection

    def times(self) -> list[float]:
        return [when for when, _ in self.looks]


async def test_each_is_looked_at_exactly_when_it_expires(
    autojump_clock: trio.testing.MockClock,
) -> None:
    looking = Looking()
    late, early, middle = (looking.idle(expires) for expires in (3.5, 1.25, 2))
    await trio.sleep(10)
    assert looking.looks == [(1.25, early), (2, middle), (3.5, late)]


async def test_and_every_few_seconds_before(autojump_clock: trio.testing.MockClock) -> None:
    looking = Looking()
    connection = looking.idle(12)
    await trio.sleep(100)
    assert looking.looks == [(when, connection) for when in (LOOK_EVERY, 2 * LOOK_EVERY, 12)]


async def test_one_without_an_end_is_looked_at_for_ever(
    autojump_clock: trio.testing.MockClock,
) -> None:
    looking = Looking()
    looking.idle()
    await trio.sleep(10 * LOOK_EVERY + 1)
    assert looking.times() == [n * LOOK_EVERY for n in range(1, 11)]
    looking.watch.clear()
    await trio.sleep(100)
    assert len(looking.looks) == 10


async def test_a_busy_one_has_one_entry(autojump_clock: trio.testing.MockClock) -> None:
    looking = Looking()
    connection = looking.idle(4)
    for _ in range(3):
        await trio.sleep(1)
        connection.expires = trio.current_time() + 4
        looking.watch.add(connection, trio.current_time())
    # The entry made first fires first; the expiry of the last time still holds.
    await trio.sleep(100)
    assert looking.times() == [4, 7]


async def test_one_that_expires_sooner_than_last_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    looking = Looking()
    connection = looking.idle(4)
    connection.expires = 2
    looking.watch.add(connection, 0)
    await trio.sleep(100)
    assert looking.times() == [2]


async def test_one_in_use_is_let_go_and_can_come_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    looking = Looking()
    connection = looking.idle(1)
    looking.lent.add(connection)
    await trio.sleep(2)
    assert connection.look_at == NEVER
    looking.lent.clear()
    connection.expires = 5
    looking.watch.add(connection, trio.current_time())
    await trio.sleep(10)
    assert looking.times() == [1, 5]


async def test_looking_may_clear_the_watch(autojump_clock: trio.testing.MockClock) -> None:
    looking = Looking()

    def clear(connection: PooledConnection) -> bool:
        looking.looks.append((trio.current_time(), connection))
        looking.watch.clear()
        return False

    looking.watch = IdleWatch(clear, looking.exits.append)  # type: ignore[arg-type]
    looking.idle(1)
    looking.idle(1)
    await trio.sleep(10)
    assert looking.times() == [1]


def test_the_end_of_the_run_is_told_while_somebody_is_watched() -> None:
    looking = Looking()

    async def main() -> None:
        looking.idle(3)
        await trio.sleep(1)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert looking.exits == [1]
    assert looking.looks == []


@pytest.mark.parametrize("how", ["cleared", "expired"])
def test_the_end_of_the_run_is_not_told_otherwise(how: str) -> None:
    looking = Looking()

    async def main() -> None:
        looking.idle(3)
        if how == "cleared":
            looking.watch.clear()
        await trio.sleep(4)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert looking.exits == []
