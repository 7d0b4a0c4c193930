"""Copying one stream into another, and two into each other."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests.wires import contexts, read_all, wire
from trio_nodehttp import pipe, tunnel
from trio_nodehttp._memory import DEFAULT_BUFFER_SIZE, MemoryStream, memory_pipe
from trio_nodehttp._transport import Socket
from trio_nodehttp._upgraded import UpgradedStream
from trio_nodehttp.testing import Close, Expect, FaultyServer, Send, Stall


class MistakeError(Exception):
    """A stream's own."""


class Wrong(trio.abc.HalfCloseableStream):
    """A stream of which one method raises, having done its work if that is closing."""

    half_closeable = True

    def __init__(self, inner: MemoryStream, verb: str, error: Exception) -> None:
        self.inner = inner
        self.verb = verb
        self.error = error

    async def _do(self, name: str, *args: object) -> Any:
        if name == self.verb:
            raise self.error
        return await getattr(self.inner, name)(*args)

    async def send_all(self, data: Any) -> None:
        await self._do("send_all", data)

    async def receive_some(self, max_bytes: int | None = None) -> Any:
        return await self._do("receive_some", max_bytes)

    async def send_eof(self) -> None:
        await self._do("send_eof")

    async def wait_send_all_might_not_block(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        self.inner.close_now()
        await self._do("aclose")


class OneWay(trio.abc.SendStream):
    """A stream without half-close that notes what it is given."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.data = bytearray()
        self.ended: str | None = None
        self.error = error

    async def send_all(self, data: Any) -> None:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        self.data += data

    async def wait_send_all_might_not_block(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        self.ended = "cut"
        await trio.lowlevel.checkpoint()
        self.ended = "closed"


async def test_pipe_ends_a_destination_by_its_means() -> None:
    ours, theirs = memory_pipe()
    await ours.send_all(b"some bytes")
    await ours.send_eof()
    destination = OneWay()
    assert await pipe(theirs, destination) == 10
    assert (bytes(destination.data), destination.ended) == (b"some bytes", "closed")
    assert not theirs.closed, "its other direction may be in use"


@pytest.mark.parametrize("copy", [pipe, tunnel])
async def test_what_is_no_stream_is_refused_before_anything_is_done(copy: Any) -> None:
    ours, theirs = memory_pipe()
    for pair in ((b"bytes", ours), (ours, None), (ours, trio.Event())):
        with pytest.raises(http.InvalidArgTypeError, match="must be a stream with"):
            await copy(*pair)
    assert not ours.closed
    assert not theirs.peer_closed


async def test_pipe_half_closes_where_it_can() -> None:
    ours, source = memory_pipe()
    destination, peer = memory_pipe()
    await ours.send_all(b"some bytes")
    await ours.send_eof()
    assert await pipe(source, destination) == 10
    assert await read_all(peer) == b"some bytes"
    await peer.send_all(b"answer")
    assert await destination.receive_some() == b"answer"


async def test_pipe_holds_the_source_back(nursery: Any, autojump_clock: Any) -> None:
    ours, source = memory_pipe(buffer_size=1000)
    destination, peer = memory_pipe(buffer_size=1000)
    nursery.start_soon(pipe, source, destination)
    with trio.move_on_after(1):
        await ours.send_all(bytes(100_000))
    assert ours.bytes_sent <= 4000
    assert await peer.receive_some() == bytes(1000)


@pytest.mark.parametrize("error", [trio.BrokenResourceError("gone"), MistakeError("mine")])
async def test_pipe_whose_destination_breaks(error: Exception) -> None:
    ours, source = memory_pipe()
    await ours.send_all(b"x")
    destination = OneWay(error)
    with pytest.raises(type(error)) as caught:
        await pipe(source, destination)
    assert caught.value is error
    assert source.closed
    assert destination.ended == "cut", "nobody may take it for a normal end"


async def test_pipe_whose_source_breaks() -> None:
    ours, source = memory_pipe()
    ours.reset()
    destination = OneWay()
    with pytest.raises(trio.BrokenResourceError):
        await pipe(source, destination)
    assert destination.ended == "cut"
    assert source.closed


async def test_pipe_whose_source_also_fails_to_close() -> None:
    mistake = MistakeError("mine")

    class Failing(Wrong):
        async def receive_some(self, max_bytes: int | None = None) -> Any:
            await trio.lowlevel.checkpoint()
            raise mistake

    _, inner = memory_pipe()
    destination = OneWay()
    with pytest.raises(MistakeError) as caught:
        await pipe(Failing(inner, "aclose", ValueError("no news")), destination)
    assert caught.value is mistake
    assert destination.ended == "cut"


async def test_pipe_into_a_stream_that_happens_to_have_a_response(nursery: Any) -> None:
    class Answered(OneWay):
        response = "of its own"

    ours, source = memory_pipe(max_receive=2)
    await ours.send_all(b"some bytes")
    await ours.send_eof()
    destination = Answered()
    assert await pipe(source, destination) == 10
    assert bytes(destination.data) == b"some bytes"


async def test_pipe_cancelled(autojump_clock: Any) -> None:
    _, source = memory_pipe()
    destination = OneWay()
    with trio.move_on_after(1) as scope:
        await pipe(source, destination)
    assert scope.cancelled_caught
    assert destination.ended == "cut"
    assert source.closed


async def test_pipe_into_a_request_stops_at_its_early_response(
    nursery: Any, autojump_clock: Any
) -> None:
    early = b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"
    wired = await wire(nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(early), Stall()]))

    class Endless(trio.abc.ReceiveStream):
        pulled = 0

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            await trio.sleep(0.01)
            self.pulled += 1
            return b"x" * 1000

        async def aclose(self) -> None:
            raise NotImplementedError

    source = Endless()
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        await pipe(source, request)
        assert source.pulled < 10
        response = await request.get_response()
        assert response.status_code == 413


async def test_pipe_into_a_request_does_not_wait_for_its_source(
    nursery: Any, autojump_clock: Any
) -> None:
    early = b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"
    server = FaultyServer([Expect(b"half"), Send(early), Stall()])
    wired = await wire(nursery, "memory", server)
    ours, source = memory_pipe()
    await ours.send_all(b"half")
    options: Any = {"method": "POST", "agent": wired.agent}
    async with http.request(wired.url, **options) as request:
        with trio.fail_after(1):
            assert await pipe(source, request) == 4
        response = await request.get_response()
        assert response.status_code == 413
        await ours.send_all(b"more")
        assert await pipe(source, request) == 0, "nothing is wanted"
        assert source.unread == 4
    assert wired.counts() == (0, 0, 0, 0)
    with pytest.raises(http.StreamDestroyedError, match="enter the request's scope"):
        await pipe(source, http.request(wired.url, **options))


async def test_pipe_into_a_request_whose_server_leaves(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", FaultyServer([Expect(b"half"), Close()]))
    ours, source = memory_pipe()
    await ours.send_all(b"half")
    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        with trio.fail_after(1), pytest.raises(http.SocketHangUpError):
            await pipe(source, request)
    assert source.closed


async def test_pipe_from_broken_source_leaves_a_request_cut(
    nursery: Any, autojump_clock: Any
) -> None:
    received: list[bytes] = []

    async def note(stream: Any) -> None:
        received.append(await read_all(stream))

    wired = await wire(nursery, "memory", note)
    ours, source = memory_pipe()
    await ours.send_all(b"half")

    async def break_soon() -> None:
        await trio.sleep(1)
        ours.reset()

    async with http.request(wired.url, method="POST", agent=wired.agent) as request:
        nursery.start_soon(break_soon)
        with pytest.raises(trio.BrokenResourceError):
            await pipe(source, request)
    await wired.all_ended()
    assert received[0].endswith(b"\r\n\r\n4\r\nhalf\r\n"), "the last chunk never goes out"


# --- tunnel ----------------------------------------------------------------------------


class Ends:
    """A tunnel between two memory streams, seen from its far ends."""

    def __init__(self) -> None:
        self.left, self.a = memory_pipe()
        self.right, self.b = memory_pipe()
        self.counts: tuple[int, int] | None = None
        self.error: BaseException | None = None

    async def run(self) -> None:
        try:
            self.counts = await tunnel(self.a, self.b)
        except Exception as error:  # noqa: BLE001
            self.error = error


@pytest.fixture
async def ends(nursery: Any, autojump_clock: Any) -> Ends:
    made = Ends()
    nursery.start_soon(made.run)
    return made


async def test_tunnel_passes_an_end_on_and_goes_on(ends: Ends) -> None:
    await ends.left.send_all(b"question")
    await ends.left.send_eof()
    assert await read_all(ends.right) == b"question"
    await trio.testing.wait_all_tasks_blocked()
    assert ends.counts is None
    await ends.right.send_all(b"an answer")
    assert await ends.left.receive_some() == b"an answer"
    await ends.right.send_eof()
    assert await ends.left.receive_some() == b""
    await trio.testing.wait_all_tasks_blocked()
    assert ends.counts == (8, 9)
    assert ends.a.closed
    assert ends.b.closed


@pytest.mark.parametrize("side", ["left", "right"])
async def test_tunnel_whose_side_breaks(ends: Ends, side: str) -> None:
    await ends.left.send_all(b"question")
    await ends.right.receive_some()
    getattr(ends, side).reset()
    await trio.testing.wait_all_tasks_blocked()
    assert ends.counts == (8, 0)
    assert ends.a.closed
    assert ends.b.closed
    other = ends.right if side == "left" else ends.left
    assert await other.receive_some() == b""


@pytest.mark.parametrize("way", ["a", "b"])
@pytest.mark.parametrize("verb", ["send_all", "receive_some", "send_eof", "aclose"])
async def test_error_of_a_side_arrives_unchanged(autojump_clock: Any, way: str, verb: str) -> None:
    mistake = MistakeError("mine")

    left, a = memory_pipe()
    right, b = memory_pipe()
    for end in (left, right):
        await end.send_all(b"x")
        await end.send_eof()
    wrong = Wrong(a if way == "a" else b, verb, mistake)
    sides: list[Any] = [wrong, b] if way == "a" else [a, wrong]
    with pytest.raises(MistakeError) as caught:
        await tunnel(*sides)
    assert caught.value is mistake
    assert a.closed
    assert b.closed


async def test_tunnel_delivers_what_came_before_a_side_left(autojump_clock: Any) -> None:
    """RFC 9110 section 9.3.6."""
    left, a = memory_pipe()
    right, b = memory_pipe(buffer_size=100)
    await left.send_all(bytes(10_000))
    await left.aclose()
    got = bytearray()
    counts: list[tuple[int, int]] = []

    async def join() -> None:
        counts.append(await tunnel(a, b))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(join)
        await right.send_all(b"nobody reads this")
        await trio.testing.wait_all_tasks_blocked()
        while data := await right.receive_some():
            got += data
            await trio.sleep(0.01)
    assert got == bytes(10_000)
    assert counts == [(10_000, 0)]


async def test_tunnel_does_not_wait_for_ever_to_deliver(autojump_clock: Any, ends: Ends) -> None:
    await ends.left.send_all(bytes(DEFAULT_BUFFER_SIZE))
    await ends.left.send_all(bytes(DEFAULT_BUFFER_SIZE))  # nobody takes that on the right
    ends.left.close_now()
    await ends.right.send_all(b"nobody reads this")
    await trio.sleep(29)
    assert ends.counts is None
    await trio.sleep(2)
    assert ends.counts == (DEFAULT_BUFFER_SIZE, 0)
    assert ends.b.closed


@pytest.mark.parametrize("ours", [True, False])
async def test_tunnel_tells_its_end_over_tls(nursery: Any, ours: bool) -> None:
    server_context, client_context = contexts()
    left, a = memory_pipe()
    outer, inner = memory_pipe()
    secure: Any = trio.SSLStream(inner, server_context, server_side=True)
    peer = trio.SSLStream(outer, client_context, server_hostname="127.0.0.1")
    nursery.start_soon(tunnel, a, UpgradedStream(Socket(secure), b"") if ours else secure)
    await left.send_all(b"all")
    await left.send_eof()
    assert await peer.receive_some() == b"all"
    assert await peer.receive_some() == b"", "no truncation"


@pytest.mark.parametrize("half_closeable", [True, False])
async def test_tunnel_whose_side_left_before_it_was_closed(half_closeable: bool) -> None:
    left, a = memory_pipe()
    right, b = memory_pipe()
    for end in (left, right):
        await end.send_eof()
    wrong = Wrong(b, "aclose", trio.BrokenResourceError())
    wrong.half_closeable = half_closeable
    assert await tunnel(a, wrong) == (0, 0)
    assert a.closed


async def test_tunnel_of_a_stream_with_a_nursery_of_its_own() -> None:
    class Nursed(Wrong):
        async def receive_some(self, max_bytes: int | None = None) -> Any:
            async with trio.open_nursery() as inside:
                inside.start_soon(trio.sleep_forever)
                inside.start_soon(self.inner.receive_some)

    left, a = memory_pipe()
    _, b = memory_pipe()
    left.reset()
    counts = None
    try:
        counts = await tunnel(a, Nursed(b, "", MistakeError()))
    except BaseException as error:  # noqa: BLE001  # cancellations would pass unseen
        pytest.fail(repr(error))
    assert counts == (0, 0)
    assert b.closed


async def test_tunnel_cancelled(autojump_clock: Any) -> None:
    _, a = memory_pipe()
    _, b = memory_pipe()
    with trio.move_on_after(1) as scope:
        try:
            await tunnel(a, b)
        except BaseException as error:
            assert type(error) is trio.Cancelled  # noqa: PT017
            raise
    assert scope.cancelled_caught
    assert a.closed
    assert b.closed


async def test_tunnel_that_cannot_half_close_ends(autojump_clock: Any, nursery: Any) -> None:
    class Half(UpgradedStream):
        half_closeable = False

    left, a = memory_pipe()
    right, b = memory_pipe()
    told: list[object] = []

    async def run() -> None:
        told.append(await tunnel(a, Half(Socket(b), b"early")))

    nursery.start_soon(run)
    assert await left.receive_some() == b"early"
    await left.send_all(b"question")
    await left.send_eof()
    assert await read_all(right) == b"question"
    await trio.testing.wait_all_tasks_blocked()
    assert told == [(8, 5)]
    assert await left.receive_some() == b"", "both are closed"
