"""What a client's request sends, and how it ends."""

from __future__ import annotations

import os
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import wire
from trio_nodehttp.testing import Expect, FaultyServer, Send, Stall

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def echo(nursery: Any, autojump_clock: Any) -> Any:
    """A wire whose server answers with the body that it was sent."""

    async def handle(request: Any, response: Any) -> None:
        await response.end(await request.read())

    return await wire(nursery, "memory", http.create_server(handle).serve_stream, keep_alive=True)


@pytest.mark.node("test-http-client-upload-buf.js")
@pytest.mark.node_api("ClientRequest|request.write(chunk[, encoding][, callback])")
async def test_upload_of_a_kilobyte(echo: Any) -> None:
    data = os.urandom(1024)
    async with http.request(echo.url, method="POST", agent=echo.agent) as request:
        assert await request.write(data) is True
        await request.end()
        response = await request.get_response()
        assert await response.read() == data
        assert response.complete
    assert echo.counts() == (0, 0, 1, 0)


@pytest.mark.node("test-http-flush-headers.js")
@pytest.mark.node_api("ClientRequest|request.flushHeaders()")
async def test_flushed_head_reaches_the_handler(nursery: Any, autojump_clock: Any) -> None:
    seen: list[Any] = []
    arrived = trio.Event()

    async def handle(request: Any, response: Any) -> None:
        seen.append(request.headers["foo"])
        arrived.set()
        await response.end()

    wired = await wire(nursery, "memory", http.create_server(handle).serve_stream)
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        request.set_header("foo", "bar")
        await request.flush_headers()
        await request.flush_headers()
        with trio.fail_after(1):
            await arrived.wait()
        assert not request.writable_ended
        request.destroy()
    assert seen == ["bar"]


@pytest.mark.node("test-http-request-end-twice.js")
@pytest.mark.node_api("ClientRequest|request.end([data[, encoding]][, callback])")
async def test_end_twice(echo: Any) -> None:
    async with http.request(echo.url, method="POST", agent=echo.agent) as request:
        assert await request.end() is request
        response = await request.get_response()
        await response.read()
        assert await request.end() is request
        assert await request.end() is request
    assert await request.end() is request
    assert echo.counts() == (0, 0, 1, 0)


@pytest.mark.node("test-http-request-end.js")
@pytest.mark.node_api(
    "ClientRequest|request.writableEnded",
    "ClientRequest|request.writableFinished",
    "ClientRequest|request.finished",
    "ClientRequest|finish",
)
async def test_end_with_data(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\nhello world\n"), Send(OK), Stall()])
    wired = await wire(nursery, "memory", server)
    told: list[str] = []
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        request.on("finish", lambda: told.append("finish"))
        assert (request.writable_ended, request.writable_finished) == (False, False)
        assert await request.end("hello world\n") is request
        assert (request.writable_ended, request.writable_finished) == (True, True)
        assert request.finished
        assert told == ["finish"]
        response = await request.get_response()
        assert response.status_code == 200
    assert b"Content-Length: 12\r\n" in server.received[0]


@pytest.mark.node("test-http-request-large-payload.js")
@pytest.mark.parametrize("kind", ["memory", "tcp"])
async def test_large_payload_that_is_not_read(nursery: Any, kind: str) -> None:
    async def handle(_: Any, response: Any) -> None:
        response.write_head(200)
        await response.end()

    wired = await wire(nursery, kind, http.create_server(handle).serve_stream)
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        await request.write("a" * 16390)
        await request.end()
        response = await request.get_response()
        assert response.status_code == 200
        assert await response.read() == b""


@pytest.mark.node_api(
    "ClientRequest|request.cork()",
    "ClientRequest|request.uncork()",
    "ClientRequest|request.socket",
    "ClientRequest|request.connection",
)
async def test_cork(nursery: Any) -> None:
    server = FaultyServer([Expect(b"0\r\n\r\n"), Send(OK), Stall()])
    wired = await wire(nursery, "tcp", server)
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        assert request.connection is request.socket
        socket = request.socket
        assert socket is not None
        request.cork()
        await request.write("one")
        await request.write("two")
        assert socket.bytes_written == 0
        request.uncork()
        assert socket.bytes_written > 0
        await request.end()
        assert await (await request.get_response()).text() == "ok"
    assert server.received[0].endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


@pytest.mark.node_api(
    "ClientRequest|request.getHeader(name)",
    "ClientRequest|request.getHeaderNames()",
    "ClientRequest|request.getHeaders()",
    "ClientRequest|request.getRawHeaderNames()",
    "ClientRequest|request.hasHeader(name)",
    "ClientRequest|request.removeHeader(name)",
    "ClientRequest|request.setHeader(name, value)",
    "ClientRequest|request.path",
    "ClientRequest|request.method",
    "ClientRequest|request.host",
    "ClientRequest|request.protocol",
    "ClientRequest|request.maxHeadersCount",
    "ClientRequest|request.destroyed",
    "ClientRequest|ClientRequest",
)
async def test_members_before_sending(nursery: Any, autojump_clock: Any) -> None:
    answer = b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nContent-Length: 0\r\n\r\n"
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(answer), Stall()])
    wired = await wire(nursery, "memory", server)
    request = http.request(wired.url + "p?q", method="post", agent=wired.agent)
    assert isinstance(request, http.ClientRequest)
    assert (request.method, request.path) == ("POST", "/p?q")
    assert (request.host, request.protocol) == ("origin.test", "http:")
    assert request.set_header("X-One", "1") is request
    request.set_header("X-Two", ["a", "b"])
    assert request.get_header("x-one") == "1"
    assert request.get_header_names() == ["host", "x-one", "x-two"]
    assert request.get_raw_header_names() == ["Host", "X-One", "X-Two"]
    assert request.get_headers() == {"host": "origin.test", "x-one": "1", "x-two": ["a", "b"]}
    request.remove_header("x-one")
    assert not request.has_header("X-One")
    request.path = "/other"
    request.max_headers_count = 2
    assert not request.destroyed
    async with request:
        response = await request.get_response()
        assert response.raw_headers == [("A", "1"), ("B", "2")]
        with pytest.raises(http.HeadersSentError):
            request.set_header("late", "x")
    assert request.destroyed
    assert server.received[0].startswith(
        b"POST /other HTTP/1.1\r\nHost: origin.test\r\nX-Two: a\r\n"
    )


@pytest.mark.node_api("ClientRequest|request.reusedSocket")
async def test_reused_socket(echo: Any) -> None:
    for number in range(3):
        async with http.request(echo.url, agent=echo.agent) as request:
            assert request.reused_socket is (number > 0)
            response = await request.get_response()
            await response.read()


@pytest.mark.node_api("ClientRequest|information", "ClientRequest|continue")
async def test_information(nursery: Any, autojump_clock: Any) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n"
    more = b"HTTP/1.1 100 Continue\r\n\r\n"
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(early + more + OK), Stall()])
    wired = await wire(nursery, "memory", server)
    told: list[Any] = []
    async with http.request(wired.url, agent=wired.agent) as request:
        request.on("information", told.append)
        request.on("continue", lambda: told.append("continue"))
        response = await request.get_response()
        assert await response.text() == "ok"
    first, second = request.informational
    assert told == [first, "continue", second]
    assert (first.status_code, first.status_message) == (103, "Early Hints")
    assert (first.http_version, first.http_version_major, first.http_version_minor) == ("1.1", 1, 1)
    assert first.headers["link"] == "</a>, </b>"
    assert first.raw_headers == [("Link", "</a>"), ("Link", "</b>")]
