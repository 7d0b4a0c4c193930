"""Our server's end of a WebSocket over real sockets: it sends back what comes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import trio

import trio_nodehttp as http


async def echo(request: Any, stream: Any, **options: Any) -> None:
    """Send each message back."""
    # Peers that break rules are what some of these tests are about.
    with contextlib.suppress(http.WebSocketError):
        async with http.accept_websocket(request, stream, **options) as ws:
            async for message in ws:
                await ws.send(message)


@contextlib.asynccontextmanager
async def echo_server(
    options: Mapping[str, Any] | None = None, **listening: Any
) -> AsyncIterator[str]:
    """Serve echoes for the length of the block.

    Args:
        options: For `accept_websocket`.
        listening: For `Server.listen`.

    Yields:
        The URL.
    """
    server = http.create_server()
    server.on("upgrade", partial(echo, **(options or {})), protocol="websocket")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(server.listen, 0, "127.0.0.1", **listening))
        yield server.url.replace("http", "ws", 1)
        nursery.cancel_scope.cancel()
