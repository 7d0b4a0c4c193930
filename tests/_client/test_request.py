"""What a request refuses, and what it says of itself."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import read_all, wire
from trio_nodehttp.testing import Expect, FaultyServer, Send, Stall

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("verb", ["get_response", "wait_continue", "upgrade", "connect", "end"])
async def test_the_scope_must_be_entered(verb: str) -> None:
    request = http.request("http://origin.test/")
    with pytest.raises(http.StreamDestroyedError, match="enter the request's scope"):
        await getattr(request, verb)()


async def test_a_response_is_given_again(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(OK), Stall()])
    wired = await wire(nursery, "memory", server)
    async with http.request(wired.url, agent=wired.agent) as request:
        first = await request.get_response()
        with trio.CancelScope() as scope:
            scope.cancel()
            await request.get_response()
        assert scope.cancelled_caught, "it is a checkpoint all the same"
        assert await request.get_response() is first


@pytest.mark.parametrize("kept", [False, True])
async def test_entering_is_a_checkpoint(nursery: Any, autojump_clock: Any, kept: bool) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(OK), Stall()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    if kept:
        async with http.get(wired.url, agent=wired.agent) as response:
            await response.read()
    with trio.CancelScope() as scope:
        scope.cancel()
        async with http.request(wired.url, agent=wired.agent):
            pytest.fail("it was cancelled")
    assert scope.cancelled_caught
    assert wired.counts() == (0, 0, int(kept), 0), "nothing was taken"


async def test_write_after_end(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", read_all)
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        await request.end(b"all")
        with pytest.raises(http.WriteAfterEndError):
            await request.write(b"more")


async def test_set_timeout_without_a_callback(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", read_all)
    request = http.request(wired.url, agent=wired.agent)
    request.on("socket", lambda _: request.set_timeout(3))
    request.on("timeout", request.destroy)
    async with request:
        assert request.socket is not None
        assert request.socket.timeout == 3
        with pytest.raises(http.SocketHangUpError):
            await request.get_response()
        assert request.set_timeout(1) is request


async def test_part_of_a_head_is_no_answer(nursery: Any) -> None:
    server = FaultyServer([Expect(b"first"), Send(OK[:20]), Expect(b"0\r\n\r\n"), Send(OK[20:])])
    wired = await wire(nursery, "tcp", server)
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        assert await request.write(b"first")
        socket = request.socket
        assert socket is not None
        while not socket.is_readable():  # noqa: ASYNC110  # no event tells
            await trio.sleep(0.001)
        assert await request.write(b"second") is True
        assert await request.write(b"third") is True
        await request.end()
        response = await request.get_response()
        assert await response.text() == "ok"


async def test_junk_behind_a_broken_connection(nursery: Any, autojump_clock: Any) -> None:
    """What the peer said last tells more than that it went."""
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(b"SSH-2.0\r\n")])
    wired = await wire(nursery, "memory", server)
    async with http.request(wired.url, agent=wired.agent) as request:
        await request.flush_headers()
        await wired.all_ended()
        request._upload = trio.CancelScope()  # as beneath an iterable body: nobody watches
        with pytest.raises(http.ParseError):
            await request._transmit(b"x")
    assert wired.counts() == (0, 0, 0, 0)


async def test_destroyed_while_the_answer_is_awaited_by_two(
    nursery: Any, autojump_clock: Any
) -> None:
    wired = await wire(nursery, "memory", read_all)
    told: list[BaseException] = []
    async with http.request(wired.url, agent=wired.agent) as request:

        async def wait() -> None:
            with pytest.raises(http.SocketHangUpError) as caught:
                await request.get_response()
            told.append(caught.value)

        async with trio.open_nursery() as both:
            both.start_soon(wait)
            both.start_soon(wait)
            await trio.sleep(1)
            request.destroy()
    assert told == [request.errored] * 2
