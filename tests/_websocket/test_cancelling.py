"""Every operation of a WebSocket, on either side, cancelled at each of its checkpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import cancel_at, contexts
from trio_nodehttp.testing import MemoryNetwork

MAX_CHECKPOINTS = 100
LARGE = bytes(300_000)
Use = Callable[[http.WebSocket], Awaitable[object]]


async def nothing(ws: http.WebSocket) -> None:
    pass


async def send(ws: http.WebSocket) -> None:
    await ws.send("small")
    await ws.send(LARGE)
    await ws.send("behind it")


async def receive(ws: http.WebSocket) -> None:
    await ws.send("a")
    assert await ws.receive() == "a"


async def iterate(ws: http.WebSocket) -> None:
    await ws.send("a")
    await ws.send("close")
    assert [message async for message in ws] == ["a"]


async def close(ws: http.WebSocket) -> None:
    await ws.close(3000, "mine")


async def tasks(ws: http.WebSocket) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ws.send, LARGE)
        nursery.start_soon(ws.receive)


async def answer(ws: http.WebSocket) -> None:
    """Be the other side: echo, and close when told to."""
    async for message in ws:
        if message == "close":
            await ws.close(3001)
        else:
            await ws.send(message)


class Ends:
    """A server and a client, one of which is cancelled at a checkpoint."""

    def __init__(self, use: Use, *, on_server: bool) -> None:
        self.use = use
        self.on_server = on_server
        self.count = 0
        self.has_ended = False
        self.accepted: list[http.WebSocket] = []
        self.server = http.create_server(on_error="raise")
        self.server.on("upgrade", self._handle, protocol="websocket")

    async def _handle(self, request: Any, stream: Any) -> None:
        ws = http.accept_websocket(request, stream, close_timeout=5)
        self.accepted.append(ws)
        await self.serve(ws, is_cancelled=self.on_server)

    async def serve(self, ws: http.WebSocket, *, is_cancelled: bool) -> None:
        async def enter_and_use() -> None:
            async with ws:
                await self.use(ws)

        if is_cancelled:
            self.has_ended = await cancel_at(self.count, enter_and_use) is None
            assert ws.ready_state == ws.CLOSED
            return
        with contextlib.suppress(http.HTTPError):
            async with ws:
                await answer(ws)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("on_server", [False, True])
@pytest.mark.parametrize("use", [nothing, send, receive, iterate, close, tasks])
async def test_cancelled_anywhere_nothing_is_left(
    use: Use, on_server: bool, tls: bool, autojump_clock: trio.testing.MockClock
) -> None:
    ends = Ends(use, on_server=on_server)
    theirs, ours = contexts() if tls else (None, None)
    host, port = "127.0.0.1", 443 if tls else 80

    async def serve(task_status: Any) -> None:
        await network.serve(ends.server, host, port, ssl_context=theirs, task_status=task_status)

    async with MemoryNetwork() as network, trio.open_nursery() as nursery:
        await nursery.start(serve)
        async with network.agent(ssl_context=ours) as agent:
            while not ends.has_ended:
                ends.count += 1
                assert ends.count < MAX_CHECKPOINTS
                started = trio.current_time()
                url = f"{'wss' if tls else 'ws'}://{host}/"
                ws = http.WebSocket(url, agent=agent, close_timeout=5)
                await ends.serve(ws, is_cancelled=not on_server)
                # The side that goes on is told, and need not wait for anything.
                assert trio.current_time() - started < 1
                await trio.sleep(1)
                assert ends.server.connections == 0
                assert ws.ready_state == ws.CLOSED
                assert all(accepted.ready_state == ws.CLOSED for accepted in ends.accepted)
                stats = agent.stats()
                assert (stats.active, stats.connecting, stats.idle, stats.queued) == (0, 0, 0, 0)
                assert not network.connections
        nursery.cancel_scope.cancel()
