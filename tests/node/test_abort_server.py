"""Clients that leave, and responses given up, seen from the server."""

from __future__ import annotations

import logging
import socket as stdlib_socket
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import Wire, wire


async def served(nursery: Any, handle: Any, kind: str = "memory", **options: Any) -> Wire:
    # What a handler asserts must not end up in a log.
    server = http.create_server(handle, connections_checking_interval=0.01, on_error="raise")
    return await wire(nursery, kind, server.serve_stream, **options)


@pytest.mark.node("test-http-aborted.js")
@pytest.mark.parametrize("observed", [True, False])
async def test_client_aborts_a_streaming_response(
    nursery: Any, autojump_clock: Any, caplog: Any, observed: bool
) -> None:
    seen: list[Any] = []
    over = trio.Event()

    async def handle(request: Any, response: Any) -> None:
        if observed:
            request.on("aborted", lambda: seen.append(("aborted", request.aborted)))
            request.on("error", lambda error: seen.append((str(error), error.code)))
        response.write_head(200)
        await response.write("part")
        await request.disconnected.wait()
        assert request.aborted
        over.set()

    wired = await served(nursery, handle)
    mine: list[Any] = []
    async with http.request(wired.url, agent=wired.agent) as request:
        response = await request.get_response()
        response.on("aborted", lambda: mine.append(("aborted", response.aborted)))
        response.on("error", lambda error: mine.append((str(error), error.code)))
        assert await response.receive_some() == b"part"
        request.abort()
        assert mine == [("aborted", True), ("aborted", "ECONNRESET")]
    with trio.fail_after(5):
        await over.wait()
        await wired.all_ended()
    if observed:
        assert seen == [("aborted", True), ("aborted", "ECONNRESET")]
    # The server lives on, and nobody was told of a mistake.
    async with http.request(wired.url, agent=wired.agent) as request:
        response = await request.get_response()
        assert await response.receive_some() == b"part"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.node("test-http-client-abort.js")
async def test_eight_clients_that_abort(nursery: Any) -> None:
    aborted: list[int] = []

    async def handle(request: Any, response: Any) -> None:
        request.on("aborted", lambda: aborted.append(1))
        response.write_head(200)
        while not request.aborted:
            await response.write("Working on it...\n")
            await trio.sleep(0.001)

    server = http.create_server(handle, connections_checking_interval=0.01)
    await nursery.start(server.listen, 0, "127.0.0.1")

    async def client() -> None:
        async with http.request(server.url, agent=False) as request:
            response = await request.get_response()
            assert await response.receive_some()
            request.abort()

    async with trio.open_nursery() as clients:
        for _ in range(8):
            clients.start_soon(client)
    with trio.fail_after(2):
        await server.close()
        while server.connections:  # noqa: ASYNC110  # no event tells
            await trio.sleep(0.001)
    assert len(aborted) == 8


@pytest.mark.node(
    "test-http-outgoing-destroyed.js",
    decided="a write to a peer that has gone raises, as that of every Trio stream does",
)
@pytest.mark.node_api("ServerResponse|close")
async def test_closed_once_the_peer_has_gone(
    nursery: Any, autojump_clock: Any, caplog: Any
) -> None:
    told: list[object] = []
    done = trio.Event()

    async def handle(request: Any, response: Any) -> None:
        assert not response.closed
        response.on("close", lambda: told.append(response.closed))
        await request.disconnected.wait()
        with pytest.raises(http.SocketHangUpError) as caught:
            await response.write("asd")
        told.append(caught.value.code)
        assert response.destroyed
        assert await response.end() is response
        done.set()

    wired = await served(nursery, handle)
    async with http.request(wired.url, agent=wired.agent) as request:
        await request.end()
        await trio.sleep(1)
    with trio.fail_after(5):
        await done.wait()
        await wired.all_ended()
    assert told in (["ECONNRESET", True], ["EPIPE", True])
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.node("test-http-outgoing-destroyed.js")
async def test_response_destroyed_with_an_error(nursery: Any, autojump_clock: Any) -> None:
    mistake = ValueError("asd")
    seen: list[object] = []

    async def handle(_: Any, response: Any) -> None:
        response.on("error", seen.append)
        response.destroy(mistake)
        assert response.errored is mistake
        await response.end("x")

    wired = await served(nursery, handle)
    async with http.request(wired.url, agent=wired.agent) as request:
        with pytest.raises(http.SocketHangUpError) as caught:
            await request.get_response()
    assert caught.value.code == "ECONNRESET"
    assert seen == []


@pytest.mark.node("test-http-outgoing-destroyed.js")
async def test_destroy_after_end_changes_nothing(nursery: Any, autojump_clock: Any) -> None:
    errored: list[object] = []

    async def handle(_: Any, response: Any) -> None:
        await response.end("complete")
        response.destroy()
        with pytest.raises(http.WriteAfterEndError):
            await response.end("more")
        errored.append(response.errored)

    wired = await served(nursery, handle, keep_alive=True)
    for _ in range(2):
        async with http.get(wired.url, agent=wired.agent) as response:
            assert await response.text() == "complete"
            assert response.complete
    assert wired.begun == 1, "what was sent whole leaves the connection as it was"
    wired.agent.destroy()
    await wired.all_ended()
    assert errored == [None, None]


@pytest.mark.node("test-http-server-stale-close.js")
@pytest.mark.parametrize("resets", [True, False])
async def test_client_that_sends_a_part_and_exits(nursery: Any, caplog: Any, resets: bool) -> None:
    told: list[object] = []
    begun, done = trio.Event(), trio.Event()

    async def handle(request: Any, response: Any) -> None:
        request.on("close", lambda: told.append(("close", request.destroyed)))
        told.append(request.destroyed)
        begun.set()
        with pytest.raises(http.AbortedError):
            await request.read()
        try:
            await response.end()
        finally:
            done.set()

    server = http.create_server(handle, connections_checking_interval=0.01)
    await nursery.start(server.listen, 0, "127.0.0.1")
    peer = await trio.open_tcp_stream("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    await peer.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 42\r\n\r\n")
    await peer.send_all(b"DAT")
    await begun.wait()
    if resets:
        linger = b"\1\0\0\0\0\0\0\0"
        peer.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, linger)
    await peer.aclose()
    with trio.fail_after(2):
        await done.wait()
        await server.close()
        while server.connections:  # noqa: ASYNC110  # no event tells
            await trio.sleep(0.001)
    assert told == [False, ("close", True)]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
