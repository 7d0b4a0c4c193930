"""Rows of area *incoming-message*: what a received head shows."""

from __future__ import annotations

from typing import Any

import pytest

import trio_nodehttp as http
from tests._server.kit import HOST, ask, serving
from tests.wires import wire
from trio_nodehttp.testing import Close, Expect, FaultyServer, Send

URL = f"http://{HOST}/"
FIRST_ONLY = (
    "content-type user-agent referer authorization proxy-authorization if-modified-since "
    "if-unmodified-since from location max-forwards retry-after etag last-modified server "
    "age expires"
).split()
JOINED = (
    "accept accept-charset accept-encoding accept-language dav pragma link "
    "www-authenticate proxy-authenticate sec-websocket-extensions sec-websocket-protocol via "
    "x-forwarded-for some-random-header x-unknown"
).split()


@pytest.mark.node("test-http-incoming-matchKnownFields.js")
@pytest.mark.node_api("IncomingMessage|joining of duplicate headers")
@pytest.mark.parametrize("name", [*FIRST_ONLY, "host"])
def test_of_some_headers_the_first_value_stays(name: str) -> None:
    message = "headers"
    headers = http.Headers([(name.title(), "one"), (name.upper(), "two")])
    assert dict(headers) == {name: "one"}, message


@pytest.mark.node("test-http-incoming-matchKnownFields.js")
@pytest.mark.parametrize(
    "name", [*JOINED, "date", "transfer-encoding", "origin", "connection", "x-powered-by"]
)
def test_other_headers_are_joined(name: str) -> None:
    assert http.Headers([(name, "one"), (name, "two")])[name] == "one, two"


@pytest.mark.node("test-http-incoming-matchKnownFields.js")
def test_cookies_are_joined_otherwise_and_set_cookie_is_a_list() -> None:
    headers = http.Headers([("Cookie", "a=1"), ("Set-Cookie", "c"), ("cookie", "b=2")])
    assert headers["cookie"] == "a=1; b=2"
    assert headers["set-cookie"] == ["c"]


@pytest.mark.node(
    "test-http-server-multiheaders2.js",
    decided="RFC 9112 section 3.2: two Host lines must be refused; all other names as in Node",
)
async def test_repeated_request_headers(autojump_clock: Any) -> None:
    seen: list[http.Headers] = []

    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        seen.append(request.headers)
        await response.end()

    names = [*FIRST_ONLY, *JOINED, "cookie"]
    lines = [f"{name}: {value}" for value in ("foo", "bar") for name in names]
    async with serving(handle) as served:
        client = await served.connect()
        await client.get("/", *lines)
        # `close` among them would end the connection.
        await client.get("/", "Connection: foo", "Connection: bar")
        await client.send(ask("/", "Host: b.test"))
        assert (await client.answer()).status == 400
    assert {name: seen[0][name] for name in FIRST_ONLY} == dict.fromkeys(FIRST_ONLY, "foo")
    assert {name: seen[0][name] for name in JOINED} == dict.fromkeys(JOINED, "foo, bar")
    assert seen[0]["cookie"] == "foo; bar"
    assert seen[1]["connection"] == "foo, bar"
    assert len(seen) == 2


@pytest.mark.node("test-http-response-multiheaders.js")
@pytest.mark.parametrize("by", ["set_header", "write_head"])
async def test_repeated_response_headers(autojump_clock: Any, by: str) -> None:
    values = {name: ["A", "B"] for name in (*FIRST_ONLY, "Host", "X-A")}

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        if by == "set_header":
            for name, value in values.items():
                response.set_header(name, value)
        else:
            pairs = [(name, one) for name, value in values.items() for one in value]
            response.write_head(200, pairs)
        await response.end()

    async with (
        serving(handle) as served,
        served.agent() as agent,
        http.get(URL, agent=agent) as response,
    ):
        firsts = [*FIRST_ONLY, "host"]
        assert [response.headers[name] for name in firsts] == ["A"] * len(firsts)
        assert response.headers["x-a"] == "A, B"
        assert response.headers_distinct["etag"] == ["A", "B"]
        assert await response.read() == b""


@pytest.mark.node("test-http-request-join-authorization-headers.js")
@pytest.mark.node_api("IncomingMessage|joining of duplicate headers")
@pytest.mark.parametrize("at_server", [True, False])
@pytest.mark.parametrize("at_client", [True, False])
async def test_join_duplicate_headers(
    autojump_clock: Any, at_server: bool, at_client: bool
) -> None:
    pairs = [("Authorization", "1"), ("Authorization", "2"), ("Cookie", "3"), ("Cookie", "4")]

    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        assert request.headers["authorization"] == ("1, 2" if at_server else "1")
        assert request.headers["cookie"] == "3; 4"
        await response.write_head(200, pairs).end("ok")

    async with (
        serving(handle, join_duplicate_headers=at_server, on_error="raise") as served,
        served.agent() as agent,
        http.get(
            URL,
            agent=agent,
            headers=[("Host", HOST), *pairs],
            join_duplicate_headers=at_client,
        ) as response,
    ):
        message = response.headers
        assert message["authorization"] == ("1, 2" if at_client else "1")
        assert message["cookie"] == "3; 4"
        assert await response.text() == "ok"


@pytest.mark.node("test-http-response-status-message.js")
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"HTTP/1.1 200 OK", "OK"),
        (b"HTTP/1.1 500 Internal Server Error", "Internal Server Error"),
        (b"HTTP/1.1 302 Moved Temporarily", "Moved Temporarily"),
        (b"HTTP/1.1 200 ", ""),
        (b"HTTP/1.1 200", ""),
    ],
)
async def test_the_reason_is_what_was_sent(
    nursery: Any, autojump_clock: Any, line: bytes, reason: str
) -> None:
    answer = line + b"\r\nConnection: close\r\n\r\n"
    peer = FaultyServer([Expect(b"\r\n\r\n"), Send(answer), Close()])
    wired = await wire(nursery, "memory", peer)
    async with http.get(wired.url, agent=wired.agent) as response:
        assert response.status_message == reason
        assert await response.read() == b""
        assert response.complete


@pytest.mark.node("test-http-allow-content-length-304.js")
async def test_a_304_may_tell_a_length(autojump_clock: Any) -> None:
    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.write_head(304, {"Content-Length": "11"}).end()

    seen: list[object] = []
    async with serving(handle) as served:
        client = await served.connect()
        await client.send(ask())
        head = await client.line()
        assert b"Content-Length: 11\r\n" in head
        # Nothing stands between this answer and the next.
        await client.send(ask())
        assert (await client.line())[:12] == head[:12]
        async with served.agent() as agent, http.get(URL, agent=agent) as response:
            response.on("data", seen.append)
            response.on("aborted", lambda: seen.append("aborted"))
            response.on("end", lambda: seen.append("end"))
            assert response.headers["content-length"] == "11"
            assert await response.read() == b""
            assert not response.aborted
    assert seen == ["end"]
