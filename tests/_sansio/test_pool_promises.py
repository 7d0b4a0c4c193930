"""What Node's tests assert of its agent and what we promise, as far as the pool decides.

Rows of Node's table are named in docstrings, promises by their number.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import pytest

from tests._sansio.desk import Desk
from trio_nodehttp._sansio.pool import Action, Close, Open, Pool

A, B, C = "a:80:", "b:80:", "c:80:"


def test_maxsockets() -> None:
    """test-http-agent-maxsockets.js."""
    desk = Desk(max_sockets=2, max_free_sockets=2)
    desk.ask(A, "w1", "w2")
    desk.give("w1", "w2")
    assert desk.pool.idle == {A: (1, 2)}


def test_maxsockets_respected() -> None:
    """test-http-agent-maxsockets-respected.js: each is aborted on its response."""
    desk = Desk(max_sockets=2)
    desk.ask(A, *(f"w{i}" for i in range(6)))
    answered = 0
    while desk.held:
        assert desk.pool.len_active <= 2
        waiter, connection = next(iter(desk.held.items()))
        del desk.held[waiter]
        desk.carry_out(desk.pool.discard(connection))
        answered += 1
    assert answered == 6


@pytest.mark.parametrize(("total", "per_origin"), [(2, 3), (3, 2), (2, 2)])
@pytest.mark.parametrize("reusable", [True, False])
def test_maxtotalsockets(total: int, per_origin: int, *, reusable: bool) -> None:
    """test-http-agent-maxtotalsockets.js: 12 requests over two origins."""
    desk = Desk(max_total_sockets=total, max_sockets=per_origin)
    for i in range(6):
        desk.ask(A, f"a{i}")
        desk.ask(B, f"b{i}")
    done = []
    while desk.held:
        assert desk.pool.len_active + desk.pool.len_idle <= total
        assert max(map(len, desk.pool.active.values())) <= per_origin
        done.append(next(iter(desk.held)))
        desk.give(done[-1], reusable=reusable)
    assert sorted(done) == sorted(f"{o}{i}" for o in "ab" for i in range(6))


@pytest.mark.parametrize(("scheduling", "used"), [("fifo", [1, 2, 3]), ("lifo", [5, 5, 5])])
def test_scheduling(scheduling: Literal["lifo", "fifo"], used: list[int]) -> None:
    """test-http-agent-scheduling.js: a burst of five, then three in sequence."""
    desk = Desk(max_sockets=5, scheduling=scheduling)
    desk.ask(A, *"12345")
    desk.give(*"12345")
    seen = []
    for _ in range(3):
        desk.ask(A, "next")
        seen.append(desk.held["next"])
        desk.give("next")
    assert seen == used


def test_scheduling_may_change_while_running() -> None:
    desk = Desk()
    desk.ask(A, "w1", "w2", "w3")
    desk.give("w1", "w2", "w3")
    assert desk.pool.take_idle(A) == 3
    desk.pool.scheduling = "fifo"
    assert desk.pool.take_idle(A) == 1


def test_keepalive_maxsockets() -> None:
    """test-http-keepalive-maxsockets.js: two rounds of ten requests."""
    desk = Desk(max_sockets=5, max_free_sockets=2)
    for opened in (5, 8):
        desk.ask(A, *(f"w{i}" for i in range(10)))
        while desk.held:
            desk.give(next(iter(desk.held)))
        assert desk.opened == opened
        assert len(desk.pool.idle_of(A)) == 2
        assert (desk.pool.active, desk.pool.waiting) == ({}, {})


def test_queue_shrinks_and_keys_vanish() -> None:
    """test-http-keep-alive.js, test-http-client-agent.js."""
    desk = Desk(max_sockets=1)
    desk.ask(A, "w1", "w2", "w3")
    queued = []
    for waiter in ("w1", "w2", "w3"):
        assert len(desk.pool.active_of(A)) == 1
        queued.append(len(desk.pool.waiting.get(A, ())))
        desk.give(waiter, reusable=False)
    assert queued == [2, 1, 0]
    assert (desk.pool.active, desk.pool.waiting) == ({}, {})


def test_connection_is_closed_and_the_next_waiter_opens_its_own() -> None:
    """test-http-keep-alive-close-on-header.js, test-http-agent-destroyed-socket.js."""
    desk = Desk(max_sockets=1)
    desk.ask(A, "w1", "w2", "w3")
    for number, waiter in enumerate(("w1", "w2", "w3"), 1):
        assert desk.held == {waiter: number}
        desk.give(waiter, reusable=False)
    assert (desk.opened, desk.closed) == (3, [1, 2, 3])


def test_cancelled_waiter_costs_no_connection() -> None:
    """test-http-client-abort-keep-alive-queued-tcp-socket.js."""
    desk = Desk(max_sockets=1)
    desk.ask(A, "w1", "w2", "w3")
    assert desk.pool.cancel("w2") == []
    desk.give("w1")
    assert desk.held == {"w3": 1}
    assert (desk.opened, desk.closed) == (1, [])


def test_last_cancelled_waiter_takes_the_key_along() -> None:
    desk = Desk(max_sockets=0)
    desk.ask(A, "w1")
    desk.pool.cancel("w1")
    assert desk.pool.waiting == {}


def test_error_on_idle() -> None:
    """test-http-agent-error-on-idle.js, test-http-agent-timeout.js."""
    desk = Desk()
    desk.ask(A, "w1")
    desk.give("w1")
    assert desk.pool.discard(1) == []
    desk.ask(A, "w2")
    assert desk.held == {"w2": 2}
    assert desk.pool.idle == {}


def test_upgrade_leaves_the_pool() -> None:
    """test-http-upgrade-agent.js: the slot is free, the connection is not closed."""
    desk = Desk(max_sockets=1)
    desk.ask(A, "w1", "w2")
    assert desk.pool.discard(1) == [Open("w2", A)]
    assert desk.pool.origin_of(1) is None
    assert desk.pool.release(1, reusable=True) == []


def test_max_sockets() -> None:
    """test-http-max-sockets.js."""
    desk = Desk(max_sockets=10)
    desk.ask(A, *(f"w{i:02}" for i in range(20)))
    assert (len(desk.held), desk.pool.len_waiting) == (10, 10)
    for i in range(20):
        desk.give(f"w{i:02}")
    assert (desk.opened, desk.pool.len_idle) == (10, 10)


def test_promise_3_idle_of_another_origin_is_evicted() -> None:
    desk = Desk(max_total_sockets=1)
    desk.ask(A, "a1")
    desk.give("a1")
    assert desk.pool.request(B, "b1") == [Close(1), Open("b1", B)]
    assert desk.pool.idle == {}
    assert desk.pool.origin_of(1) is None


def test_promise_3_returned_connection_makes_room() -> None:
    desk = Desk(max_total_sockets=1)
    desk.ask(A, "a1")
    desk.ask(B, "b1")
    assert desk.pool.release(1, reusable=True) == [Close(1), Open("b1", B)]


def test_promise_3_blocked_origin_blocks_nobody() -> None:
    desk = Desk(max_total_sockets=2, max_sockets=1)
    desk.ask(A, "long poll")
    desk.ask(B, "b1")
    desk.ask(A, "a2")
    desk.ask(C, "c1")
    desk.give("b1")
    assert set(desk.held) == {"long poll", "c1"}


def test_promise_4_failed_dials_wake_the_next() -> None:
    pool: Pool[str, int, int] = Pool(max_sockets=2)
    dialling = deque[int]()
    errors = []
    for waiter in range(6):
        dialling += opens(pool.request(A, waiter))
    while dialling:
        assert pool.len_connecting == len(dialling) <= 2
        errors.append(dialling.popleft())
        dialling += opens(pool.failed(errors[-1]))
    assert errors == [0, 1, 2, 3, 4, 5]
    assert repr(pool) == "<Pool: 0 active, 0 connecting, 0 idle, 0 waiting>"
    assert pool.connecting == {}


def opens(actions: list[Action[str, int, int]]) -> list[int]:
    return [action.waiter for action in actions if isinstance(action, Open)]


def test_promise_5_connecting_counts() -> None:
    pool: Pool[str, int, str] = Pool(max_sockets=2, max_total_sockets=3)
    granted = [w for w in ("w1", "w2", "w3") if pool.request(A, w)]
    granted += [w for w in ("v1", "v2") if pool.request(B, w)]
    assert granted == ["w1", "w2", "v1"]
    assert pool.waiting == {A: ("w3",), B: ("v2",)}


def test_promise_5_aborts_do_not_drift() -> None:
    desk = Desk(max_sockets=3)
    for _ in range(4):
        desk.ask(A, "w1", "w2", "w3", "w4")
        desk.pool.cancel("w4")
        for waiter in ("w1", "w2", "w3"):
            assert desk.pool.discard(desk.held.pop(waiter)) == []
    assert desk.opened == 12
    assert repr(desk.pool) == "<Pool: 0 active, 0 connecting, 0 idle, 0 waiting>"


def test_promise_7_never_more_than_the_total() -> None:
    desk = Desk(max_total_sockets=10)
    for i in range(1000):
        desk.ask(f"origin {i % 50}", f"w{i}")
        assert desk.opened - len(desk.closed) <= 10
    served = 0
    while desk.held:
        desk.give(next(iter(desk.held)))
        served += 1
        assert desk.opened - len(desk.closed) <= 10
    assert served == 1000
