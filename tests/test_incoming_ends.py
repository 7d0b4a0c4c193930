"""Messages that arrive: cut short, given up, silent, or left by their peer."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests._server.kit import ask, serving, settle
from tests.arrivals import CHUNKED, LENGTH, body, message, told_of

# --- ends that are none ---------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_body_cut_short(framing: str, reset: bool) -> None:
    head = LENGTH % 10 if framing == "length" else CHUNKED % b"" + b"a\r\n"
    request, theirs = await message(head + b"part")
    told = told_of(request)
    assert await request.receive_some() == b"part"
    if reset:
        theirs.reset()
    else:
        theirs.close_now()
    disconnected = request.disconnected
    with pytest.raises(http.AbortedError) as caught:
        await request.read()
    assert (str(caught.value), caught.value.code) == ("aborted", "ECONNRESET")
    assert told == [b"part", "aborted", http.AbortedError]
    assert request.aborted
    assert not request.complete
    assert request.errored is caught.value
    assert disconnected.is_set()
    assert "aborted" in repr(request)
    with pytest.raises(http.AbortedError):
        await request.receive_some()
    assert len(told) == 3


async def test_bad_framing() -> None:
    request, _ = await message(CHUNKED % b"" + b"2\r\nok\r\nzz\r\n")
    assert await request.receive_some() == b"ok"
    with pytest.raises(http.ParseError):
        await request.receive_some()
    assert not request.aborted


async def test_an_owner_is_told_of_every_failure() -> None:
    request, _ = await message(CHUNKED % b"" + b"zz\r\n")
    told = told_of(request)
    request.on_aborted = lambda: told.append("owner")
    with pytest.raises(http.ParseError) as caught:
        await request.read()
    assert told == ["aborted", "owner", http.ParseError, "close"]
    assert request.errored is caught.value


async def test_disconnected_after_the_fact() -> None:
    request, _ = await message(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    request._abort(http.AbortedError("aborted"))
    assert request.disconnected.is_set()
    assert request.disconnected is request.disconnected
    assert request.errored is None  # it was complete
    other, _ = await message(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert not other.disconnected.is_set()
    other._close()
    other._abort(http.AbortedError("aborted"))
    assert not other.aborted


async def test_observers_that_raise_cost_the_owner_nothing() -> None:
    told: list[str] = []

    def fail(*_: object) -> None:
        raise LookupError

    request = await body(b"x")
    request.on_end = lambda: told.append("end")
    request.on("end", fail)
    with pytest.raises(LookupError):
        await request.read()
    request, theirs = await message(LENGTH % 5)
    theirs.close_now()
    request.on_aborted = lambda: told.append("aborted")
    request.on("aborted", fail)
    with pytest.raises(LookupError):
        await request.read()
    assert told == ["end", "aborted"]


# --- giving up ----------------------------------------------------------------------------------


async def test_destroy_closes_the_socket() -> None:
    request, theirs = await message(LENGTH % 5 + b"hel")
    assert request.destroy() is request
    assert request.destroy(LookupError()) is request
    assert request.destroyed
    assert request.errored is None
    assert theirs.peer_closed
    with pytest.raises(http.StreamDestroyedError):
        await request.receive_some()


async def test_destroy_with_an_error() -> None:
    request, theirs = await message(LENGTH % 5)
    mistake = LookupError("mine")
    request.destroy(mistake)
    assert request.socket.errored is mistake
    assert theirs.peer_closed
    with pytest.raises(LookupError) as caught:
        await request.read()
    assert caught.value is mistake


async def test_destroy_tells_the_owner_once() -> None:
    request, theirs = await message(LENGTH % 5)
    told: list[object] = []
    request.on_destroy = told.append
    request.destroy()
    request.destroy()
    assert told == [None]
    assert not theirs.peer_closed


@pytest.mark.parametrize("to_the_end", [False, True])
async def test_destroy_behind_the_last_byte(to_the_end: bool) -> None:
    request, theirs = await message(LENGTH % 5 + b"hello")
    told = told_of(request)
    request.on_end = lambda: told.append("owner")
    assert await request.receive_some() == b"hello"
    assert request.complete
    if to_the_end:
        assert await request.receive_some() == b""
    request.destroy()
    assert not theirs.peer_closed
    assert told == [b"hello", "end", "owner"]
    assert request.destroyed


async def test_destroy_of_what_was_never_read() -> None:
    request, theirs = await message(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    request.destroy()
    assert theirs.peer_closed


@pytest.mark.parametrize(("how", "error"), [("aclose", "ERR_STREAM_DESTROYED"), ("destroy", None)])
async def test_a_blocked_reader_is_woken(
    nursery: trio.Nursery, how: str, error: str | None
) -> None:
    request, _ = await message(LENGTH % 5)
    told: list[str] = []

    async def read() -> None:
        with pytest.raises((http.StreamDestroyedError, http.AbortedError)) as caught:
            await request.read()
        told.append(caught.value.code)

    nursery.start_soon(read)
    await settle()
    if how == "aclose":
        await request.aclose()
    else:
        request.destroy()
    await settle()
    assert len(told) == 1
    assert error in (None, told[0])


async def test_aclose_is_final() -> None:
    request, theirs = await message(LENGTH % 5)
    with trio.CancelScope() as scope:
        scope.cancel()
        await request.aclose()
    assert scope.cancelled_caught
    assert theirs.peer_closed
    await request.aclose()
    with pytest.raises(http.StreamDestroyedError):
        await request.receive_some()


async def test_a_bare_network_error_of_the_caller_is_his_own() -> None:
    request, _ = await message(LENGTH % 5)

    async def fail() -> bytes:
        await trio.lowlevel.checkpoint()
        raise LookupError("from a stream that somebody wrote")

    assert request._connection is not None
    request._connection.receive_body = fail
    with pytest.raises(LookupError):
        await request.read()
    assert not request.aborted


async def test_reading_what_was_aborted_and_destroyed() -> None:
    request, _ = await message(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    request._abort(http.AbortedError("aborted"))
    request.destroy()
    with pytest.raises(http.AbortedError):
        await request.read()


async def test_close_comes_once() -> None:
    request = await body(b"")
    told = told_of(request)
    request._close()
    request._close()
    assert told == ["close"]
    assert request.closed
    assert request.destroyed


# --- silence --------------------------------------------------------------------------------------


@pytest.mark.parametrize("complete", [False, True])
async def test_silence(autojump_clock: Any, complete: bool) -> None:
    request, theirs = await message(LENGTH % 5 + (b"hello" if complete else b"hel"))
    told: list[float] = []
    began = trio.current_time()
    note = lambda: told.append(trio.current_time() - began)  # noqa: E731
    assert request.set_timeout(3, note) is request
    request.set_timeout(3)
    assert len(request.socket.watchers) == 1
    await request.receive_some()
    if complete:
        await request.receive_some()
    await trio.sleep(2)
    await request.socket.send(b"x")
    await trio.sleep(10)
    if complete:
        # Nothing is missing, so the silence is not this message's.
        assert told == []
        assert theirs.peer_closed
    else:
        assert told == [5]
        request._close()
        assert request.socket.watchers == []
        request.socket.set_timeout(0)


async def test_forgetting_silence_leaves_other_watchers() -> None:
    request = await body(b"")
    request.socket.watchers.append(bool)
    request._close()
    assert request.socket.watchers == [bool]


# --- leaving peers ----------------------------------------------------------------------------------


async def test_cancel_on_disconnect(autojump_clock: Any) -> None:
    told: list[object] = []

    async def handle(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        async with request.cancel_on_disconnect() as scope:
            assert isinstance(scope, trio.CancelScope)
            told.append("inside")
            await trio.sleep_forever()
        told.append((scope.cancelled_caught, request.aborted))
        async with request.cancel_on_disconnect():
            await trio.sleep_forever()
        told.append("left already")

    async with serving(handle) as served:
        client = await served.connect()
        await client.send(ask())
        await settle()
        assert told == ["inside"]
        client.leave()
        await settle()
    assert told == ["inside", (True, True), "left already"]


async def test_cancel_on_disconnect_without_one() -> None:
    request = await body(b"")
    async with request.cancel_on_disconnect() as scope:
        await trio.lowlevel.checkpoint()
    assert not scope.cancelled_caught
    assert not request._observed("aborted")
    with pytest.raises(LookupError):
        async with request.cancel_on_disconnect():
            raise LookupError
    with trio.CancelScope() as outer:
        outer.cancel()
        async with request.cancel_on_disconnect():
            raise AssertionError
    assert outer.cancelled_caught
