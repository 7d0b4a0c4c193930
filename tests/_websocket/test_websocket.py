"""The client object: a browser's names in a scope."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests._websocket.scopes import URL, answer_close, entered, make, record
from tests._websocket.wire import (
    BINARY,
    TEXT,
    Opening,
    close_payload,
)
from trio_nodehttp._errors import (
    ConnectionFailedError,
    InvalidArgTypeError,
    InvalidArgValueError,
    InvalidURLError,
    OutOfRangeError,
    SocketTimeoutError,
    StateError,
    UpgradeRefusedError,
    WebSocketError,
    WebSocketHandshakeError,
)
from trio_nodehttp._websocket.errors import WebSocketClosedError, WebSocketStateError
from trio_nodehttp._websocket.events import (
    CloseEvent,
    ErrorEvent,
    MessageEvent,
    OpenEvent,
)
from trio_nodehttp._websocket.websocket import WebSocket

# -- arguments


@pytest.mark.parametrize("url", ["ftp://a", "a", "ws://a/#b"])
def test_a_bad_url(url: str) -> None:
    with pytest.raises(InvalidURLError):
        make(url=url)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"protocols": ["a", "A"]}, InvalidArgValueError),
        ({"opening": 1}, InvalidArgTypeError),
        ({"headers": {"Connection": "x"}}, InvalidArgValueError),
        ({"max_message_size": -1}, OutOfRangeError),
        ({"max_message_size": 1.5}, InvalidArgTypeError),
        ({"max_queue": 0}, OutOfRangeError),
        ({"compression": None}, InvalidArgTypeError),
        ({"max_queue": True}, InvalidArgTypeError),
        ({"close_timeout": -1}, OutOfRangeError),
        ({"open_timeout": "1"}, InvalidArgTypeError),
        ({"ping_interval": 0}, OutOfRangeError),
        ({"ping_timeout": -1}, OutOfRangeError),
    ],
)
def test_bad_options(options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make(**options)


def test_a_way_to_connect_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebSocket, "open_connection", None)
    with pytest.raises(WebSocketStateError):
        WebSocket(URL)
    monkeypatch.setattr(WebSocket, "open_connection", staticmethod(Opening()))
    assert WebSocket(URL).ready_state == WebSocket.CONNECTING


def test_what_is_known_before_connecting() -> None:
    ws = make(url="http://example.com")
    assert (ws.url, ws.protocol, ws.extensions) == ("ws://example.com/", "", "")
    assert (ws.ready_state, ws.buffered_amount) == (0, 0)
    assert (ws.close_code, ws.close_reason) == (None, None)
    assert repr(ws) == "<WebSocket ws://example.com/ CONNECTING>"
    assert repr(make(url="ws://u:secret@a/@")) == "<WebSocket ws://***@a/@ CONNECTING>"
    constants = (ws.CONNECTING, ws.OPEN, WebSocket.CLOSING, WebSocket.CLOSED)
    assert constants == (0, 1, 2, 3)


def test_binary_type_is_kept() -> None:
    ws = make()
    assert ws.binary_type == "bytes"
    for value in ("blob", "arraybuffer", "bytes"):
        ws.binary_type = value
        assert ws.binary_type == value
    with pytest.raises(InvalidArgValueError):
        ws.binary_type = "text"
    assert ws.binary_type == "bytes"


# -- opening


@pytest.mark.node_api("http|WebSocket")
async def test_connecting() -> None:
    opening = Opening(
        {
            "sec-websocket-protocol": "v2",
            "sec-websocket-extensions": "permessage-deflate",
        }
    )
    agent, context = SimpleNamespace(), SimpleNamespace()
    options = {"agent": agent, "ssl_context": context, "headers": {"Origin": "x"}}
    ws = make(opening, "wss://example.com/a?b", ["v1", "v2"], **options)
    seen = record(ws)
    async with trio.open_nursery() as nursery, ws as same:
        assert same is ws
        assert (ws.ready_state, seen) == (WebSocket.OPEN, [OpenEvent()])
        assert (ws.protocol, ws.extensions) == ("v2", "permessage-deflate")
        assert opening.is_open
        nursery.start_soon(answer_close, opening)
    assert opening.asked["url"] == "https://example.com/a?b"
    assert opening.asked["agent"] is agent
    assert opening.asked["ssl_context"] is context
    assert opening.fields["Sec-WebSocket-Protocol"] == "v1, v2"
    assert opening.fields["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
    assert opening.fields["Origin"] == "x"
    assert not opening.is_open


async def test_fields_of_the_caller_may_repeat() -> None:
    opening = Opening()
    headers = [("A", "1"), ("B", ["2", "3"]), ("a", 4), ("C", ["5"])]
    async with entered(opening, headers=headers):
        pass
    assert opening.fields["A"] == ["1", 4]
    assert opening.fields["B"] == ["2", "3"]
    assert opening.fields["C"] == "5"


async def test_compression_need_not_be_offered() -> None:
    opening = Opening()
    async with entered(opening, compression=False) as ws:
        assert ws.extensions == ""
    assert "Sec-WebSocket-Extensions" not in opening.fields


async def test_compressed_messages() -> None:
    opening = Opening({"sec-websocket-extensions": "permessage-deflate"})
    async with entered(opening) as ws:
        await ws.send("hello " * 99)
        found = await opening.peer.read()
        assert found is not None
        assert found.rsv == 4
        assert len(found.payload) < 50


async def test_the_first_bytes_may_come_with_the_response() -> None:
    opening = Opening()
    await opening.peer.send(TEXT, b"early")
    async with entered(opening) as ws:
        assert await ws.receive() == "early"


@pytest.mark.parametrize("value", [None, "", "wrong"])
async def test_a_wrong_accept_value(value: str | None) -> None:
    opening = Opening({"sec-websocket-accept": value})
    ws = make(opening)
    seen = record(ws)
    with pytest.raises(WebSocketHandshakeError, match="Sec-WebSocket-Accept") as caught:
        await ws.__aenter__()
    assert caught.value.response.status_code == 101
    assert opening.stream.closed
    assert not opening.is_open
    assert ws.ready_state == WebSocket.CLOSED
    assert ws.close_code == 1006
    error, close = seen
    assert error == ErrorEvent(caught.value)
    assert error.message == str(caught.value)
    assert close == CloseEvent(1006, str(caught.value), was_clean=False)


def failing(error: BaseException) -> Any:
    @contextlib.asynccontextmanager
    async def opener(url: str, **options: Any) -> AsyncIterator[Any]:
        await trio.lowlevel.checkpoint()
        raise error
        yield

    return opener


async def test_a_refused_upgrade_has_the_response() -> None:
    response = SimpleNamespace(status_code=403)
    refused = UpgradeRefusedError("403 Forbidden", response)
    with pytest.raises(WebSocketHandshakeError, match="403 Forbidden") as caught:
        await make(failing(refused)).__aenter__()
    assert caught.value.response is response
    assert caught.value.__cause__ is refused
    assert isinstance(caught.value, WebSocketError)


async def test_errors_of_connecting_pass_unchanged() -> None:
    error = ConnectionFailedError("nobody there")
    ws = make(failing(error))
    with pytest.raises(ConnectionFailedError) as caught:
        await ws.__aenter__()
    assert caught.value is error
    for call in (ws.send("x"), ws.receive(), ws.close()):
        with pytest.raises(WebSocketClosedError):
            await call


@contextlib.asynccontextmanager
async def never(url: str, **options: Any) -> AsyncIterator[Any]:
    await trio.sleep_forever()
    yield


async def test_opening_has_a_time_limit(autojump_clock: trio.testing.MockClock) -> None:
    ws = make(never, open_timeout=3)
    with pytest.raises(SocketTimeoutError, match="within 3 s") as caught:
        await ws.__aenter__()
    assert trio.current_time() == 3
    assert isinstance(caught.value, trio.TooSlowError)
    assert ws.ready_state == WebSocket.CLOSED


async def test_the_time_limit_ends_with_the_opening(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with entered(Opening(), open_timeout=3) as ws:
        await trio.sleep(60)
        assert ws.ready_state == WebSocket.OPEN


async def test_the_time_limit_strikes_with_the_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    opening = Opening()

    @contextlib.asynccontextmanager
    async def late(url: str, **options: Any) -> AsyncIterator[Any]:
        async with opening(url, **options) as upgraded:
            autojump_clock.jump(5)
            # Like a task that is woken by the answer and meets the deadline then.
            await trio.lowlevel.cancel_shielded_checkpoint()
            yield upgraded

    ws = make(late, open_timeout=3)
    seen = record(ws)
    with pytest.raises(SocketTimeoutError):
        await ws.__aenter__()
    assert ws.ready_state == WebSocket.CLOSED
    assert [event.type for event in seen] == ["error", "close"]
    assert not opening.is_open


async def test_connecting_may_be_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ws = make(never)
    with trio.move_on_after(1) as scope:
        await ws.__aenter__()
    assert scope.cancelled_caught
    assert ws.ready_state == WebSocket.CLOSED


async def test_calls_before_the_opening() -> None:
    ws = make()
    for call in (ws.send("x"), ws.receive(), ws.close()):
        with pytest.raises(WebSocketStateError, match="not open yet") as caught:
            await call
        assert isinstance(caught.value, StateError)
        assert caught.value.code == "ERR_INVALID_STATE"


async def test_a_websocket_is_entered_once() -> None:
    async with entered(Opening()) as ws:
        with pytest.raises(WebSocketStateError):
            await ws.__aenter__()


# -- messages


async def test_messages() -> None:
    opening = Opening()
    async with entered(opening) as ws:
        for data in ("é", b"bytes", bytearray(b"array"), memoryview(b"view")):
            await ws.send(data)
        found = [await opening.peer.read() for _ in range(4)]
        assert [item and item.payload for item in found] == [
            "é".encode(),
            b"bytes",
            b"array",
            b"view",
        ]
        assert [item and item.opcode for item in found] == [
            TEXT,
            BINARY,
            BINARY,
            BINARY,
        ]
        await opening.peer.send(TEXT, b"text")
        await opening.peer.send(BINARY, b"bytes")
        assert await ws.receive() == "text"
        assert await ws.receive() == b"bytes"


async def test_what_cannot_be_sent() -> None:
    async with entered(Opening()) as ws:
        with pytest.raises(InvalidArgTypeError):
            await ws.send(1)  # type: ignore[arg-type]  # what is tested
        with pytest.raises(InvalidArgValueError):
            await ws.send("\ud800")
        assert ws.buffered_amount == 0


async def test_buffered_amount_counts_the_bytes_of_messages() -> None:
    opening = Opening(buffer_size=4)
    async with entered(opening) as ws:
        await ws.send("éé")
        await ws.send(b"123")
        assert ws.buffered_amount == 7
        await opening.peer.read()
        await opening.peer.read()
        await wait_all_tasks_blocked()
        assert ws.buffered_amount == 0


async def test_iteration_ends_with_a_clean_close() -> None:
    opening = Opening()
    async with make(opening) as ws:
        await opening.peer.send(TEXT, b"a")
        await opening.peer.send(TEXT, b"b")
        await opening.peer.close(4000, "enough")
        await opening.peer.stream.send_eof()
        assert [message async for message in ws] == ["a", "b"]
        assert (ws.ready_state, ws.close_code, ws.close_reason) == (3, 4000, "enough")
        assert repr(ws) == "<WebSocket ws://example.com/chat CLOSED 4000>"


async def test_iteration_raises_when_the_connection_is_lost() -> None:
    opening = Opening()
    async with make(opening) as ws:
        await opening.peer.send(TEXT, b"a")
        await opening.peer.stream.aclose()
        assert await ws.__anext__() == "a"
        with pytest.raises(WebSocketClosedError) as caught:
            await ws.__anext__()
    assert caught.value.close_code == 1006
    assert caught.value.code == "ERR_WEBSOCKET_CLOSED"


# -- events


async def test_the_four_events() -> None:
    opening = Opening()
    ws = make(opening)
    seen = record(ws)
    async with ws:
        await opening.peer.send(TEXT, b"a")
        assert await ws.receive() == "a"
        await opening.peer.close(1000, "bye")
        await opening.peer.stream.aclose()
    expected = [
        OpenEvent(),
        MessageEvent("a", "ws://example.com"),
        CloseEvent(1000, "bye", was_clean=True),
    ]
    assert seen == expected
    assert [event.type for event in seen] == ["open", "message", "close"]


async def test_events_alone_are_enough() -> None:
    opening = Opening()
    got: list[Any] = []
    done = trio.Event()
    async with make(opening, max_queue=2) as ws:

        @ws.on("message")
        def note(event: MessageEvent) -> None:
            got.append(event.data)

        ws.once("close", lambda event: done.set())
        for number in range(100):
            await opening.peer.send(BINARY, bytes([number]))
        await opening.peer.close()
        await opening.peer.stream.aclose()
        await done.wait()
    assert got == [bytes([number]) for number in range(100)]


async def test_a_failure_is_an_error_event_and_then_a_close() -> None:
    opening = Opening()
    ws = make(opening, max_message_size=5)
    seen = record(ws)
    async with ws:
        await opening.peer.send(TEXT, b"too long")
        await opening.peer.stream.send_eof()
        await wait_all_tasks_blocked()
    _, error, close = seen
    assert error.type == "error"
    assert error.error.close_code == 1009
    reason = "a message has more than 5 bytes"
    assert close == CloseEvent(1009, reason, was_clean=False)
    assert (await opening.peer.read_all())[0].payload == close_payload(1009, reason)


async def test_a_loss_shows_its_cause() -> None:
    opening = Opening()
    ws = make(opening)
    seen = record(ws)
    async with ws:
        await wait_all_tasks_blocked()
        opening.peer.stream.reset()
        await wait_all_tasks_blocked()
    assert isinstance(seen[1].error, trio.BrokenResourceError)


async def test_an_observer_that_raises_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    opening = Opening()
    ws = make(opening)

    def fail(event: object) -> None:
        raise ValueError("observer")

    for name in ("open", "message", "close"):
        ws.on(name, fail)
    seen = record(ws)
    async with ws:
        await opening.peer.send(TEXT, b"a")
        assert await ws.receive() == "a"
        await opening.peer.close()
        await opening.peer.stream.aclose()
    assert [record.name for record in caplog.records] == ["trio_nodehttp"] * 3
    assert "observer of message raised" in caplog.text
    assert [event.type for event in seen] == ["open", "message", "close"]


def test_there_are_four_events() -> None:
    with pytest.raises(InvalidArgValueError):
        make().on("ping", print)
