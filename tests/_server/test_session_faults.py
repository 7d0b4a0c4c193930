from __future__ import annotations

import logging
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import (
    BAD_REQUEST,
    Client,
    ask,
    echo,
    hello,
    send_quietly,
    serving,
    settle,
    undated,
)

Request = http.IncomingMessage
Response = http.ServerResponse
EXPECT = "Expect: 100-continue"
CHUNKED = "Transfer-Encoding: chunked"


# --- bad input -------------------------------------------------------------------------


async def refuse_and_tell(error: http.HTTPError, stream: Any) -> None:
    await stream.send_all(f"HTTP/1.1 418 {error.code}\r\n\r\n".encode())


@pytest.mark.node_api("Server|clientError")
@pytest.mark.parametrize("extra", [b"", b"x" * 100_000])
async def test_client_error_answers_in_place_of_us(extra: bytes, autojump_clock: Any) -> None:
    errors: list[http.HTTPError] = []

    async def on_error(error: http.HTTPError, stream: Any) -> None:
        errors.append(error)
        await refuse_and_tell(error, stream)

    async with serving(hello) as served:
        served.server.on("client_error", on_error)
        client = await served.connect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_quietly, client, b"BAD / HTTP/1.1\r\n\r\n" + extra)
            assert await client.until_end() == b"HTTP/1.1 418 HPE_INVALID_METHOD\r\n\r\n"
            client.leave()
    (error,) = errors
    assert isinstance(error, http.ParseError)
    assert error.raw_packet.startswith(b"BAD / HTTP/1.1\r\n\r\n")
    assert error.bytes_parsed == 1


@pytest.mark.parametrize("how", ["nothing", "raise", "close"])
async def test_client_error_may_say_nothing(
    how: str, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_error(error: http.HTTPError, stream: Any) -> None:
        if how == "raise":
            raise ValueError("mine")
        if how == "close":
            await stream.aclose()

    async with serving(hello) as served:
        served.server.on("client_error", on_error)
        client = await served.connect()
        await client.send(b"junk")
        assert await client.until_end() == b""
        assert trio.current_time() == 0
    assert len(caplog.records) == (2 if how == "raise" else 1)


@pytest.mark.node_api("Server|clientError")
@pytest.mark.parametrize(
    "sent", [b"", b"GET", ask(), ask("/slow"), ask("/", "Content-Length: 9", method="POST")]
)
async def test_client_error_is_told_of_a_connection_that_broke(
    sent: bytes, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[str] = []

    async def handler(request: Request, response: Response) -> None:
        await request.read()
        await trio.sleep(1 if request.url == "/slow" else 0)
        await response.end()

    async def on_error(error: http.HTTPError, stream: Any) -> None:
        errors.append(error.code)
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(handler) as served:
        served.server.on("client_error", on_error)
        client = await served.connect()
        await client.send(sent)
        await settle()
        client.reset()
        await trio.sleep(2)
        assert served.server.connections == 0
    assert errors == ["ECONNRESET"]
    assert not caplog.records


@pytest.mark.parametrize("how", ["left", "destroyed", "killed", "switched", "refused"])
async def test_client_error_is_not_told_of_other_ends(how: str, autojump_clock: Any) -> None:
    errors: list[str] = []

    async def handler(request: Request, response: Response) -> None:
        if how == "destroyed":
            request.socket.destroy()
        await response.end()

    async def on_error(error: http.HTTPError, _: object) -> None:
        errors.append(error.code)

    async def switched(_: object, stream: Any) -> None:
        await stream.receive_some()

    async with serving(handler) as served:
        served.server.on("client_error", on_error)
        served.server.on("upgrade", switched)
        client = await served.connect()
        lines = ("Connection: upgrade", "Upgrade: x") if how == "switched" else ()
        await client.send(b"junk" if how == "refused" else ask("/", *lines))
        await settle()
        if how == "killed":
            served.server.close_all_connections()
        if how == "left":
            client.leave()
        else:
            client.reset()
        await settle()
        assert served.server.connections == 0
    assert errors == (["HPE_INVALID_METHOD"] if how == "refused" else [])


async def test_a_client_error_handler_that_hangs_can_be_drained(autojump_clock: Any) -> None:
    async def on_error(error: http.HTTPError, stream: Any) -> None:
        await trio.sleep_forever()

    async with serving(hello, headers_timeout=1) as served:
        served.server.on("client_error", on_error)
        client = await served.connect()
        await trio.sleep(2)  # the head was late, and the handler hangs
        assert await client.is_open()
        await served.server.drain(1)
        assert trio.current_time() == pytest.approx(3)
        assert served.server.connections == 0


async def test_the_handlers_own_parse_error_is_not_the_clients(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway whose upstream talks nonsense, or hangs up, must not blame its client."""
    causes = [
        http.ParseError("HPE_INVALID_CONSTANT", "Expected HTTP/"),
        http.AbortedError("aborted"),
        http.SocketTimeoutError("slow upstream"),
    ]

    async def gateway(request: Request, response: Response) -> None:
        raise causes[int(request.url[1:])]

    async with serving(gateway) as served:
        client = await served.connect()
        for number in range(3):
            assert (await client.get(f"/{number}")).status == 500
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3


async def test_a_bad_body_is_answered_once(autojump_clock: Any) -> None:
    async def catches(request: Request, response: Response) -> None:
        try:
            await request.read()
        except http.ParseError:
            await response.write_head(422).end("bad body")

    for handler, status in ((echo, b"400"), (catches, b"422")):
        async with serving(handler) as served:
            client = await served.connect()
            await client.send(ask("/", "Transfer-Encoding: chunked", method="POST"), b"zz\r\n")
            reply = await client.until_end()
            assert reply.startswith(b"HTTP/1.1 " + status)
            assert b"\r\nConnection: close\r\n" in reply
            assert reply.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("cut", [("Content-Length: 9", b"half"), (CHUNKED, b"5\r\nhalf")])
async def test_a_client_that_ends_within_a_body_is_told(
    cut: tuple[str, bytes], hooked: bool, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(echo) as served:
        if hooked:
            served.server.on("client_error", refuse_and_tell)
        client = await served.connect()
        await client.send(ask("/", cut[0], method="POST"), cut[1])
        await client.end()
        told = b"HTTP/1.1 418 HPE_INVALID_EOF_STATE\r\n\r\n"
        assert await client.until_end() == (told if hooked else BAD_REQUEST)
    (record,) = caplog.records
    assert record.outcome == "client-gone"  # type: ignore[attr-defined]


async def test_nothing_is_put_behind_a_head_that_left(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def early(request: Request, response: Response) -> None:
        await response.write("early")
        await request.read()

    caplog.set_level(logging.INFO)
    async with serving(early) as served:
        client = await served.connect()
        await client.send(ask("/", "Content-Length: 9", method="POST"), b"half")
        await client.end()
        assert (await client.until_end()).endswith(b"5\r\nearly\r\n")
    (record,) = caplog.records
    assert record.outcome == "client-gone"  # type: ignore[attr-defined]


async def test_a_fault_found_by_a_task_of_the_handler(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def in_a_nursery(request: Request, response: Response) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(request.read)
            if request.url == "/both":
                nursery.start_soon(fail)

    async def fail() -> None:
        raise ValueError("mine")

    async with serving(in_a_nursery) as served:
        client = await served.connect()
        await client.send(ask("/", "Transfer-Encoding: chunked", method="POST"), b"zz\r\n")
        assert await client.until_end() == BAD_REQUEST
        assert not any(record.exc_info for record in caplog.records)
        client = await served.connect()
        await client.send(ask("/both", "Connection: close"))
        assert undated(await client.until_end()).startswith(b"HTTP/1.1 500")
    assert [bool(record.exc_info) for record in caplog.records] == [False, True]


async def test_a_client_that_vanishes_in_a_body_leaves_nothing(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(echo) as served:
        for end in (Client.leave, Client.reset):
            good, bad = await served.connect(), await served.connect()
            await bad.send(ask("/", "Content-Length: 9", method="POST"), b"half")
            await settle()
            end(bad)
            assert (await good.get()).status == 200
            await settle()
            assert served.server.connections == 1
            good.leave()
            await settle()
    assert not caplog.records


async def test_a_client_that_resets_between_requests_leaves_nothing(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "trio_nodehttp")
    async with serving(hello) as served:
        client = await served.connect()
        await client.get()
        client.reset()
        await settle()
        assert served.server.connections == 0
    # One record for whoever looks for it, besides that of the request.
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.DEBUG]


async def test_a_500_that_cannot_be_sent(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: Request, response: Response) -> None:
        await request.disconnected.wait()
        raise ValueError("mine")

    async with serving(fail) as served:
        client = await served.connect()
        await client.send(ask())
        await settle()
        client.reset()
        await settle()
        assert served.server.connections == 0
    assert [bool(record.exc_info) for record in caplog.records] == [True]


async def test_a_handler_that_raises_after_destroying_its_socket(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: Request, response: Response) -> None:
        request.socket.destroy()
        assert request.aborted
        raise ValueError("mine")

    async with serving(fail) as served:
        client = await served.connect()
        await client.send(ask())
        assert await client.until_end() == b""
    assert [bool(record.exc_info) for record in caplog.records] == [True]


async def test_a_parser_that_fails_is_logged_or_raised(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(http.IncomingMessage):
        def __init__(self, *args: Any, **options: Any) -> None:
            raise http.InvalidArgValueError("a bug")

    async with serving(hello, incoming_message_class=Broken) as served:
        client = await served.connect()
        await client.send(ask())
        assert await client.until_end() == b""
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
