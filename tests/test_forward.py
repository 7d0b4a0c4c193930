"""What `forward` passes on: heads, bodies, trailers and informational responses."""

from __future__ import annotations

import re
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.forwarding import CLOSE, OK, chain, lines_of
from tests.wires import read_all, read_head
from trio_nodehttp.testing import MemoryNetwork


def without_date(answer: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]+\r\n", b"", answer)


# --- heads -----------------------------------------------------------------------------------


async def test_the_request_that_the_origin_gets(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    proxy.origin(OK)
    await proxy.get(
        b"/a?b=c",
        b"Accept: */*",
        b"Cookie: a=1",
        b"Keep-Alive: 300",
        b"Proxy-Authorization: Basic eA==",
        b"Upgrade: h2c",
        b"X-Hop: 1",
        b"Connection: x-hop",
    )
    (head,) = proxy.heads
    assert head == (
        b"GET /a?b=c HTTP/1.1\r\n"
        b"Host: origin.test\r\n"
        b"Accept: */*\r\n"
        b"Cookie: a=1\r\n"
        b"X-Forwarded-Proto: http\r\n"
        b"X-Forwarded-Host: front.test\r\n"
        b"Forwarded: for=unknown;host=front.test;proto=http\r\n"
        b"Via: 1.1 trio_nodehttp\r\n"
        b"Connection: keep-alive\r\n\r\n"
    )


async def test_the_response_that_the_client_gets(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    proxy.origin(
        b"HTTP/1.1 203 Nearly OK\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nX-Hop: 1\r\n"
        b"Set-Cookie: b=2\r\nConnection: X-Hop\r\nKeep-Alive: timeout=9\r\nVia: 1.1 near\r\n"
        b"Proxy-Authenticate: Basic\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nok"
    )
    assert await proxy.get() == (
        b"HTTP/1.1 203 Nearly OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        b"Via: 1.1 near\r\nVia: 1.1 trio_nodehttp\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        b"Content-Length: 2\r\nConnection: close\r\n\r\nok"
    )


async def test_the_clients_address_is_told(http_server: Any) -> None:
    async def origin(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.end(str(request.headers.get("x-forwarded-for")))

    back = await http_server(origin)

    async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await http.forward(request, response, back.url, agent=http.Agent())

    front = await http_server(handler)
    async with http.get(front.url, headers={"X-Forwarded-For": "192.0.2.1"}) as response:
        assert await response.text() == "192.0.2.1, 127.0.0.1"
    back.close_all_connections()


@pytest.mark.parametrize(
    ("options", "request_line", "lines"),
    [
        ({"origin": "http://origin.test/base/"}, b"GET /base/a HTTP/1.1", {}),
        ({"path": "/other?x"}, b"GET /other?x HTTP/1.1", {}),
        (
            {"origin": "http://u:p@origin.test/"},
            b"GET /a HTTP/1.1",
            {b"Authorization": b"Basic dTpw", b"Host": b"origin.test"},
        ),
        ({"preserve_host": True}, b"GET /a HTTP/1.1", {b"Host": b"front.test"}),
        ({"via": None}, b"GET /a HTTP/1.1", {b"Via": None}),
        ({"via": "edge-1"}, b"GET /a HTTP/1.1", {b"Via": b"1.1 edge-1"}),
        (
            {"forwarded": None},
            b"GET /a HTTP/1.1",
            {b"Forwarded": b"for=liar", b"X-Forwarded-Proto": None},
        ),
        (
            {"forwarded": "replace"},
            b"GET /a HTTP/1.1",
            {b"Forwarded": b"for=unknown;host=front.test;proto=http"},
        ),
        (
            {"headers": {"accept": None, "X-Key": "k", "HOST": "virtual.test"}},
            b"GET /a HTTP/1.1",
            {
                b"Accept": None,
                b"X-Key": b"k",
                b"X_Key": None,
                b"HOST": b"virtual.test",
                b"Host": None,
            },
        ),
    ],
)
async def test_what_can_be_changed_on_the_way(
    nursery: trio.Nursery,
    memory_network: MemoryNetwork,
    options: dict[str, Any],
    request_line: bytes,
    lines: dict[bytes, bytes | None],
) -> None:
    proxy = await chain(nursery, memory_network, **options)
    proxy.origin(OK)
    await proxy.get(
        b"/a", b"Accept: */*", b"Forwarded: for=liar", b"X_Key: liar", b"authorization: liar"
    )
    first, *rest = lines_of(proxy.heads[0])
    assert first == request_line
    fields = dict(line.split(b": ", 1) for line in rest)
    assert {name: fields.get(name) for name in lines} == lines


async def test_what_can_be_changed_on_the_way_back(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    changes = {"SERVER": None, "x-frame-options": "DENY", "Set-Cookie": ["a=1", "b=2"], "Via": None}
    proxy = await chain(nursery, memory_network, response_headers=changes)
    proxy.origin(
        OK.replace(b"\r\n", b"\r\nServer: old/1.0\r\nX-Frame-Options: ALLOW\r\nX: 1\r\n", 1)
    )
    rest = lines_of(await proxy.get())[1:]
    assert [line for line in rest if not line.startswith(b"Date: ")] == [
        b"X: 1",
        b"x-frame-options: DENY",
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2",
        b"Content-Length: 2",
        b"Connection: close",
    ]


async def test_absolute_form_names_the_host(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network, preserve_host=True)
    proxy.origin(OK)
    await proxy.get(b"http://user@asked.test:81?x")
    first, *rest = lines_of(proxy.heads[0])
    assert first == b"GET /?x HTTP/1.1"
    assert b"Host: asked.test:81" in rest
    assert b"X-Forwarded-Host: asked.test:81" in rest


async def test_asterisk_form_stays(nursery: trio.Nursery, memory_network: MemoryNetwork) -> None:
    proxy = await chain(nursery, memory_network, origin="http://origin.test/base")
    proxy.origin(OK)
    await proxy.ask(b"OPTIONS * HTTP/1.1\r\nMax-Forwards: 5\r\n" + CLOSE)
    first, *rest = lines_of(proxy.heads[0])
    assert first == b"OPTIONS * HTTP/1.1"
    assert b"Max-Forwards: 4" in rest


@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 200), ("TRACE", 501)])
async def test_a_request_that_may_go_no_further_is_answered_here(
    nursery: trio.Nursery, memory_network: MemoryNetwork, method: str, status: int
) -> None:
    proxy = await chain(nursery, memory_network)
    answer = await proxy.ask(f"{method} / HTTP/1.1\r\nMax-Forwards: 0\r\n".encode() + CLOSE)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert proxy.agent.stats().opened == 0


async def test_a_proxy_that_passes_on_to_itself_ends_it(
    nursery: trio.Nursery, memory_network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = await chain(nursery, memory_network, origin="http://front.test")
    assert (await proxy.get(b"/round")).startswith(b"HTTP/1.1 508 Loop Detected\r\n")
    assert proxy.agent.stats().opened == 10
    assert caplog.messages == ["GET /round is not passed on: it goes in circles (508)"]
    await proxy.all_quiet()


@pytest.mark.parametrize("via", ["trio_nodehttp", "other", None])
async def test_a_long_way_by_other_proxies_is_no_circle(
    nursery: trio.Nursery, memory_network: MemoryNetwork, via: str | None
) -> None:
    proxy = await chain(nursery, memory_network, via=via)
    proxy.origin(OK)
    fields = [b"Via: 1.1 trio_nodehttp, 1.0 b.test (x), HTTP/1.1 c.test:80", b"Via: 1.1"] * 9
    assert (await proxy.get(b"/", *fields)).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_trailers_are_asked_for_if_the_client_reads_them(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    proxy.origin(OK)
    await proxy.get(b"/", b"TE: trailers, deflate")
    rest = lines_of(proxy.heads[0])
    assert b"TE: trailers" in rest
    assert b"Connection: TE" in rest


async def test_headers_set_before_stay(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    async with memory_network.agent() as agent:

        async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
            response.set_headers({"X-Proxy": "here", "X-Both": "here"})
            await http.forward(request, response, "http://origin.test", agent=agent)

        await nursery.start(memory_network.serve, http.create_server(handler), "f.test", 80)

        async def origin(stream: Any) -> None:
            await read_head(stream)
            await stream.send_all(b"HTTP/1.1 200 OK\r\nX-Both: there\r\nContent-Length: 0\r\n\r\n")

        memory_network.listen("origin.test", 80, origin)
        stream = await memory_network.connect("f.test")
        await stream.send_all(b"GET / HTTP/1.1\r\n" + CLOSE)
        told = lines_of(await read_all(stream))
    assert b"X-Proxy: here" in told
    assert b"X-Both: there" in told


# --- bodies ----------------------------------------------------------------------------------


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize(
    ("framing", "body", "sent_on"),
    [
        (b"Content-Length: 4", b"body", b"body"),
        (b"Content-Length: 0", b"", b""),
        (b"Transfer-Encoding: chunked", b"4\r\nbody\r\n0\r\n\r\n", b"4\r\nbody\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked", b"0\r\n\r\n", b"0\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_the_framing_of_a_request_is_kept(  # noqa: PLR0917
    nursery: trio.Nursery,
    memory_network: MemoryNetwork,
    framing: bytes,
    body: bytes,
    sent_on: bytes,
    apart: bool,
    method: bytes,
) -> None:
    proxy = await chain(nursery, memory_network)
    received = []

    async def origin(stream: Any) -> None:
        data = await read_head(stream)
        while not data.partition(b"\r\n\r\n")[2].endswith(sent_on):
            data += await stream.receive_some()
        received.append(data)
        await stream.send_all(OK)
        await read_all(stream)

    memory_network.listen("origin.test", 80, origin)
    head = method + b" / HTTP/1.1\r\n" + framing + b"\r\n" + CLOSE
    stream = await proxy.client(*([head] if apart else [head + body]))
    if apart and body:
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(body)
    assert (await read_all(stream)).endswith(b"ok")
    lines, _, rest = received[0].partition(b"\r\n\r\n")
    assert framing in lines.split(b"\r\n")
    assert rest == sent_on
    await proxy.all_quiet()
    assert proxy.agent.stats().idle == 1


@pytest.mark.parametrize(
    ("method", "answer", "told"),
    [
        ("GET", b"200 OK\r\nContent-Length: 2\r\n\r\nok", b"Content-Length: 2|ok"),
        ("GET", b"200 OK\r\nContent-Length: 0\r\n\r\n", b"Content-Length: 0|"),
        ("HEAD", b"200 OK\r\nContent-Length: 2\r\n\r\n", b"Content-Length: 2|"),
        ("HEAD", b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"|"),
        ("GET", b"204 No Content\r\n\r\n", b"|"),
        ("GET", b"304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"Content-Length: 9|"),
        (
            "GET",
            b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"ok") + b"0\r\n\r\n",
            b"Transfer-Encoding: chunked|" + chunk(b"ok") + b"0\r\n\r\n",
        ),
        (
            "GET",
            b"200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + chunk(b"ok") + b"0\r\n\r\n",
            b"Transfer-Encoding: gzip, chunked|" + chunk(b"ok") + b"0\r\n\r\n",
        ),
    ],
)
async def test_the_framing_of_a_response_is_kept(
    nursery: trio.Nursery, memory_network: MemoryNetwork, method: str, answer: bytes, told: bytes
) -> None:
    proxy = await chain(nursery, memory_network, via=None)
    proxy.origin(b"HTTP/1.1 " + answer)
    got = without_date(await proxy.ask(f"{method} / HTTP/1.1\r\n".encode() + CLOSE))
    head, _, body = got.partition(b"\r\n\r\n")
    framing, _, expected = told.partition(b"|")
    fields = [line for line in head.split(b"\r\n")[1:] if not line.startswith(b"Connection")]
    assert fields == ([framing] if framing else [])
    assert body == expected
    await proxy.all_quiet()
    assert proxy.agent.stats().idle == 1


async def test_a_body_without_a_length_goes_in_chunks(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network, via=None)

    async def origin(stream: Any) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\nok")

    memory_network.listen("origin.test", 80, origin)
    got = without_date(await proxy.get())
    assert got == (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        + chunk(b"ok")
        + b"0\r\n\r\n"
    )
    assert proxy.counts() == (0, 0, 0, 0)


async def test_an_http_1_0_client_gets_no_chunks(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    proxy.origin(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n"
        + chunk(b"ok")
        + b"0\r\nx-t: 1\r\n\r\n"
    )
    got = without_date(await proxy.ask(b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"))
    assert got == b"HTTP/1.1 200 OK\r\nVia: 1.1 trio_nodehttp\r\nConnection: close\r\n\r\nok"
    lines = lines_of(proxy.heads[0])
    assert b"Host: origin.test" in lines
    assert b"Via: 1.0 trio_nodehttp" in lines
    assert not [line for line in lines if line.startswith((b"Expect", b"X-Forwarded-Host"))]


async def test_a_coding_that_http_1_0_cannot_be_told(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    proxy.origin(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
    assert (await proxy.ask(b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 502 ")


async def test_chunks_that_nobody_read_are_not_passed_on(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    proxy = await chain(nursery, memory_network)
    proxy.origin(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n" + chunk(b"ok"))
    assert (await proxy.get()).startswith(b"HTTP/1.1 502 ")
    await proxy.all_quiet()


async def test_trailers_go_both_ways(nursery: trio.Nursery, memory_network: MemoryNetwork) -> None:
    proxy = await chain(nursery, memory_network)
    seen = []

    async def origin(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await request.resume()
        seen.append((request.headers.get("trailer"), request.raw_trailers))
        response.write_head(200, {"Trailer": "X-Down"})
        await response.write("body")
        response.add_trailers({"X-Down": "2", "Keep-Alive": "1"})
        await response.end()

    await nursery.start(memory_network.serve, http.create_server(origin), "origin.test", 80)
    got = await proxy.ask(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: X-Up\r\n"
        + CLOSE
        + chunk(b"body")
        + b"0\r\nX-Up: 1\r\nKeep-Alive: 1\r\n\r\n"
    )
    assert seen == [("X-Up", [("X-Up", "1")])]
    assert b"\r\nTrailer: X-Down\r\n" in got
    assert got.endswith(b"0\r\nX-Down: 2\r\n\r\n")


# --- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"origin": "ftp://a"}, http.InvalidProtocolError, "ftp:"),
        ({"origin": "nowhere"}, http.InvalidURLError, "scheme"),
        ({"origin": None}, http.InvalidArgTypeError, "origin must be a string"),
        ({"origin": "http://origin.test/a?b"}, http.InvalidURLError, "a query"),
        ({"timeout": -1}, http.OutOfRangeError, "timeout"),
        ({"timeout": "1"}, http.InvalidArgTypeError, "timeout"),
        ({"forwarded": "yes"}, http.InvalidArgValueError, "forwarded"),
        ({"via": "two words"}, http.InvalidArgValueError, "via"),
        ({"via": 1}, http.InvalidArgTypeError, "via"),
        ({"headers": ["a"]}, http.InvalidArgTypeError, "headers"),
        ({"headers": {"a b": "c"}}, http.InvalidHTTPTokenError, "a b"),
        ({"headers": {"Content_Length": "1"}}, http.InvalidArgValueError, "headers must leave"),
        ({"response_headers": [("a", "b")]}, http.InvalidArgTypeError, "response_headers must be"),
        ({"response_headers": {"a": "b\n"}}, http.InvalidCharError, "header content"),
        (
            {"response_headers": {"Transfer-Encoding": None}},
            http.InvalidArgValueError,
            "response_headers must leave",
        ),
        ({"headers": {"a": "b\r\nc: d"}}, http.InvalidCharError, "header content"),
        ({"preserve_host": 1}, http.InvalidArgTypeError, "preserve_host"),
        ({"raise_unreached": 1}, http.InvalidArgTypeError, "raise_unreached"),
        ({"agent": "a"}, http.InvalidArgTypeError, "agent"),
        ({"path": "/a b"}, http.UnescapedCharactersError, "path"),
        ({"path": "a"}, http.InvalidArgValueError, "path must begin"),
        ({"path": b"/"}, http.InvalidArgTypeError, "path"),
    ],
)
async def test_wrong_arguments_are_named(
    nursery: trio.Nursery,
    memory_network: MemoryNetwork,
    options: dict[str, Any],
    error: type[http.HTTPError],
    text: str,
) -> None:
    caught = []

    async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        given = {"origin": "http://origin.test"} | options
        with pytest.raises(error) as info:
            await http.forward(request, response, **given)
        caught.append(str(info.value))

    await nursery.start(memory_network.serve, http.create_server(handler), "front.test", 80)
    stream = await memory_network.connect("front.test")
    await stream.send_all(b"GET / HTTP/1.1\r\n" + CLOSE)
    await read_all(stream)
    assert text in caught[0]
