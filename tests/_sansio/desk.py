"""A stand-in for an agent, for the tests of the pool."""

from __future__ import annotations

from math import inf
from typing import Literal

from trio_nodehttp._sansio.pool import Action, Close, Open, Pool, Use


class Desk:
    """Carries out at once what a pool decides.

    Connections are numbers in order of opening; `held` says who has which.
    """

    def __init__(
        self,
        *,
        max_sockets: float = inf,
        max_total_sockets: float = inf,
        max_free_sockets: float = 256,
        scheduling: Literal["lifo", "fifo"] = "lifo",
    ) -> None:
        self.pool: Pool[str, int, str] = Pool(
            max_sockets=max_sockets,
            max_total_sockets=max_total_sockets,
            max_free_sockets=max_free_sockets,
            scheduling=scheduling,
        )
        self.opened = 0
        self.held: dict[str, int] = {}
        self.closed: list[int] = []

    def ask(self, origin: str, *waiters: str) -> None:
        for waiter in waiters:
            connection = self.pool.take_idle(origin)
            if connection is None:
                self.carry_out(self.pool.request(origin, waiter))
            else:
                self.held[waiter] = connection

    def give(self, *waiters: str, reusable: bool = True) -> None:
        for waiter in waiters:
            connection = self.held.pop(waiter)
            self.carry_out(self.pool.release(connection, reusable=reusable))

    def carry_out(self, actions: list[Action[str, str, int]]) -> None:
        for action in actions:
            match action:
                case Open(waiter, _):
                    self.opened += 1
                    self.pool.opened(waiter, self.opened)
                    self.held[waiter] = self.opened
                case Use(waiter, connection):
                    self.held[waiter] = connection
                case Close(connection):
                    self.closed.append(connection)
