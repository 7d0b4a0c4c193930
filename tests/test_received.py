"""What is told of a head that arrived."""

from __future__ import annotations

import pytest

import trio_nodehttp as http
from tests._server.kit import serving
from trio_nodehttp._connection import Connection
from trio_nodehttp._memory import memory_pipe
from trio_nodehttp._sansio.codec_h11 import H11Codec

REQUEST = (
    b"POST /path?q HTTP/1.%d\r\nHost: a.test\r\nX-One: 1\r\nx-one: 2\r\n"
    b"Authorization: a\r\nauthorization: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\nX-Sum: 1\r\nx-sum: 2\r\nETag: a\r\netag: b\r\n\r\n"
)


def request(minor: int = 1, *, join: bool = False) -> http.IncomingMessage:
    codec = H11Codec(is_server=True)
    codec.feed(REQUEST % minor)
    head = codec.read_request()
    assert head is not None
    connection = Connection(http.Socket(memory_pipe()[0]), codec)
    return http.IncomingMessage(connection, head, join_duplicate_headers=join)


def response(head: bytes) -> http.IncomingMessage:
    codec = H11Codec(is_server=False)
    codec.feed(head)
    found = codec.read_response("GET")
    assert found is not None
    return http.IncomingMessage(None, found)


def test_a_request() -> None:
    message = request()
    assert (message.method, message.url) == ("POST", "/path?q")
    facts: tuple[object, ...] = (message.status_code, message.status_message)
    assert facts == (None, None)
    assert message.http_version == "1.1"
    assert (message.http_version_major, message.http_version_minor) == (1, 1)
    assert message.socket is message.connection


def test_an_old_request() -> None:
    codec = H11Codec(is_server=True)
    codec.feed(b"GET / HTTP/1.0\r\n\r\n")
    head = codec.read_request()
    assert head is not None
    message = http.IncomingMessage(None, head)
    assert message.http_version == "1.0"
    assert (message.http_version_major, message.http_version_minor) == (1, 0)
    assert message.raw_headers == []
    assert dict(message.headers) == {}


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_response(version: str) -> None:
    message = response(f"HTTP/{version} 299 As it came\r\nA: b\r\n\r\n".encode())
    assert (message.status_code, message.status_message) == (299, "As it came")
    facts: tuple[object, ...] = (message.method, message.url)
    assert facts == (None, "")
    assert message.http_version == version
    assert f"{message.http_version_major}.{message.http_version_minor}" == version


def test_headers_in_every_shape() -> None:
    message = request()
    assert message.headers is message.headers
    assert message.headers["X-ONE"] == "1, 2"
    assert message.headers["authorization"] == "a"
    assert message.headers_distinct["authorization"] == ["a", "b"]
    assert message.raw_headers[:3] == [("Host", "a.test"), ("X-One", "1"), ("x-one", "2")]
    message.raw_headers.clear()
    assert len(message.raw_headers) == 6
    assert request(join=True).headers["authorization"] == "a, b"


@pytest.mark.parametrize("join", [False, True])
async def test_trailers_come_with_the_end(join: bool) -> None:
    message = request(join=join)
    assert dict(message.trailers) == {}
    assert message.raw_trailers == []
    assert await message.read() == b""
    assert message.trailers["x-sum"] == "1, 2"
    assert message.trailers["etag"] == ("a, b" if join else "a")
    assert message.trailers_distinct == {"x-sum": ["1", "2"], "etag": ["a", "b"]}
    assert message.raw_trailers[0] == ("X-Sum", "1")
    message.raw_trailers.clear()
    assert len(message.raw_trailers) == 4


async def test_trailers_are_limited_as_headers_are() -> None:
    message = request()
    message._head.max_pairs = 3
    await message.read()
    assert len(message.raw_trailers) == 3


def test_a_socket_can_be_given() -> None:
    message = response(b"HTTP/1.1 200 OK\r\n\r\n")
    assert message.socket is None
    socket = http.Socket(memory_pipe()[0])
    message.socket = socket
    assert message.connection is socket


async def test_what_a_message_knows_outlives_the_next(autojump_clock: object) -> None:
    kept: list[http.IncomingMessage] = []

    async def handle(message: http.IncomingMessage, response: http.ServerResponse) -> None:
        kept.append(message)
        await message.read()
        await response.end()

    async with serving(handle) as served:
        client = await served.connect()
        await client.send(REQUEST % 1)
        await client.answer()
        await client.get("/second")
    assert kept[0].url == "/path?q"
    assert kept[0].headers["x-one"] == "1, 2"
    assert kept[0].trailers["x-sum"] == "1, 2"
    assert kept[1].raw_trailers == []
