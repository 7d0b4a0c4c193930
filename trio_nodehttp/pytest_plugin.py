"""Fixtures for tests with pytest and pytest-trio.

They are loaded by name, so nobody who does not test needs pytest::

    # conftest.py
    pytest_plugins = ["trio_nodehttp.pytest_plugin"]

    # test_hello.py
    async def test_hello(http_server):
        server = await http_server(handler)
        async with get(server.url) as response:
            assert await response.text() == "hello"
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import trio
from pytest_trio import trio_fixture

from ._server.answers import Handler
from ._server.options import ServerOptions
from ._server.serve import create_server
from ._server.server import Server
from ._typing import Unpack
from .testing import MemoryNetwork


class HTTPServerFactory:
    """Starts servers for one test; what the ``http_server`` fixture gives."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    async def __call__(
        self,
        handler: Handler | None = None,
        /,
        *,
        ssl_context: ssl.SSLContext | None = None,
        path: str | None = None,
        **options: Unpack[ServerOptions],
    ) -> Server:
        """Start a server on a free port of 127.0.0.1.

        Args:
            handler: ``async handler(request, response)``.
            ssl_context: Speak TLS.
            path: A Unix socket instead of the port.
            options: Those of ``create_server``.

        Returns:
            The server, which listens: its ``url`` is set. When the test ends it is
            cut off with all of its connections.

        Raises what ``create_server`` and ``Server.listen`` do. When it is cancelled,
        nothing listens.
        """
        server = create_server(handler, **options)

        async def listen(task_status: trio.TaskStatus[Server]) -> None:
            host = "127.0.0.1" if path is None else None
            await server.listen(
                0, host, path=path, ssl_context=ssl_context, task_status=task_status
            )

        await self._nursery.start(listen)
        return server


async def _http_server() -> AsyncIterator[HTTPServerFactory]:
    """Start servers on loopback; they end with the test."""
    async with trio.open_nursery() as nursery:
        yield HTTPServerFactory(nursery)
        nursery.cancel_scope.cancel()


async def _memory_network() -> AsyncIterator[MemoryNetwork]:
    """A `MemoryNetwork`, entered for the length of the test."""
    async with MemoryNetwork() as network:
        yield network


http_server = trio_fixture(_http_server)
memory_network = trio_fixture(_memory_network)
