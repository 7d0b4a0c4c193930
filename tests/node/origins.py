"""A server in memory, and what it saw, for the tests of agents and requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

import trio_nodehttp as http
from trio_nodehttp.testing import MemoryNetwork

Handler = Callable[[http.IncomingMessage, http.ServerResponse], Awaitable[object]]


class Origin:
    """A server that answers at several names of one memory network.

    Attributes:
        network: the network.
        server: the server.
        connections: the server's sockets, one for each connection, in order.
        urls: the paths that were asked for, in order.
    """

    def __init__(self, network: MemoryNetwork, server: http.Server) -> None:
        self.network = network
        self.server = server
        self.connections: list[http.Socket] = []
        self.urls: list[str] = []
        server.on("connection", self.connections.append)

    def agent(self, **options: Any) -> http.Agent:
        return self.network.agent(**options)


async def hello(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    """Answer with the path."""
    await response.end(request.url)


@asynccontextmanager
async def serving(
    handler: Handler = hello, *hosts: str, port: int = 80, **options: Any
) -> AsyncIterator[Origin]:
    """Serve at each of `hosts`, by default at origin.test; all of it ends with the block."""
    async with MemoryNetwork() as network, trio.open_nursery() as nursery:
        server = http.create_server(**options)
        origin = Origin(network, server)

        @server.on("request")
        async def noted(request: http.IncomingMessage, response: http.ServerResponse) -> None:
            origin.urls.append(request.url)
            await handler(request, response)

        for host in hosts or ("origin.test",):
            await nursery.start(network.serve, server, host, port)
        yield origin
        nursery.cancel_scope.cancel()


async def fetch(agent: http.Agent | None, path: str = "/", **options: Any) -> str:
    """Get a path of origin.test, or a URL; return the body."""
    url = path if "://" in path else f"http://origin.test{path}"
    async with http.get(url, agent=agent, **options) as response:
        return await response.text()


async def fetch_all(agent: http.Agent, paths: list[str], **options: Any) -> list[str]:
    """Get all paths at once; the bodies, in the order of the paths."""
    bodies = dict.fromkeys(paths, "")

    async def one(path: str) -> None:
        bodies[path] = await fetch(agent, path, **options)

    async with trio.open_nursery() as nursery:
        for path in paths:
            nursery.start_soon(one, path)
    return list(bodies.values())
