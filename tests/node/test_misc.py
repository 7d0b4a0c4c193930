"""Rows of area *misc/internal*: what user code raises stays where it belongs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import HOST, ask, serving, settle

URL = f"http://{HOST}/"


class MistakeError(Exception):
    """What user code raises."""


@pytest.mark.node("test-http-end-throw-socket-handling.js")
async def test_errors_at_the_end_of_responses(nursery: Any) -> None:
    urls: list[str] = []

    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        urls.append(request.url)
        await response.end("ok")

    def fail() -> None:
        raise MistakeError

    caught = 0
    server = http.create_server(handle)
    await nursery.start(server.listen, 0, "127.0.0.1")
    async with http.Agent(max_sockets=1) as agent:
        for number in range(10):
            with pytest.raises(MistakeError):  # noqa: PT012 - where it comes out is the point
                async with http.get(f"{server.url}/{number}", agent=agent) as response:
                    response.on("end", fail)
                    await response.read()
            caught += 1
        stats = agent.stats()
        assert (stats.active, stats.queued) == (0, 0)
    assert urls == [f"/{number}" for number in range(10)]
    assert caught == 10
    with trio.fail_after(1):
        await server.close()
        while server.connections:  # noqa: ASYNC110  # no event tells
            await trio.sleep(0.001)


@pytest.mark.node("test-http-exceptions.js")
async def test_a_handler_that_raises(autojump_clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        if request.url == "/good":
            await response.end("good")
            return
        raise MistakeError(request.url)

    async with serving(handle) as served:
        for number in range(4):
            client = await served.connect()
            answer = await client.get(f"/{number}")
            assert (answer.status, answer.body) == (500, b"Internal Server Error")
        assert (await (await served.connect()).get("/good")).body == b"good"
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    raised = [record.exc_info[1] for record in records if record.exc_info]
    assert [str(error) for error in raised] == ["/0", "/1", "/2", "/3"]


@pytest.mark.node("test-http-outgoing-message-capture-rejection.js")
async def test_an_error_between_writes_on_the_server(autojump_clock: Any) -> None:
    mistake = MistakeError("kaboom")
    told: list[object] = []

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        assert response.socket is not None
        response.socket.on("error", told.append)
        try:
            await response.write("part")
            raise mistake
        except MistakeError as error:
            response.destroy(error)
            raise

    async with (
        serving(handle) as served,
        served.agent() as agent,
        http.get(URL, agent=agent) as response,
    ):
        assert await response.receive_some() == b"part"
        with pytest.raises(http.AbortedError) as caught:
            await response.read()
        assert caught.value.code == "ECONNRESET"
        assert response.aborted
    assert told == [mistake]


@pytest.mark.node("test-http-outgoing-message-capture-rejection.js")
async def test_an_error_between_writes_on_the_client(autojump_clock: Any) -> None:
    mistake = MistakeError("kaboom")
    told: list[object] = []

    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        with pytest.raises(http.AbortedError):
            await request.read()

    async def body() -> AsyncIterator[bytes]:
        yield b"part"
        raise mistake

    async with serving(handle) as served, served.agent() as agent:
        request = http.request(URL, method="POST", agent=agent, body=body())
        request.on("error", told.append)
        request.on("response", lambda _: told.append("response"))
        with pytest.raises(MistakeError) as caught:
            async with request:
                await request.get_response()
        await settle()
    assert caught.value is mistake
    assert told == [mistake]


@pytest.mark.node("test-http-upgrade-server2.js")
async def test_an_error_in_an_upgrade_hook(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        told.append("handler")
        await response.end()

    async def upgrade(_: http.IncomingMessage, stream: trio.abc.Stream) -> None:
        raise MistakeError("upgrade error")

    async with serving(handle) as served:
        served.server.on("upgrade", upgrade)
        client = await served.connect()
        await client.send(ask("/", "Connection: Upgrade", "Upgrade: WebSocket"))
        assert await client.until_end() == b""
    assert told == []
    assert "upgrade error" in caplog.text

    server = http.create_server(handle, on_error="raise").on("upgrade", upgrade)
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(ask("/", "Connection: Upgrade", "Upgrade: WebSocket"))
    with pytest.raises(MistakeError):
        await server.serve_stream(ours)
    assert told == []
