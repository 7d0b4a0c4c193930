"""Messages that leave: framing by what is written, states, cuts and gifts of a socket."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from trio_nodehttp._memory import MemoryStream, memory_pipe
from trio_nodehttp._outgoing import http_date
from trio_nodehttp._sansio.codec_h11 import H11Codec


class Plain(http.OutgoingMessage):
    def _render_head(self) -> bytes:
        return b"HEAD\r\n\r\n"


def answer(
    head: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", **sizes: int
) -> tuple[http.ServerResponse, MemoryStream]:
    """A response to such a request, and the end where it comes out."""
    codec = H11Codec(is_server=True)
    codec.feed(head)
    request = codec.read_request()
    assert request is not None
    response = http.ServerResponse(http.IncomingMessage(None, request))
    response.send_date = False
    ours, theirs = memory_pipe(**sizes)
    response.assign_socket(http.Socket(ours))
    return response, theirs


def came(theirs: MemoryStream) -> bytes:
    """What has come out by now."""
    return bytes(theirs._incoming.buffer)


KEPT = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n"


@pytest.mark.parametrize(
    ("pieces", "wire"),
    [
        ((), KEPT + b"Content-Length: 0\r\n\r\n"),
        (("last",), KEPT + b"Content-Length: 4\r\n\r\nlast"),
        (
            ("one", "", "last"),
            KEPT + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n4\r\nlast\r\n0\r\n\r\n",
        ),
        (("one", None), KEPT + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n"),
    ],
)
async def test_framing_follows_the_calls(pieces: tuple[Any, ...], wire: bytes) -> None:
    response, theirs = answer()
    for piece in pieces[:-1]:
        assert await response.write(piece) is True
    assert await response.end(*pieces[-1:]) is response
    assert came(theirs) == wire


async def test_a_settled_head_without_a_length_means_chunks() -> None:
    response, theirs = answer()
    assert await response.write_head(200).end() is response
    assert came(theirs) == KEPT + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"


@pytest.mark.parametrize(("request_line", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
async def test_no_body_where_none_may_be(request_line: bytes, status: int) -> None:
    response, theirs = answer(request_line + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
    response.status_code = status
    assert await response.write("dropped") is True
    await response.end("dropped")
    head, mark, body = came(theirs).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (mark, body) == (b"\r\n\r\n", b"")


async def test_a_body_where_none_may_be_can_be_refused() -> None:
    response, theirs = answer(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    response.reject_non_standard_body_writes = True
    with pytest.raises(http.BodyNotAllowedError) as caught:
        await response.write("x")
    assert caught.value.code == "ERR_HTTP_BODY_NOT_ALLOWED"
    await response.write("")
    with pytest.raises(http.BodyNotAllowedError):
        await response.end("x")
    await response.end()
    assert came(theirs).endswith(b"\r\n\r\n")


async def test_http_10_ends_with_the_connection() -> None:
    response, theirs = answer(b"GET / HTTP/1.0\r\n\r\n")
    await response.write("one")
    await response.end("two")
    assert came(theirs) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonetwo"
    assert response._shape.last


@pytest.mark.parametrize(("body", "last"), [("hell", True), ("hello", False), ("hello!", True)])
async def test_a_wrong_length_ends_the_connection(body: str, last: bool) -> None:
    response, theirs = answer()
    response.set_header("Content-Length", 5)
    await response.end(body)
    assert came(theirs).endswith(body.encode())
    assert response._shape.last is last


@pytest.mark.parametrize("length", ["5", "oops"])
async def test_strictness_needs_a_length_to_compare(length: str) -> None:
    response, _ = answer()
    response.strict_content_length = True
    response.set_header("Content-Length", length)
    if length == "5":
        with pytest.raises(http.ContentLengthMismatchError, match=r"^Response body's content-"):
            await response.write("123456")
        with pytest.raises(http.ContentLengthMismatchError):
            await response.end("1234")
        await response.end("12345")
    else:
        await response.end("any")
    assert response.writable_finished


async def test_a_trailer_header_needs_chunks() -> None:
    response, theirs = answer()
    response.set_header("Trailer", "x").set_header("Content-Length", "1")
    with pytest.raises(http.TrailerInvalidError):
        await response.write("a")
    response.remove_header("content-length")
    response.remove_header("trailer")
    response.add_trailers({"X": "y"})
    await response.write("a")
    await response.end()
    assert came(theirs).endswith(b"1\r\na\r\n0\r\nX: y\r\n\r\n")


async def test_a_head_that_failed_keeps_no_length() -> None:
    response, theirs = answer()
    response.set_header("Trailer", "x").set_header("Content-Length", "1")
    with pytest.raises(http.TrailerInvalidError):
        await response.end("longer")
    response.remove_header("content-length")
    response.set_header("Transfer-Encoding", "chunked")
    await response.end("x")
    assert came(theirs).endswith(b"\r\n\r\n1\r\nx\r\n0\r\n\r\n")
    known, theirs = answer()
    known._shape.length = 3
    await known.end("abc")
    assert b"\r\nContent-Length: 3\r\n" in came(theirs)


async def test_trailers_without_chunks_are_left_out() -> None:
    response, theirs = answer()
    response.add_trailers({"X": "y"})
    await response.end("a")
    assert came(theirs).endswith(b"\r\n\r\na")


async def test_cork_and_uncork() -> None:
    response, theirs = answer()
    response.uncork()
    assert response.writable_corked == 0
    response.cork()
    await response.write("ab")
    await response.flush_headers()
    assert came(theirs) == b""
    assert response.writable_length > 70
    response.uncork()
    # A stream that is no socket takes nothing without waiting.
    assert response.writable_length > 70
    await response.write("")
    assert came(theirs).endswith(b"2\r\nab\r\n")
    assert response.writable_length == 0
    response.cork()
    response.uncork()
    assert response._held is None


async def test_uncork_on_a_socket_sends_at_once() -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    theirs = await trio.open_tcp_stream(*listener.socket.getsockname())
    message = Plain()
    message.socket = http.Socket(await listener.accept())
    message.cork()
    message.cork()
    await message.write("ab")
    message.uncork()
    assert message.socket.bytes_written == 0
    message.uncork()
    assert message.socket.bytes_written == len(b"HEAD\r\n\r\nab")
    assert await theirs.receive_some() == b"HEAD\r\n\r\nab"
    await theirs.aclose()
    message.destroy()
    await listener.aclose()


async def test_without_a_socket() -> None:
    message = Plain()
    assert message.writable_high_water_mark == 65536
    await message.wait_send_all_might_not_block()
    message.cork()
    await message.write("a")
    message.uncork()
    await message.write("b")
    await message.end("c")
    assert message.writable_ended
    assert not message.writable_finished
    assert await message.end() is message
    assert not message.writable_finished
    ours, theirs = memory_pipe()
    message.connection = http.Socket(ours)
    assert message.socket is message.connection
    await message.end()
    assert message.writable_finished
    assert came(theirs) == b"HEAD\r\n\r\nabc"
    message.socket = None
    assert message.socket is None


async def test_writes_behind_the_end_and_behind_destroy() -> None:
    message = Plain()
    message.socket = http.Socket(memory_pipe()[0])
    await message.end("a")
    for late in (message.write("b"), message.write(""), message.end("b"), message.send_all(b"")):
        with pytest.raises(http.WriteAfterEndError):
            await late
    assert await message.end() is message
    message.destroy()
    assert not message.socket.destroyed
    message.destroy(RuntimeError())

    message = Plain()
    message.socket = http.Socket(memory_pipe()[0])
    mistake = LookupError()
    assert message.destroy(mistake) is message
    assert message.destroy() is message
    assert message.errored is mistake
    assert message.socket.errored is mistake
    for late in (message.write("b"), message.flush_headers()):
        with pytest.raises(http.StreamDestroyedError):
            await late
    assert await message.end("x") is message
    assert not message.writable_finished


@pytest.mark.parametrize("chunk", [None, 3, [b"x"]])
async def test_a_wrong_chunk_changes_nothing(chunk: Any) -> None:
    response, theirs = answer()
    with pytest.raises(http.InvalidArgTypeError, match="chunk must be bytes or str, not"):
        await response.write(chunk)
    with pytest.raises(http.InvalidArgValueError):
        await response.write("x", "no such encoding")
    assert not response.headers_sent
    await response.end("fine")
    assert came(theirs).endswith(b"Content-Length: 4\r\n\r\nfine")


@pytest.mark.parametrize("call", ["write", "send_all", "end", "flush_headers", "aclose"])
async def test_a_call_cut_short_destroys(autojump_clock: Any, call: str) -> None:
    response, theirs = answer(buffer_size=10)
    with trio.move_on_after(1) as scope:
        await getattr(response, call)(*([bytes(100)] if call in ("write", "send_all") else []))
    assert scope.cancelled_caught
    assert response.destroyed
    assert theirs.peer_closed
    with pytest.raises((http.StreamDestroyedError, http.WriteAfterEndError)):
        await response.write("more")
    await response.end()
    assert not response.writable_finished
    assert len(came(theirs)) == 10


async def test_a_second_writer_is_refused_and_nothing_is_lost(nursery: trio.Nursery) -> None:
    response, theirs = answer(buffer_size=10)
    nursery.start_soon(response.write, b"x" * 100)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(trio.BusyResourceError):
        await response.write(b"y")
    assert not response.destroyed
    wire = b""
    while not wire.endswith(b"x" * 100 + b"\r\n"):
        wire += await theirs.receive_some()
    assert b"y" not in wire.partition(b"\r\n\r\n")[2]


async def test_the_peer_is_gone() -> None:
    response, theirs = answer()
    theirs.reset()
    with pytest.raises(http.SocketHangUpError):
        await response.wait_send_all_might_not_block()
    with pytest.raises(http.SocketHangUpError) as caught:
        await response.write("x")
    assert response.destroyed
    assert response.errored is caught.value
    for _ in range(2):
        with pytest.raises(http.SocketHangUpError):
            await response.send_all(b"x")
    await response.aclose()
    with pytest.raises(http.WriteAfterEndError):
        await response.write("x")


async def test_aclose_beside_a_write(nursery: trio.Nursery) -> None:
    response, _ = answer(buffer_size=10)
    told: list[str] = []

    async def send() -> None:
        with pytest.raises(http.StreamDestroyedError):
            await response.send_all(bytes(100))
        told.append("sent")

    nursery.start_soon(send)
    await trio.testing.wait_all_tasks_blocked()
    await response.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert told == ["sent"]


async def test_aclose_when_the_peer_is_gone() -> None:
    response, theirs = answer()
    theirs.reset()
    await response.aclose()
    assert response.destroyed


async def test_waiting_for_room(nursery: trio.Nursery) -> None:
    response, theirs = answer(buffer_size=200)
    await response.write(bytes(50))
    await response.wait_send_all_might_not_block()

    async def fill() -> None:
        with pytest.raises(http.SocketHangUpError):
            await response.write(bytes(300))

    nursery.start_soon(fill)
    await trio.testing.wait_all_tasks_blocked()
    assert len(came(theirs)) == 200
    response.destroy()
    with pytest.raises(http.StreamDestroyedError):
        await response.wait_send_all_might_not_block()


async def test_the_events_of_the_end() -> None:
    response, _ = answer()
    told: list[object] = []
    response.on("prefinish", lambda: told.append(("prefinish", response.writable_finished)))
    response.on("finish", lambda: told.append(("finish", response.writable_finished)))
    response.on("close", lambda: told.append("close"))
    assert response.finished is False
    await response.end("x")
    assert response.finished is True
    assert response.writable_high_water_mark == 65536
    response._close()
    response._close()
    assert told == [("prefinish", False), ("finish", True), "close"]
    assert response.closed


async def test_silence(autojump_clock: Any) -> None:
    response, _ = answer()
    told: list[float] = []
    began = trio.current_time()
    assert response.set_timeout(3, lambda: told.append(trio.current_time() - began)) is response
    response.set_timeout(4)
    assert response.socket is not None
    await trio.sleep(3.5)
    await response.write("x")
    await trio.sleep(3.5)
    assert told == []
    await trio.sleep(10)
    assert told == [7.5]  # once, and nothing was destroyed
    assert not response.socket.destroyed
    response.socket.watchers.append(bool)
    response._close()
    assert response.socket.watchers == [bool]
    other, _ = answer()
    assert other.socket is not None
    other.socket.watchers.append(bool)
    other._close()
    assert other.socket.watchers == [bool]
    await response.socket.send(b"x")
    await trio.sleep(10)
    assert response.socket.destroyed
    assert isinstance(response.socket.errored, http.SocketTimeoutError)


async def test_set_timeout_before_there_is_a_socket() -> None:
    message = Plain().set_timeout(5)
    message.socket = http.Socket(memory_pipe()[0])
    assert message.socket.timeout == 5
    message.set_timeout(None).destroy()


async def test_every_call_is_a_checkpoint() -> None:
    response, _ = answer()
    for call in (
        lambda: response.write(""),
        response.flush_headers,
        lambda: response.write("x"),
        response.wait_send_all_might_not_block,
        response.end,
        response.end,
        response.aclose,
    ):
        with trio.testing.assert_checkpoints():
            await call()
    broken, theirs = answer()
    theirs.reset()
    with trio.testing.assert_checkpoints():
        await broken.aclose()


async def test_a_message_needs_a_head_of_its_own() -> None:
    message = http.OutgoingMessage()
    for send in (message.write, message.end):
        with pytest.raises(NotImplementedError) as caught:
            await send("x")
        assert isinstance(caught.value, http.MethodNotImplementedError)
        assert caught.value.code == "ERR_METHOD_NOT_IMPLEMENTED"


def test_an_unfinished_message_is_collected_quietly() -> None:
    async def main() -> None:
        response, _ = answer()
        response.cork()
        await response.write("x")
        assert "open" in repr(response)
        del response

    trio.run(main)
    gc.collect()


def test_dates_are_written_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 784111777.25
    monkeypatch.setattr("trio_nodehttp._outgoing.time.time", lambda: now)
    first = http_date()
    assert first == "Sun, 06 Nov 1994 08:49:37 GMT"
    now += 0.5
    assert http_date() is first
    now += 0.5
    assert http_date() == "Sun, 06 Nov 1994 08:49:38 GMT"
