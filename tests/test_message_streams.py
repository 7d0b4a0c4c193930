"""The two messages pass Trio's own checks of streams, each way between server and client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests._server.kit import HOST
from trio_nodehttp.testing import MemoryNetwork

Pair = tuple[http.OutgoingMessage, http.IncomingMessage]
Maker = Callable[[], Awaitable[Pair]]
SIZE = 4096
CHUNKED = {"Transfer-Encoding": "chunked"}
WRAPPING = len(f"{SIZE:x}\r\n\r\n")


class Pairs:
    """Makes pairs of what is sent and the same as it is received."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._url = f"http://{HOST}/"
        self._connect: Any = None
        self._give, self._take = trio.open_memory_channel[Any](10)

    async def handle(self, request: Any, response: Any) -> None:
        await self._give.send((request, response))
        await trio.sleep_forever()

    async def _run(self, request: http.ClientRequest, task_status: Any) -> None:
        async with request:
            task_status.started()
            await trio.sleep_forever()

    async def _asked(self, method: str) -> Any:
        headers = CHUNKED if method == "POST" else {}
        agent = http.Agent(create_connection=self._connect) if self._connect else http.Agent()
        request = http.request(self._url, method=method, headers=headers, agent=agent)
        await self._nursery.start(self._run, request)
        return request

    async def upload(self) -> Pair:
        request = await self._asked("POST")
        await request.flush_headers()
        received, _ = await self._take.receive()
        return request, received

    async def download(self) -> Pair:
        request = await self._asked("GET")
        await request.end()
        _, response = await self._take.receive()
        await response.write_head(200, CHUNKED).flush_headers()
        return response, await request.get_response()

    def clogged(self, maker: Maker) -> Maker:
        async def make() -> Pair:
            sent, received = await maker()
            await sent.write(bytes(SIZE - WRAPPING + 1))  # a size of one digit less
            return sent, received

        return make


@asynccontextmanager
async def pairs(kind: str) -> AsyncIterator[Pairs]:
    async with trio.open_nursery() as nursery, MemoryNetwork(buffer_size=SIZE) as network:
        made = Pairs(nursery)
        server = http.create_server(made.handle)
        if kind == "memory":
            network.listen(HOST, 80, server.serve_stream)
            made._connect = network.create_connection
        else:
            await nursery.start(server.listen, 0, "127.0.0.1")
            assert server.url is not None
            made._url = server.url
        yield made
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("way", ["upload", "download"])
async def test_in_memory(way: str) -> None:
    async with pairs("memory") as made:
        maker: Maker = getattr(made, way)
        await trio.testing.check_one_way_stream(maker, made.clogged(maker))


@pytest.mark.parametrize("way", ["upload", "download"])
async def test_over_tcp(way: str) -> None:
    async with pairs("tcp") as made:
        await trio.testing.check_one_way_stream(getattr(made, way), None)
