"""Lending and taking back: nothing is lost, whoever fails or gives up at whichever moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests._client.asking import NAME, Ask, counts

NONE = (0, 0, 0, 0)


class Boom(Exception):  # noqa: N818  # a word for the tests
    pass


class AtStep(trio.abc.Instrument):
    """Does something in the moment in which a task is about to go on."""

    def __init__(self, task: trio.lowlevel.Task, do: Callable[[], object]) -> None:
        self.task = task
        self.do: Callable[[], object] | None = do

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task and self.do is not None:
            do, self.do = self.do, None
            do()


async def test_an_idle_connection_is_lent_again() -> None:
    agent = http.Agent(keep_alive=True)
    first, second = Ask(agent), Ask(agent)
    connection = await first.acquire()
    assert connection.holder is first
    assert counts(agent) == (1, 0, 0, 0)
    first.release()
    assert connection.holder is None
    assert counts(agent) == (0, 0, 1, 0)
    assert second.take() is connection
    assert connection.holder is second
    assert (agent.stats().opened, agent.stats().reused) == (1, 1)
    agent.destroy()


async def test_a_connection_with_unasked_bytes_is_not_lent() -> None:
    agent = http.Agent(keep_alive=True)
    first = Ask(agent)
    connection = await first.acquire()
    first.release()
    await first.peer.send_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert Ask(agent).take() is None
    assert connection.socket.destroyed
    assert counts(agent) == NONE


async def test_a_fresh_one_is_asked_for_where_idle_ones_are_suspect() -> None:
    agent = http.Agent(keep_alive=True)
    asks = [Ask(agent) for _ in range(3)]
    idle = [await ask.acquire() for ask in asks]
    for ask in asks:
        ask.release()
    last = Ask(agent)
    connection = await agent._acquire(
        http.ConnectOptions(host="origin.test"), last, last.timings, fresh=True
    )
    assert connection not in idle
    assert all(one.socket.destroyed for one in idle)
    assert counts(agent) == (1, 0, 0, 0)
    agent.destroy()


async def test_a_connection_that_died_on_its_way_is_replaced() -> None:
    agent = http.Agent(keep_alive=True, max_sockets=1)
    first, second = Ask(agent), Ask(agent)
    await first.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.acquire)
        await trio.testing.wait_all_tasks_blocked()
        assert counts(agent) == (1, 0, 0, 1)
        first.release()
        first.peer.close_now()
    assert second.connection is not first.connection
    assert agent.stats().opened == 2
    assert counts(agent) == (1, 0, 0, 0)
    agent.destroy()


async def test_a_socket_destroyed_on_its_way_is_replaced() -> None:
    agent = http.Agent(keep_alive=True, max_sockets=1)
    first, second = Ask(agent), Ask(agent)
    connection = await first.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.acquire)
        await trio.testing.wait_all_tasks_blocked()
        first.release()
        connection.socket.destroy()
    assert second.connection is not connection
    assert counts(agent) == (1, 0, 0, 0)
    agent.destroy()


@pytest.mark.parametrize("reusable", [True, False], ids=["connection", "right to dial"])
@pytest.mark.parametrize("error", [None, Boom("mine")], ids=["no error", "error"])
async def test_who_was_destroyed_meanwhile_gives_back(reusable: bool, error: Boom | None) -> None:
    agent = http.Agent(keep_alive=True, max_sockets=1)
    first, second = Ask(agent), Ask(agent)
    connection = await first.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.try_to_acquire)
        await trio.testing.wait_all_tasks_blocked()
        first.release(reusable=reusable)
        second.destroy(error)
    assert second.failure is error or isinstance(second.failure, http.SocketHangUpError)
    assert connection.socket.destroyed is not reusable
    assert counts(agent) == (0, 0, int(reusable), 0)
    agent.destroy()


@pytest.mark.parametrize("reusable", [True, False], ids=["connection", "right to dial"])
@pytest.mark.parametrize("keep_alive", [True, False])
async def test_who_is_cancelled_with_a_grant_in_hand_gives_back(
    reusable: bool, keep_alive: bool
) -> None:
    agent = http.Agent(keep_alive=keep_alive, max_sockets=1)
    first, second = Ask(agent), Ask(agent)
    connection = await first.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.acquire)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        # The task is not run before this one sleeps: the grant finds nobody waiting.
        first.release(reusable=reusable)
        assert counts(agent)[3] == 0
    assert second.connection is None
    kept = reusable and keep_alive
    assert connection.socket.destroyed is not kept
    assert counts(agent) == (0, 0, int(kept), 0)
    if kept:
        assert Ask(agent).take() is connection
    agent.destroy()


async def test_who_is_cancelled_passes_the_grant_on() -> None:
    agent = http.Agent(max_sockets=1)
    first, second, third = Ask(agent), Ask(agent), Ask(agent)
    connection = await first.acquire()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(second.acquire)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(third.acquire)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
                first.release()
    # Without keep_alive too: it is handed on, not kept.
    assert third.connection is connection
    assert second.connection is None
    third.release()
    assert connection.socket.destroyed
    assert counts(agent) == NONE


async def test_who_is_cancelled_as_the_agent_is_destroyed() -> None:
    agent = http.Agent(max_sockets=1)
    first, second = Ask(agent), Ask(agent)
    await first.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.acquire)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        agent.destroy()
    assert counts(agent) == NONE


async def test_a_queue_timeout(autojump_clock: trio.testing.MockClock) -> None:
    agent = http.Agent(max_sockets=1, queue_timeout=3)
    first, second = Ask(agent, "the first"), Ask(agent)
    await first.acquire()
    await second.try_to_acquire()
    assert trio.current_time() == 3
    assert str(second.failure) == (
        f"no socket for {NAME} became free within 3 s; place 1 in the queue; held by: the first"
    )
    assert isinstance(second.failure, http.QueueTimeoutError)
    assert counts(agent) == (1, 0, 0, 0)
    first.release()


async def test_a_queue_timeout_of_zero_means_not_at_all() -> None:
    agent = http.Agent(max_sockets=1, queue_timeout=0)
    first, second, third = Ask(agent), Ask(agent), Ask(agent)
    await first.acquire()  # it need not wait
    await second.try_to_acquire()
    assert isinstance(second.failure, http.QueueTimeoutError)
    first.release()
    await third.acquire()
    third.release()
    assert counts(agent) == NONE


async def test_a_queue_where_nobody_holds_anything(
    autojump_clock: trio.testing.MockClock,
) -> None:
    agent = http.Agent(max_sockets=0, queue_timeout=1)
    ask = Ask(agent)
    await ask.try_to_acquire()
    assert str(ask.failure).endswith("place 1 in the queue; held by: nobody")


async def test_a_grant_in_the_last_moment_counts(mock_clock: trio.testing.MockClock) -> None:
    agent = http.Agent(keep_alive=True, max_sockets=1, queue_timeout=3)
    first, second = Ask(agent), Ask(agent)
    connection = await first.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.try_to_acquire)
        await trio.testing.wait_all_tasks_blocked()
        (task,) = nursery.child_tasks
        # The time is up when it goes on, and only then the connection is freed.
        trio.lowlevel.add_instrument(AtStep(task, first.release))
        mock_clock.jump(3)
    assert second.failure is None
    assert second.connection is connection
    agent.destroy()


# --- the hooks ----------------------------------------------------------------------------


class Raising(http.Agent):
    where = ""

    def keep_socket_alive(self, socket: http.Socket) -> bool:
        if self.where == "keep":
            raise Boom
        if self.where == "destroy":
            socket.destroy()
        return True

    def reuse_socket(self, socket: http.Socket, request: Any) -> None:
        if self.where == "reuse":
            raise Boom


async def test_a_hook_that_raises_at_return_closes_the_socket() -> None:
    agent = Raising(keep_alive=True, max_sockets=1)
    first, second = Ask(agent), Ask(agent)
    connection = await first.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.acquire)
        await trio.testing.wait_all_tasks_blocked()
        agent.where = "keep"
        with pytest.raises(Boom):
            first.release()
    assert connection.socket.destroyed
    assert second.connection is not connection
    second.connection = None
    agent.destroy()
    assert counts(agent) == NONE


@pytest.mark.parametrize("queued", [False, True])
async def test_a_hook_that_raises_at_reuse_closes_the_socket(queued: bool) -> None:
    agent = Raising(keep_alive=True, max_sockets=1)
    agent.where = "reuse"
    first, second = Ask(agent), Ask(agent)
    connection = await first.acquire()
    async with trio.open_nursery() as nursery:
        if queued:
            nursery.start_soon(second.try_to_acquire)
            await trio.testing.wait_all_tasks_blocked()
        first.release()
        if not queued:
            with pytest.raises(Boom):
                second.take()
    assert isinstance(second.failure, Boom) is queued
    assert connection.socket.destroyed
    assert counts(agent) == NONE


async def test_a_hook_may_destroy_what_it_keeps() -> None:
    agent = Raising(keep_alive=True)
    agent.where = "destroy"
    ask = Ask(agent)
    await ask.acquire()
    ask.release()
    assert counts(agent) == NONE


async def test_the_timeout_of_the_hook_ends_when_the_socket_is_lent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Patient(http.Agent):
        def keep_socket_alive(self, socket: http.Socket) -> bool:
            socket.set_timeout(5)
            return True

    agent = Patient(keep_alive=True, timeout=1)
    ask = Ask(agent)
    connection = await ask.acquire()
    ask.release()
    await trio.sleep(4.9)
    assert ask.take() is connection
    await trio.sleep(60)
    assert not connection.socket.destroyed
    agent.destroy()


# --- taking back ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "buffer", "timeout", "max_age", "lives"),
    [
        (None, 1.0, None, None, 100.0),
        (None, 1.0, 7.0, None, 7.0),
        (None, 1.0, 0.0, None, 100.0),
        (None, 1.0, None, 9.0, 9.0),
        (10, 1.0, None, None, 9.0),
        (10, 2.5, None, None, 7.5),
        (10, 1.0, 20.0, None, 9.0),
        (10, 1.0, 5.0, None, 5.0),
        (10, 1.0, 20.0, 3.0, 3.0),
        (2, 1.0, None, None, 1.0),
        (1, 1.0, None, None, 0.0),
        (0, 1.0, None, None, 0.0),
    ],
)
async def test_how_long_an_idle_socket_lives(  # noqa: PLR0917  # a table
    hint: int | None,
    buffer: float,
    timeout: float | None,
    max_age: float | None,
    lives: float,
    autojump_clock: trio.testing.MockClock,
) -> None:
    agent = http.Agent(
        keep_alive=True, keep_alive_timeout_buffer=buffer, timeout=timeout, max_age=max_age
    )
    ask = Ask(agent)
    connection = await ask.acquire()
    ask.release(hint=hint)
    if lives:
        await trio.sleep(lives - 0.001)
        assert not connection.socket.destroyed
        assert counts(agent) == (0, 0, 1, 0)
    await trio.sleep(0.002)
    assert connection.socket.destroyed is (lives < 100)
    assert counts(agent)[2] == int(lives == 100)
    agent.destroy()


async def test_a_socket_without_a_place_in_the_books_is_closed() -> None:
    agent = http.Agent(keep_alive=True)
    ask = Ask(agent)
    connection = await ask.acquire()
    agent.remove_socket(connection.socket)
    assert counts(agent) == NONE
    assert not connection.socket.destroyed
    ask.release()
    assert connection.socket.destroyed
    assert counts(agent) == NONE


async def test_a_lowered_limit_closes_what_comes_back() -> None:
    agent = http.Agent(keep_alive=True)
    asks = [Ask(agent) for _ in range(3)]
    for ask in asks:
        await ask.acquire()
    agent.max_free_sockets = 1
    for ask in asks:
        ask.release()
    assert counts(agent) == (0, 0, 1, 0)
    agent.destroy()


# --- idle ones and the end ----------------------------------------------------------------------


async def test_a_peer_that_left_is_noticed(autojump_clock: trio.testing.MockClock) -> None:
    agent = http.Agent(keep_alive=True)
    asks = [Ask(agent) for _ in range(2)]
    for ask in asks:
        await ask.acquire()
    for ask in asks:
        ask.release()
    await trio.sleep(1)
    assert asks[1].take() is not None
    asks[0].peer.close_now()
    asks[1].peer.close_now()
    await trio.sleep(5.001)
    # The one in use is its holder's, whoever that is.
    assert counts(agent) == (1, 0, 0, 0)
    agent.destroy()


async def test_a_destroyed_agent_ends_whoever_holds_connects_or_waits() -> None:
    agent = http.Agent(keep_alive=True, max_sockets=2)
    idle, active, connecting, queued = (Ask(agent) for _ in range(4))
    connecting.dialling = trio.Event()
    await idle.acquire()
    await active.acquire()
    idle.release()
    agent.max_sockets = 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queued.try_to_acquire)
        await trio.testing.wait_all_tasks_blocked()
        assert counts(agent) == (1, 0, 1, 1)
        agent.destroy()
    assert isinstance(queued.failure, http.SocketHangUpError)
    assert "the agent was destroyed" in str(queued.failure)
    for ask in (idle, active):
        assert ask.connection is not None
        assert ask.connection.socket.destroyed
    assert active.connection is not None
    assert isinstance(active.connection.socket.errored, http.SocketHangUpError)
    assert idle.connection is not None
    assert idle.connection.socket.errored is None
    active.release()
    assert counts(agent) == NONE
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connecting.try_to_acquire)
        await trio.testing.wait_all_tasks_blocked()
        assert counts(agent) == (0, 1, 0, 0)
        agent.destroy()
        assert connecting.destroyed
        assert "the agent was destroyed" in str(connecting.errored)
        nursery.cancel_scope.cancel()
    assert counts(agent) == NONE


async def test_a_grant_does_not_outlive_the_agent() -> None:
    agent = http.Agent(keep_alive=True, max_sockets=1)
    first, second = Ask(agent), Ask(agent)
    await first.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.try_to_acquire)
        await trio.testing.wait_all_tasks_blocked()
        first.release()
        agent.destroy()
    assert isinstance(second.failure, http.SocketHangUpError)
    assert counts(agent) == NONE
    # It can be used again.
    third = Ask(agent)
    await third.acquire()
    third.release()
    assert counts(agent) == (0, 0, 1, 0)
    agent.destroy()


async def test_an_idle_socket_of_another_origin_makes_room() -> None:
    agent = http.Agent(keep_alive=True, max_total_sockets=1)
    first, other = Ask(agent), Ask(agent)
    connection = await first.acquire()
    first.release()
    await agent._acquire(http.ConnectOptions(host="other.test"), other, other.timings)
    assert connection.socket.destroyed
    assert list(agent.sockets) == ["other.test:80:"]
    agent.destroy()


async def test_a_connection_that_comes_in_time(autojump_clock: trio.testing.MockClock) -> None:
    agent = http.Agent(keep_alive=True, max_sockets=1, queue_timeout=3)
    first, second = Ask(agent), Ask(agent)
    connection = await first.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.acquire)
        await trio.sleep(2)
        first.release()
    assert second.connection is connection
    assert second.timings.queued == 2
    agent.destroy()


async def test_a_connection_that_is_handed_over_wakes_the_next() -> None:
    agent = http.Agent(max_sockets=1)
    first, second = Ask(agent), Ask(agent)
    connection = await first.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.acquire)
        await trio.testing.wait_all_tasks_blocked()
        agent._drop(connection)
    assert counts(agent) == (1, 0, 0, 0)
    assert not connection.socket.destroyed
    connection.socket.destroy()
    assert counts(agent) == (1, 0, 0, 0)
    agent.destroy()
