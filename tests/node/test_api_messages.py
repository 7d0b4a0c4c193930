"""Rows of Node's page: the members that requests and responses share, on live messages."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import settle
from tests.node.sides import Side, both, outgoing

# How each side names what it starts with: only a request has headers of its own.
OWN = {"client": ["Host"], "server": []}
START = {"client": "POST / HTTP/1.1", "server": "HTTP/1.1 200 OK"}


def three(*names: str) -> pytest.MarkDecorator:
    """Mark members of `OutgoingMessage`, and their rows under both other owners."""
    owners = ("OutgoingMessage|outgoingMessage", "ClientRequest|request", "ServerResponse|response")
    return pytest.mark.node_api(*(f"{owner}.{name}" for owner in owners for name in names))


@both
@pytest.mark.node_api("OutgoingMessage|OutgoingMessage")
async def test_an_outgoing_message_is_a_send_stream(side: Side) -> None:
    async with outgoing(side) as live:
        assert isinstance(live.message, http.OutgoingMessage)
        assert isinstance(live.message, trio.abc.SendStream)
        await live.message.send_all(b"ab")
        await live.message.aclose()
        assert live.message.writable_finished
        assert await live.peer.body() == b"2\r\nab\r\n0\r\n\r\n"


@both
@three(
    "setHeader(name, value)",
    "getHeader(name)",
    "getHeaders()",
    "getHeaderNames()",
    "hasHeader(name)",
    "removeHeader(name)",
)
async def test_headers_are_kept_until_they_are_sent(side: Side) -> None:
    async with outgoing(side) as live:
        message = live.message
        assert message.set_header("X-One", "1") is message
        message.set_header("x-Two", ["a", "b"]).set_header("X-Three", 3)
        message.set_header("X-ONE", "one")
        message.remove_header("x-three")
        assert message.get_header("x-one") == "one"
        assert message.get_header("X-TWO") == ["a", "b"]
        assert message.get_header("x-three") is None
        assert [message.has_header(name) for name in ("X-Two", "X-Three")] == [True, False]
        own = [name.lower() for name in OWN[side]]
        assert message.get_header_names() == [*own, "x-one", "x-two"]
        headers = message.get_headers()
        assert {**headers, "host": ""} == {"host": "", "x-one": "one", "x-two": ["a", "b"]}
        headers["x-four"] = "a copy"
        assert not message.has_header("x-four")
        await message.end()
        lines = await live.peer.lines()
        assert lines[0] == START[side]
        mine = [line for line in lines if line.lower().startswith("x-")]
        assert mine == ["X-ONE: one", "x-Two: a", "x-Two: b"]
        for change in (lambda: message.set_header("a", "b"), lambda: message.remove_header("a")):
            with pytest.raises(http.HeadersSentError):
                change()
        assert message.get_header("x-one") == "one"


@both
@pytest.mark.node_api(
    "ClientRequest|request.getRawHeaderNames()",
    "OutgoingMessage|outgoingMessage.appendHeader(name, value)",
    "OutgoingMessage|outgoingMessage.setHeaders(headers)",
)
async def test_headers_are_appended_and_set_from_a_mapping(side: Side) -> None:
    async with outgoing(side) as live:
        message = live.message
        given = http.Headers([("X-Set", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        assert message.set_headers(given) is message
        message.append_header("X-App", "1").append_header("x-app", ["2", "3"])
        own = OWN[side]
        assert message.get_raw_header_names() == [*own, "x-set", "set-cookie", "X-App"]
        await message.end()
        lines = await live.peer.lines()
        mine = [line for line in lines if line.lower().startswith(("x-", "set-"))]
        assert mine == [
            "x-set: 1",
            "set-cookie: a=1",
            "set-cookie: b=2",
            "X-App: 1",
            "X-App: 2",
            "X-App: 3",
        ]


@both
@pytest.mark.node_api(
    "ClientRequest|request.write(chunk[, encoding][, callback])",
    "ClientRequest|request.end([data[, encoding]][, callback])",
    "ServerResponse|response.write(chunk[, encoding][, callback])",
    "ServerResponse|response.end([data[, encoding]][, callback])",
    "OutgoingMessage|outgoingMessage.write(chunk[, encoding][, callback])",
    "OutgoingMessage|outgoingMessage.end(chunk[, encoding][, callback])",
)
async def test_pieces_are_written_in_their_encodings(side: Side) -> None:
    async with outgoing(side) as live:
        assert await live.message.write("hé") is True
        await live.message.write(b"raw")
        await live.message.write("6869", "hex")
        assert await live.peer.body() == b"3\r\nh\xc3\xa9\r\n3\r\nraw\r\n2\r\nhi\r\n"
        assert await live.message.end("\xe9", "latin-1") is live.message
        assert (await live.peer.body()).endswith(b"hi\r\n1\r\n\xe9\r\n0\r\n\r\n")
        with pytest.raises(http.WriteAfterEndError):
            await live.message.write("more")
        with pytest.raises(http.InvalidArgTypeError):
            await live.message.write(None)


@both
@three("writableEnded", "writableFinished")
@pytest.mark.node_api(
    "ClientRequest|finish",
    "ServerResponse|finish",
    "OutgoingMessage|finish",
    "OutgoingMessage|prefinish",
    "ClientRequest|request.finished",
    "ServerResponse|response.finished",
)
async def test_what_is_true_at_prefinish_and_finish(side: Side) -> None:
    async with outgoing(side) as live:
        message = live.message
        told: list[tuple[Any, ...]] = []

        def states(event: str) -> tuple[Any, ...]:
            return event, message.writable_ended, message.writable_finished, message.finished

        for event in ("prefinish", "finish"):
            message.on(event, lambda event=event: told.append(states(event)))
        told.append(states("before"))
        await message.write("a")
        told.append(states("written"))
        await message.end("b")
        assert told == [
            ("before", False, False, False),
            ("written", False, False, False),
            ("prefinish", True, False, True),
            ("finish", True, True, True),
        ]


@both
@three("cork()", "uncork()")
@pytest.mark.node_api(
    "OutgoingMessage|outgoingMessage.writableCorked",
    "OutgoingMessage|outgoingMessage.writableLength",
)
async def test_corked_pieces_leave_together(side: Side) -> None:
    async with outgoing(side) as live:
        message = live.message
        await message.flush_headers()
        message.cork()
        message.cork()
        assert message.writable_corked == 2
        await message.write("one")
        await message.write("two")
        assert message.writable_length == len("3\r\none\r\n3\r\ntwo\r\n")
        message.uncork()
        assert message.writable_corked == 1
        assert await live.peer.body() == b""
        message.uncork()
        assert message.writable_corked == 0
        await message.write("three")
        assert message.writable_length == 0
        assert await live.peer.body() == b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n"


@both
@three("flushHeaders()", "socket")
@pytest.mark.node_api(
    "OutgoingMessage|outgoingMessage.headersSent",
    "ServerResponse|response.headersSent",
    "OutgoingMessage|outgoingMessage.connection",
    "ClientRequest|request.connection",
    "ServerResponse|response.connection",
)
async def test_the_head_can_leave_on_its_own(side: Side) -> None:
    async with outgoing(side) as live:
        message = live.message
        assert isinstance(message.socket, http.Socket)
        assert message.connection is message.socket
        assert not message.headers_sent
        written = message.socket.bytes_written
        await message.flush_headers()
        assert message.headers_sent
        seen = await live.peer.seen()
        assert seen.startswith(START[side].encode() + b"\r\n")
        assert seen.endswith(b"\r\n\r\n")
        assert message.socket.bytes_written - written == len(seen)
        await message.flush_headers()
        await message.end("x")
        assert await live.peer.body() == b"1\r\nx\r\n0\r\n\r\n"


@both
@pytest.mark.node_api(
    "OutgoingMessage|outgoingMessage.destroy([error])",
    "ClientRequest|request.destroy([error])",
    "ClientRequest|request.destroyed",
)
async def test_destroying_a_message_closes_its_socket(side: Side) -> None:
    async with outgoing(side) as live:
        message, socket = live.message, live.message.socket
        await message.write("part")
        assert message.destroyed is False
        error = LookupError("enough")
        assert message.destroy(error) is message
        assert message.destroyed is True
        assert message.errored is error
        assert socket is not None
        assert socket.destroyed
        with pytest.raises(http.StreamDestroyedError):
            await message.write("more")
        assert (await live.peer.body()) == b"4\r\npart\r\n"
        assert live.peer.ended


@both
@pytest.mark.node_api(
    "OutgoingMessage|outgoingMessage.addTrailers(headers)",
    "ServerResponse|response.addTrailers(headers)",
)
async def test_trailers_follow_a_chunked_body(side: Side) -> None:
    async with outgoing(side) as live:
        live.message.set_header("Trailer", "X-Sum, X-Time")
        await live.message.write("a")
        live.message.add_trailers({"X-Sum": "1", "X-Time": ["2", "3"]})
        await live.message.end()
        trailers = b"X-Sum: 1\r\nX-Time: 2\r\nX-Time: 3\r\n"
        assert await live.peer.body() == b"1\r\na\r\n0\r\n" + trailers + b"\r\n"


@both
@pytest.mark.node_api(
    "OutgoingMessage|outgoingMessage.setTimeout(msesc[, callback])",
    "ServerResponse|response.setTimeout(msecs[, callback])",
    "ClientRequest|request.setTimeout(timeout[, callback])",
    "ClientRequest|timeout",
)
async def test_silence_is_told_to_an_observer(side: Side, autojump_clock: Any) -> None:
    async with outgoing(side) as live:
        message, told = live.message, []
        begun = trio.current_time()

        def note() -> None:
            told.append(trio.current_time() - begun)

        assert message.set_timeout(3, note) is message
        await trio.sleep(2.5)
        await message.write("a byte begins the wait anew")
        await trio.sleep(20)
        assert told == [5.5]
        assert message.socket is not None
        assert not message.socket.destroyed
        message.set_timeout(0)
        message.on("timeout", note)
        await trio.sleep(20)
        assert told == [5.5]


@both
@pytest.mark.node_api("ServerResponse|response.setTimeout(msecs[, callback])")
async def test_unobserved_silence_ends_the_message(side: Side, autojump_clock: Any) -> None:
    async with outgoing(side) as live:
        live.message.set_timeout(3)
        assert live.message.socket is not None
        await live.message.flush_headers()
        await trio.sleep(3.5)
        assert live.message.socket.destroyed
        assert isinstance(live.message.socket.errored, http.SocketTimeoutError)
        if isinstance(live.message, http.ClientRequest):
            with pytest.raises(http.SocketTimeoutError) as caught:
                await live.message.get_response()
            assert caught.value.code == "ETIMEDOUT"


@both
@pytest.mark.node_api("OutgoingMessage|drain")
async def test_write_waits_so_nobody_needs_drain(side: Side) -> None:
    async with outgoing(side, buffer_size=100) as live:
        told: list[str] = []
        live.message.on("drain", lambda: told.append("drain"))
        written = trio.Event()

        async def write() -> None:
            await live.message.write(b"x" * 1000)
            written.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await settle()
            assert not written.is_set()
            body = await live.peer.body()
            assert body == b"3e8\r\n" + b"x" * 1000 + b"\r\n"
            assert written.is_set()
        assert told == []


@both
@pytest.mark.node_api(
    "OutgoingMessage|outgoingMessage.writableHighWaterMark",
    "OutgoingMessage|outgoingMessage.writableObjectMode",
)
async def test_marks_of_a_stream_of_bytes(side: Side) -> None:
    async with outgoing(side) as live:
        assert live.message.socket is not None
        mark = live.message.writable_high_water_mark
        assert mark == live.message.socket.writable_high_water_mark == 65536
        assert live.message.writable_object_mode is False


@both
@pytest.mark.node_api("ClientRequest|close", "ServerResponse|close")
async def test_close_comes_last_and_once(side: Side) -> None:
    told: list[str] = []
    async with outgoing(side) as live:
        for event in ("close", "finish"):
            live.message.on(event, lambda event=event: told.append(event))
        await live.message.end("x")
        assert told == ["finish"]
        if isinstance(live.message, http.ClientRequest):
            await live.peer.stream.send_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            await (await live.message.get_response()).read()
    assert told == ["finish", "close"]
    assert live.message.closed


@pytest.mark.node_api("OutgoingMessage|outgoingMessage.writableLength")
async def test_a_head_that_waits_counts() -> None:
    async with outgoing("server") as live:
        response = live.message
        assert isinstance(response, http.ServerResponse)
        assert response.writable_length == 0
        response.write_head(200, {"X-A": "1"})
        waiting = response.writable_length
        await response.flush_headers()
        assert waiting == len(await live.peer.seen())
        assert response.writable_length == 0
