"""The pool's decisions, one by one."""

from __future__ import annotations

from math import inf

import pytest

from tests._sansio.desk import Desk
from trio_nodehttp._sansio.pool import Close, Open, Pool, Use

A, B, C = "a:80:", "b:80:", "c:80:"


# -- actions


def test_actions_compare_by_kind_and_fields() -> None:
    assert Use("w", 1) == Use("w", 1)
    assert Use("w", 1) != Use("w", 2)
    assert Open("w", "o") != Use("w", "o")  # type: ignore[comparison-overlap]
    assert Close(1) == Close(1)


def test_actions_show_their_fields() -> None:
    assert repr(Use("w", 1)) == "Use(waiter='w', connection=1)"
    assert repr(Open("w", A)) == "Open(waiter='w', origin='a:80:')"
    assert repr(Close(1)) == "Close(connection=1)"


def test_actions_are_slotted() -> None:
    for action in (Use("w", 1), Open("w", A), Close(1)):
        assert not hasattr(action, "__dict__")


# -- one step at a time


def test_empty_pool() -> None:
    pool: Pool[str, int, str] = Pool()
    assert (pool.max_sockets, pool.max_total_sockets) == (inf, inf)
    assert (pool.max_free_sockets, pool.scheduling) == (256, "lifo")
    assert pool.take_idle(A) is None
    assert (pool.idle, pool.active, pool.waiting, pool.connecting) == ({}, {}, {}, {})
    assert (pool.idle_of(A), pool.active_of(A), pool.waiting_of(A)) == ((), (), ())
    assert pool.wake() == []
    assert pool.clear() == ([], [])
    assert repr(pool) == "<Pool: 0 active, 0 connecting, 0 idle, 0 waiting>"


def test_life_of_a_connection() -> None:
    pool: Pool[str, int, str] = Pool()
    assert pool.request(A, "w") == [Open("w", A)]
    assert pool.connecting == {A: ("w",)}
    pool.opened("w", 1)
    assert (pool.connecting, pool.active) == ({}, {A: (1,)})
    assert pool.origin_of(1) == A
    assert pool.release(1, reusable=True) == []
    assert (pool.active, pool.idle) == ({}, {A: (1,)})
    assert pool.origin_of(1) == A
    assert pool.take_idle(B) is None
    assert pool.take_idle(A) == 1
    assert pool.release(1, reusable=False) == [Close(1)]
    assert pool.origin_of(1) is None
    assert repr(pool) == "<Pool: 0 active, 0 connecting, 0 idle, 0 waiting>"


def test_repr_counts_every_state() -> None:
    desk = Desk(max_sockets=2)
    desk.ask(A, "a1", "a2", "a3")
    desk.ask(B, "b1")
    desk.give("b1")
    desk.pool.request(C, "c1")
    counts = "<Pool: 2 active, 1 connecting, 1 idle, 1 waiting>"
    assert repr(desk.pool) == counts


def test_views_are_in_order() -> None:
    desk = Desk(max_sockets=3)
    desk.ask(A, "a1", "a2", "a3", "a4", "a5", "a6")
    assert desk.pool.active_of(A) == (1, 2, 3)
    assert desk.pool.waiting_of(A) == ("a4", "a5", "a6")
    assert [desk.pool.position(w) for w in ("a4", "a5", "a6")] == [0, 1, 2]
    desk.give("a1")
    assert desk.pool.active_of(A) == (2, 3, 1)  # 1 is the latest in use
    desk.pool.cancel("a5")
    desk.pool.cancel("a6")
    desk.give("a3", "a2")
    assert desk.pool.idle_of(A) == (3, 2)


def test_position_of_one_who_does_not_wait() -> None:
    desk = Desk(max_sockets=1)
    desk.ask(A, "a1")
    with pytest.raises(KeyError, match="a1"):
        desk.pool.position("a1")


def test_request_takes_an_idle_connection_itself() -> None:
    desk = Desk()
    desk.ask(A, "a1")
    desk.give("a1")
    assert desk.pool.request(A, "a2") == [Use("a2", 1)]
    assert desk.pool.active == {A: (1,)}


def test_waiter_asks_once() -> None:
    pool: Pool[str, int, str] = Pool(max_sockets=1)
    pool.request(A, "w1")
    pool.request(A, "w2")
    for waiter in ("w1", "w2"):
        with pytest.raises(ValueError, match=f"'{waiter}' already waits"):
            pool.request(B, waiter)
    assert (pool.connecting, pool.waiting) == ({A: ("w1",)}, {A: ("w2",)})


def test_waiter_may_ask_again_once_served() -> None:
    pool: Pool[str, int, str] = Pool()
    pool.request(A, "w")
    pool.opened("w", 1)
    assert pool.request(A, "w") == [Open("w", A)]


def test_opened_without_open() -> None:
    pool: Pool[str, int, str] = Pool(max_sockets=0)
    pool.request(A, "queued")
    for waiter in ("queued", "unknown"):
        with pytest.raises(KeyError, match=waiter):
            pool.opened(waiter, 1)
    assert pool.active == {}
    assert pool.waiting == {A: ("queued",)}


def test_opened_with_a_known_connection() -> None:
    pool: Pool[str, int, str] = Pool()
    pool.request(A, "w1")
    pool.request(A, "w2")
    pool.opened("w1", 1)
    with pytest.raises(ValueError, match="1 is in the pool already"):
        pool.opened("w2", 1)
    assert (pool.active, pool.connecting) == ({A: (1,)}, {A: ("w2",)})


def test_unknown_names_change_nothing() -> None:
    desk = Desk(max_sockets=1)
    desk.ask(A, "a1", "a2")
    assert desk.pool.discard(99) == []
    assert desk.pool.release(99, reusable=True) == []
    assert desk.pool.cancel("stranger") == []
    assert desk.pool.failed("stranger") == []
    assert desk.pool.failed("a2") == []  # queued: it has no Open to give back
    assert desk.pool.cancel("a1") == []
    assert (desk.pool.active, desk.pool.waiting) == ({A: (1,)}, {A: ("a2",)})


def test_cancel_leaves_one_who_is_connecting() -> None:
    pool: Pool[str, int, str] = Pool(max_sockets=1)
    pool.request(A, "w1")
    assert pool.cancel("w1") == []
    assert pool.connecting == {A: ("w1",)}
    pool.request(A, "w2")
    assert pool.failed("w1") == [Open("w2", A)]


def test_second_release_is_harmless() -> None:
    desk = Desk()
    desk.ask(A, "a1")
    assert desk.pool.release(1, reusable=True) == []
    assert desk.pool.release(1, reusable=True) == []
    assert desk.pool.release(1, reusable=False) == []
    assert desk.pool.idle == {A: (1,)}


def test_clear_returns_all_but_the_connecting() -> None:
    desk = Desk(max_sockets=2)
    desk.ask(A, "a1", "a2", "a3", "a4")
    desk.ask(B, "b1", "b2", "b3")
    desk.give("b1", "b2")
    desk.pool.request(C, "c1")
    assert desk.pool.clear() == ([1, 2, 3, 4], ["a3", "a4"])
    assert repr(desk.pool) == "<Pool: 0 active, 1 connecting, 0 idle, 0 waiting>"
    assert (desk.pool.active, desk.pool.connecting) == ({}, {C: ("c1",)})
    assert desk.pool.release(1, reusable=True) == []  # it belongs to nobody now
    desk.pool.opened("c1", 9)
    assert desk.pool.active == {C: (9,)}


def test_pool_works_after_clear() -> None:
    desk = Desk(max_total_sockets=1)
    desk.ask(A, "a1")
    desk.ask(B, "b1", "b2")  # blocked by the total alone
    assert desk.pool.clear() == ([1], ["b1", "b2"])
    assert desk.pool.request(C, "c1") == [Open("c1", C)]
    assert desk.pool.request(B, "b3") == []
    assert desk.pool.request(A, "a2") == []
    assert desk.pool.failed("c1") == [Open("b3", B)]


# -- limits


def test_max_sockets_zero_keeps_everybody_queued() -> None:
    desk = Desk(max_sockets=0)
    desk.ask(A, "a1", "a2")
    desk.ask(B, "b1")
    assert desk.pool.waiting == {A: ("a1", "a2"), B: ("b1",)}
    assert desk.pool.wake() == []
    desk.pool.max_sockets = 1
    assert desk.pool.wake() == [Open("a1", A), Open("b1", B)]


def test_raised_limit_is_obeyed_by_the_next_decision() -> None:
    desk = Desk(max_sockets=1)
    desk.ask(A, "a1", "a2", "a3")
    desk.ask(B, "b1")
    desk.pool.max_sockets = 2
    assert desk.pool.request(A, "a4") == [Open("a2", A)]
    desk.pool.max_sockets = inf
    assert desk.pool.release(1, reusable=True) == [Use("a3", 1), Open("a4", A)]


def test_raised_total_is_obeyed_by_the_next_decision() -> None:
    desk = Desk(max_total_sockets=0)
    desk.ask(A, "a1")
    desk.ask(B, "b1", "b2")
    desk.pool.max_total_sockets = 2
    assert desk.pool.wake() == [Open("a1", A), Open("b1", B)]


def test_lowered_limit_is_reached_as_connections_come_back() -> None:
    desk = Desk(max_sockets=3)
    desk.ask(A, "a1", "a2", "a3", "a4", "a5")
    desk.pool.max_sockets = 1
    desk.give("a1", "a2")
    assert desk.closed == [1, 2]
    assert desk.pool.waiting == {A: ("a4", "a5")}
    desk.give("a3")
    assert desk.held == {"a4": 3}


def test_lowered_total_is_reached_as_connections_come_back() -> None:
    desk = Desk()
    desk.ask(A, "a1", "a2")
    desk.ask(B, "b1")
    desk.pool.max_total_sockets = 1
    desk.ask(B, "b2")
    desk.give("a1", "b1")
    assert desk.closed == [1, 3]
    desk.give("a2")  # the room goes to b2, by way of an eviction
    assert desk.closed == [1, 3, 2]
    assert desk.held == {"b2": 4}


def test_idle_connections_are_not_used_above_a_lowered_limit() -> None:
    desk = Desk(max_sockets=2)
    desk.ask(A, "a1", "a2")
    desk.give("a2")
    desk.pool.max_sockets = 1
    assert desk.pool.take_idle(A) is None
    assert desk.pool.request(A, "a3") == []
    assert desk.pool.take_idle(A) is None
    assert desk.pool.failed("nobody") == []
    desk.give("a1")  # room for one in use, and this one is at hand
    assert (desk.held, desk.pool.idle) == ({"a3": 1}, {A: (2,)})
    desk.pool.request(A, "a4")
    desk.carry_out(desk.pool.discard(1))
    assert (desk.held["a4"], desk.pool.idle) == (2, {})
    assert desk.opened == 2


def test_idle_connections_are_not_used_above_a_lowered_total() -> None:
    desk = Desk()
    desk.ask(A, "a1", "a2")
    desk.give("a2")
    desk.pool.max_total_sockets = 1
    assert desk.pool.take_idle(A) is None
    assert desk.pool.request(A, "a3") == []
    assert desk.pool.discard(1) == [Use("a3", 2)]


def test_take_idle_does_not_jump_the_queue() -> None:
    desk = Desk(max_sockets=2)
    desk.ask(A, "a1", "a2")
    desk.give("a2")
    desk.pool.max_sockets = 1
    desk.ask(A, "a3")
    desk.pool.max_sockets = 2
    assert desk.pool.take_idle(A) is None  # a3 was here first
    assert desk.pool.request(A, "a4") == [Use("a3", 2)]


def test_several_are_evicted_under_a_lowered_total() -> None:
    desk = Desk()
    desk.ask(A, "a1", "a2", "a3", "a4")
    desk.give("a2", "a3", "a4")
    desk.pool.max_total_sockets = 2
    closes = [Close(2), Close(3), Close(4)]
    assert desk.pool.request(B, "b1") == [*closes, Open("b1", B)]


def test_max_free_sockets_zero_keeps_none() -> None:
    desk = Desk(max_free_sockets=0)
    desk.ask(A, "a1")
    desk.give("a1")
    assert (desk.closed, desk.pool.idle) == ([1], {})


def test_max_free_sockets_is_per_origin() -> None:
    desk = Desk(max_free_sockets=1)
    desk.ask(A, "a1", "a2")
    desk.ask(B, "b1", "b2")
    desk.give("a1", "b1", "a2", "b2")
    assert desk.pool.idle == {A: (1,), B: (3,)}
    assert desk.closed == [2, 4]


def test_max_free_sockets_does_not_stop_a_hand_over() -> None:
    desk = Desk(max_sockets=1, max_free_sockets=0)
    desk.ask(A, "a1", "a2")
    desk.give("a1")
    assert desk.held == {"a2": 1}


def test_idle_and_active_of_an_origin_stay_within_max_sockets() -> None:
    desk = Desk(max_sockets=2)
    desk.ask(A, "a1", "a2", "a3")
    desk.give("a1", "a3")
    desk.ask(A, "a4", "a5")
    assert desk.opened == 2
    assert desk.held == {"a2": 2, "a4": 1}


def test_released_connection_goes_to_its_own_origin_first() -> None:
    desk = Desk(max_total_sockets=1)
    desk.ask(A, "a1")
    desk.ask(B, "b1")
    desk.ask(A, "a2")
    desk.give("a1")
    assert desk.held == {"a2": 1}  # though b1 is older: reuse beats age
    desk.give("a2")
    assert (desk.held, desk.closed) == ({"b1": 2}, [1])


def test_a_freed_slot_goes_to_the_oldest_waiter_of_all() -> None:
    desk = Desk(max_total_sockets=2)
    desk.ask(A, "a1", "a2")
    desk.ask(C, "c1")
    desk.ask(B, "b1")
    desk.ask(C, "c2")
    desk.ask(A, "a3")
    served: list[str] = []
    for _ in range(4):
        before = set(desk.held)
        desk.give(min(before), reusable=False)
        served += set(desk.held) - before
    assert served == ["c1", "b1", "c2", "a3"]


def test_waiters_who_cancelled_do_not_spoil_the_order() -> None:
    desk = Desk(max_total_sockets=1)
    desk.ask(A, "a1")
    desk.ask(B, "b1")
    desk.ask(C, "c1")
    desk.ask(B, "b2")
    desk.pool.cancel("b1")
    desk.give("a1", reusable=False)
    assert list(desk.held) == ["c1"]
    desk.give("c1", reusable=False)
    assert list(desk.held) == ["b2"]


def test_origin_that_vanished_and_came_back_waits_behind() -> None:
    desk = Desk(max_total_sockets=1)
    desk.ask(A, "a1")
    desk.ask(B, "b1")
    desk.pool.cancel("b1")
    desk.ask(C, "c1")
    desk.ask(B, "b2")
    desk.give("a1", reusable=False)
    assert list(desk.held) == ["c1"]
    desk.give("c1", reusable=False)
    assert list(desk.held) == ["b2"]


def test_changed_limit_keeps_the_order_between_origins() -> None:
    desk = Desk(max_total_sockets=1)
    desk.ask(A, "a1")
    desk.ask(B, "b1")
    desk.ask(A, "a2")
    desk.pool.max_sockets = 5
    desk.give("a1", reusable=False)
    assert list(desk.held) == ["b1"]


def test_origin_at_its_own_limit_is_passed_over() -> None:
    desk = Desk(max_sockets=1, max_total_sockets=2)
    desk.ask(A, "a1")
    desk.ask(B, "b1")
    desk.ask(A, "a2")
    desk.ask(C, "c1")
    desk.give("b1", reusable=False)
    assert list(desk.held) == ["a1", "c1"]
    desk.give("a1", reusable=False)
    assert list(desk.held) == ["c1", "a2"]


def test_eviction_takes_the_connection_idle_longest() -> None:
    desk = Desk(max_total_sockets=3)
    desk.ask(A, "a1")
    desk.ask(B, "b1")
    desk.ask(A, "a2")
    desk.give("b1", "a2", "a1")
    desk.ask(C, "c1", "c2", "c3")
    assert desk.closed == [2, 3, 1]


def test_reuse_renews_the_place_in_the_eviction_order() -> None:
    desk = Desk(max_total_sockets=2)
    desk.ask(A, "a1")
    desk.ask(B, "b1")
    desk.give("a1", "b1")
    desk.ask(A, "a2")
    desk.give("a2")
    desk.ask(C, "c1")
    assert desk.closed == [2]
