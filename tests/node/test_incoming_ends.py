"""Rows of area *incoming-message*: destroying messages, and how they close."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import HOST, serving, settle
from trio_nodehttp._sansio.codec_h11 import H11Codec

URL = f"http://{HOST}/"


def made_by_hand() -> http.IncomingMessage:
    """A message without a connection."""
    codec = H11Codec(is_server=True)
    codec.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    head = codec.read_request()
    assert head is not None
    return http.IncomingMessage(None, head)


@pytest.mark.node("test-http-incoming-message-connection-setter.js")
@pytest.mark.node_api("IncomingMessage|message.connection", "IncomingMessage|message.socket")
async def test_connection_is_socket_by_its_old_name() -> None:
    message = made_by_hand()
    assert message.connection is None
    socket = http.Socket(trio.testing.memory_stream_pair()[0])
    message.connection = socket
    assert message.connection is socket
    assert message.socket is socket
    message.socket = other = http.Socket(trio.testing.memory_stream_pair()[0])
    assert message.connection is other


@pytest.mark.node("test-http-incoming-message-destroy.js")
@pytest.mark.node_api("IncomingMessage|message.destroy([error])")
def test_a_message_without_a_socket_can_be_destroyed() -> None:
    message = made_by_hand()
    assert message.destroy() is message
    assert message.destroyed
    assert message.destroy() is message


async def stream_on(_: http.IncomingMessage, response: http.ServerResponse) -> None:
    """Answer a part, and wait until nobody is there."""
    await response.write("part")
    await response.req.disconnected.wait()


@pytest.mark.node("test-http-client-incomingmessage-destroy.js")
@pytest.mark.parametrize("observed", [True, False])
async def test_the_error_of_destroy(autojump_clock: Any, observed: bool) -> None:
    mistake = RuntimeError("Destroy test")
    told: list[object] = []
    async with serving(stream_on) as served, served.agent() as agent:
        async with http.get(URL, agent=agent) as response:
            response.on("close", lambda: told.append(("close", response.closed)))
            if observed:
                response.on("error", lambda error: told.append((error, response.closed)))
            assert response.errored is None
            response.destroy(mistake)
            assert response.errored is mistake
            assert response.destroyed
            # Nothing is lost where nobody listens: whoever reads gets it.
            with pytest.raises(RuntimeError) as caught:
                await response.read()
            assert caught.value is mistake
        assert response.closed
    assert told == [(mistake, False), ("close", True)][not observed :]


@pytest.mark.node("test-http-client-finished.js")
async def test_destroying_ends_the_wait_for_the_end(nursery: Any) -> None:
    over, reading = trio.Event(), trio.Event()

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.write("part")
        await response.req.disconnected.wait()

    async def wait_for_the_end(response: http.IncomingMessage) -> None:
        reading.set()
        with pytest.raises(http.AbortedError):
            await response.read()
        over.set()

    server = http.create_server(handle, connections_checking_interval=0.01)
    await nursery.start(server.listen, 0, "127.0.0.1")
    async with http.Agent() as agent, http.get(server.url, agent=agent) as response:
        assert await response.receive_some() == b"part"
        closed = trio.Event()
        response.on("close", closed.set)
        nursery.start_soon(wait_for_the_end, response)
        await reading.wait()
        await trio.testing.wait_all_tasks_blocked()
        response.destroy()
        with trio.fail_after(1):
            await closed.wait()
            await over.wait()
    with trio.fail_after(1):
        await server.aclose()


@pytest.mark.node("test-http-client-res-destroyed.js")
async def test_destroyed_is_told_at_once_and_at_the_close(autojump_clock: Any) -> None:
    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        if request.url == "/part":
            await stream_on(request, response)
        else:
            await response.end("asd")

    told: list[object] = []
    async with serving(handle) as served, served.agent() as agent:
        async with http.get(URL + "part", agent=agent) as response:
            assert response.destroyed is False
            response.on("close", lambda: told.append("closed"))
            response.destroy()
            assert response.destroyed is True
        async with http.get(URL, agent=agent) as response:
            assert response.destroyed is False
            response.on("close", lambda: told.append(response.destroyed))
            await response.resume()
    assert told == ["closed", True]


@pytest.mark.node("test-http-response-close.js")
@pytest.mark.node_api("IncomingMessage|close")
async def test_how_a_response_closes(autojump_clock: Any) -> None:
    told: list[object] = []

    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        if request.url == "/destroyed":
            response.on("close", lambda: told.append("server closed"))
            response.destroy()
        elif request.url == "/part":
            await stream_on(request, response)
        else:
            await response.end("a")

    async with serving(handle) as served, served.agent() as agent:
        async with http.get(URL + "part", agent=agent) as response:
            response.on("data", lambda _: response.destroy())
            response.on("close", lambda: told.append(("part", response.destroyed)))
            await response.receive_some()
        async with http.get(URL, agent=agent) as response:
            response.on("end", lambda: told.append(("end", response.destroyed)))
            response.on("close", lambda: told.append(("close", response.destroyed)))
            await response.read()
        request = http.request(URL + "destroyed", agent=agent)
        request.on("error", lambda error: told.append(error.code))
        request.on("response", lambda _: told.append("response"))
        with pytest.raises(http.SocketHangUpError):
            async with request:
                await request.get_response()
        await settle()
    # Which side of the last exchange is told first is up to the scheduler.
    assert told[:3] == [("part", True), ("end", False), ("close", True)]
    assert set(told[3:]) == {"server closed", "ECONNRESET"}
    assert len(told) == 5
