"""Giving requests up, seen from the client."""

from __future__ import annotations

import socket as stdlib_socket
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import read_all, wire
from trio_nodehttp._memory import memory_pipe
from trio_nodehttp.testing import Close, Expect, FaultyServer, Send


class CustomError(Exception):
    """What a connection factory raises."""


def note_all(request: Any, *names: str) -> list[Any]:
    seen: list[Any] = []
    for name in names:
        request.on(name, lambda *details, name=name: seen.append((name, *details)))
    return seen


@pytest.mark.node("test-http-abort-before-end.js")
@pytest.mark.node_api("ClientRequest|request.abort()", "ClientRequest|abort")
async def test_abort_before_end(nursery: Any, autojump_clock: Any) -> None:
    handled: list[object] = []

    async def handle(request: Any, _: Any) -> None:
        handled.append(request)

    wired = await wire(nursery, "memory", http.create_server(handle).serve_stream)
    async with http.request(wired.url, agent=wired.agent) as request:
        seen = note_all(request, "abort", "error", "close")
        request.abort()
        assert await request.end() is request
        assert seen[0] == ("abort",)
    await wired.all_ended()
    assert handled == []
    assert request.aborted

    early = http.request(wired.url, agent=wired.agent)
    seen = note_all(early, "abort", "error", "close")
    early.abort()
    assert await early.end() is early
    assert seen == [("abort",), ("close",)], "no error is reported"
    assert wired.begun == 1


@pytest.mark.node("test-http-client-abort-event.js")
async def test_abort_twice_tells_once(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Close()]))
    request = http.request(wired.url, agent=wired.agent)
    seen = note_all(request, "abort", "response")

    async def twice(_: object) -> None:
        request.abort()
        request.abort()

    request.on("socket", lambda _: nursery.start_soon(twice, None))
    with pytest.raises(http.SocketHangUpError):
        async with request:
            await request.get_response()
    assert seen == [("abort",)]


@pytest.mark.node("test-http-client-abort-no-agent.js")
async def test_abort_with_a_factory_and_no_agent(nursery: Any, autojump_clock: Any) -> None:
    handled: list[object] = []
    made: list[Any] = []

    async def handle(request: Any, _: Any) -> None:
        handled.append(request)

    server = http.create_server(handle)

    async def factory(_: Any) -> Any:
        ours, theirs = memory_pipe()
        nursery.start_soon(server.serve_stream, theirs)
        made.append(ours)
        return ours

    async with http.request("http://origin.test/", create_connection=factory) as request:
        request.abort()
        with pytest.raises(http.SocketHangUpError):
            await request.get_response()
    assert len(made) == 1
    assert made[0].closed
    assert request.socket is not None
    assert request.socket.destroyed
    await trio.sleep(1)
    assert handled == []


@pytest.mark.node("test-http-client-abort-unix-socket.js")
async def test_abort_over_a_unix_socket(nursery: Any, tmp_path: Path) -> None:
    handled: list[object] = []
    made: list[Any] = []

    class Noting(http.Agent):
        async def create_connection(self, options: Any) -> Any:
            made.append(await http.Agent.create_connection(self, options))
            return made[-1]

    async def handle(request: Any, _: Any) -> None:
        handled.append(request)

    path = str(tmp_path / "http.sock")
    server = http.create_server(handle)
    await nursery.start(lambda task_status: server.listen(path=path, task_status=task_status))
    async with Noting() as agent:
        async with http.request(socket_path=path, agent=agent) as request:
            request.abort()
            assert made[0].socket.fileno() == -1, "the socket is closed"
        assert agent.stats().active == 0
    await server.close()
    assert handled == []


@pytest.mark.node("test-http-client-abort3.js")
@pytest.mark.parametrize("with_agent", [True, False])
async def test_error_of_the_factory_wins_over_the_abort(
    autojump_clock: Any, nursery: Any, with_agent: bool
) -> None:
    mistake = CustomError("kaboom")

    async def factory(_: Any) -> Any:
        try:
            await trio.sleep_forever()
        finally:
            raise mistake

    options: Any = {"create_connection": factory}
    if with_agent:
        options = {"agent": http.Agent(create_connection=factory)}
    request = http.request("http://origin.test/", **options)

    async def abort() -> None:
        await trio.sleep(1)
        request.abort()

    nursery.start_soon(abort)
    with pytest.raises(CustomError) as caught:
        async with request:
            pytest.fail("it was aborted")
    assert caught.value is mistake
    assert request.errored is mistake


@pytest.mark.node("test-http-client-agent-abort-close-event.js")
async def test_abort_at_once_reports_close(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", read_all, keep_alive=True)
    request = http.request(wired.url, agent=wired.agent)
    seen = note_all(request, "socket", "response")
    request.on("close", lambda: seen.append(("close", request.destroyed)))
    request.abort()
    assert seen == [("close", True)]
    with pytest.raises(http.SocketHangUpError):
        async with request:
            pytest.fail("it was aborted")
    assert seen == [("close", True)]
    assert wired.begun == 0
    assert wired.counts() == (0, 0, 0, 0)


@pytest.mark.node("test-http-client-close-event.js")
async def test_destroy_before_the_response(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", read_all)
    request = http.request(wired.url, agent=wired.agent)
    seen = note_all(request, "response", "error")
    request.on("close", lambda: seen.append(("close", request.destroyed)))

    async def destroy() -> None:
        await trio.sleep(1)
        request.destroy()

    nursery.start_soon(destroy)
    async with request:
        with pytest.raises(http.SocketHangUpError) as caught:
            await request.get_response()
    assert str(caught.value) == "socket hang up"
    assert caught.value.code == "ECONNRESET"
    assert seen == [("error", caught.value), ("close", True)]


@pytest.mark.node("test-http-client-abort2.js")
async def test_abort_inside_the_data_event(nursery: Any, autojump_clock: Any) -> None:
    async def handle(request: Any, response: Any) -> None:
        response.write_head(200)
        await response.write("response")
        await request.disconnected.wait()

    server = http.create_server(handle)
    wired = await wire(nursery, "memory", server.serve_stream)
    seen: list[bytes] = []
    async with http.request(wired.url, agent=wired.agent) as request:
        response = await request.get_response()

        def abort(data: bytes) -> None:
            seen.append(data)
            request.abort()

        response.on("data", abort)
        assert await response.receive_some() == b"response"
        with pytest.raises(http.AbortedError):
            await response.receive_some()
    assert seen == [b"response"]
    await wired.all_ended()
    assert server.connections == 0


@pytest.mark.node("test-http-client-aborted-event.js", "test-http-abort-client.js")
@pytest.mark.parametrize("observed", [True, False])
async def test_response_that_the_server_destroys(
    nursery: Any, autojump_clock: Any, observed: bool
) -> None:
    async def handle(_: Any, response: Any) -> None:
        response.write_head(200, {"Content-Type": "text/plain"})
        await response.write("part of the response")
        response.destroy()

    wired = await wire(nursery, "memory", http.create_server(handle).serve_stream)
    seen: list[Any] = []
    async with http.request(wired.url, agent=wired.agent) as request:
        response = await request.get_response()
        if observed:
            seen = note_all(response, "end", "aborted", "error", "close")
        assert await response.receive_some() == b"part of the response"
        with pytest.raises(http.AbortedError) as caught:
            await response.receive_some()
        assert caught.value.code == "ECONNRESET"
        assert response.aborted
        assert not response.complete
        assert response.socket.destroyed
        if observed:
            assert seen == [("aborted",), ("error", caught.value), ("close",)]


@pytest.mark.node("test-http-destroyed-socket-write2.js")
@pytest.mark.parametrize("kind", ["memory", "tcp", "tls"])
async def test_write_after_the_server_destroyed_the_connection(nursery: Any, kind: str) -> None:
    async def destroy(stream: Any) -> None:
        await stream.receive_some()

    wired = await wire(nursery, kind, destroy)
    request = http.request(wired.url, method="POST", agent=wired.agent)
    seen = note_all(request, "response", "error", "close")
    async with request:
        with pytest.raises(http.SocketHangUpError) as caught:
            await write_on(request)
        assert caught.value.code in {"ECONNRESET", "EPIPE"}
        assert seen == [("error", caught.value), ("close",)]
        assert request.writable_length == 0
        assert request.response is None


async def write_on(request: Any) -> None:
    """Write until the kernel has noticed."""
    await request.write(b"hello")
    for _ in range(1000):
        await request.write(b"x" * 65536)


@pytest.mark.node("test-http-server-incomingmessage-destroy.js")
async def test_handler_that_destroys_its_request(
    nursery: Any, autojump_clock: Any, caplog: Any
) -> None:
    async def handle(request: Any, _: Any) -> None:
        request.destroy(CustomError("Destroy test"))

    wired = await wire(nursery, "memory", http.create_server(handle).serve_stream)
    async with http.request(wired.url, agent=wired.agent) as request:
        with pytest.raises(http.SocketHangUpError) as caught:
            await request.get_response()
    assert str(caught.value) == "socket hang up"
    assert caught.value.code == "ECONNRESET"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_linger_reset_is_a_hang_up(nursery: Any) -> None:
    async def reset(stream: Any) -> None:
        await stream.receive_some()
        stream.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    wired = await wire(nursery, "tcp", reset)
    async with http.request(wired.url, agent=wired.agent) as request:
        with pytest.raises(http.SocketHangUpError) as caught:
            await request.get_response()
    assert str(caught.value) == "read ECONNRESET"


async def test_stray_bytes_do_not_reach_the_next(nursery: Any, autojump_clock: Any) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    stray = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(answer + stray)])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    async with http.get(wired.url, agent=wired.agent) as response:
        assert await response.text() == "ok"
    assert wired.counts() == (0, 0, 0, 0)
