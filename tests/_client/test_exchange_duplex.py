"""Servers that answer while they read: the request goes on, until they have said all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import KINDS, wire
from trio_nodehttp.testing import Expect, FaultyServer, Send, Stall

BIG = b"x" * (8 << 20)


async def shout(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    await response.flush_headers()
    async for piece in request:
        await response.write(piece.upper())


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_answers_while_it_reads_gets_it_all(nursery: Any, kind: str) -> None:
    server = http.create_server(shout)
    wired = await wire(nursery, kind, server.serve_stream, keep_alive=True)
    with trio.fail_after(5):
        async with http.request(wired.url, method="POST", agent=wired.agent) as request:
            await request.flush_headers()
            response = await request.get_response()
            for word in (b"one", b"two"):
                assert await request.write(word) is True
                assert await response.receive_some() == word.upper()
            await request.end(b"three")
            assert await response.read() == b"THREE"
    assert wired.counts() == (0, 0, 1, 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_megabytes_go_both_ways_at_once(nursery: Any, kind: str) -> None:
    server = http.create_server(shout)
    wired = await wire(nursery, kind, server.serve_stream, keep_alive=True)
    sent = 0

    async def send(request: http.ClientRequest) -> None:
        nonlocal sent
        for _ in range(64):
            assert await request.write(b"x" * 65536) is True
            sent += 65536
        await request.end()

    with trio.fail_after(10):
        async with http.request(wired.url, method="POST", agent=wired.agent) as request:
            await request.flush_headers()
            async with trio.open_nursery() as both:
                both.start_soon(send, request)
                got = len(await (await request.get_response()).read())
    assert got == sent == 64 * 65536
    assert wired.counts() == (0, 0, 1, 0)


async def test_an_iterable_goes_on_beside_the_answer(nursery: Any, autojump_clock: Any) -> None:
    async def words() -> AsyncIterator[bytes]:
        for word in (b"one ", b"two ", b"three"):
            yield word
            await trio.sleep(1)

    server = http.create_server(shout)
    wired = await wire(nursery, "memory", server.serve_stream, keep_alive=True)
    async with http.request(wired.url, method="POST", body=words(), agent=wired.agent) as request:
        assert await (await request.get_response()).text() == "ONE TWO THREE"


@pytest.mark.parametrize("seconds", [0, 1])
async def test_a_pipe_goes_on_beside_the_answer(
    nursery: Any, autojump_clock: Any, seconds: float
) -> None:
    source, entry = trio.testing.memory_stream_one_way_pair()[::-1]
    server = http.create_server(shout)
    wired = await wire(nursery, "memory", server.serve_stream, keep_alive=True)

    async def feed() -> None:
        for _ in range(3):
            await trio.sleep(seconds)
            await entry.send_all(b"word ")
        await entry.aclose()

    async with (
        http.request(wired.url, method="POST", agent=wired.agent) as request,
        trio.open_nursery() as both,
    ):
        both.start_soon(feed)
        both.start_soon(http.pipe, source, request)
        await request.flush_headers()
        assert await (await request.get_response()).text() == "WORD WORD WORD "


SAID_ALL = [
    pytest.param(b"200 OK\r\nContent-Length: 2\r\n\r\nok", id="whole"),
    pytest.param(b"204 No Content\r\n\r\n", id="no body"),
    pytest.param(b"200 OK\r\n\r\nbeginning", id="until the end"),
    pytest.param(b"307 Temporary Redirect\r\nTransfer-Encoding: chunked\r\n\r\n", id="elsewhere"),
    pytest.param(b"500 No\r\nTransfer-Encoding: chunked\r\n\r\n", id="failed"),
]


@pytest.mark.parametrize("answer", SAID_ALL)
async def test_a_server_that_has_said_all_gets_no_more(
    nursery: Any, autojump_clock: Any, answer: bytes
) -> None:
    server = FaultyServer([Expect(b"part"), Send(b"HTTP/1.1 " + answer), Stall()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    with trio.fail_after(1):
        async with http.request(wired.url, method="POST", agent=wired.agent) as request:
            assert await request.write(b"part") is True
            await request.get_response()
            assert await request.write(BIG) is False
    assert wired.counts() == (0, 0, 0, 0)
