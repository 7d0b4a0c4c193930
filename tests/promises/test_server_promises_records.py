"""What users of other servers ran into, and what this one promises: bytes, streams and records."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests._server.kit import (
    BAD_REQUEST,
    Served,
    ask,
    echo,
    hello,
    serving,
    settle,
    undated,
)

Request = http.IncomingMessage
Response = http.ServerResponse


LEFTOVERS = [
    # What follows `Connection: close` is no request.
    (ask("/1", "Connection: close") + ask("/2"), ["/1"]),
    (b"GET /1 HTTP/1.0\r\n\r\n" + ask("/2"), ["/1"]),
    # A body that nobody reads is thrown away, or the connection ends: it is no request.
    (
        ask("/1", "Content-Length: 39", method="POST")
        + b"GET /evil HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        ["/1"],
    ),
    (
        ask("/1", "Transfer-Encoding: chunked", method="POST")
        + b"27\r\nGET /evil HTTP/1.1\r\nHost: evil.test\r\n\r\n\r\n0\r\n\r\n"
        + ask("/2"),
        ["/1", "/2"],
    ),
    (ask("/1", f"Content-Length: {1 << 40}", method="POST") + ask("/evil") * 20, ["/1"]),
    # The terminator of a chunk is checked.
    (
        ask("/1", "Transfer-Encoding: chunked", method="POST") + b"2\r\nxxGET /evil HTTP/1.1\r\n",
        ["/1"],
    ),
]


@pytest.mark.parametrize(("sent", "served_urls"), LEFTOVERS)
async def test_promise_22_a_body_is_never_read_as_a_request(
    sent: bytes, served_urls: list[str], autojump_clock: Any
) -> None:
    urls = []

    async def handler(request: Request, response: Response) -> None:
        urls.append(request.url)
        await response.end()

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(sent)
        await client.end()
        reply = await client.until_end()
    assert urls == served_urls
    assert reply.count(b"HTTP/1.1 200 OK") == len(served_urls)


async def test_promise_23_departure_can_be_polled_under_a_cancelled_scope(
    autojump_clock: Any,
) -> None:
    polled = []

    async def handler(request: Request, response: Response) -> None:
        event = request.disconnected
        assert isinstance(event, trio.Event)
        for _ in range(20):
            # Starlette's is_disconnected() looks from within a scope like this.
            with trio.CancelScope() as scope:
                scope.cancel()
                polled.append(event.is_set())
                await event.wait()
            await trio.sleep(0.1)

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask())
        await trio.sleep(1.05)
        client.leave()
        await trio.sleep(2)
    assert polled[:11] == [False] * 11
    assert polled[-5:] == [True] * 5


async def test_promise_24_a_blocked_write_ends_with_its_peer(autojump_clock: Any) -> None:
    ends: list[str] = []

    async def handler(request: Request, response: Response) -> None:
        try:
            while True:
                await response.write(b"x" * 65536)
        except http.SocketHangUpError as error:
            ends.append(error.code)
            raise

    async with serving(handler) as served:
        before = trio.lowlevel.current_statistics().tasks_living
        for _ in range(1000):
            client = await served.connect()
            await client.send(ask())
            await settle()
            client.leave()
        await settle()
        assert trio.current_time() < 1
        assert len(ends) == 1000
        await trio.sleep(1)
        assert trio.lowlevel.current_statistics().tasks_living <= before + 1
        assert served.server.connections == 0


async def test_promise_28_bytes_behind_an_upgrade_come_first(autojump_clock: Any) -> None:
    async def take(request: Request, stream: Any) -> None:
        await stream.send_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        head = stream.head
        first = await stream.receive_some(3)
        rest = await stream.receive_some()
        more = await stream.receive_some()
        await stream.send_all(b"|".join([head, first, rest, more]))

    async with serving() as served:
        served.server.on("upgrade", take)
        served.server.on("connect", take)
        for head in (
            ask("/", "Connection: Upgrade", "Upgrade: x"),
            b"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n",
        ):
            client = await served.connect()
            await client.send(head, b"frame 1")
            await client.line()
            await settle()
            await client.send(b"frame 2")
            assert await client.until_end() == b"frame 1|fra|me 1|frame 2"


async def test_promise_29_an_unknown_upgrade_is_an_ordinary_request(autojump_clock: Any) -> None:
    async def websocket(request: Request, stream: Any) -> None:
        await stream.send_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")

    async with serving(echo) as served:
        served.server.on("upgrade", websocket, protocol="websocket")
        client = await served.connect()
        h2c = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]
        answer = await client.get("/curl", *h2c)
        assert (answer.status, answer.body) == (200, b"GET /curl ")
        assert (await client.get("/again")).status == 200
        await client.send(ask("/", "Connection: Upgrade", "Upgrade: h2c, WebSocket"))
        assert b"101" in await client.until_end()


async def records_of(
    served: Served, caplog: pytest.LogCaptureFixture, *sent: bytes, leave: bool = False
) -> list[dict[str, Any]]:
    """Send bytes on a new connection, and collect what the access log tells of them."""
    caplog.clear()
    client = await served.connect()
    await client.send(*sent)
    if leave:
        await settle()
        client.leave()
    else:
        with trio.move_on_after(20):
            await client.until_end()
        client.leave()
    await trio.sleep(1)
    names = "method target status duration bytes_in bytes_out connection request peer outcome"
    found = [record for record in caplog.records if record.name == "trio_nodehttp.access"]
    told = [{name: getattr(record, name) for name in names.split()} for record in found]
    assert json.loads(json.dumps(told)) == told
    return told


async def test_promise_35_every_request_leaves_an_access_record(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trio_nodehttp.access")

    async def handler(request: Request, response: Response) -> None:
        if request.url == "/fail":
            raise ValueError("x")
        body = await request.read()
        if request.url == "/destroy":
            response.destroy()
            return
        await trio.sleep(0.25)
        if request.url == "/big":
            await response.write(b"x" * 1_000_000)
        await response.end(body)

    async with serving(handler, headers_timeout=3, request_timeout=4) as served:
        one = ask("/1", method="POST", body="x" * 100)
        two = ask("/2", "Connection: close", "Transfer-Encoding: chunked", method="POST")
        first, second = await records_of(served, caplog, one, two, b"2\r\nab\r\n0\r\n\r\n")
        assert first | {"bytes_out": 0} == {
            "method": "POST",
            "target": "/1",
            "status": 200,
            "duration": pytest.approx(0.25),
            "bytes_in": len(one),
            "bytes_out": 0,
            "connection": 1,
            "request": 1,
            "peer": None,
            "outcome": "ok",
        }
        assert first["bytes_out"] > 200
        assert second["bytes_in"] == len(two) + 12
        assert (second["connection"], second["request"]) == (1, 2)
        (gone,) = await records_of(served, caplog, ask("/big"), leave=True)
        assert (gone["status"], gone["outcome"]) == (200, "client-gone")
        half = ask("/", "Content-Length: 9", method="POST") + b"abc"
        (slow,) = await records_of(served, caplog, half)
        assert (slow["status"], slow["outcome"]) == (408, "timeout")
        assert slow["duration"] == pytest.approx(4)
        assert slow["bytes_in"] == len(half)
        (failed,) = await records_of(served, caplog, ask("/fail", "Connection: close"))
        assert (failed["status"], failed["outcome"]) == (500, "error")
        (destroyed,) = await records_of(served, caplog, ask("/destroy"))
        assert (destroyed["status"], destroyed["outcome"]) == (None, "aborted")
        (connect,) = await records_of(served, caplog, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
        assert (connect["status"], connect["outcome"]) == (None, "refused")
        # Refused before a handler ran.
        (junk,) = await records_of(served, caplog, b"NO SUCH THING\r\n")
        assert (junk["method"], junk["status"]) == (None, 400)
        assert (junk["outcome"], junk["bytes_in"]) == ("parse-error", 15)
        assert junk["bytes_out"] == len(BAD_REQUEST)
        (late,) = await records_of(served, caplog, b"GET / HT")
        assert (late["status"], late["outcome"]) == (408, "timeout")
        (bad,) = await records_of(
            served, caplog, ask("/", "Transfer-Encoding: chunked", method="POST"), b"zz\r\n"
        )
        assert (bad["target"], bad["status"], bad["outcome"]) == ("/", 400, "parse-error")
        caplog.set_level(logging.WARNING, "trio_nodehttp.access")
        assert not await records_of(served, caplog, ask("/", "Connection: close"))


async def test_promise_35_a_request_that_is_cut_leaves_one_too(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trio_nodehttp.access")

    async def forever(request: Request, response: Response) -> None:
        await trio.sleep_forever()

    async with serving(forever, timeout=2) as served:
        client = await served.connect()
        await client.send(ask())
        await settle()
        await served.server.drain(1)
        served.server.on("upgrade", forever)
        client = await served.connect()
        await client.send(ask("/up", "Connection: upgrade", "Upgrade: x"))
        await settle()
        await served.server.drain(0)
    outcomes = [(record.target, record.outcome) for record in caplog.records]  # type: ignore[attr-defined]
    assert outcomes == [("/", "cancelled"), ("/up", "cancelled")]


async def test_a_bare_400_is_what_node_sends(autojump_clock: Any) -> None:
    async with serving(hello) as served:
        client = await served.connect()
        await client.send(b"junk\r\n\r\n")
        assert undated(await client.until_end()) == BAD_REQUEST


async def test_promise_35_a_write_that_breaks_is_the_departure_of_the_client(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trio_nodehttp.access")

    async def stream_on(request: Request, response: Response) -> None:
        while True:
            await response.write(b"x" * 1000)

    # These streams tell nobody when their peer leaves, as a socket does not at once.
    client, end = trio.testing.memory_stream_pair()
    nursery.start_soon(http.create_server(stream_on).serve_stream, end)
    await client.send_all(ask())
    await client.receive_some()
    await client.aclose()
    await settle()
    (record,) = [one for one in caplog.records if one.name == "trio_nodehttp.access"]
    assert vars(record)["outcome"] == "client-gone"
