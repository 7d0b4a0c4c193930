"""Rows of Node's tables: requests that a server refuses, to the byte."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import BAD_REQUEST, Served, hello, listening, serving

Request = http.IncomingMessage
Response = http.ServerResponse
TOO_LARGE = b"HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\n\r\n"


class Handler:
    """Notes which requests it saw, and which of them it could read to the end."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.read: list[bytes] = []

    async def __call__(self, request: Request, response: Response) -> None:
        self.seen.append(request.url)
        self.read.append(await request.read())
        await response.end("hello")


class Hook:
    """A `client_error` function that notes what it is told, and perhaps answers."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.errors: list[http.ParseError] = []

    async def __call__(self, error: http.ParseError, stream: http.UpgradedStream) -> None:
        self.errors.append(error)
        if self.answer:
            await stream.send_all(self.answer)


async def send(served: Served, *parts: bytes) -> bytes:
    """Send each part by itself and read to the end of the connection."""
    client = await served.connect()
    try:
        for part in parts:
            await client.send(part)
    except trio.BrokenResourceError:
        pass  # refused before the last byte
    return await client.until_end()


def bytewise(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


async def refused(data: bytes, answer: bytes = BAD_REQUEST) -> Handler:
    """Check the answer, and that no request behind is served; whole and byte by byte."""
    handlers = [Handler(), Handler()]
    for handler, parts in zip(handlers, ([data], bytewise(data)), strict=True):
        async with serving(handler) as served:
            assert await send(served, *parts) == answer
            assert await send(served, b"GET / HTTP/1.0\r\n\r\n") != b""
        assert handler.seen.pop() == "/"
    assert handlers[0].seen == handlers[1].seen
    return handlers[0]


async def reported(data: bytes) -> http.ParseError:
    """Give what the hook is told; it writes nothing, and nothing is sent."""
    handler, hook = Handler(), Hook()
    async with serving(handler) as served:
        served.server.on("client_error", hook)
        assert await send(served, data) == b""
        assert await send(served, *bytewise(data)) == b""
    assert handler.seen == []
    first, second = hook.errors
    assert (first.code, str(first)) == (second.code, str(second))
    return first


@pytest.mark.node(
    "test-http-blank-header.js",
    decided="pipelined requests are answered in order, so the refusal follows the first answer",
)
async def test_an_empty_value_and_a_blank_line_more(autojump_clock: Any) -> None:
    values = []

    async def handler(request: Request, response: Response) -> None:
        values.append((request.method, request.url, request.headers["cookie"]))
        response.send_date = False
        await response.end("first")

    async with serving(handler) as served:
        head = b"GET /blaah HTTP/1.1\r\nHost: example.org:8000\r\nCookie:\r\n\r\n"
        reply = await send(served, head + b"\r\nhello world")
        again = await send(served, *bytewise(head + b"\r\nhello world"))
    assert values == [("GET", "/blaah", "")] * 2
    first, _, rest = reply.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest == b"first" + BAD_REQUEST
    assert again == reply


@pytest.mark.node("test-http-chunk-extensions-limit.js")
async def test_chunk_extensions_over_16_kib(autojump_clock: Any) -> None:
    start = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;"
    for parts in (
        [start + b"A" * 17000 + b"=bar\r\nAA\r\n0\r\n\r\n"],
        [start + b"A" * 8500, b"A" * 8500 + b"=bar\r\nAA\r\n0\r\n\r\n"],
        # The limit to the byte (with the semicolon), and a line whose end never comes.
        [start + b"A" * (16384 - 4) + b"=bar\r\nAA\r\n0\r\n\r\n"],
        [start + b"A" * 8500, b"A" * 8500],
    ):
        handler = Handler()
        async with serving(handler) as served:
            assert await send(served, *parts) == TOO_LARGE
        assert handler.read == []
    handler = Handler()
    chunk = b"A" * 10000 + b"=bar\r\nAA\r\n"
    async with serving(handler) as served:
        client = await served.connect()
        await client.send(start + chunk + b"2;" + chunk + b"2;" + chunk + b"0\r\n\r\n")
        assert (await client.answer()).status == 200
        assert await client.is_open()
        await client.send(start + b"A" * (16384 - 5) + b"=bar\r\nAA\r\n0\r\n\r\n")
        assert (await client.answer()).status == 200
    assert handler.read == [b"AAAAAA", b"AA"]


@pytest.mark.node("test-http-chunked-smuggling.js")
@pytest.mark.parametrize("line", [b"2;\n", b"2;a\n", b'2;a="\n"\r\n', b"2\n"])
async def test_a_bare_lf_in_chunk_extensions(line: bytes, autojump_clock: Any) -> None:
    handler = await refused(
        b"GET /data HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        + line
        + b"xx\r\n4c\r\n0\r\n\r\n"
        b"GET /admin HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    assert handler.seen == ["/data"]
    assert handler.read == [b""]  # that of the request which `refused` sends itself


@pytest.mark.node("test-http-dummy-characters-smuggling.js")
async def test_a_cr_that_is_no_end_of_line(autojump_clock: Any) -> None:
    handler = await refused(
        b"GET / HTTP/1.1\r\nHost: a\r\nDummy: x\r\n\rZGET /evil: HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    assert handler.seen == []
    handler = await refused(
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\nGET / HTTP/1.1 \r\nHost: a\r\nX: y\r\n0\r\n\r\n"
    )
    assert handler.seen == ["/x"]
    assert handler.read == [b""]


@pytest.mark.node("test-http-double-content-length.js")
async def test_two_content_lengths_in_a_request(autojump_clock: Any) -> None:
    handler, hook = Handler(), Hook()
    async with serving(handler) as served, served.agent() as agent:
        served.server.on("client_error", hook)
        headers = {"Content-Length": ["1", "2"]}
        async with http.request(
            "http://a.test/", method="POST", headers=headers, agent=agent
        ) as request:
            assert request.get_header("content-length") == ["1", "2"]
            await request.end("ab")
            with pytest.raises(http.SocketHangUpError) as caught:
                await request.get_response()
    assert caught.value.code == "ECONNRESET"
    assert [error.code for error in hook.errors] == ["HPE_UNEXPECTED_CONTENT_LENGTH"]
    assert handler.seen == []


@pytest.mark.node("test-http-invalid-te.js")
async def test_a_length_and_an_unknown_coding(autojump_clock: Any) -> None:
    error = await reported(
        b"POST / HTTP/1.1\r\nContent-Type: text/plain; charset=utf-8\r\nHost: hacker.exploit.com\r\n"
        b"Connection: keep-alive\r\nContent-Length: 10\r\nTransfer-Encoding: eee, chunked\r\n\r\n"
        b"HELLOWORLDPOST / HTTP/1.1\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Host: hacker.exploit.com\r\nConnection: keep-alive\r\nContent-Length: 28\r\n\r\n"
        b"I AM A SMUGGLED REQUEST!!!\r\n"
    )
    assert error.code == "HPE_INVALID_TRANSFER_ENCODING"


@pytest.mark.node("test-http-missing-header-separator-cr.js")
@pytest.mark.parametrize(
    "lines",
    [
        b"Dummy: x\nContent-Length: 23\r\n",
        b"Dummy: x\nTransfer-Encoding: chunked\r\n",
        b"Dummy:\nContent-Length: 23\r\n",
        b"Dummy: x:\nTransfer-Encoding: chunked\r\n",
    ],
)
async def test_a_bare_lf_ends_no_header(lines: bytes, autojump_clock: Any) -> None:
    data = (
        b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\nGET / HTTP/1.1\r\nDummy: GET /admin H\r\n"
    )
    assert (await refused(data)).seen == []


@pytest.mark.node("test-http-missing-header-separator-lf.js")
@pytest.mark.parametrize(
    "lines",
    [
        b"Dummy: x\rContent-Length: 23\r\n",
        b"Dummy: x\rTransfer-Encoding: chunked\r\n",
        b"Dummy:\rContent-Length: 23\r\n",
        b"Dummy: x:\rTransfer-Encoding: chunked\r\n",
    ],
)
async def test_a_bare_cr_ends_no_header(lines: bytes, autojump_clock: Any) -> None:
    data = (
        b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\nGET / HTTP/1.1\r\nDummy: GET /admin H\r\n"
    )
    assert (await refused(data)).seen == []


@pytest.mark.node("test-http-request-smuggling-content-length.js")
async def test_a_space_before_the_colon(autojump_clock: Any) -> None:
    handler = await refused(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello")
    assert handler.seen == []


@pytest.mark.node("test-http-server-client-error.js")
@pytest.mark.node_api("Server|clientError")
async def test_garbage_is_reported_to_the_hook_alone(autojump_clock: Any) -> None:
    handler, hook = Handler(), Hook(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    async with serving(handler) as served:
        served.server.on("client_error", hook)
        assert await send(served, b"Oopsie-doopsie\r\n") == hook.answer
    (error,) = hook.errors
    assert isinstance(error, http.ParseError)
    assert error.code == "HPE_INVALID_METHOD"
    assert str(error) == "Parse Error: Invalid method encountered"
    assert (error.bytes_parsed, error.raw_packet) == (1, b"Oopsie-doopsie\r\n")
    assert handler.seen == []


@pytest.mark.node("test-http-server-client-error.js")
@pytest.mark.node("test-http-server-destroy-socket-on-client-error.js")
@pytest.mark.parametrize("hooked", [False, True])
async def test_the_answer_to_a_bad_line_is_not_lost_in_a_reset(hooked: bool) -> None:
    """Closing a real socket with bytes unread would reset the connection."""
    hook = Hook(b"HTTP/1.1 400 Told by the hook\r\n\r\n")
    async with listening(http.create_server(hello)) as server:
        if hooked:
            server.on("client_error", hook)
        assert isinstance(server.address, tuple)
        async with await trio.open_tcp_stream(*server.address) as stream:
            await stream.send_all(b"FOO /\r\n" + b"x" * 200_000)
            reply = b"".join([data async for data in stream])
    assert reply == (hook.answer if hooked else BAD_REQUEST)


@pytest.mark.node("test-http-server-destroy-socket-on-client-error.js")
async def test_a_bad_line_destroys_the_socket_with_its_error(autojump_clock: Any) -> None:
    sockets: list[http.Socket] = []
    async with serving(hello) as served:
        served.server.on("connection", sockets.append)
        client = await served.connect()
        await client.send(b"FOO /\r\n")
        assert await client.until_end() == BAD_REQUEST
        # Our side is still open, so that the answer can be read; not for long.
        await trio.sleep(1.1)
        assert sockets[0].destroyed
    (socket,) = sockets
    assert socket.destroyed
    assert isinstance(socket.errored, http.ParseError)
    assert socket.errored.code == "HPE_INVALID_METHOD"


@pytest.mark.node(
    "test-http-server-multiple-client-error.js",
    decided="a client_error function owns the stream until it returns: what comes next is its to read",
)
async def test_a_connection_is_reported_once(autojump_clock: Any) -> None:
    codes: list[tuple[str, bytes]] = []
    rest: list[bytes] = []

    async def hook(error: http.ParseError, stream: http.UpgradedStream) -> None:
        codes.append((error.code, error.raw_packet))
        assert stream.head == error.raw_packet
        rest.append(await stream.receive_some())
        rest.append(await stream.receive_some())
        stream.socket.destroy()

    async with serving(hello) as served:
        served.server.on("client_error", hook)
        client = await served.connect()
        await client.send(b"WrongMethod / HTTP/1.1\r\n")
        await client.is_open()
        await client.send(b"AnotherWrong\r\n")
        assert await client.until_end() == b""
    assert codes == [("HPE_INVALID_METHOD", b"WrongMethod / HTTP/1.1\r\n")]
    assert rest == [b"WrongMethod / HTTP/1.1\r\n", b"AnotherWrong\r\n"]


@pytest.mark.node("test-http-server-reject-chunked-with-content-length.js")
async def test_chunks_and_a_length(autojump_clock: Any) -> None:
    error = await reported(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\nA\r\n0\r\n\r\n"
    )
    assert error.code == "HPE_INVALID_TRANSFER_ENCODING"


@pytest.mark.node("test-http-server-reject-cr-no-lf.js")
async def test_a_header_ended_by_a_bare_cr(autojump_clock: Any) -> None:
    error = await reported(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nDummy: x\rContent-Length: 23\r\n\r\n"
    )
    assert error.code == "HPE_LF_EXPECTED"


@pytest.mark.node("test-http-socket-error-listeners.js")
async def test_twenty_bad_bytes_one_by_one(autojump_clock: Any, caplog: Any) -> None:
    handler, hook = Handler(), Hook()
    async with serving(handler) as served:
        served.server.on("client_error", hook)
        for _ in range(20):
            client = await served.connect()
            for _ in range(20):
                if not await client.is_open():
                    break
                await client.send(b"*")
            assert await client.until_end() == b""
    assert [error.code for error in hook.errors] == ["HPE_INVALID_METHOD"] * 20
    assert handler.seen == []
    # pytest fails on warnings; whatever else went wrong would have been logged.
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


@pytest.mark.node("test-http-transfer-encoding-repeated-chunked.js")
async def test_chunkedchunked(autojump_clock: Any) -> None:
    handler = await refused(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunkedchunked\r\n\r\n1\r\nA\r\n0\r\n\r\n"
    )
    assert handler.seen == []


@pytest.mark.node("test-http-transfer-encoding-smuggling.js")
@pytest.mark.parametrize(
    "lines",
    [
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked-false\r\n",
        b"Transfer-Encoding: chunked\r\n , chunked-false\r\n",
    ],
)
async def test_a_second_coding(lines: bytes, autojump_clock: Any) -> None:
    handler = await refused(
        b"POST / HTTP/1.1\r\nHost: a\r\n" + lines + b"Connection: upgrade\r\n\r\n"
        b"1\r\nA\r\n0\r\n\r\nGET /flag HTTP/1.1\r\nHost: a\r\nfoo: x\r\n\r\n"
    )
    assert handler.seen == []
