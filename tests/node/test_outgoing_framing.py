"""Rows of area *outgoing-message*: heads and framing, on the wire."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import HOST, ask, serving, settle, undated

URL = f"http://{HOST}/"


@pytest.mark.node("test-http-automatic-headers.js")
async def test_headers_with_an_x_suppress_nothing(autojump_clock: Any) -> None:
    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.set_header("X-Date", "foo")
        response.set_header("X-Connection", "bar")
        response.set_header("X-Content-Length", "baz")
        await response.end()

    async with (
        serving(handle) as served,
        served.agent(max_sockets=1) as agent,
        http.get(URL, agent=agent) as response,
    ):
        assert not agent.keep_alive
        headers = response.headers
        assert headers["x-date"] == "foo"
        assert headers["x-connection"] == "bar"
        assert headers["x-content-length"] == "baz"
        assert headers["date"].endswith(" GMT")
        assert headers["connection"] == "keep-alive"
        assert headers["content-length"] == "0"
        assert await response.read() == b""


@pytest.mark.node("test-http-content-length-mismatch.js")
@pytest.mark.parametrize("length", [5, "5"])
async def test_strict_content_length(autojump_clock: Any, length: Any) -> None:
    seen: list[str] = []

    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        if request.url == "/none":
            response.strict_content_length = True
            await response.write("any")
            await response.end("thing")
            return
        response.strict_content_length = True
        response.set_header("Content-Length", length)
        if request.url == "/more":
            await response.write("hello")
            with pytest.raises(http.ContentLengthMismatchError) as caught:
                await response.write("a")
            seen.append(caught.value.code)
            await response.end()
        elif request.url == "/whole":
            await response.end("hello")
        elif request.url == "/rest":
            await response.write("hel")
            with pytest.raises(http.ContentLengthMismatchError) as caught:
                await response.end()
            seen.append(caught.value.code)
            await response.end("lo")
        else:
            with pytest.raises(http.ContentLengthMismatchError) as caught:
                await response.end("he")
            seen.append(caught.value.code)
            with pytest.raises(http.ContentLengthMismatchError):
                await response.end("hello!")
            await response.write("hel")
            await response.end("lo")

    async with serving(handle, on_error="raise") as served:
        client = await served.connect()
        for path in ("/more", "/less", "/whole", "/rest"):
            assert (await client.get(path)).body == b"hello"
        assert (await client.get("/none")).body == b"anything"
    assert seen == ["ERR_HTTP_CONTENT_LENGTH_MISMATCH"] * 3


@pytest.mark.node("test-http-flush-response-headers.js")
@pytest.mark.node_api("ServerResponse|response.flushHeaders()")
async def test_flush_headers(autojump_clock: Any) -> None:
    go_on = trio.Event()

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.write_head(200, {"Content-Type": "text/plain"})
        await response.flush_headers()
        await response.flush_headers()
        await go_on.wait()
        await response.end("body")

    async with serving(handle) as served:
        async with served.agent() as agent, http.get(URL, agent=agent) as response:
            assert response.headers["content-type"] == "text/plain"
            go_on.set()
            assert await response.text() == "body"
        client = await served.connect()
        await client.send(ask("/", "Connection: close"))
        head, _, body = (await client.until_end()).partition(b"\r\n\r\n")
        assert head.count(b"HTTP/1.1") == 1
        assert body == b"4\r\nbody\r\n0\r\n\r\n"


@pytest.mark.node("test-http-header-read.js")
@pytest.mark.node_api("ServerResponse|response.headersSent")
async def test_headers_can_be_read_later(autojump_clock: Any) -> None:
    seen: list[object] = []

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.set_header("X-Header", "val")
        seen.append(response.headers_sent)
        response.write_head(200)
        seen.append(response.headers_sent)
        await response.end()
        seen.append(response.get_header("x-header"))

    async with serving(handle) as served:
        await (await served.connect()).get()
    assert seen == [False, True, "val"]


@pytest.mark.node("test-http-remove-header-stays-removed.js")
async def test_removed_headers_stay_removed(autojump_clock: Any) -> None:
    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.remove_header("connection")
        response.remove_header("transfer-encoding")
        response.remove_header("content-length")
        response.set_header("date", "coffee o clock")
        await response.end("beep boop\n")

    async with serving(handle) as served:
        client = await served.connect()
        await client.send(ask())
        wire = await client.until_end()
    assert wire == b"HTTP/1.1 200 OK\r\ndate: coffee o clock\r\n\r\nbeep boop\n"


@pytest.mark.node("test-http-response-add-header-after-sent.js")
@pytest.mark.node("test-http-response-remove-header-after-sent.js")
async def test_headers_are_settled_once_sent(autojump_clock: Any) -> None:
    seen: list[str] = []

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.set_header("header1", 1)
        response.remove_header("header1")
        response.remove_header("header2")
        await response.write("abc")
        for change in (
            lambda: response.set_header("header3", 1),
            lambda: response.append_header("header3", "1"),
            lambda: response.set_headers({"header3": "1"}),
            lambda: response.remove_header("header2"),
        ):
            with pytest.raises(http.HeadersSentError) as caught:
                change()
            assert caught.value.code == "ERR_HTTP_HEADERS_SENT"
            seen.append(str(caught.value))
        await response.end()

    async with serving(handle, on_error="raise") as served:
        assert (await (await served.connect()).get()).body == b"abc"
    assert seen[0] == "Cannot set headers after they are sent to the client"
    assert seen[-1] == "Cannot remove headers after they are sent to the client"


@pytest.mark.node("test-http-response-writehead-returns-this.js")
@pytest.mark.node("test-http-set-header-chain.js")
async def test_calls_can_be_chained(autojump_clock: Any) -> None:
    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        if request.url == "/head":
            await response.write_head(200, {"a-header": "a-header-value"}).end("abc")
            return
        assert (
            response.set_header("Accept", "text/html").set_header("Content-Type", "a/b") is response
        )
        assert response.get_headers() == {"accept": "text/html", "content-type": "a/b"}
        await response.end()

    async with serving(handle, on_error="raise") as served:
        client = await served.connect()
        answer = await client.get("/head")
        assert (answer.headers["a-header"], answer.body) == ("a-header-value", b"abc")
        assert (await client.get()).headers["content-type"] == "a/b"


@pytest.mark.node("test-http-server-response-standalone.js")
async def test_a_response_made_by_hand() -> None:
    async with serving(answer_another, on_error="raise") as served:
        client = await served.connect()
        await client.get()


async def answer_another(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    """Answer the same request on a stream of another kind, too."""
    ours, theirs = trio.testing.memory_stream_pair()
    socket = http.Socket(ours)
    mine = http.ServerResponse(request)
    mine.assign_socket(socket)
    with pytest.raises(http.SocketAssignedError) as caught:
        mine.assign_socket(socket)
    assert caught.value.code == "ERR_HTTP_SOCKET_ASSIGNED"
    await mine.end("hello world", "utf-8")
    assert undated(bytes(await theirs.receive_some())) == (
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 11\r\n\r\nhello world"
    )
    await response.end()


@pytest.mark.node("test-http-write-empty-string.js")
async def test_empty_texts_are_no_chunks(autojump_clock: Any) -> None:
    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.write_head(200, {"Content-Type": "text/plain"})
        for piece in ("1\n", "", "2\n", "", "3\n", ""):
            await response.write(piece)
        await response.end()

    async with serving(handle) as served:
        client = await served.connect()
        await client.send(ask())
        await client.line()
        assert await client.line(b"0\r\n\r\n") == b"2\r\n1\n\r\n2\r\n2\n\r\n2\r\n3\n\r\n0\r\n\r\n"
        async with served.agent() as agent, http.get(URL, agent=agent) as response:
            assert await response.text() == "1\n2\n3\n"


@pytest.mark.node("test-http-zero-length-write.js")
async def test_empty_pieces_both_ways(autojump_clock: Any) -> None:
    pieces = ["", b"asdf", b"", bytearray(), "", "oo", memoryview(b""), b"bar"]

    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        assert request.headers["transfer-encoding"] == "chunked"
        assert await request.text() == "asdfoobar"
        response.write_head(200)
        for piece in pieces:
            await response.write(piece)
        await response.end()

    async with (
        serving(handle, on_error="raise") as served,
        served.agent() as agent,
        http.request(URL, method="POST", agent=agent) as request,
    ):
        for piece in pieces:
            await request.write(piece)
        await request.end()
        response = await request.get_response()
        assert await response.text() == "asdfoobar"


@pytest.mark.node("test-http-zerolengthbuffer.js")
async def test_an_empty_body(autojump_clock: Any) -> None:
    told: list[object] = []

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.write_head(200, {"Content-Type": "text/plain", "Content-Length": "0"})
        await response.write(b"")
        await response.end()

    async with (
        serving(handle) as served,
        served.agent() as agent,
        http.get(URL, agent=agent) as response,
    ):
        response.on("data", told.append)
        response.on("end", lambda: told.append("end"))
        assert response.headers["content-length"] == "0"
        assert await response.read() == b""
    assert told == ["end"]


@pytest.mark.node("test-http-hex-write.js")
@pytest.mark.node_api("ServerResponse|response.write(chunk[, encoding][, callback])")
async def test_each_write_has_its_encoding(autojump_clock: Any) -> None:
    expected = "hex\nutf8\n"

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.set_header("Content-Length", len(expected))
        await response.write("6865780a", "hex")
        await response.write("utf8\n")
        await response.end()

    async with serving(handle) as served:
        assert (await (await served.connect()).get()).body == expected.encode()


@pytest.mark.node("test-http-set-trailers.js")
@pytest.mark.node_api("ServerResponse|response.addTrailers(headers)")
async def test_trailers(autojump_clock: Any) -> None:
    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.write_head(200, {"Content-Type": "text/plain"})
        await response.write("stuff")
        response.add_trailers({"x-foo": "bar"})
        await response.end()

    async with serving(handle) as served:
        client = await served.connect()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        old = await client.until_end()
        assert old.endswith(b"\r\n\r\nstuff")
        assert b"x-foo" not in old
        client = await served.connect()
        await client.send(ask("/", "Connection: close"))
        new = await client.until_end()
        assert b"\r\nTransfer-Encoding: chunked\r\n" in new
        assert b"railer" not in new
        assert new.endswith(b"5\r\nstuff\r\n0\r\nx-foo: bar\r\n\r\n")
        async with served.agent() as agent, http.get(URL, agent=agent) as response:
            seen: list[object] = []
            response.on("end", lambda: seen.append(response.trailers["x-foo"]))
            assert dict(response.trailers) == {}
            await response.resume()
            assert seen == ["bar"]
            assert response.raw_trailers == [("x-foo", "bar")]


@pytest.mark.node("test-http-chunked-304.js")
@pytest.mark.parametrize("status", [204, 304])
async def test_chunks_without_a_body_close(autojump_clock: Any, status: int) -> None:
    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.write_head(status, {"Transfer-Encoding": "chunked"})
        await response.end()

    async with serving(handle) as served:
        client = await served.connect()
        await client.send(ask())
        wire = await client.until_end()
        await settle()
    head, mark, rest = wire.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close" in head
    assert (mark, rest) == (b"\r\n\r\n", b"")
