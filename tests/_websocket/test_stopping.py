"""What a server's stop does to its WebSockets."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_nodehttp as http
from tests._server.kit import listening
from tests._websocket.test_promises import open_by_hand
from tests._websocket.wire import CLOSE, TEXT, Frame, close_payload
from tests.wires import contexts
from trio_nodehttp.testing import MemoryNetwork


class Room:
    """A server whose handler notes what it meets, and a way to it.

    Args:
        work: what the handler does with its WebSocket.
        options: of `accept_websocket`.
    """

    def __init__(self, work: Callable[[Any], Any], **options: Any) -> None:
        self.met: list[Any] = []
        self.streams: list[Any] = []
        self.server = http.create_server()
        self._work = work
        self._options = {"close_timeout": 3, **options}
        self.server.on("upgrade", self._handle, protocol="websocket")

    async def _handle(self, request: Any, stream: Any) -> None:
        self.streams.append(stream)
        async with http.accept_websocket(request, stream, **self._options) as ws:
            try:
                await self._work(ws)
            except http.WebSocketClosedError as error:
                self.met.append(error.close_code)
        self.met.append(ws.close_code)

    @contextlib.asynccontextmanager
    async def entered(self, *, tls: bool = False) -> AsyncIterator[http.WebSocket]:
        """A client in it."""
        theirs, ours = contexts() if tls else (None, None)
        host, port = ("127.0.0.1", 443) if tls else ("origin.test", 80)
        url = f"{'wss' if tls else 'ws'}://{host}/"

        async def serve(network: MemoryNetwork, task_status: Any) -> None:
            await network.serve(
                self.server, host, port, ssl_context=theirs, task_status=task_status
            )

        async with MemoryNetwork() as network, trio.open_nursery() as nursery:
            await nursery.start(serve, network)
            agent = network.agent(ssl_context=ours)
            async with agent, http.WebSocket(url, agent=agent) as ws:
                yield ws
            nursery.cancel_scope.cancel()


async def iterate(ws: http.WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_drain_closes_with_1001(tls: bool, autojump_clock: Any) -> None:
    async def work(ws: http.WebSocket) -> None:
        await iterate(ws)
        await trio.sleep(4)  # the rest of the time is the handler's

    room = Room(work)
    async with room.entered(tls=tls) as ws:
        await ws.send("hello")
        assert await ws.receive() == "hello"
        report = await room.server.drain(5)
        assert [message async for message in ws] == []
        assert (ws.close_code, ws.close_reason) == (1001, "")
    assert (report.finished, report.cancelled) == (1, 0)
    assert report.duration == pytest.approx(4, abs=0.5)
    assert room.met == [1001]


async def test_what_waits_to_be_sent_goes_before(autojump_clock: Any) -> None:
    async def work(ws: http.WebSocket) -> None:
        while True:
            await ws.send(bytes(50_000))

    room = Room(work)
    async with room.entered() as ws, trio.open_nursery() as nursery:
        nursery.start_soon(room.server.drain, 5)
        await wait_all_tasks_blocked()
        got = [message async for message in ws]
    assert set(got) == {bytes(50_000)}
    assert ws.close_code == 1001
    assert room.met == [1001, 1001]  # what send raised, and the end


async def test_messages_that_had_come_are_not_lost(autojump_clock: Any) -> None:
    got: list[Any] = []

    async def work(ws: http.WebSocket) -> None:
        await room.server.draining.wait()
        await trio.sleep(1)
        got.extend([message async for message in ws])

    room = Room(work)
    async with room.entered() as ws:
        for message in ("a", "b"):
            await ws.send(message)
        await wait_all_tasks_blocked()
        await room.server.drain(5)
    assert got == ["a", "b"]
    assert room.met == [1001]


async def test_a_client_that_does_not_answer_takes_close_timeout(autojump_clock: Any) -> None:
    room = Room(iterate)
    async with trio.open_nursery() as nursery:
        peer = await open_by_hand(room.server, nursery)
        report = await room.server.drain(5)
        assert await peer.read_all() == [Frame(CLOSE, close_payload(1001))]
    assert (report.finished, report.cancelled) == (1, 0)
    assert report.duration == pytest.approx(3)
    assert room.met == [1006, 1006]


async def test_the_deadline_cuts_a_handler_that_goes_on(autojump_clock: Any) -> None:
    async def work(ws: http.WebSocket) -> None:
        await trio.sleep_forever()

    room = Room(work)
    async with room.entered() as ws:
        report = await room.server.drain(5)
        await ws.close()
        assert ws.close_code == 1001
    assert (report.finished, report.cancelled) == (0, 1)
    assert report.duration == pytest.approx(5)


async def test_a_handler_may_say_goodbye_itself(autojump_clock: Any) -> None:
    async def work(ws: http.WebSocket) -> None:
        await room.server.draining.wait()
        await trio.sleep(1)
        await ws.send("last words")
        await ws.close(1012, "back soon")

    room = Room(work, close_on_draining=False)
    async with room.entered() as ws:
        report = await room.server.drain(5)
        assert [message async for message in ws] == ["last words"]
        assert (ws.close_code, ws.close_reason) == (1012, "back soon")
    assert (report.finished, report.cancelled) == (1, 0)


async def test_a_request_that_comes_while_draining(autojump_clock: Any) -> None:
    room = Room(iterate)
    room.server.draining.set()
    async with trio.open_nursery() as nursery:
        peer = await open_by_hand(room.server, nursery)
        assert await peer.read() == Frame(CLOSE, close_payload(1001))
        await peer.send(TEXT, b"late")
        await peer.close(1001)
        assert await peer.read_all() == []
    assert room.met == [1001]


async def test_closing_before_the_drain_is_not_disturbed(autojump_clock: Any) -> None:
    async def work(ws: http.WebSocket) -> None:
        await ws.close(3000, "mine")

    room = Room(work)
    async with trio.open_nursery() as nursery:
        peer = await open_by_hand(room.server, nursery)
        assert await peer.read() == Frame(CLOSE, close_payload(3000, "mine"))
        nursery.start_soon(room.server.drain, 5)
        await wait_all_tasks_blocked()
        await peer.close(3000)
        assert await peer.read_all() == []
    assert room.met == [3000]


async def test_a_stream_tells_of_the_servers_stop(autojump_clock: Any) -> None:
    room = Room(iterate)
    async with room.entered() as ws:
        assert room.streams[0].draining is room.server.draining
        assert ws.ready_state == ws.OPEN
        await room.server.aclose()
        assert [message async for message in ws] == []
    assert ws.close_code == 1001


# -- on a real socket


def client(server: http.Server) -> http.WebSocket:
    return http.WebSocket(server.url.replace("http", "ws"), agent=http.Agent())


async def test_close_closes_websockets_and_listen_ends() -> None:
    room = Room(iterate)
    told = room.server.draining
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: listen(room.server, task_status))
            async with client(room.server) as ws:
                await room.server.close()
                assert [message async for message in ws] == []
                assert ws.close_code == 1001
    assert told.is_set()  # who asked before it listened is told, too
    assert room.met == [1001]


async def listen(server: http.Server, task_status: Any) -> None:
    await server.listen(0, "127.0.0.1", task_status=task_status)


async def test_a_server_that_listens_again_drains_again() -> None:
    room = Room(iterate)
    for number in range(2):
        async with listening(room.server), client(room.server) as ws:
            assert not room.server.draining.is_set()
            report = await room.server.drain(5)
            assert report.finished == 1
            assert [message async for message in ws] == []
        assert room.met == [1001] * (number + 1)


async def test_a_signal_says_goodbye() -> None:
    room = Room(iterate)
    reports: list[Any] = []

    async def serve(task_status: Any) -> None:
        reports.append(
            await http.serve(None, host="127.0.0.1", drain_timeout=5, task_status=task_status)  # type: ignore[arg-type]
        )

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve)
            server.on("upgrade", room._handle, protocol="websocket")
            async with client(server) as ws:
                os.kill(os.getpid(), signal.SIGTERM)
                assert [message async for message in ws] == []
                assert (ws.close_code, ws.close_reason) == (1001, "")
    assert (reports[0].finished, reports[0].cancelled) == (1, 0)
    assert room.met == [1001]
