"""Rows of Node's client: where a request goes, and what it says."""

from __future__ import annotations

import errno
import socket as stdlib_socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse, urlsplit

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests.node.origins import fetch, hello, serving
from trio_nodehttp.pytest_plugin import HTTPServerFactory
from trio_nodehttp.testing import MemoryNetwork, MemoryStream

URL = "http://origin.test/"
EMPTY_REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def sent_head(**options: Any) -> bytes:
    """The head that a request without a body sends."""
    seen: list[bytes] = []

    async def peer(stream: MemoryStream) -> None:
        seen.append(await stream.receive_some())
        await stream.send_all(EMPTY_REPLY)

    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, peer)
        agent = network.agent(keep_alive=True)
        async with http.request(URL, agent=agent, **options) as request:
            await (await request.get_response()).text()
        agent.destroy()
    return seen[0]


@pytest.mark.node("test-http-autoselectfamily.js")
@pytest.mark.node_api("http.request|lookup")
@pytest.mark.parametrize("listening", ["IPv4", "both"])
async def test_the_family_that_answers_is_used(nursery: trio.Nursery, listening: str) -> None:
    async def lookup(host: str, options: http.ConnectOptions) -> Sequence[str]:
        assert host == "example.org"
        return ["::1", "127.0.0.1"]

    servers: dict[str, http.Server] = {}
    contacted: list[str] = []

    async def listen(family: str, address: str, port: int) -> int:
        server = servers[family] = http.create_server(hello)
        server.on("connection", lambda socket: contacted.append(family))
        await nursery.start(server.listen, port, address)
        assert isinstance(server.address, tuple)
        return server.address[1]

    port = await listen("IPv4", "127.0.0.1", 0)
    if listening == "both":
        await listen("IPv6", "::1", port)
    async with (
        http.Agent() as agent,
        http.get(f"http://example.org:{port}/x", lookup=lookup, agent=agent) as response,
    ):
        assert await response.text() == "/x"
        assert response.socket.family == ("IPv4" if listening == "IPv4" else "IPv6")
    assert contacted == ["IPv4" if listening == "IPv4" else "IPv6"]
    nursery.cancel_scope.cancel()


@pytest.mark.node("test-http-buffer-sanity.js")
async def test_five_mebibytes_arrive_as_they_were(http_server: HTTPServerFactory) -> None:
    body = bytes(range(256)) * (5 << 12)
    received = bytearray()

    async def count(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        assert request.headers["content-length"] == str(5 << 20)
        async for chunk in request:
            received.extend(chunk)
        await response.end("thanks")

    server = await http_server(count)
    headers = {"Content-Length": str(len(body))}
    async with (
        http.Agent() as agent,
        http.request(server.url, method="POST", headers=headers, agent=agent) as request,
    ):
        assert await request.write(body[: 1 << 20])
        await request.end(body[1 << 20 :])
        assert await (await request.get_response()).text() == "thanks"
    assert received == body


@pytest.mark.node("test-http-client-default-headers-exist.js")
@pytest.mark.parametrize("method", ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE"])
async def test_default_headers(method: str) -> None:
    head = await sent_head(method=method)
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:-2]]
    expected = {b"host", b"connection"}
    if method in ("POST", "PUT"):
        expected.add(b"content-length")
        assert b"\r\nContent-Length: 0\r\n" in head
    assert sorted(names) == sorted(expected)


@pytest.mark.node("test-http-client-defaults.js")
@pytest.mark.node_api("http.request|method", "http.request|path")
@pytest.mark.parametrize("options", [{}, {"method": ""}, {"path": ""}, {"method": "", "path": ""}])
async def test_path_and_method_have_defaults(options: http.RequestOptions) -> None:
    request = http.request(URL, **options)
    assert (request.method, request.path) == ("GET", "/")
    request = http.request({"host": "origin.test", **options})
    assert (request.method, request.path) == ("GET", "/")
    assert (await sent_head(**options)).startswith(b"GET / HTTP/1.1\r\n")


@pytest.mark.node("test-http-client-encoding.js")
async def test_a_stray_option_in_a_mapping_is_harmless() -> None:
    async def ok(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.end("ok")

    async with serving(ok) as origin:
        options = {"host": "origin.test", "encoding": "utf8", "agent": origin.agent()}
        async with http.request(options) as request:
            await request.end()
            assert await (await request.get_response()).text() == "ok"


@pytest.mark.node("test-http-client-get-url.js")
@pytest.mark.node_api("http|http.get(options[, callback])")
async def test_get_takes_a_url_in_every_form() -> None:
    seen: list[tuple[str, str]] = []

    async def note(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        seen.append((request.method, request.url))
        await response.end()

    async with serving(note, port=8080) as origin:
        agent = origin.agent()
        url = "http://origin.test:8080/foo?bar"
        mapping = {
            "protocol": "http:",
            "host": "origin.test:8080",
            "hostname": "origin.test",
            "port": "8080",
            "path": "/foo?bar",
            "href": url,
            "hash": None,
        }
        for form in (url, mapping, urlparse(url), urlsplit(url)):
            async with http.get(form, agent=agent) as response:
                assert await response.text() == ""
        assert seen == [("GET", "/foo?bar")] * 4


@pytest.mark.node("test-http-client-headers-array.js")
@pytest.mark.node_api("http.request|auth", "http.request|headers")
@pytest.mark.parametrize("form", ["mapping", "pairs", "repeated"])
async def test_headers_as_a_mapping_or_as_pairs(form: str) -> None:
    seen: list[dict[str, object]] = []

    async def note(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        seen.append(dict(request.headers))
        await response.end()

    cookies = ["a=1", "b=2", "c=3"]
    headers: object = {
        "mapping": {"x-foo": "boom", "cookie": cookies},
        "pairs": [("x-foo", "boom"), ("cookie", "; ".join(cookies))],
        "repeated": [("x-foo", "boom"), *(("cookie", each) for each in cookies)],
    }[form]
    async with serving(note, require_host_header=False) as origin:
        agent = origin.agent(keep_alive=True)
        assert await fetch(agent, auth="foo:bar", headers=headers) == ""
        agent.destroy()
    expected = {"x-foo": "boom", "cookie": "a=1; b=2; c=3", "connection": "keep-alive"}
    if form == "mapping":
        expected |= {"host": "origin.test", "authorization": "Basic Zm9vOmJhcg=="}
    assert seen == [expected]


@pytest.mark.node("test-http-client-immediate-error.js")
@pytest.mark.node_api("http.request|createConnection")
async def test_a_factory_that_fails_at_once_fails_the_request() -> None:
    async def unreachable(options: http.ConnectOptions) -> trio.abc.Stream:
        raise OSError(errno.ENETUNREACH, "network is unreachable")

    request = http.request(URL, create_connection=unreachable)
    told: list[http.HTTPError] = []
    request.on("error", told.append)
    with pytest.raises(http.ConnectionFailedError) as caught:
        await request.__aenter__()
    assert told == [caught.value]
    assert caught.value.code == "ENETUNREACH"
    assert caught.value.errno == errno.ENETUNREACH


@pytest.mark.node("test-http-client-input-function.js")
async def test_the_servers_address_says_where_to_connect(http_server: HTTPServerFactory) -> None:
    server = await http_server(hello)
    assert isinstance(server.address, tuple)
    address = {"address": server.address[0], "family": "IPv4", "port": server.address[1]}
    request = http.request(address, agent=False)
    assert (request.host, request.port) == ("localhost", server.address[1])
    async with request:
        assert await (await request.get_response()).text() == "/"


@pytest.mark.node("test-http-client-leaky-with-double-response.js")
async def test_a_second_response_disturbs_nobody() -> None:
    async def peer(stream: MemoryStream) -> None:
        await stream.receive_some()
        await stream.send_all(
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 11\r\n\r\nhello world"
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        await stream.receive_some()

    async with MemoryNetwork() as network:
        network.listen("origin.test", 80, peer)
        agent = network.agent(keep_alive=True)
        request = http.request(URL, agent=agent)
        failures: list[object] = []
        request.on("error", failures.append)
        async with request:
            response = await request.get_response()
            assert (response.status_code, await response.text()) == (200, "hello world")
        assert failures == []
        # The stray one is nobody's answer: its socket serves no further request.
        assert agent.free_sockets == {}
        assert agent.stats().active == 0


@pytest.mark.node("test-http-client-pipe-end.js")
async def test_a_body_of_one_byte_over_a_unix_socket(
    http_server: HTTPServerFactory, tmp_path: Path
) -> None:
    bodies: list[bytes] = []

    async def consume(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        bodies.append(await request.read())
        assert request.complete
        await response.end()

    path = str(tmp_path / "socket")
    await http_server(consume, path=path)
    headers = {"Content-Length": 1}
    async with http.request(
        socket_path=path, method="POST", headers=headers, agent=False
    ) as request:
        await request.write(b".")
        for _ in range(4):
            await trio.lowlevel.checkpoint()
        await request.end()
        response = await request.get_response()
        assert (response.status_code, await response.text()) == (200, "")
    assert bodies == [b"."]


@pytest.mark.node("test-http-client-race.js")
async def test_two_responses_in_a_row_keep_apart() -> None:
    async def bodies(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        body = "1111111111111111" if request.url == "/1" else "22222"
        await response.write_head(200, {"Content-Length": len(body)}).end(body)

    async with serving(bodies) as origin:
        agent = origin.agent(keep_alive=True)
        seen: list[str] = []
        async with http.get(f"{URL}1", agent=agent) as response:
            ended: list[str] = []
            response.on("end", lambda: ended.append("end"))
            seen.append(await response.text())
            assert ended == ["end"]
            seen.append(await fetch(agent, "/2"))
        assert seen == ["1111111111111111", "22222"]
        agent.destroy()


@pytest.mark.node("test-http-client-race-2.js")
async def test_three_responses_with_a_pause_keep_apart(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bodies = {"/1": "1" * 16, "/2": "22222", "/3": "3333333333333"}

    async def answer(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        body = bodies[request.url]
        await response.write_head(200, {"Content-Length": len(body)}).end(body)

    async with serving(answer) as origin:
        agent = origin.agent(keep_alive=True)
        assert await fetch(agent, "/1") == bodies["/1"]
        await trio.sleep(0.5)
        assert await fetch(agent, "/2") == bodies["/2"]
        assert await fetch(agent, "/3") == bodies["/3"]
        assert len(origin.connections) == 1
        agent.destroy()


@pytest.mark.node("test-http-client-req-error-dont-double-fire.js")
async def test_a_dns_failure_is_told_once() -> None:
    async def lookup(host: str, options: http.ConnectOptions) -> Sequence[str]:
        raise stdlib_socket.gaierror(stdlib_socket.EAI_NONAME, "Name or service not known")

    request = http.request("http://not-a-real-domain.test/", lookup=lookup, agent=False)
    told: list[http.HTTPError] = []

    @request.on("error")
    def fail(error: http.HTTPError) -> None:
        told.append(error)
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        await request.__aenter__()
    assert [error.code for error in told] == ["ENOTFOUND"]


@pytest.mark.node("test-http-client-request-options.js")
async def test_a_parsed_url_may_carry_options() -> None:
    seen: list[tuple[str, object]] = []

    async def note(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        seen.append((request.url, request.headers.get("foo")))
        await response.end()

    async with serving(note, port=8080) as origin:
        url = {"protocol": "http:", "hostname": "origin.test", "port": 8080}
        url |= {"path": "/ping?q=term", "headers": {"foo": "Bar"}}
        async with http.request(url, agent=origin.agent()) as request:
            assert await (await request.get_response()).text() == ""
        assert seen == [("/ping?q=term", "Bar")]
