"""A session in a task of its own, with a peer that speaks raw frames."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import trio

from tests._websocket.wire import (
    Peer,
)
from trio_nodehttp._memory import memory_pipe
from trio_nodehttp._websocket.options import make_limits
from trio_nodehttp._websocket.protocol import Protocol
from trio_nodehttp._websocket.session import Ending, Session


class Watched(Session):
    """A session that notes what it tells."""

    __slots__ = ("endings", "messages", "peer", "wanted")

    def __init__(self, *, client: bool, buffer_size: int, stream: Any, **limits: Any) -> None:
        self.messages: list[object] = []
        self.endings: list[Ending] = []
        self.wanted = False
        ours, theirs = memory_pipe(buffer_size)
        settings: dict[str, Any] = {
            "max_message_size": 1000,
            "max_queue": 2,
            "close_timeout": 10,
            "ping_interval": None,
            "ping_timeout": 5,
            **limits,
        }
        chosen = make_limits(**settings)
        size = chosen.max_message_size
        super().__init__(
            stream(ours),
            Protocol(client=client, deflate=None, max_message_size=size),
            chosen,
            client=client,
            on_message=self._note,
            on_end=self.endings.append,
        )
        self.peer = Peer(theirs, client=not client)

    def _note(self, data: str | bytes) -> bool:
        self.messages.append(data)
        return self.wanted


@contextlib.asynccontextmanager
async def running(
    *,
    client: bool = True,
    buffer_size: int = 65536,
    stream: Any = lambda ours: ours,
    **limits: Any,
) -> AsyncIterator[Watched]:
    session = Watched(client=client, buffer_size=buffer_size, stream=stream, **limits)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run)
        yield session
        nursery.cancel_scope.cancel()
