"""Clients with a peer in memory, and what a peer does for them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import trio

from tests._websocket.wire import (
    CLOSE,
    Frame,
    Opening,
)
from trio_nodehttp._websocket.websocket import WebSocket

URL = "ws://example.com/chat"


def make(opening: Any = None, url: str = URL, protocols: Any = (), **options: Any) -> WebSocket:
    return WebSocket(url, protocols, open_connection=opening or Opening(), **options)


def record(ws: WebSocket) -> list[Any]:
    """Everything that the observers of a WebSocket are given."""
    seen: list[Any] = []
    for name in ("open", "message", "error", "close"):
        ws.on(name, seen.append)
    return seen


async def answer_close(opening: Opening) -> list[Frame]:
    """Read up to the close frame, and end as a server does."""
    frames: list[Frame] = []
    while not frames or frames[-1].opcode != CLOSE:
        found = await opening.peer.read()
        assert found is not None
        frames.append(found)
    await opening.peer.send(CLOSE, frames[-1].payload)
    await opening.peer.stream.aclose()
    return frames


@contextlib.asynccontextmanager
async def entered(opening: Opening, **options: Any) -> AsyncIterator[WebSocket]:
    """A WebSocket whose peer answers the close."""
    async with trio.open_nursery() as nursery, make(opening, **options) as ws:
        yield ws
        nursery.start_soon(answer_close, opening)
