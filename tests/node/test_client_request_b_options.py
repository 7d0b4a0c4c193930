"""What a request is told: targets, factories, credentials, headers."""

from __future__ import annotations

import errno
import socket as stdlib_socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse, urlsplit

import pytest
import trio

import trio_nodehttp as http
from tests.wires import contexts, read_head, wire
from trio_nodehttp._memory import memory_pipe
from trio_nodehttp.testing import Expect, ExpectEnd, FaultyServer, Send, Stall

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def wire_of(nursery: Any, *args: Any, **options: Any) -> bytes:
    """The bytes that a request without a body puts on the wire."""
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(OK), Stall()])

    async def factory(_: Any) -> Any:
        ours, theirs = memory_pipe()
        nursery.start_soon(server, theirs)
        return ours

    options.setdefault("agent", http.Agent(create_connection=factory))
    async with http.get(*args, **options) as response:
        assert await response.text() == "ok"
    return bytes(server.received[0])


@pytest.fixture
async def echo_server(nursery: Any) -> Any:
    """A server that answers with what it was sent."""

    async def handle(request: Any, response: Any) -> None:
        body = await request.read()
        response.set_header("X-Host", request.headers.get("host", ""))
        response.set_header("X-Line", f"{request.method} {request.url}")
        await response.end(body)

    server = http.create_server(handle)
    await nursery.start(server.listen, 0, "127.0.0.1")
    return server


def port_of(server: Any) -> int:
    return int(server.url.rsplit(":", 1)[1])


@pytest.mark.node("test-http-client-with-create-connection.js")
@pytest.mark.node_api(
    "http.request|createConnection", "http.request|socketPath", "http.request|path"
)
@pytest.mark.parametrize("path", [None, "/explicit"])
@pytest.mark.parametrize("unix", [True, False])
async def test_connection_factory_gets_usable_options(
    nursery: Any, tmp_path: Path, path: str | None, unix: bool
) -> None:
    async def handle(request: Any, response: Any) -> None:
        await response.end(request.url)

    server = http.create_server(handle)
    address = str(tmp_path / "http.sock")
    if unix:
        listen: Any = lambda task_status: server.listen(path=address, task_status=task_status)  # noqa: E731
        await nursery.start(listen)
    else:
        await nursery.start(server.listen, 0, "127.0.0.1")
    seen: list[Any] = []

    async def create_connection(options: Any) -> trio.abc.Stream:
        seen.append(options)
        if options.socket_path is not None:
            return await trio.open_unix_socket(options.socket_path)
        return await trio.open_tcp_stream(options.host, options.port)

    where: Any = {"socket_path": address}
    if not unix:
        where = {"host": "127.0.0.1", "port": port_of(server)}
    if path is not None:
        where["path"] = path
    async with http.get(create_connection=create_connection, **where) as response:
        assert await response.text() == (path or "/")
    assert len(seen) == 1
    assert seen[0].socket_path == (address if unix else None)


@pytest.mark.node("test-http-correct-hostname.js")
async def test_encoded_backtick_stays_in_the_host(nursery: Any, autojump_clock: Any) -> None:
    contacted: list[str] = []
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(OK)])

    async def factory(options: Any) -> Any:
        contacted.append(options.host)
        ours, theirs = memory_pipe()
        nursery.start_soon(server, theirs)
        return ours

    agent = http.Agent(create_connection=factory)
    async with http.request("http://a.com%60x.example.com/", agent=agent) as request:
        assert request.host == "a.com`x.example.com"
        assert await (await request.get_response()).text() == "ok"
    assert contacted == ["a.com`x.example.com"]
    assert b"\r\nHost: a.com`x.example.com\r\n" in server.received[0]


@pytest.mark.node("test-http-decoded-auth.js", "test-http-url.parse-auth.js")
@pytest.mark.parametrize(
    ("userinfo", "expected"),
    [
        ("test%40test:asdf", "test@test:asdf"),
        ("not%3Agood:god", "not:good:god"),
        ("u:%5Eg%5Eod", "u:^g^od"),
        ("g%5Eod:pw", "g^od:pw"),
        ("user:pass%3A", "user:pass:"),
    ],
)
async def test_credentials_of_a_url_are_decoded(
    nursery: Any, autojump_clock: Any, userinfo: str, expected: str
) -> None:
    import base64  # noqa: PLC0415

    data = await wire_of(nursery, f"http://{userinfo}@origin.test/")
    encoded = base64.b64encode(expected.encode())
    assert b"\r\nAuthorization: Basic " + encoded + b"\r\n" in data
    assert b"Host: origin.test\r\n" in data


@pytest.mark.node("test-http-url.parse-auth-with-header-in-request.js")
@pytest.mark.node_api(
    "http.request|auth",
    "http.request|special headers: Connection, Content-Length, Expect, Authorization",
)
async def test_special_headers(nursery: Any, autojump_clock: Any) -> None:
    headers = {
        "Authorization": "NoAuthForYOU",
        "Connection": "keep-alive",
        "Content-Length": "0",
        "Expect": "something",
    }
    data = await wire_of(nursery, "http://user:pass@origin.test/", headers=headers, method="POST")
    assert data.count(b"Authorization: NoAuthForYOU\r\n") == 1
    data2 = await wire_of(nursery, "http://origin.test/", auth="user:pass", headers=headers)
    assert b"Basic" not in data2
    assert b"Basic" not in data
    assert data.count(b"Connection: ") == 1
    assert b"Connection: keep-alive\r\n" in data
    assert b"Content-Length: 0\r\n" in data
    assert b"Transfer-Encoding" not in data, "a length switches chunks off"


@pytest.mark.node("test-http-default-encoding.js")
async def test_text_is_sent_as_utf8(echo_server: Any) -> None:
    text = "This is a unicode text: سلام"
    async with http.request(echo_server.url, method="POST", agent=False) as request:
        await request.end(text)
        response = await request.get_response()
        assert await response.text() == text
        assert response.headers["content-length"] == str(len(text.encode()))


@pytest.mark.node("test-http-default-port.js")
@pytest.mark.node_api("http.request|defaultPort", "http.request|port", "http.request|host")
async def test_default_port_of_the_agent_is_left_out(nursery: Any, autojump_clock: Any) -> None:
    seen: list[int] = []

    async def factory(options: Any) -> Any:
        seen.append(options.port)
        ours, theirs = memory_pipe()
        nursery.start_soon(FaultyServer([Expect(b"Host: localhost\r\n"), Send(OK)]), theirs)
        return ours

    agent = http.Agent(default_port=4711, create_connection=factory)
    async with http.get(host="localhost", agent=agent) as response:
        assert await response.text() == "ok"
    assert seen == [4711]
    secure = http.Agent(default_port=4711, protocol="https:")
    for one in (agent, secure):
        request = http.request(host="localhost", agent=one, port=4711)
        assert request.get_header("host") == "localhost"
        assert request.protocol == one.protocol
    assert http.request(host="a", default_port=81, port=81).get_header("host") == "a"


@pytest.mark.node("test-http-dns-error.js")
@pytest.mark.parametrize("verb", [http.get, http.request])
async def test_name_that_does_not_resolve(nursery: Any, verb: Any) -> None:
    scope = verb(host="*" * 64, port=42, agent=http.Agent())
    request = getattr(scope, "request", scope)
    told: list[Any] = []
    request.on("error", told.append)
    request.on("response", told.append)
    with pytest.raises(http.ConnectionFailedError) as caught:
        async with scope:
            pytest.fail("there is no such host")
    assert caught.value.code in {"ENOTFOUND", "EAI_FAIL"}
    assert told == [caught.value]


@pytest.mark.node("test-http-dont-set-default-headers-with-set-header.js")
@pytest.mark.node_api("http.request|setDefaultHeaders", "http.request|headers")
async def test_no_default_headers(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(OK), Stall()])
    wired = await wire(nursery, "memory", server)
    request = http.request(
        wired.url,
        method="POST",
        agent=wired.agent,
        set_default_headers=False,
        headers={"test": "value", "HOST": "www", "foo": ["bar", "baz"]},
    )
    request.set_header("Last", 1)
    async with request:
        await request.end()
        assert (await request.get_response()).status_code == 200
    expected = (
        b"POST / HTTP/1.1\r\ntest: value\r\nHOST: www\r\nfoo: bar\r\nfoo: baz\r\nLast: 1\r\n\r\n"
    )
    assert server.received[0] == expected


@pytest.mark.node("test-http-dont-set-default-headers-with-setHost.js")
@pytest.mark.node_api("http.request|setHost")
async def test_only_the_host_header(nursery: Any, autojump_clock: Any) -> None:
    data = await wire_of(
        nursery, "http://origin.test:8080/", method="POST", set_default_headers=False, set_host=True
    )
    assert data == b"POST / HTTP/1.1\r\nHost: origin.test:8080\r\n\r\n"
    assert b"Host" not in await wire_of(nursery, "http://origin.test/", set_host=False)


@pytest.mark.node("test-http-host-header-ipv6-fail.js")
@pytest.mark.parametrize(
    ("host", "expected"),
    [("::1", "[::1]:80"), ("foo:1234", "foo:1234:80"), ("::1:80:1", "[::1:80:1]:80")],
)
async def test_host_header_without_an_agent(
    nursery: Any, autojump_clock: Any, host: str, expected: str
) -> None:
    heads: list[bytes] = []

    async def factory(_: Any) -> Any:
        ours, theirs = memory_pipe()

        async def answer() -> None:
            heads.append(await read_head(theirs))
            await theirs.send_all(OK)

        nursery.start_soon(answer)
        return ours

    async with http.get(host=host, port=80, create_connection=factory) as response:
        assert await response.text() == "ok"
    assert f"\r\nHost: {expected}\r\n".encode() in heads[0]


@pytest.mark.node("test-http-host-headers.js")
@pytest.mark.node_api(
    "http.request|hostname", "http.request|method", "http|http.get(url[, options][, callback])"
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_host_header_has_the_port(echo_server: Any, method: str) -> None:
    port = port_of(echo_server)
    options: Any = {"hostname": "localhost", "port": port, "agent": http.Agent()}
    async with http.get(method=method, **options) as response:
        assert response.headers["x-host"] == f"localhost:{port}"
        await response.resume()
    async with http.request(f"http://localhost:{port}/", method=method, agent=False) as request:
        await request.end()
        response = await request.get_response()
        assert response.headers["x-host"] == f"localhost:{port}"


@pytest.mark.node("test-http-localaddress-bind-error.js")
@pytest.mark.node_api("http.request|localAddress")
async def test_local_address_of_another_machine(echo_server: Any) -> None:
    told: list[Any] = []
    request = http.request(echo_server.url, agent=http.Agent(), local_address="1.2.3.4")
    request.on("response", told.append)
    request.on("error", told.append)
    with pytest.raises(http.ConnectionFailedError) as caught:
        async with request:
            pytest.fail("this machine has no such address")
    assert caught.value.code == "EADDRNOTAVAIL"
    assert told == [caught.value]


@pytest.mark.node("test-http-nodelay.js")
@pytest.mark.node_api(
    "ClientRequest|request.setNoDelay([noDelay])",
    "ClientRequest|request.setSocketKeepAlive([enable][, initialDelay])",
)
async def test_no_delay_on_both_sides(nursery: Any) -> None:
    def option(socket: Any, level: int, name: int) -> bool:
        return bool(socket.stream.getsockopt(level, name))

    tcp, no_delay = stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY
    served: list[bool] = []

    async def handle(request: Any, response: Any) -> None:
        served.append(option(request.socket, tcp, no_delay))
        await response.end()

    server = http.create_server(handle)
    await nursery.start(server.listen, 0, "127.0.0.1")
    assert server.no_delay is True
    async with http.request(server.url, agent=http.Agent()) as request:
        assert option(request.socket, tcp, no_delay)
        request.set_no_delay(False)
        assert not option(request.socket, tcp, no_delay)
        await request.get_response()
    assert served == [True]
    # Said before there is a socket, it holds from when there is one.
    early = http.request(server.url, agent=http.Agent())
    early.set_no_delay(False)
    early.set_socket_keep_alive(True, 5)
    async with early:
        assert not option(early.socket, tcp, no_delay)
        assert option(early.socket, stdlib_socket.SOL_SOCKET, stdlib_socket.SO_KEEPALIVE)
        early.set_socket_keep_alive(False)
        assert not option(early.socket, stdlib_socket.SOL_SOCKET, stdlib_socket.SO_KEEPALIVE)
    early.set_no_delay(True)  # no socket any more, no error


@pytest.mark.node("test-http-request-agent.js")
@pytest.mark.node_api("http.request|agent")
async def test_agent_disabled_over_tls(nursery: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(OK), ExpectEnd()])
    wired = await wire(nursery, "tls", server)
    _, client = contexts()
    async with http.request(wired.url, agent=False, ssl_context=client) as request:
        response = await request.get_response()
        assert response.status_code == 200
        assert request.socket is not None
        assert request.socket.encrypted
        assert await response.text() == "ok"
    await wired.all_ended()


@pytest.mark.node("test-http-request-dont-override-options.js")
async def test_options_are_not_changed(echo_server: Any) -> None:
    options: Any = {"host": None, "hostname": None, "path": None, "headers": {"a": "b"}}
    before = {**options, "headers": dict(options["headers"])}
    agent = http.Agent(default_port=port_of(echo_server), family=4)
    async with http.get(options, agent=agent) as response:
        assert response.headers["x-line"] == "GET /"
        assert response.headers["x-host"] == "localhost"
    assert options == before
    headers: Any = [["a", "b"]]
    http.request("http://origin.test/", headers=headers).set_header("c", "d")
    assert headers == [["a", "b"]]


@pytest.mark.node("test-http-request-lookup-error-catchable.js")
@pytest.mark.node_api("http.request|lookup")
async def test_blocked_address_has_its_own_code() -> None:
    class BlockedError(OSError):
        code = "ERR_IP_BLOCKED"

    async def factory(_: Any) -> Any:
        raise BlockedError("address 127.0.0.1 is blocked")

    async def lookup(host: str, options: Any) -> list[str]:
        assert host == "example.com"
        raise BlockedError(f"{host} is blocked")

    for options in ({"create_connection": factory}, {"lookup": lookup}):
        request = http.request(host="example.com", **options)
        told: list[Any] = []
        request.on("error", told.append)
        with pytest.raises(http.HTTPError) as caught:
            async with request:
                pytest.fail("it was blocked")
        assert caught.value.code == "ERR_IP_BLOCKED"
        assert isinstance(caught.value.__cause__, BlockedError)
        assert told == [caught.value]


@pytest.mark.parametrize("code", [errno.ENETUNREACH, errno.ECONNREFUSED])
async def test_error_of_a_factory_keeps_its_code(code: int) -> None:
    async def factory(_: Any) -> Any:
        raise OSError(code, "no")

    with pytest.raises(http.ConnectionFailedError) as caught:
        async with http.get(host="example.com", create_connection=factory):
            pytest.fail("nobody is there")
    assert caught.value.code == errno.errorcode[code]


@pytest.mark.node("test-http-url.parse-basic.js", "test-http-url.parse-path.js")
@pytest.mark.parametrize(("path", "target"), [("", "/"), ("/asdf", "/asdf")])
@pytest.mark.parametrize("parse", [str, urlparse, urlsplit])
async def test_parsed_url(echo_server: Any, parse: Any, path: str, target: str) -> None:
    port = port_of(echo_server)
    async with http.request(parse(f"http://localhost:{port}{path}")) as request:
        assert request._agent is http.global_agent
        response = await request.get_response()
        assert response.headers["x-line"] == f"GET {target}"
        assert response.headers["x-host"] == f"localhost:{port}"
        await response.resume()
    http.global_agent.destroy()


@pytest.mark.node("test-http-url.parse-post.js")
async def test_parsed_url_and_method(echo_server: Any) -> None:
    port = port_of(echo_server)
    url = urlsplit(f"http://localhost:{port}/asdf?qwer=zxcv")
    async with http.request(url, method="POST", agent=False) as request:
        await request.end()
        response = await request.get_response()
        assert response.headers["x-line"] == "POST /asdf?qwer=zxcv"
        assert response.headers["x-host"] == f"localhost:{port}"


@pytest.mark.node("test-http-url.parse-only-support-http-https-protocol.js")
@pytest.mark.node_api("http.request|protocol")
@pytest.mark.parametrize(
    "url",
    [
        "file:///whatever",
        "mailto:asdf@asdf.com",
        "ftp://www.example.com",
        "javascript:alert('hello');",
        "xmpp:foo@bar.com",
        "f://some.host/path",
    ],
)
@pytest.mark.parametrize("verb", [http.request, http.get])
def test_other_protocols_are_refused(verb: Any, url: str) -> None:
    with pytest.raises(http.InvalidProtocolError) as caught:
        verb(url)
    assert caught.value.code == "ERR_INVALID_PROTOCOL"
    with pytest.raises(http.InvalidProtocolError):
        verb(host="a", protocol="ftp:")
