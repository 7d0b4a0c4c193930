"""Requests on a reused socket that the server has closed meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests.wires import read_head, wire
from trio_nodehttp.testing import Close, Expect, FaultyServer, Send

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BIG = b"x" * (8 << 20)


async def pieces() -> AsyncIterator[bytes]:
    yield b"data"


BODIES: dict[str, Any] = {
    "none": lambda: None,
    "bytes": lambda: b"data",
    "held": lambda: b"data",
    "iterable": pieces,
}
REPLAYED = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}


class Recycler:
    """Answers one request of each connection, and closes it without a word."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.close = trio.Event()
        self.die_at_once = False

    async def __call__(self, stream: Any) -> None:
        head = await read_head(stream)
        self.heads.append(head)
        if self.die_at_once:
            return
        await stream.send_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        await read_head(stream)


@pytest.mark.parametrize("retry_stale", [True, False])
@pytest.mark.parametrize("reused", [True, False])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"])
async def test_stale_socket(  # noqa: PLR0917
    nursery: Any, autojump_clock: Any, method: str, body: str, reused: bool, retry_stale: bool
) -> None:
    peer = Recycler()
    wired = await wire(nursery, "memory", peer, keep_alive=True)
    if reused:
        async with http.get(wired.url, agent=wired.agent) as response:
            await response.read()
        assert wired.counts() == (0, 0, 1, 0)
    else:
        peer.die_at_once = True
    again = reused and retry_stale and method in REPLAYED and body != "iterable"
    options: Any = {
        "method": method,
        "agent": wired.agent,
        "retry_stale": retry_stale,
        "body": BODIES[body](),
        "headers": {"Expect": "100-continue"} if body == "held" else {},
    }
    async with http.request(wired.url, **options) as request:
        assert request.reused_socket is reused
        if again:
            response = await request.get_response()
            assert (response.status_code, response.attempts) == (204, 2)
            assert not request.reused_socket
            assert peer.heads[-1].startswith(f"{method} / HTTP/1.1\r\n".encode())
            assert peer.heads[-1].endswith(b"data" if body in ("bytes", "held") else b"\r\n\r\n")
        else:
            stale = http.StaleConnectionError if reused else http.SocketHangUpError
            with pytest.raises(http.SocketHangUpError) as caught:
                await request.get_response()
            assert type(caught.value) is stale
            assert caught.value.code == "ECONNRESET"
            assert getattr(caught.value, "reused", False) is reused
    assert len(peer.heads) == (2 if again else 1)


async def test_flushed_head_may_be_sent_again(nursery: Any, autojump_clock: Any) -> None:
    peer = Recycler()
    wired = await wire(nursery, "memory", peer, keep_alive=True)
    async with http.get(wired.url, agent=wired.agent) as response:
        await response.read()
    async with http.request(wired.url, agent=wired.agent) as request:
        await request.flush_headers()
        await request.end()
        told: list[Any] = []

        async def wait() -> None:
            told.append(await request.get_response())

        async with trio.open_nursery() as both:
            both.start_soon(wait)
            both.start_soon(wait)
        assert [response.status_code for response in told] == [204, 204]
    assert len(peer.heads) == 2


async def test_second_stale_socket_is_an_error(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(OK), Expect(b"\r\n\r\n")], [Close()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    async with http.get(wired.url, agent=wired.agent) as response:
        await response.read()
    async with http.request(wired.url, agent=wired.agent) as request:
        with pytest.raises(http.SocketHangUpError):
            await request.get_response()
        assert request.attempts == 2
    assert wired.counts() == (0, 0, 0, 0)


async def test_retry_that_cannot_connect(nursery: Any, autojump_clock: Any) -> None:
    peer = Recycler()
    wired = await wire(nursery, "memory", peer, keep_alive=True)
    async with http.get(wired.url, agent=wired.agent) as response:
        await response.read()

    async def refuse(_: object) -> Any:
        raise ConnectionRefusedError(111, "no")

    wired.agent._connector = refuse
    async with http.request(wired.url, agent=wired.agent) as request:
        with pytest.raises(http.ConnectionFailedError) as caught:
            await request.get_response()
        assert caught.value.code == "ECONNREFUSED"
    assert wired.counts() == (0, 0, 0, 0)


async def test_a_byte_of_response_is_no_stale_socket(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([
        Expect(b"\r\n\r\n"), Send(OK), Expect(b"\r\n\r\n"), Send(b"H"), Close(),
    ])  # fmt: skip
    wired = await wire(nursery, "memory", server, keep_alive=True)
    async with http.get(wired.url, agent=wired.agent) as response:
        await response.read()
    async with http.request(wired.url, agent=wired.agent) as request:
        with pytest.raises(http.SocketHangUpError) as caught:
            await request.get_response()
    assert type(caught.value) is http.SocketHangUpError


async def test_blocked_upload_on_a_stale_socket(nursery: Any) -> None:
    peer = Recycler()
    wired = await wire(nursery, "tcp", peer, keep_alive=True)
    async with http.get(wired.url, agent=wired.agent) as response:
        await response.read()
    options: Any = {"method": "PUT", "agent": wired.agent, "body": BIG}
    async with http.request(wired.url, **options) as request:
        response = await request.get_response()
        assert response.attempts == 2


@pytest.mark.parametrize("reused", [True, False])
@pytest.mark.parametrize("how", ["agent", "socket", "hang-up", "mine"])
async def test_a_socket_that_we_destroy_is_not_a_stale_one(
    nursery: Any, autojump_clock: Any, how: str, reused: bool
) -> None:
    heads: list[bytes] = []

    async def peer(stream: Any) -> None:
        while head := await read_head(stream):
            heads.append(head)
            if b"/slow" not in head:
                await stream.send_all(OK)

    wired = await wire(nursery, "memory", peer, keep_alive=True)
    if reused:
        async with http.get(wired.url, agent=wired.agent) as response:
            await response.read()
    seen: list[object] = []
    error = {"hang-up": http.SocketHangUpError("mine"), "mine": LookupError()}.get(how)
    request = http.request(wired.url + "slow", agent=wired.agent)
    request.on("error", seen.append)

    async def destroy() -> None:
        await trio.testing.wait_all_tasks_blocked()
        if how == "agent":
            wired.agent.destroy()
        else:
            assert request.socket is not None
            request.socket.destroy(error)

    with trio.fail_after(1):
        async with request:
            assert request.reused_socket is reused
            await request.end()
            nursery.start_soon(destroy)
            with pytest.raises((LookupError, http.SocketHangUpError)) as caught:
                await request.get_response()
    expected = LookupError if how == "mine" else http.SocketHangUpError
    assert type(caught.value) is expected
    assert error in (None, caught.value)
    assert seen == [caught.value]
    assert len(heads) == 1 + reused
    assert request.attempts == 1
    assert wired.counts() == (0, 0, 0, 0)
