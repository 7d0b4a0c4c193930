"""Rows of Node's tables: responses that a client reads or refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import BAD_REQUEST, hello, serving, settle
from trio_nodehttp.testing import Expect, ExpectEnd, FaultyServer, MemoryNetwork, Send, Step

Request = http.IncomingMessage
Response = http.ServerResponse
URL = "http://a.test/"


@attrs.frozen
class Peer:
    """A raw server, and an agent that reaches it."""

    server: FaultyServer
    network: MemoryNetwork
    agent: http.Agent


@asynccontextmanager
async def replying(
    *replies: bytes, piece: int | None = None, stay: bool = False
) -> AsyncIterator[Peer]:
    """Answer each connection with these bytes; then close it, or wait for the client."""
    end: list[Step] = [ExpectEnd()] if stay else []
    scripts: list[list[Step]] = [
        [Expect(b"\r\n\r\n"), Send(data, piece=piece), *end] for data in replies
    ]
    server = FaultyServer(*scripts)
    async with MemoryNetwork() as network:
        network.listen("a.test", 80, server)
        async with http.Agent(
            keep_alive=True, create_connection=network.create_connection
        ) as agent:
            yield Peer(server, network, agent)


async def refused(data: bytes) -> http.ParseError:
    """Give the error of a request; the same for the whole answer and byte by byte."""
    errors = []
    told: list[Any] = []
    for piece in (None, 1):
        async with replying(data, piece=piece, stay=True) as peer:
            async with http.request(URL, agent=peer.agent) as request:
                request.on("response", told.append)
                await request.end()
                with pytest.raises(http.ParseError) as caught:
                    await request.get_response()
            errors.append(caught.value)
            assert isinstance(caught.value, trio.BrokenResourceError)
            await settle()
            assert peer.agent.stats().idle == 0
            assert peer.network.connections == []
    assert told == []
    assert errors[0].code == errors[1].code
    assert str(errors[0]) == str(errors[1])
    return errors[0]


@pytest.mark.node("test-http-client-error-rawbytes.js")
async def test_a_parse_error_carries_the_packet_and_the_place(autojump_clock: Any) -> None:
    data = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\n\r\n"
    )
    error = await refused(data)
    assert error.code == "HPE_INVALID_TRANSFER_ENCODING"
    assert error.reason == "Transfer-Encoding can't be present with Content-Length"
    assert str(error) == f"Parse Error: {error.reason}"
    assert error.raw_packet == data
    # Judged once the head is there.
    assert error.bytes_parsed == data.index(b"\r\n\r\n") + 4


@pytest.mark.node("test-http-client-reject-cr-no-lf.js")
async def test_a_header_ended_by_a_bare_cr(autojump_clock: Any) -> None:
    error = await refused(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDummy: x\rContent-Length: 5\r\n\r\nhello"
    )
    assert error.code == "HPE_LF_EXPECTED"
    assert str(error).startswith("Parse Error")


@pytest.mark.node("test-http-contentLength0.js")
async def test_a_length_of_zero_with_a_space_behind(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        await response.write_head(200, {"Content-Length": "0 "}).end()

    async with serving(handler) as served, served.agent() as agent:
        async with http.get(URL, agent=agent) as response:
            assert await response.read() == b""
            assert response.complete
            assert response.headers["content-length"] == "0"
        client = await served.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"\r\nContent-Length: 0 \r\n" in await client.line()


@pytest.mark.node("test-http-extra-response.js")
@pytest.mark.parametrize("piece", [None, 1])
async def test_a_second_response_is_ignored(piece: int | None, autojump_clock: Any) -> None:
    body = b"hello world\r\n"
    full = (
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 13\r\n"
        b"Content-Type: text/plain\r\n\r\n" + body
    )
    ends = []
    async with replying(full + full, full, piece=piece, stay=True) as peer:
        for _ in range(2):
            async with http.get(URL, agent=peer.agent) as response:
                response.on("end", lambda: ends.append("end"))
                response.on("error", ends.append)
                assert await response.read() == body
                assert (response.complete, response.aborted) == (True, False)
            await settle()
        # The first connection was dropped, so the second request opened another.
        assert len(peer.server.received) == 2
        assert len(peer.network.connections) == 1
    assert ends == ["end", "end"]


@pytest.mark.node(
    "test-http-insecure-parser-per-stream.js",
    decided="the lenient mode needs the parser on llhttp, and says so until it is there",
)
@pytest.mark.node_api("http.createServer|insecureHTTPParser", "http.request|insecureHTTPParser")
async def test_a_control_character_in_a_value(autojump_clock: Any) -> None:
    error = await refused(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nHello: foo\x08foo\r\n\r\n")
    assert error.code == "HPE_INVALID_HEADER_TOKEN"
    errors: list[http.ParseError] = []

    async def note(error: http.ParseError, stream: http.UpgradedStream) -> None:
        errors.append(error)

    async with serving(hello) as served:
        served.server.on("client_error", note)
        client = await served.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHello: foo\x08foo\r\n\r\n")
        assert await client.until_end() == b""
    assert [error.code for error in errors] == ["HPE_INVALID_HEADER_TOKEN"]
    with pytest.raises(http.ParserUnavailableError, match="llhttp"):
        http.create_server(insecure_http_parser=True)
    with pytest.raises(http.ParserUnavailableError, match="llhttp"):
        http.request(URL, insecure_http_parser=True)
    wrong: Any
    for wrong in (0, 1, "yes", None):
        with pytest.raises(http.InvalidArgTypeError, match="insecure_http_parser"):
            http.create_server(insecure_http_parser=wrong)
    with pytest.raises(http.InvalidArgTypeError, match="insecure_http_parser"):
        http.request(URL, insecure_http_parser="yes")  # type: ignore[arg-type]
    assert http.create_server(insecure_http_parser=False).insecure_http_parser is False


@pytest.mark.node(
    "test-http-multi-line-headers.js",
    decided="folded lines are for the lenient mode, which needs the parser on llhttp",
)
async def test_folded_lines(autojump_clock: Any) -> None:
    error = await refused(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
        b'Content-Type: text/plain; x-unix-mode=0600;\r\n name="hello.txt"\r\n\r\n'
    )
    assert (error.code, error.reason) == (
        "HPE_INVALID_HEADER_TOKEN",
        "Unexpected whitespace after header value",
    )


@pytest.mark.node("test-http-response-multi-content-length.js")
@pytest.mark.parametrize("how", ["set_header", "write_head"])
async def test_two_content_lengths_in_a_response(how: str, autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        if how == "set_header":
            response.set_header("content-length", ["2", "3"])
        else:
            response.write_head(200, {"content-length": ["1", "2"]})
        await response.end("ok")

    async with serving(handler) as served, served.agent() as agent:
        async with http.request(URL, agent=agent) as request:
            told: list[Any] = []
            request.on("response", told.append)
            await request.end()
            with pytest.raises(http.ParseError) as caught:
                await request.get_response()
        client = await served.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        lines = (await client.line()).split(b"\r\n")
    assert caught.value.code == "HPE_UNEXPECTED_CONTENT_LENGTH"
    assert told == []
    assert [line for line in lines if line.startswith(b"content-length")] == (
        [b"content-length: 2", b"content-length: 3"]
        if how == "set_header"
        else [b"content-length: 1", b"content-length: 2"]
    )


@pytest.mark.node("test-http-response-no-headers.js")
@pytest.mark.node_api("IncomingMessage|message.aborted", "IncomingMessage|message.httpVersion")
@pytest.mark.parametrize("version", ["0.9", "1.0", "1.1"])
@pytest.mark.parametrize("body", ["", "Hello World"])
@pytest.mark.parametrize("piece", [None, 1])
async def test_a_response_without_headers(
    version: str, body: str, piece: int | None, autojump_clock: Any
) -> None:
    data = f"HTTP/{version} 200 OK\r\n\r\n{body}".encode()
    told: list[object] = []
    async with replying(data, piece=piece) as peer, http.get(URL, agent=peer.agent) as response:
        response.on("aborted", lambda: told.append("aborted"))
        response.on("error", told.append)
        assert (response.http_version, len(response.headers)) == (version, 0)
        assert await response.text() == body
        assert (response.complete, response.aborted, told) == (True, False, [])


async def test_a_refusal_is_an_ordinary_response(autojump_clock: Any) -> None:
    """What our server answers to what it cannot serve, our client can read."""
    async with replying(BAD_REQUEST) as peer, http.get(URL, agent=peer.agent) as response:
        assert (response.status_code, await response.read()) == (400, b"")
