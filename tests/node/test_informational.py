"""Rows of area *expect-continue/1xx*."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import HOST, ask, serving, settle
from tests.wires import wire
from trio_nodehttp.testing import Expect, FaultyServer, MemoryStream, Send, Stall, memory_pipe

URL = f"http://{HOST}/"
PRELOAD_1 = "</styles.css>; rel=preload; as=style"
PRELOAD_2 = "</scripts.js>; rel=preload; as=script; crossorigin"


@pytest.mark.node("test-http-early-hints.js")
@pytest.mark.node_api("ServerResponse|response.writeEarlyHints(hints[, callback])")
@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        ({"link": PRELOAD_1}, {"link": PRELOAD_1}),
        ({"link": [PRELOAD_1, PRELOAD_2]}, {"link": f"{PRELOAD_1}, {PRELOAD_2}"}),
        (
            {"x-trace-id": "id for diagnostics", "link": PRELOAD_1},
            {"link": PRELOAD_1, "x-trace-id": "id for diagnostics"},
        ),
        ({}, None),
        ({"link": []}, None),
    ],
)
async def test_early_hints(
    autojump_clock: Any, hints: dict[str, Any], expected: dict[str, str] | None
) -> None:
    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.write_early_hints(hints)
        await response.end("the response body")

    told: list[object] = []
    async with serving(handle, on_error="raise") as served:
        async with served.agent() as agent, http.request(URL, agent=agent) as request:
            request.on("information", lambda one: told.append((one.status_code, one.headers)))
            request.on("response", lambda one: told.append(one.status_code))
            response = await request.get_response()
            assert await response.text() == "the response body"
        client = await served.connect()
        await client.send(ask("/", "Connection: close"))
        wire = await client.until_end()
    assert told == ([(103, expected)] if expected else []) + [200]
    assert wire.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: " if expected else b"HTTP/1.1 200 ")


@pytest.mark.node("test-http-early-hints-invalid-argument.js")
@pytest.mark.parametrize(
    ("hints", "error", "code"),
    [
        ("bad argument", TypeError, "ERR_INVALID_ARG_TYPE"),
        (None, TypeError, "ERR_INVALID_ARG_TYPE"),
        ({"link": "</>; "}, ValueError, "ERR_INVALID_ARG_VALUE"),
        ({"link": "rel=preload; </scripts.js>"}, ValueError, "ERR_INVALID_ARG_VALUE"),
        ({"link": "invalid string"}, ValueError, "ERR_INVALID_ARG_VALUE"),
        ({"link": [PRELOAD_1, "bad"]}, ValueError, "ERR_INVALID_ARG_VALUE"),
        ({"link": "</a\r\nb>; rel=preload"}, ValueError, "ERR_INVALID_ARG_VALUE"),
        ({"link": PRELOAD_1, "x": "a\r\nb: c"}, ValueError, "ERR_INVALID_CHAR"),
        ({"link": PRELOAD_1, "x\r\n": "a"}, ValueError, "ERR_INVALID_HTTP_TOKEN"),
    ],
)
async def test_bad_early_hints(
    autojump_clock: Any, hints: Any, error: type[Exception], code: str
) -> None:
    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        with pytest.raises(error) as caught:
            await response.write_early_hints(hints)
        assert getattr(caught.value, "code", None) == code
        await response.end("still")

    async with serving(handle, on_error="raise") as served:
        client = await served.connect()
        await client.send(ask("/", "Connection: close"))
        wire = await client.until_end()
        assert wire.startswith(b"HTTP/1.1 200 OK\r\n")
        assert wire.endswith(b"still")


@pytest.mark.node("test-http-information-headers.js")
@pytest.mark.node_api("ClientRequest|information")
async def test_information_as_the_client_sees_it(nursery: Any, autojump_clock: Any) -> None:
    peer = FaultyServer(
        [
            Expect(b"\r\n\r\n"),
            Send(b"HTTP/1.1 102 Processing\r\nFoo: Bar\r\n\r\n"),
            Send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            Stall(),
        ]
    )
    wired = await wire(nursery, "memory", peer)
    told: list[object] = []

    def note(one: http.Information) -> None:
        told.append(
            (one.http_version, one.http_version_major, one.http_version_minor, one.status_code)
        )
        told.append((one.status_message, dict(one.headers), list(one.raw_headers)))

    async with http.request(wired.url, agent=wired.agent) as request:
        request.on("information", note)
        request.on("response", lambda one: told.append(one.status_code))
        assert (await request.get_response()).status_code == 200
    assert told == [
        ("1.1", 1, 1, 102),
        ("Processing", {"foo": "Bar"}, [("Foo", "Bar")]),
        200,
    ]


@pytest.mark.node("test-http-information-processing.js")
@pytest.mark.node_api("ServerResponse|response.writeProcessing()")
async def test_processing_twice(autojump_clock: Any) -> None:
    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.write_processing()
        await response.write_processing()
        response.write_head(200, {"Content-Type": "text/plain", "ABCD": "1"})
        await response.end("test\n")

    told: list[int] = []
    async with (
        serving(handle) as served,
        served.agent() as agent,
        http.request(URL, agent=agent) as request,
    ):
        request.on("information", lambda one: told.append(one.status_code))
        request.on("response", lambda one: told.append(one.status_code))
        assert await (await request.get_response()).text() == "test\n"
    assert told == [102, 102, 200]


@pytest.mark.node("test-http-expect-handling.js")
@pytest.mark.node_api("Server|checkExpectation")
@pytest.mark.parametrize("hooked", [False, True])
async def test_other_expectations(autojump_clock: Any, hooked: bool) -> None:
    told: list[str] = []

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        told.append("handler")
        await response.end()

    async def check(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        told.append(request.headers["expect"])
        await response.write_head(417, {"X-Hook": "1"}).end("hooked")

    async with serving(handle) as served:
        if hooked:
            served.server.on("check_expectation", check)
        client = await served.connect()
        for expected in ("meoww", "202-ok"):
            answer = await client.get("/", f"Expect: {expected}")
            assert (answer.status, answer.reason) == (417, "Expectation Failed")
            assert answer.body == (b"hooked" if hooked else b"")
    assert told == (["meoww", "202-ok"] if hooked else [])


@pytest.mark.node("test-http-expect-handling.js")
@pytest.mark.parametrize("hooked", [False, True])
async def test_the_expectation_that_is_met(autojump_clock: Any, hooked: bool) -> None:
    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.end(await request.read())

    async with serving(handle) as served:
        if hooked:
            served.server.on("check_continue", handle)
        client = await served.connect()
        await client.send(ask("/", "Expect: 100-continue", "Content-Length: 4", method="POST"))
        await settle()
        # Who registered for check_continue decides alone whether the client may go on.
        if not hooked:
            assert await client.line() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"body")
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"body")


@pytest.mark.node("test-http-expect-continue-reuse-race.js")
async def test_a_socket_returns_once_after_each_continue(autojump_clock: Any) -> None:
    class Slow(trio.abc.HalfCloseableStream):
        """Tells of a write only after a while."""

        def __init__(self, stream: MemoryStream) -> None:
            self.inner = stream

        async def send_all(self, data: Any) -> None:
            await self.inner.send_all(data)
            await trio.sleep(0.01)

        async def wait_send_all_might_not_block(self) -> None:
            await self.inner.wait_send_all_might_not_block()

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            return await self.inner.receive_some(max_bytes)

        async def send_eof(self) -> None:
            await self.inner.send_eof()

        async def aclose(self) -> None:
            await self.inner.aclose()

    async def handle(_: http.IncomingMessage, response: http.ServerResponse) -> None:
        await response.write_continue()
        await response.end()

    async with serving(handle) as served:

        async def connect(_: object) -> trio.abc.Stream:
            return Slow(await served.network.connect(HOST))

        served.server.on("check_continue", handle)
        agent = http.Agent(create_connection=connect, max_sockets=1, keep_alive=True)
        async with agent:
            for _ in range(100):
                headers = {"Expect": "100-continue"}
                async with http.request(
                    URL, method="POST", headers=headers, agent=agent
                ) as request:
                    await request.end()
                    response = await request.get_response()
                    assert response.status_code == 200
                    await response.resume()
                # A socket whose last write was not over when the answer came is not kept.
                stats = agent.stats()
                assert (stats.active, stats.connecting, stats.queued) == (0, 0, 0)
                assert len(served.network.connections) <= 1
            assert stats.opened + stats.reused == 100


@pytest.mark.node("test-http-sync-write-error-during-continue.js")
@pytest.mark.parametrize("framed", [False, True])
async def test_a_write_that_fails_behind_a_continue(
    nursery: Any, autojump_clock: Any, framed: bool
) -> None:
    ours, theirs = memory_pipe()

    async def connect(_: object) -> trio.abc.Stream:
        return ours

    async def serve() -> None:
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += await theirs.receive_some()
        heads.append(asked)
        await theirs.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")

    heads: list[bytes] = []
    told: list[object] = []
    nursery.start_soon(serve)
    headers = {"Expect": "100-continue", **({"Content-Length": "4"} if framed else {})}
    request = http.request("http://localhost:80", headers=headers, create_connection=connect)
    request.on("error", told.append)
    request.on("response", told.append)
    if framed:
        request.on("continue", theirs.reset)
    async with request:
        assert await request.wait_continue()
        # Without a length the body of a GET could not be told from a next request.
        with pytest.raises(http.SocketHangUpError if framed else http.BodyNotAllowedError):
            await request.write("data")
    assert heads[0].startswith(b"GET / HTTP/1.1\r\nExpect: 100-continue\r\n")
    assert heads[0].endswith(b"Host: localhost:80\r\nConnection: close\r\n\r\n")
    assert len(heads[0].split(b"\r\n")) == (7 if framed else 6)
    assert [type(one) for one in told] == ([http.SocketHangUpError] if framed else [])
    assert not theirs.unread


@pytest.mark.node("test-http-write-callbacks.js")
@pytest.mark.node_api("ServerResponse|response.writeContinue()", "Server|checkContinue")
async def test_every_write_is_told(autojump_clock: Any) -> None:
    told: list[str] = []

    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        assert request.headers["expect"] == "100-continue"
        await response.write_continue()
        told.append("server continue")
        assert await request.text() == "bazquuxblerg"
        told.append("server read")
        await response.write("asdf", "ascii")
        told.append("server write 1")
        await response.write("666f6f", "hex")
        told.append("server write 2")
        await response.end("626172", "hex")
        told.append("server end")

    async with serving(on_error="raise", buffer_size=1 << 20) as served, served.agent() as agent:
        served.server.on("check_continue", handle)
        headers = {"Expect": "100-continue"}
        async with http.request(URL, method="PUT", headers=headers, agent=agent) as request:
            request.on("response", lambda _: told.append("response"))
            assert await request.wait_continue()
            await request.write("YmF6", "base64")
            told.append("client write 1")
            await request.write(b"quux")
            told.append("client write 2")
            await request.end("626c657267", "hex")
            told.append("client end")
            response = await request.get_response()
            assert await response.text() == "asdffoobar"
    server = [one for one in told if one.startswith("server")]
    client = [one for one in told if not one.startswith("server")]
    assert server == [
        f"server {name}" for name in ("continue", "read", "write 1", "write 2", "end")
    ]
    assert client == ["client write 1", "client write 2", "client end", "response"]
