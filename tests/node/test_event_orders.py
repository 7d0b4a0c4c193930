"""The ten orders of events that Node documents under ``http.request``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import read_all, wire
from trio_nodehttp.testing import Close, Expect, ExpectEnd, FaultyServer, Reset, Send, Stall

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"


class MistakeError(Exception):
    """What ``destroy`` is given."""


def record(request: Any, act: Callable[[], object] | None = None, after: str = "") -> list[Any]:
    """Note every event of a request and of its response; act behind one of them."""
    seen: list[Any] = []

    def note(name: str, *details: object) -> None:
        seen.append((name, *details) if details else name)
        if act is not None and name == after:
            seen.append("(called)")
            act()

    def fault(error: BaseException) -> tuple[object, object]:
        return str(error), getattr(error, "code", None)

    def on_response(response: Any) -> None:
        response.on("data", lambda data: note("data", data))
        response.on("end", lambda: note("end"))
        response.on("aborted", lambda: note("aborted"))
        response.on("error", lambda error: note("response error", *fault(error)))
        response.on("close", lambda: note("response close"))
        note("response")

    request.on("socket", lambda _: note("socket"))
    request.on("response", on_response)
    request.on("abort", lambda: note("abort"))
    request.on("error", lambda error: note("error", *fault(error)))
    request.on("close", lambda: note("close"))
    return seen


@pytest.mark.node_api(
    "http.request|order of events: success",
    "ClientRequest|socket",
    "ClientRequest|response",
    "ClientRequest|close",
)
@pytest.mark.parametrize("body", [b"hello", b""])
async def test_success(nursery: Any, autojump_clock: Any, body: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    wired = await wire(
        nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(answer), Stall()])
    )
    request = http.request(wired.url, agent=wired.agent)
    seen = record(request)
    async with request:
        assert seen == ["socket"]
        response = await request.get_response()
        assert await response.read() == body
    data = [("data", body)] if body else []
    assert seen == ["socket", "response", *data, "end", "close", "response close"]


@pytest.mark.node_api("http.request|order of events: connection error")
async def test_connection_error(nursery: Any, autojump_clock: Any) -> None:
    async def refuse(_: object) -> Any:
        await trio.sleep(1)
        raise ConnectionRefusedError(111, "nobody there")

    request = http.request("http://origin.test/", agent=http.Agent(create_connection=refuse))
    seen = record(request)
    with pytest.raises(http.ConnectionFailedError) as caught:
        async with request:
            pytest.fail("nobody answers")
    assert seen == ["socket", ("error", str(caught.value), "ECONNREFUSED"), "close"]
    assert request.errored is caught.value


@pytest.mark.node_api("http.request|order of events: premature close before the response")
@pytest.mark.parametrize("end", [Close(), Reset()])
async def test_premature_close_before_the_response(
    nursery: Any, autojump_clock: Any, end: Any
) -> None:
    wired = await wire(nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), end]))
    request = http.request(wired.url, agent=wired.agent)
    seen = record(request)
    async with request:
        with pytest.raises(http.SocketHangUpError):
            await request.get_response()
        text = "socket hang up" if isinstance(end, Close) else "read ECONNRESET"
        assert seen == ["socket", ("error", text, "ECONNRESET"), "close"]
    assert seen[2:] == ["close"], "leaving adds nothing"


@pytest.mark.node_api("http.request|order of events: premature close after the response")
@pytest.mark.parametrize("end", [Close(), Reset()])
async def test_premature_close_after_the_response(
    nursery: Any, autojump_clock: Any, end: Any
) -> None:
    wired = await wire(nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(HALF), end]))
    request = http.request(wired.url, agent=wired.agent)
    seen = record(request)
    expected = [
        "socket",
        "response",
        ("data", b"hello"),
        "aborted",
        "close",
        ("response error", "aborted", "ECONNRESET"),
        "response close",
    ]
    async with request:
        response = await request.get_response()
        with pytest.raises(http.AbortedError):
            await response.read()
        assert seen == expected
        assert request.socket is not None
        assert request.socket.destroyed
    assert seen == expected


@pytest.mark.node_api(
    "http.request|order of events: destroy() before a socket is assigned",
    "ClientRequest|request.destroy([error])",
)
@pytest.mark.parametrize("error", [None, MistakeError("mine")])
async def test_destroy_before_a_socket(
    nursery: Any, autojump_clock: Any, error: Exception | None
) -> None:
    wired = await wire(nursery, "memory", read_all)
    request = http.request(wired.url, agent=wired.agent)
    seen = record(request)
    assert request.destroy(error) is request
    told = ("error", "mine", None) if error else ("error", "socket hang up", "ECONNRESET")
    assert seen == [told, "close"]
    with pytest.raises(type(error) if error else http.SocketHangUpError) as caught:
        async with request:
            pytest.fail("it was destroyed")
    assert caught.value is request.errored
    assert seen == [told, "close"]
    assert wired.begun == 0


@pytest.mark.node_api("http.request|order of events: destroy() before the connection succeeds")
@pytest.mark.parametrize("error", [None, MistakeError("mine")])
async def test_destroy_while_connecting(
    nursery: Any, autojump_clock: Any, error: Exception | None
) -> None:
    async def never(_: object) -> Any:
        await trio.sleep_forever()

    agent = http.Agent(create_connection=never)
    request = http.request("http://origin.test/", agent=agent)
    seen = record(request)

    async def destroy_soon() -> None:
        await trio.sleep(1)
        assert seen == ["socket"]
        assert request.socket is not None
        assert request.socket.connecting
        request.destroy(error)

    nursery.start_soon(destroy_soon)
    with pytest.raises(type(error) if error else http.SocketHangUpError):
        async with request:
            pytest.fail("it was destroyed")
    told = ("error", "mine", None) if error else ("error", "socket hang up", "ECONNRESET")
    assert seen == ["socket", told, "close"]
    assert request.socket is not None
    assert request.socket.destroyed
    stats = agent.stats()
    assert (stats.active, stats.connecting, stats.queued) == (0, 0, 0)


@pytest.mark.node_api("http.request|order of events: destroy() after the response")
@pytest.mark.parametrize("error", [None, MistakeError("mine")])
async def test_destroy_after_the_response(
    nursery: Any, autojump_clock: Any, error: Exception | None
) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(HALF), ExpectEnd()])
    wired = await wire(nursery, "memory", server)
    request = http.request(wired.url, agent=wired.agent)
    seen = record(request, lambda: request.destroy(error), after="data")
    async with request:
        response = await request.get_response()
        assert await response.receive_some() == b"hello"
        told = ("mine", None) if error else ("aborted", "ECONNRESET")
        expected = [
            "socket",
            "response",
            ("data", b"hello"),
            "(called)",
            "aborted",
            "close",
            ("response error", *told),
            "response close",
        ]
        assert seen == expected
        with pytest.raises(type(error) if error else http.AbortedError):
            await response.receive_some()
        await wired.all_ended()
    assert seen == expected


ABORT = (
    "http.request|order of events: abort() before a socket / before connecting / after the response"
)


@pytest.mark.node_api(ABORT, "ClientRequest|abort", "ClientRequest|request.abort()")
async def test_abort_before_a_socket(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", read_all)
    request = http.request(wired.url, agent=wired.agent)
    seen = record(request)
    request.abort()
    request.abort()
    assert seen == ["abort", "close"]
    with pytest.raises(http.SocketHangUpError):
        async with request:
            pytest.fail("it was aborted")
    assert seen == ["abort", "close"]
    assert wired.begun == 0


@pytest.mark.node_api(ABORT)
async def test_abort_while_connecting(nursery: Any, autojump_clock: Any) -> None:
    async def never(_: object) -> Any:
        await trio.sleep_forever()

    request = http.request("http://origin.test/", agent=http.Agent(create_connection=never))
    seen = record(request)

    async def abort_soon() -> None:
        await trio.sleep(1)
        request.abort()

    nursery.start_soon(abort_soon)
    with pytest.raises(http.SocketHangUpError):
        async with request:
            pytest.fail("it was aborted")
    assert seen == ["socket", "abort", ("error", "socket hang up", "ECONNRESET"), "close"]


@pytest.mark.node_api(ABORT, "ClientRequest|request.aborted")
async def test_abort_after_the_response(nursery: Any, autojump_clock: Any) -> None:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(HALF), ExpectEnd()])
    wired = await wire(nursery, "memory", server)
    request = http.request(wired.url, agent=wired.agent)
    seen = record(request, request.abort, after="data")
    async with request:
        response = await request.get_response()
        assert not request.aborted
        with pytest.raises(http.AbortedError):
            await response.read()
        expected = [
            "socket",
            "response",
            ("data", b"hello"),
            "(called)",
            "abort",
            "aborted",
            ("response error", "aborted", "ECONNRESET"),
            "close",
            "response close",
        ]
        assert seen == expected
        assert request.aborted
        await wired.all_ended()
    assert seen == expected


@pytest.mark.node_api("http.request|signal")
async def test_cancelling_stands_for_the_signal(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", read_all)
    request = http.request(wired.url, agent=wired.agent)
    seen = record(request)
    with trio.move_on_after(1) as signal:
        async with request:
            await request.get_response()
    assert signal.cancelled_caught
    assert seen == ["socket", "close"]
    assert request.destroyed
    await wired.all_ended()
