from __future__ import annotations

import logging
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import (
    Client,
    ask,
    dialled,
    echo,
    hello,
    listening,
    send_quietly,
    serving,
    settle,
)

Request = http.IncomingMessage
Response = http.ServerResponse
EXPECT = "Expect: 100-continue"


# --- expectations ----------------------------------------------------------------------


async def test_100_is_sent_at_the_first_body_read(autojump_clock: Any) -> None:
    async def late(request: Request, response: Response) -> None:
        await trio.sleep(3)
        await response.end(await request.read())

    async with serving(late) as served:
        client = await served.connect()
        await client.send(ask("/", EXPECT, "Content-Length: 3", method="POST"))
        assert (await client.answer()).status == 100
        assert trio.current_time() == pytest.approx(3)
        await client.send(b"abc")
        answer = await client.answer()
        assert (answer.body, answer.headers["connection"]) == (b"abc", "keep-alive")
        assert (await client.get()).status == 200


async def test_no_100_where_the_body_is_there_or_unwanted(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        if request.url == "/read":
            await request.read()
        await response.end()

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask("/read", EXPECT, method="POST", body="abc"))
        assert (await client.answer()).status == 200
        # Whether the body comes now nobody knows: the connection ends.
        await client.send(ask("/no", EXPECT, "Content-Length: 3", method="POST"))
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await client.until_end() == b""
        old = await served.connect()
        await old.send(b"POST /read HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        await old.send(b"x")
        assert (await old.answer()).status == 200


@pytest.mark.parametrize(
    "head",
    [
        ask("/", EXPECT),
        ask("/", EXPECT, "Content-Length: 0", method="POST"),
        (
            b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTE: chunked\r\n"
            b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx"
        ),
    ],
)
async def test_a_connection_outlives_an_expectation_of_nothing(
    autojump_clock: Any, head: bytes
) -> None:
    async with serving(hello) as served:
        client = await served.connect()
        for _ in range(2):
            await client.send(head)
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "keep-alive")


@pytest.mark.parametrize("value", ["100-continue, 100-Continue", "meat, 100-continue"])
async def test_an_expectation_among_others_is_met(autojump_clock: Any, value: str) -> None:
    async with serving(echo) as served:
        client = await served.connect()
        await client.send(ask("/", f"Expect: {value}", "Content-Length: 1", method="POST"))
        assert (await client.answer()).status == 100
        await client.send(b"x")
        assert (await client.answer()).status == 200


async def test_a_body_begun_after_100_is_thrown_away(autojump_clock: Any) -> None:
    async def some(request: Request, response: Response) -> None:
        await request.receive_some(1)
        await response.end()

    async with serving(some) as served:
        client = await served.connect()
        await client.send(ask("/", EXPECT, "Content-Length: 9", method="POST"))
        assert (await client.answer()).status == 100
        await client.send(b"12345")
        assert (await client.answer()).headers["connection"] == "keep-alive"
        await client.send(b"6789")
        await client.send(ask("/", EXPECT, "Content-Length: 1", method="POST"))
        assert (await client.answer()).status == 100


@pytest.mark.node_api("Server|checkContinue", "Server|checkExpectation")
async def test_expectations_may_be_answered_by_hand(autojump_clock: Any) -> None:
    async def on_continue(request: Request, response: Response) -> None:
        await response.write_continue()
        await response.end(await request.read())

    async def on_expectation(request: Request, response: Response) -> None:
        await response.write_head(406).end()

    async with serving(echo) as served:
        client = await served.connect()
        assert (await client.get("/", "Expect: meat")).status == 417
        served.server.on("check_continue", on_continue)
        served.server.on("check_expectation", on_expectation)
        assert (await client.get("/", "Expect: meat")).status == 406
        await client.send(ask("/", EXPECT, "Content-Length: 1", method="POST"))
        assert (await client.answer()).status == 100
        await client.send(b"x")
        assert (await client.answer()).body == b"x"


# --- ends of connections ---------------------------------------------------------------


async def test_an_early_answer_reaches_a_client_that_goes_on_sending(
    autojump_clock: Any,
) -> None:
    async def refuse(request: Request, response: Response) -> None:
        await response.write_head(413, {"Connection": "close"}).end("too much")

    async with serving(refuse) as served:
        client = await served.connect()
        await client.send(ask("/", f"Content-Length: {1 << 30}", method="POST"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_quietly, client, b"x" * 300_000)
            answer = await client.answer()
            assert (answer.status, answer.body) == (413, b"too much")
            assert await client.until_end() == b""
        # It may go on for a second, then it is cut.
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012
            while trio.current_time() < 3:
                await client.send(b"x")
                await trio.sleep(0.1)
        assert 1 <= trio.current_time() <= 1.2


async def test_the_rest_of_a_body_may_be_too_long_or_wrong(autojump_clock: Any) -> None:
    async with serving(hello) as served:
        for rest in (b"100000\r\n" + b"x" * (1 << 20) + b"\r\n1\r\n", b"zz\r\n"):
            client = await served.connect()
            async with trio.open_nursery() as nursery:
                head = ask("/", "Transfer-Encoding: chunked", method="POST")
                nursery.start_soon(send_quietly, client, head + rest)
                assert (await client.answer()).body == b"hello"
                assert await client.until_end() == b""
                client.leave()


async def test_a_half_closed_client_gets_its_answers(autojump_clock: Any) -> None:
    async def slow(request: Request, response: Response) -> None:
        await trio.sleep(1)
        await response.end(request.url)

    async with serving(slow) as served:
        client = await served.connect()
        await client.send(ask("/1"), ask("/2"))
        await client.end()
        assert [(await client.answer()).body for _ in range(2)] == [b"/1", b"/2"]
        assert await client.until_end() == b""


async def test_leaving_after_the_last_request_is_no_error(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "trio_nodehttp")
    async with serving(hello) as served:
        for sent in (b"", b"\r\n"):
            client = await served.connect()
            await client.send(sent)
            await client.end()
            assert await client.until_end() == b""
    assert not caplog.records


async def test_more_requests_than_allowed_where_the_handler_insists(autojump_clock: Any) -> None:
    async def insist(request: Request, response: Response) -> None:
        response.set_header("Connection", "keep-alive")
        await response.end()

    async with serving(insist, max_requests_per_socket=1) as served:
        client = await served.connect()
        assert (await client.get()).status == 200
        answer = await client.get()
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert await client.until_end() == b""


@pytest.mark.parametrize(
    "behind",
    [
        b"junk\r\n\r\n",
        b"GET / HT",
        ask("/", "Connection: upgrade", "Upgrade: x"),
        ask("x:1", method="CONNECT"),
    ],
)
async def test_what_is_no_request_behind_the_last_is_ignored(
    behind: bytes, autojump_clock: Any
) -> None:
    async def take_over(_: Request, stream: Any) -> None:
        await stream.send_all(b"taken over")

    async with serving(hello, max_requests_per_socket=1) as served:
        served.server.on("upgrade", take_over).on("connect", take_over)
        client = await served.connect()
        await client.send(ask(), behind)
        assert (await client.answer()).body == b"hello"
        assert await client.until_end() == b""


# --- upgrades --------------------------------------------------------------------------


@pytest.mark.node_api("Server|connect")
@pytest.mark.parametrize("on_error", ["log", "raise"])
@pytest.mark.parametrize("how", ["raise", "client leaves"])
async def test_a_switched_connection_that_fails(
    how: str, on_error: str, autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_connect(request: Request, stream: Any) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        if how == "raise":
            raise LookupError("mine")
        await trio.sleep(1)
        await stream.send_all(b"x")

    caught: list[Exception] = []

    async with serving(hello, on_error=on_error) as served:
        served.server.on("connect", on_connect)

        async def serve(stream: Any) -> None:
            try:
                await served.server.serve_stream(stream)
            except LookupError as error:
                caught.append(error)

        served.network.listen("b.test", 80, serve)
        client = Client(await served.network.connect("b.test"))
        await client.send(b"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n")
        assert await client.line() == b"HTTP/1.1 200 OK\r\n\r\n"
        if how == "raise":
            assert await client.until_end() == b""
        else:
            client.leave()
            await trio.sleep(2)
    raised = how == "raise" and on_error == "raise"
    assert bool(caught) is raised
    assert len(caplog.records) == (1 if how == "raise" and not raised else 0)


BODIES = [
    ("Content-Length: 12", b"request body"),
    ("Transfer-Encoding: chunked", b"7\r\nrequest\r\n5\r\n body\r\n0\r\n\r\n"),
]


def upgrade(*lines: str) -> bytes:
    return ask("/", "Connection: upgrade", "Upgrade: x", *lines, method="POST")


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize(("framing", "body"), BODIES)
async def test_the_body_of_an_upgrade_is_no_part_of_the_stream(
    framing: str, body: bytes, read: bool, apart: bool, autojump_clock: Any
) -> None:
    seen: list[object] = []

    async def on_upgrade(request: Request, stream: Any) -> None:
        seen.append(stream.head)
        if read:
            seen.append(await request.read())
        await stream.send_all(b"switched")
        seen.extend([await stream.receive_some(3), stream.head])
        seen.append(await stream.receive_some())

    async with serving(hello) as served:
        served.server.on("upgrade", on_upgrade)
        client = await served.connect()
        if apart:
            for byte in upgrade(framing) + body:
                await client.send(bytes([byte]))
                await settle()
            await client.send(b"new protocol")
        else:
            await client.send(upgrade(framing), body, b"new protocol")
        assert await client.until_end() == b"switched"
    told = [b"", b"request body"] if read else [b""]
    early = b"" if apart else b"new protocol"
    assert seen == [*told, b"new", early, b" protocol"]


@pytest.mark.parametrize(
    ("sent", "error"),
    [(b"", http.RequestTimeoutError), (b"x\r\n", http.ParseError)],
)
@pytest.mark.parametrize("read", [True, False])
async def test_the_body_of_an_upgrade_that_fails(
    sent: bytes, error: type[http.HTTPError], read: bool, autojump_clock: Any
) -> None:
    met: list[http.HTTPError] = []

    async def on_upgrade(request: Request, stream: Any) -> None:
        await trio.sleep(5)  # the time counts from the first read
        try:
            await (request.read() if read else stream.receive_some())
        except http.HTTPError as caught:
            met.append(caught)
            raise

    async with serving(hello, request_timeout=4) as served:
        served.server.on("upgrade", on_upgrade)
        client = await served.connect()
        await client.send(upgrade("Transfer-Encoding: chunked"), sent)
        assert await client.until_end() == b""
    assert [type(each) for each in met] == [error]
    assert trio.current_time() == pytest.approx(9 if error is http.RequestTimeoutError else 5)


# --- silence ---------------------------------------------------------------------------


async def test_a_timeout_of_one_request_does_not_outlive_it(autojump_clock: Any) -> None:
    async def handler(request: Request, response: Response) -> None:
        if request.url == "/short":
            response.set_timeout(1, lambda: None)
        await trio.sleep(2)
        await response.end()

    async with serving(handler, timeout=3) as served:
        client = await served.connect()
        assert (await client.get("/short")).status == 200
        assert (await client.get("/long")).status == 200
        served.server.timeout = 1
        assert (await client.get("/last")).status == 200  # it began under the old one
        begun = trio.current_time()
        await client.send(ask("/late"))
        assert await client.until_end() == b""
        assert trio.current_time() - begun == pytest.approx(1)


async def test_silence_ends_a_handler_that_waits_for_the_socket(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[tuple[type[BaseException], float]] = []

    async def handler(request: Request, response: Response) -> None:
        try:
            await request.read() if request.url == "/read" else await response.write(b"x" * 999_999)
        except http.HTTPError as error:
            ends.append((type(error), trio.current_time()))
            raise

    async with serving(handler, timeout=2) as served:
        for path in ("/read", "/write"):
            client = await served.connect()
            await client.send(ask(path, "Content-Length: 1", method="POST"))
            await trio.sleep(5)
            await client.until_end()
        assert served.server.connections == 0
    assert ends == [(http.SocketTimeoutError, 2), (http.SocketTimeoutError, 7)]
    assert not caplog.records


async def test_a_client_that_resets_while_we_linger(autojump_clock: Any) -> None:
    async def refuse(request: Request, response: Response) -> None:
        await response.write_head(413, {"Connection": "close"}).end()

    async with serving(refuse) as served:
        client = await served.connect()
        await client.send(ask("/", f"Content-Length: {1 << 30}", method="POST"))
        await client.answer()
        await settle()
        client.reset()
        await settle()
        assert served.server.connections == 0
        assert trio.current_time() == 0


async def test_a_body_that_is_in_the_kernel_needs_no_waiting() -> None:
    async with listening(http.create_server(echo)) as server, dialled(server) as client:
        for _ in range(2):
            await client.send(ask("/", "Content-Length: 200000", method="POST"))
            await client.send(b"x" * 200_000)
            assert len((await client.answer()).body) == 200_007
