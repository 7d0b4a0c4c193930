"""Promises about streams of the client, by their numbers."""

from __future__ import annotations

import errno
import gc
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import KINDS, read_head, wire
from trio_nodehttp.testing import Expect, ExpectEnd, FaultyServer, Send, Stall

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EARLY = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["bytes", "pieces", "writes"])
async def test_25_early_answer_ends_the_upload(nursery: Any, kind: str, form: str) -> None:
    async def answer_and_stop_reading(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all(EARLY)
        await trio.sleep_forever()

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    bodies: dict[str, Any] = {"bytes": b"x" * (8 << 20), "pieces": pieces(), "writes": None}
    wired = await wire(nursery, kind, answer_and_stop_reading, keep_alive=True)
    with trio.fail_after(1):
        options: Any = {"method": "POST", "agent": wired.agent, "body": bodies[form]}
        async with http.request(wired.url, **options) as request:
            if form == "writes":
                while await request.write(b"x" * 100_000):
                    pass
            response = await request.get_response()
            assert (response.status_code, await response.text()) == (413, "big")
    assert wired.counts() == (0, 0, 0, 0), "that connection is not used again"
    await bodies["pieces"].aclose()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("how", ["break", "raise", "return"])
async def test_26_leaving_a_body_loop_is_clean(nursery: Any, autojump_clock: Any, how: str) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(CHUNKED[:-10]), ExpectEnd()])
    wired = await wire(nursery, "memory", server, keep_alive=True)
    mistake = KeyError("mine")

    async def leave() -> bytes | None:
        async with http.get(wired.url, agent=wired.agent) as response:
            async for piece in response:
                assert piece
                if how == "break":
                    break
                if how == "raise":
                    raise mistake
                return bytes(piece)
        return None

    if how == "raise":
        with pytest.raises(KeyError) as caught:
            await leave()
        assert caught.value is mistake
        del caught
    else:
        await leave()
    gc.collect()
    assert wired.counts() == (0, 0, 0, 0)
    await wired.all_ended()


async def test_26_bodies_are_no_generators() -> None:
    assert issubclass(http.IncomingMessage, trio.abc.ReceiveStream)
    assert not hasattr(http.IncomingMessage, "asend")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
async def test_28_bytes_behind_the_head_come_first(nursery: Any, kind: str, method: str) -> None:
    status = b"101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw"
    head = b"HTTP/1.1 %b\r\n\r\n" % (b"200 OK" if method == "CONNECT" else status)
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(head + b"first frame"), ExpectEnd()])
    wired = await wire(nursery, kind, server)
    options: Any = {"method": method, "agent": wired.agent, "path": "a.test:1"}
    if method == "GET":
        options |= {"path": "/", "headers": {"Connection": "Upgrade", "Upgrade": "raw"}}
    async with http.request(wired.url, **options) as request:
        upgraded = await (request.connect() if method == "CONNECT" else request.upgrade())
        assert upgraded.stream.head == b"first frame"
        assert await upgraded.stream.receive_some(5) == b"first"
        assert await upgraded.stream.receive_some() == b" frame"
    await wired.all_ended()


async def test_29_an_offer_of_h2c_that_is_ignored(nursery: Any, autojump_clock: Any) -> None:
    async def handle(_: Any, response: Any) -> None:
        await response.end("plain")

    async def upgrade(_: Any, stream: Any) -> None:
        raise AssertionError("not asked for")

    server = http.create_server(handle)
    server.on("upgrade", upgrade, protocol="websocket")
    wired = await wire(nursery, "memory", server.serve_stream)
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AA"}
    async with http.get(wired.url, agent=wired.agent, headers=headers) as response:
        assert response.status_code == 200
        assert await response.text() == "plain"


async def test_31_agents_cost_nothing_before_https(monkeypatch: Any) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("no context is needed yet")

    monkeypatch.setattr(ssl, "create_default_context", refuse)
    begin = time.perf_counter()
    agents = [http.Agent(keep_alive=True) for _ in range(100)]
    assert time.perf_counter() - begin < 0.05
    assert len(agents) == 100
    assert http.request("http://origin.test/", agent=agents[0])._connection is None


@pytest.mark.parametrize("kind", KINDS)
async def test_34_parts_add_up_to_the_whole(nursery: Any, kind: str) -> None:
    server = FaultyServer([
        Expect(b"\r\n\r\n"), Stall(0.01), Send(OK[:-1]), Stall(0.01), Send(OK[-1:]),
        Expect(b"\r\n\r\n"), Send(OK), ExpectEnd(),
    ])  # fmt: skip
    wired = await wire(nursery, kind, server, keep_alive=True)
    for reused in (False, True):
        begin = trio.current_time()
        async with http.get(wired.url, agent=wired.agent) as response:
            await response.read()
        spent = trio.current_time() - begin
        timings = response.timings
        names = ("queued", "dns", "connect", "tls", "sent", "first_byte", "done")
        parts = {name: getattr(timings, name) for name in names}
        assert timings.reused is reused
        assert (parts["connect"] is None) is reused
        assert (parts["tls"] is not None) is (kind == "tls" and not reused)
        assert sum(part or 0.0 for part in parts.values()) == pytest.approx(timings.total)
        assert spent - 0.1 < timings.total <= spent, "exactly so by a virtual clock, below"
        if not reused:
            assert parts["first_byte"] >= 0.009
            assert parts["done"] >= 0.009


async def test_34_the_parts_by_a_virtual_clock(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Stall(5), Send(OK[:-1]), Stall(7), Send(OK[-1:])])
    wired = await wire(nursery, "memory", server)
    connect = wired.agent.create_connection

    async def slowly(options: Any) -> Any:
        await trio.sleep(3)
        return await connect(options)

    agent = http.Agent(create_connection=slowly, max_sockets=1)
    holder = http.request(wired.url, agent=agent)
    told: list[Any] = []

    async def second() -> None:
        async with http.get(wired.url, agent=agent) as response:
            await response.read()
            told.append(response.timings)

    async with holder:
        nursery.start_soon(second)
        await trio.sleep(2)
        assert agent.stats().queued == 1
    await trio.sleep(100)
    timings = told[0]
    assert timings.queued == pytest.approx(2, abs=0.001)
    assert timings.connect == pytest.approx(3, abs=0.001)
    assert timings.first_byte == pytest.approx(5, abs=0.001)
    assert timings.done == pytest.approx(7, abs=0.001)
    assert timings.total == pytest.approx(17, abs=0.001)
    assert "reused=False" in repr(timings)


# --- 39: one tree of errors --------------------------------------------------------------


FAULTS = [
    trio.BrokenResourceError("gone"),
    trio.ClosedResourceError("closed"),
    ConnectionResetError(errno.ECONNRESET, "reset"),
    BrokenPipeError(errno.EPIPE, "pipe"),
    TimeoutError(errno.ETIMEDOUT, "timed out"),
    OSError(errno.EHOSTUNREACH, "no route"),
    OSError("nameless"),
    ssl.SSLError(1, "bad record"),
]


class FaultyStream(trio.abc.Stream):
    """Fails at one point with one error."""

    def __init__(self, inner: Any, point: str, fault: Exception) -> None:
        self.inner = inner
        self.point = point
        self.fault = fault

    async def _do(self, point: str, *args: object) -> Any:
        if point == self.point:
            await trio.lowlevel.checkpoint()
            raise self.fault
        return await getattr(self.inner, point)(*args)

    async def send_all(self, data: Any) -> None:
        await self._do("send_all", data)

    async def receive_some(self, max_bytes: int | None = None) -> Any:
        if self.point == "second" and getattr(self, "seen", False):
            raise self.fault
        self.seen = True
        return await self._do("receive_some", max_bytes)

    async def wait_send_all_might_not_block(self) -> None:
        await self._do("wait_send_all_might_not_block")

    async def aclose(self) -> None:
        await self.inner.aclose()


@pytest.mark.parametrize(
    "point", ["connect", "send_all", "receive_some", "second", "wait_send_all_might_not_block"]
)
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_39_every_error_is_ours(
    nursery: Any, autojump_clock: Any, point: str, fault: Exception
) -> None:
    wired = await wire(
        nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(OK[:-1]), Stall()])
    )
    connect = wired.agent.create_connection

    async def make(options: Any) -> Any:
        if point == "connect":
            raise fault
        return FaultyStream(await connect(options), point, fault)

    agent = http.Agent(create_connection=make)
    with pytest.raises(http.HTTPError) as caught:  # noqa: PT012  # wherever it is
        async with http.request(wired.url, method="POST", agent=agent) as request:
            if point == "wait_send_all_might_not_block":
                await request.wait_send_all_might_not_block()
            await request.end(b"body")
            response = await request.get_response()
            await response.read()
    error: BaseException | None = caught.value
    causes = []
    while error is not None:
        causes.append(error)
        error = error.__cause__
    assert fault in causes
    kind = http.ConnectionFailedError if point == "connect" else http.SocketHangUpError
    assert isinstance(caught.value, kind)
    stats = agent.stats()
    assert (stats.active, stats.connecting, stats.queued, stats.idle) == (0, 0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", ["entered", "sent", "response", "read", "upgraded"])
async def test_39_the_users_error_arrives_unchanged(nursery: Any, kind: str, stage: str) -> None:
    head = b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n"
    answer = head if stage == "upgraded" else OK
    wired = await wire(
        nursery, kind, FaultyServer([Expect(b"\r\n\r\n"), Send(answer), ExpectEnd()])
    )
    mistake = LookupError("mine")
    with pytest.raises(LookupError) as caught:  # noqa: PT012  # wherever it is
        async with http.request(wired.url, agent=wired.agent) as request:
            if stage == "upgraded":
                await request.upgrade()
            if stage == "sent":
                await request.end()
            if stage in {"response", "read"}:
                response = await request.get_response()
            if stage == "read":
                await response.read()
            raise mistake
    assert caught.value is mistake
    assert caught.value.__cause__ is None
    assert wired.counts() == (0, 0, 0, 0)
