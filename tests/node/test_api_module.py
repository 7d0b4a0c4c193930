"""Rows of Node's page: the functions and names of the module, on live sockets."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import ask, hello, listening, serving
from tests.node.sides import outgoing


@pytest.mark.node_api("http|http.METHODS")
async def test_the_server_knows_every_method() -> None:
    async def method(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.set_header("X-Method", request.method)
        await response.end()

    assert isinstance(http.METHODS, tuple)
    assert [*http.METHODS] == sorted(http.METHODS)
    assert {"GET", "HEAD", "M-SEARCH", "PATCH", "QUERY"} < {*http.METHODS}
    async with serving(method) as served:
        client = await served.connect()
        for name in http.METHODS:
            if name != "CONNECT":
                await client.send(ask(method=name))
                assert (await client.answer(name)).headers["x-method"] == name


@pytest.mark.node_api("http|http.STATUS_CODES")
async def test_reason_phrases_come_from_the_table() -> None:
    assert http.STATUS_CODES[418] == "I'm a Teapot"
    with pytest.raises(TypeError):
        http.STATUS_CODES[999] = "Mine"  # type: ignore[index]

    async def status(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.status_code = int(request.url[1:])
        await response.end()

    async with serving(status) as served:
        client = await served.connect()
        for code in (200, 404, 418, 511):
            assert (await client.get(f"/{code}")).reason == http.STATUS_CODES[code]
        assert 599 not in http.STATUS_CODES
        assert (await client.get("/599")).reason == "unknown"


@pytest.mark.node_api("http|http.maxHeaderSize")
async def test_the_usual_limit_of_a_head() -> None:
    assert http.max_header_size == 16 * 1024
    fits = "x" * (http.max_header_size - 100)
    async with serving(hello) as served:
        client = await served.connect()
        assert (await client.get("/", f"X: {fits}")).status == 200
        assert (await client.get("/", f"X: {fits}{'x' * 100}")).status == 431


@pytest.mark.node_api(
    "http|http.request(url[, options][, callback])", "http|http.get(url[, options][, callback])"
)
async def test_options_override_the_url() -> None:
    async def tell(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.end(f"{request.method} {request.url} {request.headers['host']}")

    server = http.create_server(tell)
    async with listening(server), http.Agent(keep_alive=True) as agent:
        host = server.url.removeprefix("http://")
        async with http.get(f"{server.url}/a?b=c#d", agent=agent) as response:
            assert await response.text() == f"GET /a?b=c {host}"
        async with http.request(
            f"{server.url}/a", method="put", path="/b", headers={"Host": "c"}, agent=agent
        ) as request:
            await request.end()
            response = await request.get_response()
            assert await response.text() == "PUT /b c"
        assert agent.stats().reused == 1
        with pytest.raises(http.InvalidURLError) as caught:
            http.request("http://[::1/")
        assert caught.value.code == "ERR_INVALID_URL"


@pytest.mark.node_api("http|http.validateHeaderName(name[, label])")
async def test_names_that_pass_are_sent() -> None:
    names = ["X-a", "x_b", "~!#$%&'*+-.^`|"]
    async with outgoing("client") as live:
        for name in names:
            http.validate_header_name(name)
            live.message.set_header(name, "1")
        await live.message.end()
        lines = await live.peer.lines()
        assert {f"{name}: 1" for name in names} < {*lines}
    for wrong in ("", "a b", "a:", "é", "a\r\n", None, 1):
        bad: Any = wrong
        with pytest.raises(http.InvalidHTTPTokenError, match="My label") as caught:
            http.validate_header_name(bad, "My label")
        assert caught.value.code == "ERR_INVALID_HTTP_TOKEN"


@pytest.mark.node_api("http|http.validateHeaderValue(name, value)")
async def test_values_that_pass_are_sent() -> None:
    values: dict[str, str | int] = {"a": "tab\tand \xe9", "b": 7, "c": ""}
    async with outgoing("server") as live:
        for name, value in values.items():
            http.validate_header_value(name, value)
            live.message.set_header(name, value)
        await live.message.end()
        assert {"a: tab\tand \xe9", "b: 7"} < {*(await live.peer.lines())}
    for wrong in ("a\r\nb", "\x00", "\u0100", "snow ☃"):
        with pytest.raises(http.InvalidCharError) as caught:
            http.validate_header_value("x", wrong)
        assert caught.value.code == "ERR_INVALID_CHAR"
    nothing: Any = None
    with pytest.raises(http.InvalidHeaderValueError) as missing:
        http.validate_header_value("x", nothing)
    assert missing.value.code == "ERR_HTTP_INVALID_HEADER_VALUE"


@pytest.mark.node_api("http|http.setMaxIdleHTTPParsers(max)", absent="parsers are not pooled")
async def test_there_is_no_pool_of_parsers() -> None:
    assert not hasattr(http, "set_max_idle_http_parsers")


@pytest.mark.node_api("OutgoingMessage|outgoingMessage.pipe()", absent="pipe() is a function")
async def test_pipe_is_a_function() -> None:
    assert not hasattr(http.OutgoingMessage, "pipe")

    async def copy(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        assert await http.pipe(request, response) == 3

    async with serving(copy) as served:
        client = await served.connect()
        await client.send(ask(method="POST", body="abc"))
        assert (await client.answer()).body == b"abc"


@pytest.mark.node_api("http|WebSocket")
async def test_a_websocket_goes_through_the_agent() -> None:
    server = http.create_server(hello)
    told: list[str] = []

    @server.on("upgrade", protocol="websocket")
    async def echo(request: http.IncomingMessage, stream: trio.abc.Stream) -> None:
        async with http.accept_websocket(request, stream, subprotocols=["chat"]) as peer:
            async for message in peer:
                await peer.send(message)

    async with listening(server), http.Agent() as agent:
        url = server.url.replace("http", "ws")
        async with http.WebSocket(f"{url}/room", ["talk", "chat"], agent=agent) as socket:
            socket.on("message", lambda event: told.append(event.data))
            socket.on("close", lambda event: told.append(f"{event.code} {event.was_clean}"))
            assert (socket.url, socket.protocol) == (f"{url}/room", "chat")
            assert socket.ready_state == http.WebSocket.OPEN
            assert socket.extensions.startswith("permessage-deflate")
            assert socket.buffered_amount == 0
            await socket.send("text")
            await socket.send(b"bytes")
            assert [await socket.receive(), await socket.receive()] == ["text", b"bytes"]
            assert agent.stats().opened == 1
            assert agent.stats().active == 0  # it has left the pool
        assert socket.ready_state == http.WebSocket.CLOSED
        assert told == ["text", b"bytes", "1000 True"]
