"""The agent: options, runs one after another and side by side, and what it shows."""

from __future__ import annotations

import gc
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests._client.asking import NAME, Ask, counts
from trio_nodehttp._client.agent import check_agent
from trio_nodehttp._memory import memory_pipe

NONE = (0, 0, 0, 0)


def test_the_defaults_are_those_of_node() -> None:
    agent = http.Agent()
    assert agent.keep_alive is False
    assert agent.keep_alive_initial_delay == 1.0
    assert agent.max_sockets == agent.max_total_sockets == math.inf
    assert agent.max_free_sockets == 256
    assert agent.scheduling == "lifo"
    assert agent.timeout is None
    assert agent.retry_stale is True
    assert (http.global_agent.keep_alive, http.global_agent.timeout) == (True, 5.0)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"max_sockets": "1"}, "ERR_INVALID_ARG_TYPE"),
        ({"max_sockets": -1}, "ERR_OUT_OF_RANGE"),
        ({"timeout": -1}, "ERR_OUT_OF_RANGE"),
        ({"scheduling": "random"}, "ERR_INVALID_ARG_VALUE"),
        ({"family": 5}, "ERR_INVALID_ARG_VALUE"),
        ({"create_connection": 1}, "ERR_INVALID_ARG_TYPE"),
        ({"ssl_context": "mine"}, "ERR_INVALID_ARG_TYPE"),
        ({"default_port": 65536}, "ERR_OUT_OF_RANGE"),
        ({"protocol": "ftp:"}, "ERR_INVALID_PROTOCOL"),
        ({"local_address": 1}, "ERR_INVALID_ARG_TYPE"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], code: str) -> None:
    (name,) = options
    with pytest.raises(http.ArgumentError, match=name) as caught:
        http.Agent(**options)
    assert caught.value.code == code


def test_an_unknown_option_is_refused() -> None:
    told = r"^Agent\(\) got an unexpected option 'max_socket'; did you mean 'max_sockets'\?$"
    with pytest.raises(TypeError, match=told):
        http.Agent(max_socket=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="did you mean 'create_connection'"):
        http.Agent(create_connexion=None)  # type: ignore[call-arg]


def test_an_option_is_checked_when_it_is_changed_too() -> None:
    agent = http.Agent()
    with pytest.raises(http.OutOfRangeError, match="max_sockets"):
        agent.max_sockets = -1
    assert agent.max_sockets == math.inf
    agent.max_sockets = 3
    assert agent.max_sockets == 3


async def test_a_raised_limit_serves_who_waits() -> None:
    agent = http.Agent(max_sockets=0)
    ask = Ask(agent)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask.acquire)
        await trio.testing.wait_all_tasks_blocked()
        assert agent.requests == {NAME: (ask,)}
        agent.max_sockets = 1
    assert counts(agent) == (1, 0, 0, 0)
    agent.destroy()


# --- runs -------------------------------------------------------------------------------


async def leave_one_idle(agent: http.Agent) -> http.Socket:
    ask = Ask(agent)
    connection = await ask.acquire()
    ask.release()
    assert counts(agent) == (0, 0, 1, 0)
    return connection.socket


def test_one_run_after_another() -> None:
    agent = http.Agent(keep_alive=True)
    sockets = [trio.run(leave_one_idle, agent) for _ in range(2)]
    # The first is closed with its run, and nobody tries to use it in the next.
    assert [socket.destroyed for socket in sockets] == [True, True]
    assert agent.stats() == http.AgentStats(
        active=0, connecting=0, idle=0, queued=0, opened=2, reused=0, origins={}
    )
    gc.collect()


def test_two_runs_side_by_side() -> None:
    agent = http.Agent(keep_alive=True, max_sockets=1)
    turns = threading.Barrier(2, timeout=5)
    shown: list[tuple[int, int, int, int]] = []
    failures: list[BaseException] = []

    async def work() -> None:
        ask = Ask(agent)
        for _ in range(3):
            turns.wait()
            connection = await ask.acquire()  # one in each run: neither waits
            turns.wait()
            shown.append(counts(agent))
            ask.release()
            assert not connection.socket.destroyed
            shown.append(counts(agent))

    def run() -> None:
        try:
            trio.run(work)
        except BaseException as error:  # noqa: BLE001  # raised below
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(shown) == [(0, 0, 1, 0)] * 6 + [(1, 0, 0, 0)] * 6
    assert (agent.stats().opened, agent.stats().reused) == (2, 4)


def test_it_may_be_looked_at_and_destroyed_outside_of_a_run() -> None:
    agent = http.Agent()
    assert repr(agent) == "<Agent active=0 connecting=0 idle=0 queued=0 opened=0 reused=0>"
    assert (agent.sockets, agent.free_sockets, agent.requests) == ({}, {}, {})
    agent.max_sockets = 4
    agent.destroy()
    assert agent.stats().origins == {}


async def test_a_look_from_a_thread_sees_the_run() -> None:
    agent = http.Agent(keep_alive=True)
    await leave_one_idle(agent)
    assert (await trio.to_thread.run_sync(agent.stats)).idle == 1
    agent.destroy()


def test_nothing_is_left_behind_by_the_global_agent() -> None:
    async def main() -> http.Socket:
        socket = await leave_one_idle(http.global_agent)
        assert not socket.destroyed
        return socket

    assert trio.run(main).destroyed
    gc.collect()  # a ResourceWarning is an error here
    assert http.global_agent.stats().idle == 0


async def test_an_idle_socket_does_not_hold_up_the_end_of_a_run(
    autojump_clock: trio.testing.MockClock,
) -> None:
    await leave_one_idle(http.Agent(keep_alive=True, timeout=3600))
    assert trio.current_time() == 0


async def test_an_idle_socket_that_its_peer_left_is_not_shown() -> None:
    agent = http.Agent(keep_alive=True)
    asks = [Ask(agent), Ask(agent)]
    for ask in asks:
        await ask.acquire()
    for ask in asks:
        ask.release()
    left, kept = asks
    assert counts(agent) == (0, 0, 2, 0)
    await left.peer.aclose()
    assert agent.stats().idle == 2, "counting looks at no socket"
    assert kept.connection is not None
    assert agent.free_sockets == {NAME: (kept.connection.socket,)}
    assert left.connection is not None
    assert left.connection.socket.destroyed
    assert agent.stats().idle == agent.stats().origins[NAME].idle == 1
    agent.destroy()


# --- the scope ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["left", "cancelled", "raised"])
async def test_leaving_closes_every_socket(how: str) -> None:
    socket: http.Socket | None = None
    error: BaseException | None = None
    with trio.CancelScope() as scope:
        try:
            async with http.Agent(keep_alive=True) as agent:
                socket = await leave_one_idle(agent)
                if how == "cancelled":
                    scope.cancel()
                if how == "raised":
                    dict.fromkeys("a")["mine"]
        except KeyError as raised:
            error = raised  # as it was, in no group
    assert scope.cancelled_caught is (how == "cancelled")
    assert isinstance(error, KeyError) is (how == "raised")
    assert socket is not None
    assert socket.destroyed
    assert counts(agent) == NONE


async def test_entering_and_leaving_are_checkpoints() -> None:
    agent = http.Agent()
    with trio.testing.assert_checkpoints():
        await agent.__aenter__()
    with trio.testing.assert_checkpoints():
        await agent.__aexit__(None, None, None)


async def test_an_idle_socket_may_be_forgotten() -> None:
    agent = http.Agent(keep_alive=True)
    socket = await leave_one_idle(agent)
    agent.remove_socket(http.Socket(memory_pipe()[0]))  # a stranger
    assert counts(agent) == (0, 0, 1, 0)
    agent.remove_socket(socket)
    assert counts(agent) == NONE
    assert socket.destroyed


# --- what it shows --------------------------------------------------------------------------


async def test_what_it_shows() -> None:
    agent = http.Agent(keep_alive=True, max_sockets=3)
    idle, active, dialling, queued = (Ask(agent) for _ in range(4))
    dialling.dialling = trio.Event()
    await idle.acquire()
    await active.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dialling.acquire)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(queued.acquire)
        await trio.testing.wait_all_tasks_blocked()
        assert repr(agent) == "<Agent active=2 connecting=1 idle=0 queued=1 opened=2 reused=0>"
        assert idle.connection is not None
        assert active.connection is not None
        assert agent.sockets == {NAME: (idle.connection.socket, active.connection.socket)}
        assert agent.requests == {NAME: (queued,)}
        assert agent.free_sockets == {}
        stats = agent.stats()
        assert stats.origins == {NAME: http.OriginStats(active=2, connecting=1, idle=0, queued=1)}
        nursery.cancel_scope.cancel()
    idle.release()
    assert agent.free_sockets == {NAME: (idle.connection.socket,)}
    assert agent.sockets == {NAME: (active.connection.socket,)}
    with pytest.raises(AttributeError):
        stats.active = 3  # type: ignore[misc]
    agent.destroy()
    assert agent.stats().origins == {}


def test_check_agent() -> None:
    for good in (None, False, http.Agent()):
        check_agent(good)
    for bad in (True, 0, "agent", object()):
        with pytest.raises(http.InvalidArgTypeError, match="agent must be"):
            check_agent(bad)


async def test_a_hundred_agents_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> None:
        pytest.fail("no TLS context is needed to make an agent")

    monkeypatch.setattr("ssl.create_default_context", build)
    clock: Callable[[], float] = trio.lowlevel.current_clock().current_time
    took = []
    for _ in range(3):
        began = clock()
        for _ in range(100):
            http.Agent(keep_alive=True)
        took.append(clock() - began)
    assert min(took) < 0.05
