"""Rows of Node's tables: what a server answers."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import Client, ask, dialled, echo, hello, listening, serving, settle, undated

Request = http.IncomingMessage
Response = http.ServerResponse


async def raw(client: Client, *parts: bytes) -> bytes:
    await client.send(*parts)
    return undated(await client.until_end())


@pytest.mark.node("test-http-1.0.js")
@pytest.mark.node_api("ServerResponse|response.sendDate", "IncomingMessage|message.httpVersion")
async def test_http_1_0_is_answered_raw_and_http_1_1_in_chunks(autojump_clock: Any) -> None:
    versions = []

    async def handler(request: Request, response: Response) -> None:
        versions.append(
            (request.http_version, request.http_version_major, request.http_version_minor)
        )
        response.send_date = False
        response.write_head(200, {"Content-Type": "text/plain"})
        await response.write("Hello, ")
        await response.write("world!")
        await response.end()

    async with serving(handler) as served:
        old = await raw(await served.connect(), b"GET / HTTP/1.0\r\n\r\n")
        te = await raw(
            await served.connect(),
            b"GET / HTTP/1.0\r\nConnection: close, TE\r\nTE: trailers\r\n\r\n",
        )
        new = await raw(await served.connect(), ask("/", "Connection: close"))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    assert old == te == head + b"\r\nHello, world!"
    chunks = b"7\r\nHello, \r\n6\r\nworld!\r\n0\r\n\r\n"
    assert new == head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    assert versions == [("1.0", 1, 0), ("1.0", 1, 0), ("1.1", 1, 1)]


@pytest.mark.node("test-http-allow-req-after-204-res.js")
async def test_a_request_may_follow_a_204(autojump_clock: Any) -> None:
    codes = [204, 200]

    async def handler(request: Request, response: Response) -> None:
        await response.write_head(codes.pop(0), {"Content-Type": "text/plain"}).end()

    async with serving(handler) as served, served.agent(keep_alive=True) as agent:
        statuses = []

        async def fetch(then: Callable[[], object]) -> None:
            async with http.get("http://a.test/", agent=agent) as response:
                response.on("end", then)
                await response.read()
                assert response.complete
                statuses.append(response.status_code)

        async with trio.open_nursery() as nursery:
            await fetch(lambda: nursery.start_soon(fetch, list))
        assert agent.stats().opened == 1
    assert statuses == [204, 200]


@pytest.mark.node("test-http-bind-twice.js")
@pytest.mark.node_api("Server|server.listen()")
async def test_an_address_can_be_used_once() -> None:
    async with listening(http.create_server(hello)) as first:
        assert isinstance(first.address, tuple)
        second = http.create_server(hello)
        told = []
        second.on("listening", lambda: told.append(second))
        with pytest.raises(OSError, match="in use") as caught:
            await second.listen(first.address[1], "127.0.0.1")
        assert caught.value.errno == errno.EADDRINUSE
        assert not told
        assert not second.listening


@pytest.mark.node("test-http-byteswritten.js")
async def test_bytes_written_are_counted_while_writing(autojump_clock: Any) -> None:
    counts: list[int] = []
    sockets: list[http.Socket] = []
    piece = "x" * 16384

    async def handler(request: Request, response: Response) -> None:
        sockets.append(request.socket)
        response.write_head(200, {"Content-Type": "text/plain"})
        for number in range(96):
            await response.write(piece if number % 2 else piece.encode())
            counts.append(request.socket.bytes_written)
            await response.write(piece, "latin-1")
            counts.append(request.socket.bytes_written)
        await response.end("bigger than that")
        counts.append(request.socket.bytes_written)

    async with serving(handler, buffer_size=30000) as served:
        client = await served.connect()
        await client.send(ask())
        await settle()
        # Nobody has read yet, so that the second write is still waiting.
        assert len(counts) == 1
        assert 16384 < sockets[0].bytes_written < 2 * 16384
        body = (await client.answer()).body
    assert len(body) == 3 * 1024 * 1024 + 16
    assert len(counts) == 2 * 96 + 1
    assert all(count >= 16384 * (at + 1) for at, count in enumerate(counts[:-1]))
    assert counts == sorted(set(counts))
    assert counts[-1] > len(body)


@pytest.mark.node("test-http-byteswritten.js")
async def test_bytes_written_are_counted_in_the_middle_of_a_write() -> None:
    size = 20 * 1024 * 1024
    sockets: list[http.Socket] = []

    async def handler(request: Request, response: Response) -> None:
        sockets.append(request.socket)
        await response.end(b"x" * size)

    async with listening(http.create_server(handler)) as server, dialled(server) as client:
        await client.send(ask())
        with trio.fail_after(5):
            while not (sockets and sockets[0].bytes_written):
                await trio.lowlevel.checkpoint()
        await settle()
        sockets[0].destroy()
        received = len(await client.until_end())
        assert 0 < received < size
        assert sockets[0].bytes_written == received


@pytest.mark.node("test-http-full-response.js")
async def test_each_of_many_http_1_0_requests_gets_it_all(autojump_clock: Any) -> None:
    body = "a" * 12345

    async def handler(request: Request, response: Response) -> None:
        headers = {"Content-Type": "text/plain", "Content-Length": str(len(body))}
        await response.write_head(200, headers).end(body)

    async with serving(handler) as served:
        for _ in range(10 + 100 + 1000):
            client = await served.connect()
            reply = await raw(client, b"GET / HTTP/1.0\r\nHost: a\r\nUser-Agent: ab\r\n\r\n")
            head, _, got = reply.partition(b"\r\n\r\n")
            assert got.decode() == body
            assert b"Content-Length: 12345" in head


@pytest.mark.node("test-http-head-response-has-no-body-end-implicit-headers.js")
@pytest.mark.node("test-http-head-response-has-no-body-end.js")
@pytest.mark.node("test-http-head-response-has-no-body.js")
@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("text", ["FAIL", None])
async def test_head_gets_no_body(explicit: bool, text: str | None, autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        if explicit:
            response.write_head(200)
        await response.end(text)

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask("/", "Connection: close", method="HEAD"))
        reply = undated(await client.until_end())
        assert reply.startswith(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
        assert reply.endswith(b"\r\n\r\n")
        assert reply.count(b"\r\n\r\n") == 1
        async with (
            served.agent() as agent,
            http.request("http://a.test/", method="HEAD", agent=agent) as request,
        ):
            await request.end()
            response = await request.get_response()
            assert await response.read() == b""
            assert response.complete


@pytest.mark.node("test-http-head-throw-on-response-body-write.js")
@pytest.mark.node_api("http.createServer|rejectNonStandardBodyWrites")
async def test_body_writes_without_a_body_are_dropped_or_refused(autojump_clock: Any) -> None:
    codes = []

    async def drop(request: Request, response: Response) -> None:
        response.write_head(200)
        await response.write("dropped")
        await response.end("dropped too")

    async def refused(request: Request, response: Response) -> None:
        response.write_head(204)
        with pytest.raises(http.BodyNotAllowedError) as caught:
            await response.write("this is content")
        codes.append(caught.value.code)
        await response.end()

    async with serving(drop) as served:
        client = await served.connect()
        await client.send(ask("/", "Connection: close", method="HEAD"))
        assert (await client.until_end()).endswith(b"\r\n\r\n")
    async with serving(refused, reject_non_standard_body_writes=True) as served:
        client = await served.connect()
        answer = await client.get("/", "Connection: close")
        assert (answer.status, await client.until_end()) == (204, b"")
    assert codes == ["ERR_HTTP_BODY_NOT_ALLOWED"]


@pytest.mark.node("test-http-header-badrequest.js")
async def test_no_400_follows_a_part_of_a_response(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        await response.write("hello")
        await request.read()  # meets the bad bytes

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask("/", "Transfer-Encoding: chunked", method="POST"), b"no chunk\r\n")
        reply = await client.until_end()
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert reply.partition(b"\r\n\r\n")[2] == b"5\r\nhello\r\n"


@pytest.mark.node("test-http-malformed-request.js")
async def test_a_bad_percent_escape_reaches_the_handler(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        await response.end(request.url)

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(b"GET /hello?foo=%99bar HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.end()
        assert (await client.answer()).body == b"/hello?foo=%99bar"
        assert await client.until_end() == b""


@pytest.mark.node("test-http-pipe-fs.js")
async def test_two_posts_are_streamed_into_a_file(tmp_path: Path, autojump_clock: Any) -> None:
    path = tmp_path / "out"
    running = []

    async def handler(request: Request, response: Response) -> None:
        running.append(served.server.connections)
        with path.open("ab") as file:
            async for data in request:
                file.write(data)
                file.flush()
                await trio.sleep(0.1)  # the other would come between
        running.append(path.stat().st_size)
        await response.end()

    async with serving(handler) as served, served.agent(max_sockets=1) as agent:
        statuses = []

        async def post() -> None:
            options: Any = {"method": "POST", "headers": {"Content-Length": 5}}
            async with http.request("http://a.test/", agent=agent, **options) as request:
                await request.write("123")
                await request.end("45")
                statuses.append((await request.get_response()).status_code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(post)
            nursery.start_soon(post)
    assert statuses == [200, 200]
    assert running == [1, 5, 1, 10]
    assert path.read_bytes() == b"1234512345"


@pytest.mark.node("test-http-request-methods.js")
@pytest.mark.parametrize("method", ["DELETE", "PATCH", "PURGE"])
async def test_methods_reach_the_handler(method: str, autojump_clock: Any) -> None:
    seen = []

    async def handler(request: Request, response: Response) -> None:
        seen.append(request.method)
        response.write_head(200, {"Content-Type": "text/plain"})
        await response.write("hello ")
        await response.write("world\n")
        await response.end()

    async with serving(handler) as served:
        reply = await raw(await served.connect(), f"{method} / HTTP/1.0\r\n\r\n".encode())
    assert seen == [method]
    assert reply.partition(b"\r\n\r\n")[2] == b"hello world\n"
    assert b"chunked" not in reply


@pytest.mark.node("test-http-server-method.query.js")
async def test_query_is_a_method(autojump_clock: Any) -> None:
    async with (
        serving(echo) as served,
        served.agent() as agent,
        http.request("http://a.test/q", method="QUERY", agent=agent) as request,
    ):
        assert request.method == "QUERY"
        await request.end("what?")
        assert await (await request.get_response()).text() == "QUERY /q what?"


@pytest.mark.node("test-http-status-code.js")
@pytest.mark.node_api(
    "ServerResponse|response.statusCode",
    "ServerResponse|response.writeHead(statusCode[, statusMessage][, headers])",
)
async def test_write_head_sets_the_status_at_once(autojump_clock: Any) -> None:
    codes = [200, 202, 300, 404, 451, 500]
    seen = []

    async def handler(request: Request, response: Response) -> None:
        code = int(request.url[1:])
        response.write_head(code)
        seen.append(response.status_code)
        await response.end()

    async with serving(handler) as served:
        client = await served.connect()
        got = [(await client.get(f"/{code}")).status for code in codes]
    assert got == seen == codes


@pytest.mark.node("test-http-status-message.js")
@pytest.mark.node_api("ServerResponse|response.statusMessage")
async def test_a_status_message_is_sent(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        response.status_message = "Custom Message"
        await response.end()

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask())
        assert (await client.line()).startswith(b"HTTP/1.1 200 Custom Message\r\n")


@pytest.mark.node("test-http-socket-encoding-error.js")
@pytest.mark.node_api("ServerResponse|response.socket")
async def test_a_socket_takes_no_encoding(autojump_clock: Any) -> None:
    codes = []

    async def handler(request: Request, response: Response) -> None:
        assert response.socket is request.socket
        with pytest.raises(http.SocketEncodingError) as caught:
            request.socket.set_encoding("utf8")
        codes.append(caught.value.code)
        await response.end()

    async with serving(handler) as served:
        assert (await (await served.connect()).get()).status == 200
    assert codes == ["ERR_HTTP_SOCKET_ENCODING"]


@pytest.mark.node("test-http-server-capture-rejections.js")
@pytest.mark.node_api("Server|request")
@pytest.mark.parametrize("sent", ["nothing", "a part", "write_head"])
async def test_a_raising_handler(
    sent: str, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = http.create_server()

    @server.on("request")
    async def handler(request: Request, response: Response) -> None:
        response.set_header("Content-Type", "text/html")
        response.set_header("X-Secret", "1")
        if sent == "a part":
            response.set_header("Content-Length", 5)
            await response.write("a")
        elif sent == "write_head":
            response.write_head(200)
        raise ValueError("kaboom")

    async with serving() as served:
        served.network.unserve("a.test")
        served.network.listen("a.test", 80, server.serve_stream)
        client = await served.connect()
        await client.send(ask("/", "Connection: close"))
        reply = undated(await client.until_end())
        if sent == "write_head":
            agent = http.Agent(create_connection=served.network.create_connection)
            async with agent, http.request("http://a.test/", agent=agent) as request:
                await request.end()
                with pytest.raises(http.SocketHangUpError) as caught:
                    await request.get_response()
            assert caught.value.code == "ECONNRESET"
    if sent == "nothing":
        head, _, body = reply.partition(b"\r\n\r\n")
        assert head == (
            b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 21"
        )
        assert body == b"Internal Server Error"
    elif sent == "a part":
        assert reply.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n")
        assert reply.endswith(b"\r\n\r\na")
    else:
        assert reply == b""
    raised = [record.exc_info is not None for record in caplog.records]
    assert raised == [True] * (2 if sent == "write_head" else 1)


@pytest.mark.node("test-http-dump-req-when-res-ends.js")
async def test_an_unread_body_is_thrown_away(autojump_clock: Any) -> None:
    seen: list[bytes] = []

    async def handler(request: Request, response: Response) -> None:
        request.on("data", seen.append)
        await response.end("done")

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask("/1", "Content-Length: 200000", method="POST"), b"x" * 50000)
        assert (await client.answer()).body == b"done"
        await client.send(b"x" * 150000)
        assert (await client.get("/2")).body == b"done"
    assert not seen


@pytest.mark.node("test-http-pause-no-dump.js")
async def test_a_body_that_was_begun_is_not_thrown_away_by_the_end(autojump_clock: Any) -> None:
    parts = []

    async def handler(request: Request, response: Response) -> None:
        parts.append(await request.receive_some())
        await response.end()
        await settle()
        parts.append(await request.read())

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask("/", "Transfer-Encoding: chunked", method="POST"), b"1\r\na\r\n")
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"")
        await client.send(b"1\r\nb\r\n0\r\n\r\n")
        assert (await client.get("/", "Connection: close")).status == 200
    assert parts[:2] == [b"a", b"b"]
