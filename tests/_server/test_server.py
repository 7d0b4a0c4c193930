from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests._server.certificates import Authority
from tests._server.kit import Client, ask, dialled, hello, listening, serving, settle

Request = http.IncomingMessage
Response = http.ServerResponse


async def forever(request: Request, response: Response) -> None:
    await trio.sleep_forever()


# --- events ----------------------------------------------------------------------------


async def test_one_function_answers_an_event(autojump_clock: Any) -> None:
    server = http.create_server()
    assert server.on("request", hello) is server
    with pytest.raises(http.InvalidArgValueError, match="off"):
        server.on("request", forever)
    server.off("request", forever)  # not registered: no error
    assert server.off("request", hello) is server
    server.on("request", forever)
    with pytest.raises(http.InvalidArgTypeError, match="async function"):
        server.on("connect", 5)  # type: ignore[call-overload]
    with pytest.raises(http.InvalidArgTypeError, match="async function"):
        server.once("connect", 5)  # type: ignore[call-overload]
    with pytest.raises(http.InvalidArgValueError, match="protocol"):
        server.on("connect", hello, protocol="x")
    with pytest.raises(http.InvalidArgValueError, match="name"):
        server.on("requests", hello)


async def test_observers_come_and_go(autojump_clock: Any) -> None:
    seen: list[str] = []
    async with serving(hello) as served:
        server = served.server

        @server.on("connection")
        def always(socket: http.Socket) -> None:
            seen.append("always")

        @server.once("connection")
        def once(socket: http.Socket) -> None:
            seen.append("once")

        for _ in range(2):
            await (await served.connect()).get()
        assert server.off("connection", always) is server
        await (await served.connect()).get()
    assert seen == ["always", "once", "always"]


async def test_an_event_is_answered_once(autojump_clock: Any) -> None:
    async def first(request: Request, response: Response) -> None:
        await response.end("first")

    async with serving() as served:
        assert served.server.once("request", first) is served.server
        client = await served.connect()
        assert (await client.get()).body == b"first"
        assert (await client.get()).status == 404
        served.server.once("request", first)
        with pytest.raises(http.InvalidArgValueError, match="answered by once <function"):
            served.server.on("request", hello)
        served.server.off("request", hello).off("request", first)
        assert (await client.get()).status == 404


async def test_a_protocol_is_answered_once(autojump_clock: Any) -> None:
    async with serving(hello) as served:

        @served.server.once("upgrade", protocol="Chat")
        async def chat(_: Request, stream: Any) -> None:
            await stream.send_all(b"chat")

        asked = ask("/", "Connection: upgrade", "Upgrade: chat")
        client = await served.connect()
        await client.send(asked)
        assert await client.until_end() == b"chat"
        client = await served.connect()
        await client.send(asked)
        assert (await client.answer()).body == b"hello"


async def test_an_observer_that_raises_costs_its_connection_only(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(hello) as served:
        good = await served.connect()
        await good.get()

        def fail(*args: object) -> None:
            raise ValueError("mine")

        served.server.on("connection", fail)
        bad = await served.connect()
        assert await bad.until_end() == b""
        assert (await good.get()).status == 200
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_set_timeout_takes_the_place_of_an_earlier_one(autojump_clock: Any) -> None:
    told: list[str] = []

    async def first(socket: http.Socket) -> None:
        told.append("first")

    async def second(socket: http.Socket) -> None:
        told.append("second")
        socket.destroy()

    async with serving(hello) as served:
        server = served.server.set_timeout(1, first).set_timeout(2, second)
        assert server.timeout == 2
        assert server.set_timeout(0.5).timeout == 0.5
        client = await served.connect()
        assert await client.until_end() == b""
        assert trio.current_time() == pytest.approx(0.5)
    assert told == ["second"]


# --- listening -------------------------------------------------------------------------


async def test_a_server_listens_once_at_a_time() -> None:
    server = http.create_server(hello)
    with pytest.raises(http.ServerNotRunningError):
        await server.close()
    for _ in range(2):
        async with listening(server):
            assert repr(server).startswith(f"<Server {server.url} listening")
            with pytest.raises(http.ServerAlreadyListenError) as caught:
                await server.listen()
            assert caught.value.code == "ERR_SERVER_ALREADY_LISTEN"
        assert not server.listening
    assert repr(server).endswith("closed connections=0>")


async def test_a_cancelled_listen_cuts_everything() -> None:
    cancelled: list[str] = []

    async def handler(request: Request, response: Response) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(request.url)

    server = http.create_server(handler)
    closed: list[bool] = []
    server.on("close", lambda: closed.append(server.listening))
    async with trio.open_nursery() as nursery:
        await nursery.start(server.listen, 0, "127.0.0.1")
        async with dialled(server) as client:
            await client.send(ask("/1"))
            while not server.connections:
                await trio.lowlevel.checkpoint()
            await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert cancelled == ["/1"]
    assert closed == [False]
    assert server.connections == 0
    async with listening(server):
        assert server.listening


async def test_the_first_failure_counts(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: Request, response: Response) -> None:
        try:
            await trio.sleep(0 if request.url == "/1" else 60)
        finally:
            raise LookupError(request.url)

    server = http.create_server(fail, on_error="raise")
    caught: list[LookupError] = []

    async def listen(task_status: Any) -> None:
        try:
            await server.listen(0, "127.0.0.1", task_status=task_status)
        except LookupError as error:
            caught.append(error)

    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        async with dialled(server) as second, dialled(server) as first:
            await second.send(ask("/2"))
            await trio.sleep(0.01)
            await first.send(ask("/1"))
            assert await first.until_end() == b""
            assert await second.until_end() == b""
    assert [error.args for error in caught] == [("/1",)]


async def test_more_connections_than_max_are_closed(autojump_clock: Any) -> None:
    async with serving(hello, max_connections=2) as served:
        clients = [await served.connect() for _ in range(3)]
        await settle()
        assert served.server.connections == 2
        assert await clients[2].until_end() == b""
        for client in clients[:2]:
            assert (await client.get()).status == 200
        clients[0].leave()
        await settle()
        assert (await (await served.connect()).get()).status == 200


async def test_any_stream_can_be_served(autojump_clock: Any) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    server = http.create_server(hello)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve_stream, theirs)
        client = Client(ours)
        assert (await client.get("/", "Connection: close")).body == b"hello"
        assert await client.until_end() == b""


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_served_stream_is_closed_on_return(cancelled: bool, autojump_clock: Any) -> None:
    """Whatever it is made of; here of a type that can only be closed by awaiting."""

    class Counted(trio.abc.Stream):
        closed = 0

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            return bytes(await theirs.receive_some(max_bytes))

        async def send_all(self, data: Any) -> None:
            await theirs.send_all(data)

        async def wait_send_all_might_not_block(self) -> None:
            raise NotImplementedError

        async def aclose(self) -> None:
            self.closed += 1
            await trio.lowlevel.checkpoint()

    ours, theirs = trio.testing.memory_stream_pair()
    stream = Counted()
    await ours.send_all(ask())
    with trio.move_on_after(1 if cancelled else 10) as scope:
        await http.create_server(hello).serve_stream(stream)
    assert scope.cancelled_caught is cancelled
    assert stream.closed == 1
    await trio.testing.wait_all_tasks_blocked()
    assert stream.closed == 1


async def test_a_cancelled_serve_stream_closes_it(autojump_clock: Any) -> None:
    async with serving(forever) as served:
        client = await served.connect()
        await client.send(ask())
        await settle()
        served.network.unserve("a.test")
        scope = trio.CancelScope()

        async def serve(stream: Any) -> None:
            with scope:
                await served.server.serve_stream(stream)

        served.network.listen("b.test", 80, serve)
        other = Client(await served.network.connect("b.test"))
        await other.send(ask())
        await settle()
        scope.cancel()
        assert await other.until_end() == b""
        assert await client.is_open()


async def test_tls_over_memory_notices_a_departed_peer(autojump_clock: Any) -> None:
    authority = Authority()
    departed: list[float] = []

    async def handler(request: Request, response: Response) -> None:
        assert request.socket.encrypted
        await request.disconnected.wait()
        departed.append(trio.current_time())

    async with serving(handler) as served:
        served.network.unserve("a.test")

        async def serve(stream: Any) -> None:
            secure = trio.SSLStream(stream, authority.server("a.test"), server_side=True)
            await served.server.serve_stream(secure)

        served.network.listen("a.test", 80, serve)
        raw = await served.network.connect("a.test")
        client = trio.SSLStream(
            raw, authority.client(), server_hostname="a.test", https_compatible=True
        )
        await client.send_all(ask())
        await trio.sleep(3)
        raw.close_now()
        await trio.sleep(1)
    assert departed == [pytest.approx(3)]


async def test_no_408_before_a_tls_handshake(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    context = Authority().server("a.test")
    for sent in (b"", b"GET / HTTP/1.1\r\n\r\n"):
        async with serving(hello, headers_timeout=2) as served:
            ours, theirs = trio.testing.memory_stream_pair()
            secure = trio.SSLStream(theirs, context, server_side=True)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(served.server.serve_stream, secure)
                await ours.send_all(sent)
                data = b""
                with trio.move_on_after(5):
                    while more := await ours.receive_some():
                        data += more
                assert b"HTTP" not in data


# --- departed peers --------------------------------------------------------------------


async def test_a_peer_that_left_before_its_handler_ran_is_noticed(autojump_clock: Any) -> None:
    noticed: list[float] = []

    async def handler(request: Request, response: Response) -> None:
        assert not request.aborted
        await request.disconnected.wait()
        noticed.append(trio.current_time())

    async with serving(handler, connections_checking_interval=0.5) as served:
        client = await served.connect()
        await client.send(ask())
        client.leave()
        await trio.sleep(2)
        assert served.server.connections == 0
    assert noticed == [pytest.approx(0.5)]


async def test_an_observer_of_aborted_that_raises_is_logged(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request, response: Response) -> None:
        def fail() -> None:
            raise ValueError("mine")

        request.on("aborted", fail)
        await request.disconnected.wait()

    async with serving(handler) as served:
        client = await served.connect()
        await client.send(ask())
        await settle()
        client.leave()
        await trio.sleep(1)
        assert served.server.connections == 0
    assert [record.exc_info is not None for record in caplog.records] == [True]
