"""Messages that arrive: reading and decoding."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests._server.kit import HOST, serving, settle
from tests.arrivals import LENGTH, body, message, told_of
from trio_nodehttp._sansio.codec_h11 import H11Codec

# --- reading ---------------------------------------------------------------------------


@pytest.mark.parametrize("max_receive", [None, 1])
async def test_piece_by_piece(max_receive: int | None) -> None:
    request, _ = await message(LENGTH % 5 + b"hello", max_receive=max_receive)
    told = told_of(request)
    assert not request.complete
    assert request.readable
    first = await request.receive_some(2)
    rest = []
    while data := await request.receive_some():
        rest.append(data)
    assert first + b"".join(rest) == b"hello"
    assert len(first) <= 2
    assert request.complete
    assert not request.readable
    assert await request.receive_some() == b""
    assert told == [first, *rest, "end"]


async def test_what_is_asked_for() -> None:
    request = await body(b"0123456789")
    assert await request.read(4) == b"0123"
    assert await request.read(4) == b"4567"
    assert await request.read(4) == b"89"
    assert await request.read(4) == b""
    assert await request.read() == b""


async def test_read_collects_pieces() -> None:
    request, theirs = await message(LENGTH % 6)
    pieces = [b"ab", b"cd", b"ef"]

    async def send() -> None:
        for piece in pieces:
            await theirs.send_all(piece)
            await settle()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        assert await request.read(5) == b"abcde"
        assert await request.read() == b"f"


@pytest.mark.parametrize("call", ["receive_some", "read"])
@pytest.mark.parametrize(
    ("size", "error"),
    [
        (0, http.InvalidArgValueError),
        (-1, http.InvalidArgValueError),
        (1.5, http.InvalidArgTypeError),
        (True, http.InvalidArgTypeError),
    ],
)
async def test_a_bad_size(call: str, size: Any, error: type[Exception]) -> None:
    request = await body(b"kept")
    with pytest.raises(error, match=f"max_bytes must be .*, not {size}"):
        await getattr(request, call)(size)
    assert await request.read() == b"kept"


async def test_every_call_is_a_checkpoint() -> None:
    for call in ("receive_some", "read", "text", "resume", "aclose"):
        request = await body(b"x")
        with trio.testing.assert_checkpoints():
            await getattr(request, call)()
        with trio.testing.assert_checkpoints():
            await getattr(request, call)()
    request = await body(b"x")
    with trio.testing.assert_checkpoints():
        assert await request.receive_some() == b"x"
    with trio.testing.assert_checkpoints():
        assert await request.receive_some() == b""
    with trio.testing.assert_checkpoints():
        assert await request.read() == b""


@pytest.mark.parametrize("call", ["receive_some", "read"])
async def test_a_cancelled_call_loses_nothing_that_was_there(call: str) -> None:
    request = await body(b"hello")
    with trio.CancelScope() as scope:
        scope.cancel()
        await getattr(request, call)()
    assert scope.cancelled_caught
    assert await getattr(request, call)() == b"hello"
    assert await getattr(request, call)() == b""


async def test_a_cancelled_wait_can_be_repeated(autojump_clock: Any) -> None:
    request, theirs = await message(LENGTH % 2)
    with trio.move_on_after(1) as scope:
        await request.receive_some()
    assert scope.cancelled_caught
    await theirs.send_all(b"ok")
    assert await request.read() == b"ok"


async def test_iterating() -> None:
    request = await body(b"abc")
    assert request.__aiter__() is request
    assert [piece async for piece in request] == [b"abc"]
    with pytest.raises(StopAsyncIteration):
        await request.__anext__()


async def test_the_hook_before_the_body_runs_once() -> None:
    request = await body(b"abc")
    told: list[str] = []

    async def hook() -> None:
        await trio.lowlevel.checkpoint()
        told.append("asked")

    request.before_body = hook
    assert await request.read(1) == b"a"
    assert await request.read() == b"bc"
    assert told == ["asked"]


async def test_a_message_without_a_connection_is_empty() -> None:
    codec = H11Codec(is_server=True)
    codec.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    head = codec.read_request()
    assert head is not None
    request = http.IncomingMessage(None, head)
    assert request.complete
    assert request.readable_high_water_mark == 65536
    with trio.testing.assert_checkpoints():
        assert await request.read() == b""
    request.destroy(LookupError())
    request._close()
    assert request.closed


# --- text --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "data", "text"),
    [
        (b"", b"\xe2\x82\xac", "\u20ac"),
        (b"Content-Type: text/plain", b"\xe2\x82\xac", "\u20ac"),
        (b"Content-Type: text/plain; charset=latin1", b"\xe4", "\xe4"),
        (b'content-type: a/b; x=y; Charset = "UTF-16LE"', b"a\0", "a"),
        (b"Content-Type: a/b; charset=no-such-thing", b"\xe2\x82\xac", "\u20ac"),
        (b"Content-Type: a/b; charset=zip", b"x", "x"),
        (b"Content-Type: a/b; charset=", b"x", "x"),
    ],
)
async def test_text_by_what_was_announced(line: bytes, data: bytes, text: str) -> None:
    request = await body(data, *([line] if line else []))
    assert await request.text() == text


async def test_text_by_what_the_caller_says() -> None:
    assert await (await body(b"\xff\xfe")).text("hex") == "fffe"
    assert await (await body(b"\xe4", b"Content-Type: a/b; charset=utf-8")).text("latin1") == "\xe4"
    request = (await body(b"\xe4")).set_encoding("latin1")
    assert await request.text() == "\xe4"
    request = await body(b"ok")
    with pytest.raises(http.InvalidArgValueError):
        await request.text("no such thing")
    with pytest.raises(http.InvalidArgValueError):
        await request.text("")
    assert await request.text() == "ok"
    with pytest.raises(UnicodeDecodeError):
        await (await body(b"\xff")).text()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_json(encoding: str) -> None:
    request = await body('{"\u00e4": [1, null]}'.encode(encoding))
    assert await request.json() == {"\xe4": [1, None]}
    with pytest.raises(ValueError, match="Expecting value"):
        await (await body(b"nope")).json()


@pytest.mark.parametrize(
    ("encoding", "data", "text"),
    [
        ("utf8", "z\u20ac\U0001f600".encode(), "z\u20ac\U0001f600"),
        ("utf8", b"\xe2\x82", "\ufffd"),
        ("hex", b"\0\xff", "00ff"),
        ("base64", b"abcd", "YWJjZA=="),
        ("binary", b"\xff", "\xff"),
        ("utf8", b"", ""),
    ],
)
async def test_decoding_while_it_comes(encoding: str, data: bytes, text: str) -> None:
    request = await body(data, max_receive=1)
    assert request.set_encoding(encoding) is request
    pieces = [piece async for piece in request]
    assert "".join(pieces) == text
    assert "" not in pieces


async def test_set_encoding_checks() -> None:
    with pytest.raises(http.InvalidArgValueError, match="encoding is not known: 'zip'"):
        (await body(b"")).set_encoding("zip")


# --- the rest -----------------------------------------------------------------------------------------


async def test_repr() -> None:
    request = await body(b"x")
    assert repr(request) == "<IncomingMessage POST / open>"
    await request.read()
    assert repr(request) == "<IncomingMessage POST / complete>"
    async with (
        serving(lambda _, response: response.end()) as served,
        served.agent() as agent,
        http.get(f"http://{HOST}/", agent=agent) as response,
    ):
        assert repr(response) == "<IncomingMessage 200 OK complete>"


def test_an_unfinished_body_is_collected_quietly() -> None:
    """With warnings as errors, as all tests are run."""

    async def main() -> None:
        request = await body(b"x" * 1000)
        async for _ in request:
            break
        del request

    trio.run(main)
    gc.collect()
