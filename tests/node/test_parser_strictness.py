"""Each place where plain h11 would read or write otherwise than Node or the RFC asks.

Requests that h11 lets through are refused to the byte; the rest says what we do.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import BAD_REQUEST, Client, ask, hello, serving, settle, undated
from trio_nodehttp.testing import Expect, ExpectEnd, FaultyServer, MemoryNetwork, Send, Step

Request = http.IncomingMessage
Response = http.ServerResponse
URL = "http://a.test/"


def get(line: str, target: str = "/", version: str = "1.1") -> bytes:
    return f"GET {target} HTTP/{version}\r\n{line}\r\n\r\n".encode("latin-1")


def chunked(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body


REFUSED = {
    "folded line": get("Host: a\r\nX: y\r\n z"),
    "folded coding": chunked(b"").replace(b"chunked\r\n", b"gzip,\r\n chunked\r\n"),
    "CR in extension": chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "control in extension": chunked(b"5;a\x01\r\nhello\r\n0\r\n\r\n"),
    "control in quotes": chunked(b'5;a="\x00"\r\nhello\r\n0\r\n\r\n'),
    "empty extension": chunked(b"5;\r\nhello\r\n0\r\n\r\n"),
    "space behind size": chunked(b"5 \r\nhello\r\n0\r\n\r\n"),
    "tab behind size": chunked(b"5\t\r\nhello\r\n0\r\n\r\n"),
    "LF in head": b"GET / HTTP/1.1\nHost: a\n\n",
    "LF in fields": b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "LF behind fields": b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    "LF behind size": chunked(b"5\nhello\r\n0\r\n\r\n"),
    "LF behind chunk": chunked(b"5\r\nhello\n0\r\n\r\n"),
    "LF in trailers": chunked(b"5\r\nhello\r\n0\r\nA: b\n\r\n"),
    "LF behind trailers": chunked(b"5\r\nhello\r\n0\r\n\n"),
    "length and coding": get("Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked"),
    "coding and length": get("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5"),
    "unknown coding": get("Host: a\r\nTransfer-Encoding: pigeons"),
    "list of codings": get("Host: a\r\nTransfer-Encoding: gzip, chunked"),
    "no coding": get("Host: a\r\nTransfer-Encoding: "),
    "identity": get("Host: a\r\nTransfer-Encoding: identity"),
    "coding in HTTP/1.0": get("Host: a\r\nTransfer-Encoding: chunked", version="1.0"),
    "HTTP/9.9": get("Host: a", version="9.9"),
    "HTTP/2.0": get("Host: a", version="2.0"),
    "backspace in value": get("Host: a\r\nX: \x08"),
    "DEL in value": get("Host: a\r\nX: \x7f"),
    "no host": get("Host:"),
    "host with a path": get("Host: a/b"),
    "host with userinfo": get("Host: u@a"),
    "list of hosts": get("Host: a, b"),
    "two hosts": get("Host: a\r\nHost: b"),
    "the same host twice": get("Host: a\r\nHost: a"),
    "GET *": get("Host: a", target="*"),
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "forbidden trailer": chunked(b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"),
    "repeated length": get("Host: a\r\nContent-Length: 5, 5"),
    "same length twice": get("Host: a\r\nContent-Length: 5\r\nContent-Length: 5"),
    "unknown method": b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT without a port": b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("split", [False, True])
async def test_refused_to_the_byte(name: str, split: bool, autojump_clock: Any) -> None:
    data = REFUSED[name] + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    read = []

    async def handler(request: Request, response: Response) -> None:
        read.append(await request.read())
        await response.end("hello")

    async with serving(handler) as served:
        client = await served.connect()
        try:
            for part in [data[at : at + 1] for at in range(len(data))] if split else [data]:
                await client.send(part)
        except trio.BrokenResourceError:
            pass  # refused before the last byte
        assert await client.until_end() == BAD_REQUEST
        # Nobody else notices.
        assert (await (await served.connect()).get()).body == b"hello"
    assert read == [b""]


@pytest.mark.parametrize("start", [b"FOO", b"GET /\n", b"GET / HTTP/1.1\r\nA b", b"\x16\x03\x01"])
async def test_nothing_more_is_awaited(start: bytes, autojump_clock: Any) -> None:
    """The answer comes with the first bytes that cannot be right."""
    async with serving(hello) as served:
        client = await served.connect()
        await client.send(start)
        with trio.fail_after(0.1):
            assert await client.line() == BAD_REQUEST


async def test_junk_in_place_of_a_status_line_is_noticed_at_once(autojump_clock: Any) -> None:
    peer = FaultyServer([Expect(b"\r\n\r\n"), Send(b"SSH-2.0-x"), ExpectEnd()])
    async with MemoryNetwork() as network:
        network.listen("a.test", 80, peer)
        agent = http.Agent(create_connection=network.create_connection)
        async with agent, http.request(URL, agent=agent) as request:
            await request.end()
            with trio.fail_after(0.1), pytest.raises(http.ParseError) as caught:
                await request.get_response()
    assert (caught.value.code, caught.value.bytes_parsed) == ("HPE_INVALID_CONSTANT", 0)


async def test_empty_lines_before_a_request_are_skipped(autojump_clock: Any) -> None:
    async with serving(hello) as served:
        client = await served.connect()
        for _ in range(2):
            await client.send(b"\r\n\r\n", ask())
            assert (await client.answer()).body == b"hello"


async def test_an_upgrade_without_host_is_not_refused(autojump_clock: Any) -> None:
    async def switch(request: Request, stream: http.UpgradedStream) -> None:
        await stream.send_all(b"switched")

    async with serving(hello) as served:
        served.server.on("upgrade", switch)
        client = await served.connect()
        await client.send(get("Connection: Upgrade\r\nUpgrade: it"))
        assert await client.until_end() == b"switched"


async def test_http_1_0_may_keep_the_connection(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        response.set_header("Content-Length", "5")
        await response.end("hello")

    async with serving(handler) as served:
        client = await served.connect()
        for _ in range(2):
            await client.send(get("Connection: keep-alive", version="1.0"))
            answer = await client.answer()
            assert (answer.body, answer.headers["connection"]) == (b"hello", "keep-alive")
        await client.send(get("Connection: foo", version="1.0"))
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.until_end() == b""


async def test_a_client_reuses_a_connection_of_http_1_0(autojump_clock: Any) -> None:
    reply = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
    answer: list[Step] = [Expect(b"\r\n\r\n"), Send(reply)]
    peer = FaultyServer([*answer, *answer, ExpectEnd()])
    async with MemoryNetwork() as network:
        network.listen("a.test", 80, peer)
        async with http.Agent(
            keep_alive=True, create_connection=network.create_connection
        ) as agent:
            for _ in range(2):
                async with http.get(URL, agent=agent) as response:
                    assert await response.text() == "ok"
    assert len(peer.received) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [204, 304])
async def test_a_coding_where_no_body_is_closes(
    status: int, method: str, autojump_clock: Any
) -> None:
    async def handler(request: Request, response: Response) -> None:
        response.send_date = False
        await response.write_head(status, {"Transfer-Encoding": "chunked"}).end("dropped")

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask(method=method))
        _, _, lines = (await client.until_end()).partition(b"\r\n")
        assert lines == b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"


async def test_a_coding_of_an_answer_to_head_says_nothing_of_bytes(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        await response.write_head(200, {"Transfer-Encoding": "chunked"}).end("dropped")

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask(method="HEAD"))
        assert b"Connection: keep-alive\r\n" in await client.line()
        assert await client.is_open()


async def test_a_body_shorter_than_declared_ends_the_connection(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        response.send_date = False
        response.write_head(200, {"Content-Length": 5})
        if request.url == "/strict":
            response.strict_content_length = True
            with pytest.raises(http.ContentLengthMismatchError) as caught:
                await response.end("hi")
            assert caught.value.code == "ERR_HTTP_CONTENT_LENGTH_MISMATCH"
            await response.end("hello")
        else:
            await response.end("hi")

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask("/strict"), ask())
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n"
        assert await client.until_end() == head + b"hello" + head + b"hi"


async def test_a_reason_is_never_empty(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        await response.write_head(int(request.url[1:])).end()

    async with serving(handler) as served:
        client = await served.connect()
        for status, reason in ((200, "OK"), (418, "I'm a Teapot"), (299, "unknown")):
            answer = await client.get(f"/{status}")
            assert (answer.status, answer.reason) == (status, reason)


async def test_a_101_that_nobody_asked_for(autojump_clock: Any) -> None:
    reply = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: it\r\n\r\nraw"
    peer = FaultyServer([Expect(b"\r\n\r\n"), Send(reply), ExpectEnd()])
    async with MemoryNetwork() as network:
        network.listen("a.test", 80, peer)
        agent = http.Agent(keep_alive=True, create_connection=network.create_connection)
        async with agent, http.request(URL, agent=agent) as request:
            await request.end()
            with pytest.raises(http.HTTPError):
                await request.get_response()
            await settle()
            assert agent.stats().idle == 0
            assert network.connections == []


async def test_pipelined_requests_are_served_in_order(autojump_clock: Any) -> None:
    running: list[str] = []

    async def handler(request: Request, response: Response) -> None:
        assert running == []
        running.append(request.url)
        await trio.sleep(3 - int(request.url[1:]))
        running.clear()
        response.send_date = False
        await response.end(request.url)

    async with serving(handler) as served:
        client: Client = await served.connect()
        await client.send(ask("/1"), ask("/2"), ask("/3", "Connection: close"))
        assert [(await client.answer()).body for _ in range(3)] == [b"/1", b"/2", b"/3"]
        assert undated(await client.until_end()) == b""
