"""Rows of Node's tables: what parsers know and take, and how much of it."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import Served, ask, hello, serving
from trio_nodehttp.testing import Expect, FaultyServer, MemoryNetwork, Send

Request = http.IncomingMessage
Response = http.ServerResponse
URL = "http://a.test/"


@pytest.mark.node("test-http-max-header-size.js")
@pytest.mark.node_api("http|http.maxHeaderSize")
async def test_the_default_is_16_kib() -> None:
    assert http.max_header_size == 16384
    assert http.create_server().max_header_size == 16384
    assert http.request(URL).max_header_size == 16384


@pytest.mark.node("test-http-methods.js")
@pytest.mark.node_api("http|http.METHODS")
async def test_methods_are_sorted_and_those_of_the_parser(autojump_clock: Any) -> None:
    assert list(http.METHODS) == sorted(set(http.METHODS))
    assert len(http.METHODS) == 35
    assert {"ACL", "M-SEARCH", "QUERY", "SOURCE", "UNSUBSCRIBE"} <= set(http.METHODS)
    assert (http.METHODS[0], http.METHODS[-1]) == ("ACL", "UNSUBSCRIBE")
    async with serving(hello) as served:
        for method in (*http.METHODS, "FOO", "get"):
            if method == "CONNECT":
                continue  # without a function for it, the connection is closed
            client = await served.connect()
            await client.send(ask("/", "Connection: close", method=method))
            status = (await client.answer(method)).status
            assert status == (200 if method in http.METHODS else 400), method


# --- how many -----------------------------------------------------------------------


def counted(count: int) -> dict[str, str]:
    return {f"X-{number}": "foo" for number in range(count)}


@pytest.mark.node("test-http-max-headers-count.js")
@pytest.mark.node_api(
    "Server|server.maxHeadersCount",
    "ClientRequest|request.maxHeadersCount",
    "IncomingMessage|message.headers",
)
@pytest.mark.parametrize(
    ("server_most", "client_most"), [(50, 20), (20, 50), (0, 0), (1500, 1500), (None, None)]
)
async def test_headers_beyond_the_count_are_dropped(
    server_most: int | None, client_most: int | None, autojump_clock: Any
) -> None:
    seen = []

    async def handler(request: Request, response: Response) -> None:
        seen.append(len(request.headers))
        response.write_head(200, counted(100))
        await response.flush_headers()
        await response.end()

    async with serving(handler) as served, served.agent(keep_alive=True) as agent:
        for most in (server_most, 0, server_most):
            # Read anew for each request, so that it may change between them.
            served.server.max_headers_count = most
            async with http.request(URL, headers=counted(100), agent=agent) as request:
                request.max_headers_count = client_most
                await request.end()
                response = await request.get_response()
                await response.read()
                # Date, Connection, Keep-Alive and Transfer-Encoding come on top.
                limit = client_most or 1000
                assert len(response.headers) == min(100 + 4, limit)
                assert len(response.raw_headers) == min(100 + 4, limit)
    limit = server_most or 1000
    # Host and Connection come on top.
    assert seen == [min(102, limit), 102, min(102, limit)]


@pytest.mark.node("test-http-rawheaders-limit.js")
@pytest.mark.node_api("IncomingMessage|message.rawHeaders")
async def test_raw_headers_are_dropped_alike(autojump_clock: Any) -> None:
    seen = []

    async def handler(request: Request, response: Response) -> None:
        seen.append((request.raw_headers, request.headers, request.headers_distinct))
        await response.end()

    async with serving(handler, max_headers_count=50) as served:
        client = await served.connect()
        lines = [f"{name}: {value}" for name, value in counted(65).items()]
        assert (await client.get("/", *lines)).status == 200
    ((raw, joined, distinct),) = seen
    assert len(raw) == len(joined) == len(distinct) == 50
    assert raw == [("Host", "a.test"), *list(counted(65).items())[:49]]


# --- how long -----------------------------------------------------------------------


def filled(start: bytes, counted_before: int, size: int) -> bytes:
    """A head of which names and values have exactly so many bytes."""
    return start + b"A" * (size - counted_before) + b"\r\n\r\n"


async def dribble(stream: trio.abc.SendStream, data: bytes) -> None:
    for at in range(0, len(data), 100):
        await stream.send_all(data[at : at + 100])


@pytest.mark.node("test-http-max-http-headers.js")
@pytest.mark.node_api("http.createServer|maxHeaderSize", "Server|clientError")
@pytest.mark.parametrize("limit", [16384, 1000])
@pytest.mark.parametrize("below", [0, 1])
async def test_a_server_refuses_16_kib_and_takes_a_byte_less(
    below: int, limit: int, autojump_clock: Any
) -> None:
    errors: list[http.ParseError] = []
    sizes = []

    async def handler(request: Request, response: Response) -> None:
        sizes.append(len(request.headers["x-crash"]))
        await response.end("ok")

    async def note(error: http.ParseError, stream: http.UpgradedStream) -> None:
        errors.append(error)
        await stream.send_all(b"noted")

    start = b"GET / HTTP/1.1\r\nHost: localhost\r\nAgent: node\r\nX-CRASH: "
    before = len("/" + "Host" + "localhost" + "Agent" + "node" + "X-CRASH")
    data = filled(start, before, limit - below)
    options = {} if limit == http.max_header_size else {"max_header_size": limit}
    async with serving(handler, **options) as served:
        plain = await served.connect()
        await dribble(plain.stream, data)
        if below:
            assert (await plain.answer()).body == b"ok"
            assert sizes == [limit - 1 - before]
            return
        reply = await plain.until_end()
        assert reply == b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"
        served.server.on("client_error", note)
        hooked = await served.connect()
        await dribble(hooked.stream, data)
        assert await hooked.until_end() == b"noted"
    assert [(error.code, error.reason) for error in errors] == [
        ("HPE_HEADER_OVERFLOW", "Header overflow")
    ]
    assert sizes == []


@pytest.mark.node("test-http-max-http-headers.js")
@pytest.mark.node_api("http.request|maxHeaderSize")
@pytest.mark.parametrize("limit", [16384, 1000])
@pytest.mark.parametrize("below", [0, 1])
async def test_a_client_refuses_16_kib_and_takes_a_byte_less(
    below: int, limit: int, autojump_clock: Any
) -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-CRASH: "
    data = filled(start, len("OK" + "Content-Length" + "0" + "X-CRASH"), limit - below)
    peer = FaultyServer([Expect(b"\r\n\r\n"), Send(data, piece=100)])
    async with MemoryNetwork() as network:
        network.listen("a.test", 80, peer)
        told = limit != http.max_header_size
        options: dict[str, Any] = {"max_header_size": limit} if told else {}
        agent = http.Agent(create_connection=network.create_connection)
        async with agent, http.request(URL, agent=agent, **options) as request:
            await request.end()
            if below:
                response = await request.get_response()
                assert len(response.headers["x-crash"]) == limit - 1 - 24
                return
            with pytest.raises(http.ParseError) as caught:
                await request.get_response()
    assert caught.value.code == "HPE_HEADER_OVERFLOW"


# --- what is read -------------------------------------------------------------------


async def exchange(served: Served, *parts: bytes) -> bytes:
    """Send the parts one by one, as packets of their own, and read one answer."""
    client = await served.connect()
    for part in parts:
        await client.send(part)
        await client.is_open()
    return (await client.answer()).body


def note_all(notes: list[Any]) -> Any:
    async def handler(request: Request, response: Response) -> None:
        body = await request.read()
        notes.append((request.method, request.url, request.http_version, request.raw_headers, body))
        notes.append(request.raw_trailers)
        await response.end("ok")

    return handler


@pytest.mark.node("test-http-parser-bad-ref.js")
async def test_packets_that_end_within_a_url_or_a_value(autojump_clock: Any) -> None:
    notes: list[Any] = []
    async with serving(note_all(notes)) as served:
        rest = b" HTTP/1.1\r\nHost: a\r\n\r\n"
        assert await exchange(served, b"GET /hel", b"lo?wor", b"ld" + rest) == b"ok"
        head = b"GET / HTTP/1.1\r\nHost: example.com\r\nX-Long: "
        assert await exchange(served, head + b"fo", b"o " + b"b" * 3000, b"ar\r\n\r\n") == b"ok"
    assert notes[0][:3] == ("GET", "/hello?world", "1.1")
    assert notes[2][3] == [("Host", "example.com"), ("X-Long", "foo " + "b" * 3000 + "ar")]


@pytest.mark.node("test-http-parser-freed-during-execute.js")
async def test_a_request_behind_a_closed_connection_is_not_served(autojump_clock: Any) -> None:
    seen = []

    async def handler(request: Request, response: Response) -> None:
        seen.append(request.url)
        request.socket.destroy()

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask("/first"), ask("/second"))
        assert await client.until_end() == b""
        await trio.sleep(1)
    assert seen == ["/first"]


CHUNKED = (
    b"POST /it HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
FIELDS = [("Host", "a"), ("Content-Type", "text/plain"), ("Transfer-Encoding", "chunked")]


@pytest.mark.node("test-http-parser.js")
async def test_the_parser_reads_requests(autojump_clock: Any) -> None:
    notes: list[Any] = []
    async with serving(note_all(notes)) as served:
        assert await exchange(served, b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n") == b"ok"
        lines = b"".join(b"X-Filler-%d: %d\r\n" % (n, n) for n in range(256))
        data = b"GET /foo/bar/baz?quux=42#1337 HTTP/1.0\r\n" + lines + b"\r\n"
        assert await exchange(served, data) == b"ok"
        data = b"POST /it HTTP/1.1\r\nHost: a\r\nX: y\r\nContent-Length: 15\r\n\r\nfoo=42&bar=1337"
        assert await exchange(served, data) == b"ok"
        trailers = b"0\r\nVary: *\r\nContent-Type: text/plain\r\n\r\n"
        assert await exchange(served, CHUNKED + b"4\r\nping\r\n" + trailers) == b"ok"
    assert notes[::2] == [
        ("GET", "/hello", "1.1", [("Host", "a")], b""),
        (
            "GET",
            "/foo/bar/baz?quux=42#1337",
            "1.0",
            [(f"X-Filler-{n}", str(n)) for n in range(256)],
            b"",
        ),
        (
            "POST",
            "/it",
            "1.1",
            [("Host", "a"), ("X", "y"), ("Content-Length", "15")],
            b"foo=42&bar=1337",
        ),
        ("POST", "/it", "1.1", FIELDS, b"ping"),
    ]
    assert notes[1::2] == [[], [], [], [("Vary", "*"), ("Content-Type", "text/plain")]]


@pytest.mark.node("test-http-parser.js")
async def test_the_parser_reads_chunks_in_any_packets(autojump_clock: Any) -> None:
    body = b"123" + b"123456" + b"123456789" + b"123456789ABC" + b"123456789ABCDEF"
    chunks = (
        b"3\r\n123\r\n6\r\n123456\r\n9\r\n123456789\r\nC\r\n123456789ABC\r\n"
        b"F\r\n123456789ABCDEF\r\n0\r\n\r\n"
    )
    data = CHUNKED + chunks
    notes: list[Any] = []
    async with serving(note_all(notes)) as served:
        assert await exchange(served, data) == b"ok"
        for at in range(len(CHUNKED), len(data)):
            assert await exchange(served, data[:at], data[at:]) == b"ok"
        assert await exchange(served, *(bytes([byte]) for byte in data)) == b"ok"
    assert notes[::2] == [("POST", "/it", "1.1", FIELDS, body)] * (len(chunks) + 2)


@pytest.mark.node("test-http-parser.js")
async def test_the_parser_begins_anew_for_each_message(autojump_clock: Any) -> None:
    notes: list[Any] = []
    async with serving(note_all(notes)) as served:
        client = await served.connect()
        await client.send(
            CHUNKED + b"4\r\nping\r\n0\r\nVary: *\r\n\r\n"
            b"PUT /that HTTP/1.0\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\npong"
        )
        assert [(await client.answer()).body for _ in range(2)] == [b"ok", b"ok"]
    assert notes[::2] == [
        ("POST", "/it", "1.1", FIELDS, b"ping"),
        ("PUT", "/that", "1.0", [("Content-Type", "text/plain"), ("Content-Length", "4")], b"pong"),
    ]
    assert notes[1::2] == [[("Vary", "*")], []]


@pytest.mark.node("test-http-parser.js")
async def test_the_parser_reads_responses(autojump_clock: Any) -> None:
    peer = FaultyServer(
        [
            Expect(b"\r\n\r\n"),
            Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\npong"),
        ],
        [Expect(b"\r\n\r\n"), Send(b"HTTP/1.0 200 Connection established\r\n\r\n")],
    )
    async with MemoryNetwork() as network:
        network.listen("a.test", 80, peer)
        async with http.Agent(create_connection=network.create_connection) as agent:
            async with http.get(URL, agent=agent) as response:
                assert (response.status_code, response.status_message) == (200, "OK")
                assert response.http_version == "1.1"
                assert response.raw_headers == [
                    ("Content-Type", "text/plain"),
                    ("Content-Length", "4"),
                ]
                assert await response.read() == b"pong"
            async with http.get(URL, agent=agent) as response:
                assert (response.status_code, response.http_version) == (200, "1.0")
                assert response.status_message == "Connection established"
                assert response.raw_headers == []
                assert await response.read() == b""


@pytest.mark.node(
    "test-http-header-owstext.js",
    decided="an empty Host names no http origin (RFC 9110 section 4.2.1), so it is refused",
)
async def test_white_space_around_a_value_in_many_packets(autojump_clock: Any) -> None:
    notes: list[Any] = []
    async with serving(note_all(notes)) as served:
        pieces = [b"GET / HTTP/1.1\r\nHost: ", *[b" ", b"\t"] * 50, b"a.test", *[b"\t", b" "] * 50]
        pieces += [b"\r\nX-Inner:", b" \t", b"a\t-", b" \t- b", b" \t", b"\r\n"]
        pieces += [b"X-Empty:", *[b" ", b"\t"] * 50, b"\r\n", b"\r\n"]
        assert await exchange(served, *pieces) == b"ok"
        client = await served.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost:", b" \t " * 50, b"\r\n\r\n")
        assert (await client.answer()).status == 400
    assert [note[3] for note in notes[::2]] == [
        [("Host", "a.test"), ("X-Inner", "a\t- \t- b"), ("X-Empty", "")]
    ]


@pytest.mark.node("test-http-request-host-header.js")
@pytest.mark.node_api("http.createServer|requireHostHeader")
async def test_a_request_without_host(autojump_clock: Any) -> None:
    seen = []

    async def handler(request: Request, response: Response) -> None:
        seen.append(request.raw_headers)
        await response.write_head(200, ["Connection", "close"]).end()

    for required in (True, False):
        options = {} if required else {"require_host_header": False}
        async with serving(handler, **options) as served, served.agent() as agent:
            async with http.get(URL, headers=[], agent=agent) as response:
                assert response.status_code == (400 if required else 200)
                assert response.headers["connection"] == "close"
            client = await served.connect()
            await client.send(b"GET / HTTP/1.1\r\n\r\n")
            assert (await client.answer()).status == (400 if required else 200)
            assert await client.until_end() == b""
        assert len(seen) == (0 if required else 2)
    assert all("Host" not in dict(pairs) for pairs in seen)
