from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests._server.kit import ask, dialled, hello, listening, serving, settle

Request = http.IncomingMessage
Response = http.ServerResponse


async def forever(request: Request, response: Response) -> None:
    await trio.sleep_forever()


# --- stopping --------------------------------------------------------------------------


async def test_close_gives_new_connections_a_moment(autojump_clock: Any) -> None:
    async with serving(hello) as served:
        silent, late = await served.connect(), await served.connect()
        await settle()
        served.server._stop()
        await trio.sleep(0.4)
        answer = await late.get()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await silent.until_end() == b""  # no 408: it did nothing wrong
        assert trio.current_time() == pytest.approx(0.5)


async def test_a_head_begun_in_that_moment_has_its_time(autojump_clock: Any) -> None:
    async with serving(hello, headers_timeout=5) as served:
        client = await served.connect()
        await settle()
        served.server._stop()
        await client.send(b"GET / HTTP/1.1\r\n")
        await trio.sleep(3)
        await client.send(b"Host: a\r\n\r\n")
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("count", [1, 2, 10])
async def test_requests_that_came_before_close_are_answered(
    count: int, autojump_clock: Any
) -> None:
    async with serving(hello) as served:
        client = await served.connect()
        await client.get()
        await client.send(ask() * count, b"\r\n")  # in the stream's buffer, not yet received
        served.server._stop()
        said = [(await client.answer()).headers["connection"] for _ in range(count)]
        assert said == ["keep-alive"] * (count - 1) + ["close"]
        assert await client.until_end() == b""


async def test_a_request_half_there_at_close_is_waited_for(autojump_clock: Any) -> None:
    async with serving(hello) as served:
        client = await served.connect()
        await client.send(ask(), ask()[:9])
        served.server._stop()
        assert (await client.answer()).headers["connection"] == "keep-alive"
        await trio.sleep(2)
        await client.send(ask()[9:])
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.until_end() == b""


async def test_a_request_that_comes_while_the_last_is_answered(autojump_clock: Any) -> None:
    """The head that said keep-alive left before the server was told to stop."""

    async def slow(request: Request, response: Response) -> None:
        await response.write("a")
        await trio.sleep(1)
        await response.end("b")

    async with serving(slow) as served:
        for more in (b"", ask("/2")):
            served.server._stopping = False
            client = await served.connect()
            await client.send(ask("/1"))
            await settle()
            served.server._stop()
            await client.send(more)
            answer = await client.answer()
            assert answer.headers["connection"] == "keep-alive"
            if more:
                assert (await client.answer()).headers["connection"] == "close"
            assert await client.until_end() == b""


async def test_close_idle_connections_spares_requests_on_their_way(autojump_clock: Any) -> None:
    async with serving(hello) as served:
        fresh, asking, idle = [await served.connect() for _ in range(3)]
        await asking.get()
        await idle.get()
        await asking.send(ask())  # in the stream's buffer, not yet received
        served.server.close_idle_connections()
        assert (await asking.answer()).status == 200
        assert not await idle.is_open()
        assert (await fresh.get()).status == 200
        assert await idle.until_end() == b""


async def test_close_all_leaves_upgraded_connections_to_drain(autojump_clock: Any) -> None:
    async with serving(forever) as served:
        served.server.on("upgrade", forever)
        plain, upgraded = await served.connect(), await served.connect()
        await plain.send(ask())
        await upgraded.send(ask("/", "Connection: upgrade", "Upgrade: x"))
        await settle()
        served.server.close_all_connections()
        assert not await plain.is_open()
        assert await upgraded.is_open()
        report = await served.server.drain(2)
        assert (report.finished, report.cancelled) == (0, 1)
        assert not await upgraded.is_open()


async def test_drain_waits_as_long_as_it_takes(autojump_clock: Any) -> None:
    async def slow(request: Request, response: Response) -> None:
        await trio.sleep(1000)

    async with serving(slow) as served:
        client = await served.connect()
        await client.send(ask())
        await settle()
        report = await served.server.drain()
        assert (report.finished, report.cancelled) == (1, 0)
        assert report.duration == pytest.approx(1000)
        with pytest.raises(http.InvalidArgTypeError, match="timeout"):
            await served.server.drain("1")  # type: ignore[arg-type]


async def test_a_cancelled_drain_leaves_connections_alone(autojump_clock: Any) -> None:
    async with serving(forever) as served:
        client = await served.connect()
        await client.send(ask())
        await settle()
        with trio.move_on_after(1) as scope:
            await served.server.drain()
        assert scope.cancelled_caught
        assert await client.is_open()


async def test_drain_wakes_with_the_last_connection() -> None:
    """Both `listen` and `drain` wait for it."""

    async def slow(request: Request, response: Response) -> None:
        await server.draining.wait()
        await trio.sleep(0.05)

    server = http.create_server(slow)
    async with listening(server), dialled(server) as client:
        await client.send(ask())
        while not server.connections:
            await trio.lowlevel.checkpoint()
        report = await server.drain(5)
        assert report.duration < 1
        assert (await client.answer()).status == 200


async def test_aclose_waits_or_cuts(autojump_clock: Any) -> None:
    async def slow(request: Request, response: Response) -> None:
        await trio.sleep(10)

    async with serving(slow) as served:
        client = await served.connect()
        await client.send(ask())
        await settle()
        with trio.move_on_after(1) as scope:
            await served.server.aclose()
        assert scope.cancelled_caught
        assert not await client.is_open()
        other = await served.connect()
        await other.send(ask())
        await settle()
        await served.server.aclose()
        assert trio.current_time() == pytest.approx(11)
        assert (await other.answer()).status == 200
        await served.server.aclose()  # once more does nothing


async def test_an_error_in_the_block_of_a_server_cuts(autojump_clock: Any) -> None:
    async with serving(forever) as served:
        with pytest.raises(ValueError, match="mine"):  # noqa: PT012
            async with served.server:
                client = await served.connect()
                await client.send(ask())
                await settle()
                raise ValueError("mine")
        assert not await client.is_open()
        assert repr(served.server).startswith("<Server - ")


async def test_what_runs_beside_a_connection_ends_with_it(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[str] = []

    async def on_timeout(socket: http.Socket) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ends.append("timeout handler")
            raise ValueError("mine")

    async with serving(forever, timeout=1) as served:
        served.server.on("timeout", on_timeout)
        client = await served.connect()
        await client.send(ask())
        await trio.sleep(2)
        assert not ends
        served.server.close_all_connections()
        await settle()
        assert ends == ["timeout handler"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_timeout_handler_runs_in_the_nursery_of_listen() -> None:
    told = trio.Event()

    async def on_timeout(socket: http.Socket) -> None:
        told.set()

    server = http.create_server(forever, timeout=0.01).on("timeout", on_timeout)
    async with listening(server), dialled(server) as client:
        await client.send(ask())
        with trio.fail_after(5):
            await told.wait()
