"""Our two ends of a WebSocket over real sockets: a server that echoes, and a client."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import trio

import trio_nodehttp as http
from trio_nodehttp._errors import WebSocketError
from trio_nodehttp._websocket.accept import accept_websocket
from trio_nodehttp._websocket.websocket import WebSocket


@contextlib.asynccontextmanager
async def open_upgrade(url: str, **options: Any) -> AsyncIterator[Any]:
    """Reach a server by an ordinary request of ours."""
    async with http.request(url, **options) as request:
        yield await request.upgrade()


def connect(url: str, *args: Any, **options: Any) -> WebSocket:
    """Make a client."""
    return WebSocket(url, *args, open_connection=open_upgrade, **options)


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

    async def echo(request: Any, stream: Any) -> None:
        # Peers that break rules are what some of these tests are about.
        with contextlib.suppress(WebSocketError):
            async with accept_websocket(request, stream, **(options or {})) as ws:
                async for message in ws:
                    await ws.send(message)

    server = http.create_server()
    server.on("upgrade", echo, protocol="websocket")
    async with trio.open_nursery() as nursery:
        listen: Any = server.listen
        await nursery.start(lambda **kwargs: listen(0, "127.0.0.1", **listening, **kwargs))
        assert isinstance(server.address, tuple)
        scheme = "wss" if "ssl_context" in listening else "ws"
        yield f"{scheme}://127.0.0.1:{server.address[1]}"
        nursery.cancel_scope.cancel()
