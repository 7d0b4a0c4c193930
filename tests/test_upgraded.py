"""The raw stream behind an upgrade."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from tests.test_transport import Bare
from tests.wires import contexts
from trio_nodehttp import SocketHangUpError, SocketTimeoutError, StreamDestroyedError
from trio_nodehttp._errors import InvalidArgValueError
from trio_nodehttp._memory import DEFAULT_BUFFER_SIZE, memory_pipe
from trio_nodehttp._transport import Socket
from trio_nodehttp._upgraded import UpgradedStream


async def memory_pair() -> tuple[UpgradedStream, UpgradedStream]:
    ours, theirs = memory_pipe()
    return UpgradedStream(Socket(ours), b""), UpgradedStream(Socket(theirs), b"")


async def tcp_pair() -> tuple[Any, Any]:
    one, other = trio.socket.socketpair()
    return trio.SocketStream(one), trio.SocketStream(other)


async def socket_pair() -> tuple[UpgradedStream, UpgradedStream]:
    ours, theirs = await tcp_pair()
    return UpgradedStream(Socket(ours), b""), UpgradedStream(Socket(theirs), b"")


async def tls_pair() -> tuple[UpgradedStream, Any]:
    ours, theirs = memory_pipe()
    server, client = contexts()
    inner = trio.SSLStream(ours, client, server_hostname="127.0.0.1", https_compatible=True)
    outer = trio.SSLStream(theirs, server, server_side=True, https_compatible=True)
    return UpgradedStream(Socket(inner), b""), outer


async def clogged_memory_pair() -> tuple[UpgradedStream, UpgradedStream]:
    ends = await memory_pair()
    for end in ends:
        await end.send_all(bytes(DEFAULT_BUFFER_SIZE))
    return ends


async def clogged_socket_pair() -> tuple[UpgradedStream, UpgradedStream]:
    ends = await socket_pair()
    for end in ends:
        while end.socket.send_now(bytes(65536)):
            pass
    return ends


@pytest.mark.parametrize(
    ("pair", "clogged"),
    [(memory_pair, clogged_memory_pair), (socket_pair, clogged_socket_pair)],
)
async def test_it_is_a_stream_as_trio_has_it(pair: Any, clogged: Any) -> None:
    with trio.fail_after(5):
        await trio.testing.check_half_closeable_stream(pair, clogged)


async def test_early_bytes_come_first_and_once() -> None:
    ours, theirs = memory_pipe()
    stream = UpgradedStream(Socket(ours), b"early")
    assert "early=5" in repr(stream)
    await theirs.send_all(b"late")
    assert await stream.receive_some(2) == b"ea"
    assert stream.head == b"early"
    assert await stream.receive_some() == b"rly"
    assert await stream.receive_some(3) == b"lat"
    assert await stream.receive_some() == b"e"
    await theirs.aclose()
    assert await stream.receive_some() == b""


@pytest.mark.parametrize("size", [0, -1])
async def test_receiving_less_than_a_byte_is_refused(size: int) -> None:
    stream, _ = await memory_pair()
    with pytest.raises(InvalidArgValueError):
        await stream.receive_some(size)


async def test_a_cancelled_receive_loses_no_early_bytes() -> None:
    ours, _ = memory_pipe()
    stream = UpgradedStream(Socket(ours), b"early")
    with trio.CancelScope() as scope:
        scope.cancel()
        await stream.receive_some()
    assert scope.cancelled_caught
    assert await stream.receive_some() == b"early"


async def test_early_bytes_for_two_tasks_are_no_end(nursery: Any) -> None:
    ours, theirs = memory_pipe()
    stream = UpgradedStream(Socket(ours), b"early")
    got: list[bytes] = []

    async def receive() -> None:
        got.append(await stream.receive_some())

    nursery.start_soon(receive)
    nursery.start_soon(receive)
    await trio.testing.wait_all_tasks_blocked()
    assert got == [b"early"]
    await theirs.send_all(b"late")
    await trio.testing.wait_all_tasks_blocked()
    assert got == [b"early", b"late"]


async def test_closing_ends_who_ends_it(nursery: Any) -> None:
    class SlowEnd(Bare, trio.abc.HalfCloseableStream):
        async def send_eof(self) -> None:
            await self.closed.wait()
            raise trio.ClosedResourceError

    stream = UpgradedStream(Socket(SlowEnd()), b"")

    async def end() -> None:
        with pytest.raises(StreamDestroyedError):
            await stream.send_eof()

    nursery.start_soon(end)
    await trio.testing.wait_all_tasks_blocked()
    await stream.aclose()


async def test_end_of_a_broken_connection_cannot_be_told() -> None:
    ours, theirs = memory_pipe()
    stream = UpgradedStream(Socket(ours), b"")
    theirs.reset()
    with pytest.raises(SocketHangUpError):
        await stream.send_eof()


@pytest.mark.parametrize("pair", [memory_pair, socket_pair])
async def test_closing_ends_what_waits(nursery: Any, autojump_clock: Any, pair: Any) -> None:
    stream, peer = await pair()
    told: list[object] = []

    async def wait(name: str, operation: Any, *args: object) -> None:
        with pytest.raises(trio.ClosedResourceError) as caught:
            await operation(*args)
        told.append((name, type(caught.value)))

    nursery.start_soon(wait, "receive", stream.receive_some)
    nursery.start_soon(wait, "send", stream.send_all, b"x" * (8 << 20))
    await trio.testing.wait_all_tasks_blocked()
    await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(told, key=str) == [
        ("receive", StreamDestroyedError),
        ("send", StreamDestroyedError),
    ]
    await peer.aclose()


async def test_closing_ends_who_waits_to_send(nursery: Any, autojump_clock: Any) -> None:
    stream, _ = await memory_pair()
    with trio.move_on_after(1):
        await stream.send_all(b"x" * 100_000)

    async def wait() -> None:
        with pytest.raises(StreamDestroyedError):
            await stream.wait_send_all_might_not_block()

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    stream.destroy()


@pytest.mark.parametrize("verb", ["send_all", "receive_some", "wait_send_all_might_not_block"])
async def test_a_broken_connection_is_a_hang_up(verb: str) -> None:
    ours, theirs = memory_pipe()
    stream = UpgradedStream(Socket(ours), b"")
    theirs.reset()
    args = (b"x",) if verb == "send_all" else ()
    with pytest.raises(SocketHangUpError) as caught:
        await getattr(stream, verb)(*args)
    assert caught.value.code == "ECONNRESET"


@pytest.mark.parametrize("verb", ["send_all", "receive_some"])
async def test_silence_ends_it(autojump_clock: Any, verb: str) -> None:
    stream, peer = await memory_pair()
    stream.socket.set_timeout(5)
    with pytest.raises(SocketTimeoutError):
        await getattr(stream, verb)(*([bytes(1_000_000)] if verb == "send_all" else []))
    assert trio.current_time() >= 5
    await peer.aclose()


async def test_the_end_of_our_side_is_told() -> None:
    stream, peer = await memory_pair()
    assert stream.half_closeable
    await stream.send_all(bytearray(b"last"))
    await stream.send_eof()
    assert await peer.receive_some() == b"last"
    assert await peer.receive_some() == b""
    await peer.send_all(b"answer")
    assert await stream.receive_some() == b"answer"
    with pytest.raises(StreamDestroyedError):
        await stream.wait_send_all_might_not_block()


async def test_tls_cannot_half_close(nursery: Any) -> None:
    stream, peer = await tls_pair()
    nursery.start_soon(peer.do_handshake)
    await stream.send_all(b"over TLS")
    assert await peer.receive_some() == b"over TLS"
    assert not stream.half_closeable
    assert not UpgradedStream(Socket(stream), b"").half_closeable
    await stream.send_eof()
    await peer.send_all(b"still open")
    assert await stream.receive_some() == b"still open"
    await stream.aclose()
    assert await peer.receive_some() == b"", "the close is announced"


@pytest.mark.parametrize("cancelled", [True, False])
async def test_closing_calls_its_owner_once(cancelled: bool) -> None:
    calls: list[int] = []
    ours, theirs = memory_pipe()
    stream = UpgradedStream(Socket(ours), b"", on_close=lambda: calls.append(1))
    with trio.CancelScope() as scope:
        if cancelled:
            scope.cancel()
        await stream.aclose()
    assert scope.cancelled_caught is cancelled
    await stream.aclose()
    stream.destroy()
    assert calls == [1]
    assert theirs.peer_closed
    assert stream.socket.destroyed


async def test_destroy_tells_the_error() -> None:
    stream, _ = await memory_pair()
    errors: list[object] = []
    stream.socket.on("error", errors.append)
    mistake = ValueError("why")
    stream.destroy(mistake)
    assert errors == [mistake]
    with pytest.raises(StreamDestroyedError):
        await stream.receive_some()
