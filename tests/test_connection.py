"""Reading the messages of one socket."""

from __future__ import annotations

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from trio_nodehttp._connection import Connection
from trio_nodehttp._memory import MemoryStream, memory_pipe
from trio_nodehttp._sansio.codec_h11 import H11Codec


def client_side(max_receive: int | None = None) -> tuple[Connection, MemoryStream]:
    ours, theirs = memory_pipe(max_receive=max_receive)
    return Connection(http.Socket(ours), H11Codec(is_server=False)), theirs


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("max_receive", [None, 1])
async def test_heads_and_bodies_in_turn(max_receive: int | None) -> None:
    connection, theirs = client_side(max_receive)
    first = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    await theirs.send_all(first + CHUNKED + b"3\r\nabc\r\n0\r\n\r\n")
    assert (await connection.read_response("GET")).status == 100
    assert await connection.read_body(None) == b""
    assert (await connection.read_response("GET")).status == 200
    assert await connection.read_body(2) == b"he"[: max_receive or 2]
    rest = b""
    while data := await connection.read_body(None):
        rest += data
    assert (b"he"[: max_receive or 2] + rest) == b"hello"
    assert connection.body_bytes == 5
    assert (await connection.read_response("GET")).status == 200
    body = b""
    while data := await connection.read_body(None):
        body += data
    assert body == b"abc"
    assert repr(connection).startswith("<Connection <Socket ")
    assert repr(connection).endswith(" buffered=0>")


async def test_the_end_before_a_head() -> None:
    connection, theirs = client_side()
    await theirs.send_all(b"HTTP/1.1 20")
    await theirs.send_eof()
    with pytest.raises(http.SocketHangUpError, match=r"^socket hang up$") as caught:
        await connection.read_response("GET")
    assert caught.value.code == "ECONNRESET"
    assert not isinstance(caught.value, http.AbortedError)


async def test_no_head() -> None:
    connection, theirs = client_side()
    await theirs.send_all(b"nonsense")
    with pytest.raises(http.ParseError) as caught:
        await connection.read_response("GET")
    assert caught.value.code == "HPE_INVALID_CONSTANT"


async def test_the_end_inside_a_body() -> None:
    connection, theirs = client_side()
    await theirs.send_all(CHUNKED + b"5\r\nhel")
    await theirs.send_eof()
    await connection.read_response("GET")
    assert await connection.read_body(None) == b"hel"
    with pytest.raises(http.AbortedError) as caught:
        await connection.read_body(None)
    assert isinstance(caught.value.__cause__, http.ParseError)
    assert connection.fault is caught.value.__cause__


async def test_a_body_that_is_none() -> None:
    connection, theirs = client_side()
    await theirs.send_all(CHUNKED + b"5\r\nhello\r\nzz\r\n")
    await connection.read_response("GET")
    assert await connection.read_body(None) == b"hello"
    with pytest.raises(http.ParseError) as caught:
        await connection.read_body(None)
    assert caught.value.code == "HPE_INVALID_CHUNK_SIZE"
    assert connection.fault is caught.value


async def test_a_cut_call_has_read_nothing(autojump_clock: object) -> None:
    connection, theirs = client_side()
    with trio.move_on_after(1) as scope:
        await connection.read_response("GET")
    assert scope.cancelled_caught
    await theirs.send_all(CHUNKED)
    await connection.read_response("GET")
    with trio.move_on_after(1) as scope:
        await connection.read_body(None)
    assert scope.cancelled_caught
    await theirs.send_all(b"2\r\nok\r\n0\r\n\r\n")
    assert await connection.read_body(None) == b"ok"
    assert await connection.read_body(None) == b""


async def test_one_reader_at_a_time(nursery: trio.Nursery) -> None:
    connection, theirs = client_side()
    await theirs.send_all(CHUNKED)
    await connection.read_response("GET")
    got: list[bytes] = []

    async def read() -> None:
        got.append(await connection.read_body(None))

    nursery.start_soon(read)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(trio.BusyResourceError):
        await connection.read_body(None)
    await theirs.send_all(b"2\r\nok\r\n")
    await trio.testing.wait_all_tasks_blocked()
    assert got == [b"ok"]
    await theirs.send_all(b"0\r\n\r\n")
    assert await connection.read_body(None) == b""


async def test_the_owner_says_how_a_body_is_received() -> None:
    connection, theirs = client_side()
    await theirs.send_all(CHUNKED)
    await connection.read_response("GET")
    pieces = [b"2\r\n", b"ok\r\n0\r\n\r\n"]

    async def receive() -> bytes:
        await trio.lowlevel.checkpoint()
        return pieces.pop(0)

    connection.receive_body = receive
    assert await connection.read_body(None) == b"ok"
    assert await connection.read_body(None) == b""
