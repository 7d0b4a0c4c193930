"""One socket: bytes, counters, silence and the end."""

from __future__ import annotations

import errno
import gc
import math
import ssl
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests.test_facts import connected
from tests.wires import contexts
from trio_nodehttp._memory import memory_pipe


class Bare(trio.abc.Stream):
    """A stream of someone else's making, with nothing beyond the interface."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.sent: list[bytes] = []
        self.closed = trio.Event()

    async def send_all(self, data: Any) -> None:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        self.sent.append(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await self.send_all(b"")

    async def receive_some(self, max_bytes: int | None = None) -> Any:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return bytearray(b"x" * (max_bytes or 0))

    async def aclose(self) -> None:
        self.closed.set()
        await trio.lowlevel.checkpoint()


# --- bytes -----------------------------------------------------------------------------


async def test_bytes_and_their_counters() -> None:
    async with connected() as (client, server):
        await client.send(b"hello")
        assert await server.receive() == b"hello"
        await client.send(memoryview(b"world"))
        assert await server.receive(2) == b"wo"
        assert await server.receive(100) == b"rld"
        await client.send_eof()
        assert await server.receive() == b""
        assert (client.bytes_written, client.bytes_read) == (10, 0)
        assert (server.bytes_written, server.bytes_read) == (0, 10)
        assert repr(server).endswith("read=10 written=0>")


async def test_much_at_once(nursery: trio.Nursery) -> None:
    size = 5_000_000
    async with connected() as (client, server):
        nursery.start_soon(client.send, bytes(size))
        biggest = count = 0
        while count < size:
            data = await server.receive()
            count += len(data)
            biggest = max(biggest, len(data))
        await trio.testing.wait_all_tasks_blocked()
        assert client.bytes_written == server.bytes_read == size
        # A receive that came back full is followed by a larger one.
        assert 65536 < biggest <= 4 * 65536


async def test_a_receive_asks_for_as_much_as_it_is_told() -> None:
    stream = Bare()
    socket = http.Socket(stream)
    socket.readable_high_water_mark = 10
    sizes = [len(await socket.receive()) for _ in range(3)]
    assert sizes == [10, 40, 40]
    data = await socket.receive(3)
    assert (data, type(data)) == (b"xxx", bytes)
    assert len(await socket.receive()) == 10


async def test_what_is_there_without_waiting() -> None:
    async with connected() as (client, server):
        assert client.receive_now() is None
        await server.send(b"ab")
        assert client.receive_now() == b"ab"
        assert client.receive_now() is None
        await server.send_eof()
        assert client.receive_now() == b""
        assert client.bytes_read == 2
        client.destroy()
        assert client.receive_now() is None
        assert client.send_now(b"x") == 0
    memory = http.Socket(memory_pipe()[0])
    assert memory.receive_now() is None
    assert memory.send_now(b"x") == 0


async def test_what_fits_without_waiting(nursery: trio.Nursery) -> None:
    async with connected() as (client, server):
        assert client.send_now(b"ab") == 2
        assert await server.receive() == b"ab"
        total = 0
        while sent := client.send_now(bytes(1 << 20)):
            total += sent
        assert client.bytes_written == total + 2
        nursery.start_soon(client.send, bytes(32 << 20))
        await trio.testing.wait_all_tasks_blocked()
        await server.receive(1 << 21)
        # Nothing may come between what another task is sending.
        assert client.send_now(b"no") == 0
        with pytest.raises(trio.BusyResourceError):
            await client.send(b"no")
        while server.bytes_read < total + 2 + (32 << 20):
            await server.receive(1 << 21)
        await trio.testing.wait_all_tasks_blocked()
        assert client.send_now(b"ok") == 2


async def test_waiting_for_room(nursery: trio.Nursery) -> None:
    ours, theirs = memory_pipe(4)
    socket = http.Socket(ours)
    await socket.send(b"1234")
    told: list[str] = []

    async def wait() -> None:
        await socket.wait_writable()
        told.append("room")

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    assert told == []
    await theirs.receive_some()
    await trio.testing.wait_all_tasks_blocked()
    assert told == ["room"]


async def test_not_connected_yet() -> None:
    socket = http.Socket()
    for call in (socket.receive(), socket.send(b"x"), socket.wait_writable()):
        with pytest.raises(http.SocketHangUpError):
            await call
    await socket.send_eof()
    assert (socket.receive_now(), socket.send_now(b"x")) == (None, 0)
    await socket.stream.aclose()
    ours, theirs = memory_pipe()
    socket.attach(ours)
    assert not socket.connecting
    await socket.send(b"x")
    assert await theirs.receive_some() == b"x"


async def test_destroyed_before_it_is_connected() -> None:
    socket = http.Socket()
    socket.destroy()
    ours, theirs = memory_pipe()
    socket.attach(ours)
    assert theirs.peer_closed


# --- errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (trio.BrokenResourceError("gone"), "ECONNRESET"),
        (trio.ClosedResourceError("gone"), "ECONNRESET"),
        (OSError(errno.EPIPE, "gone"), "EPIPE"),
        (OSError(errno.ETIMEDOUT, "gone"), "ETIMEDOUT"),
        (OSError(errno.EHOSTUNREACH, "gone"), "ECONNRESET"),
        (ConnectionResetError(), "ECONNRESET"),
        (ssl.SSLError(1, "bad record"), "ECONNRESET"),
    ],
)
@pytest.mark.parametrize("call", ["receive", "send", "wait_writable"])
async def test_foreign_errors_are_translated(error: Exception, code: str, call: str) -> None:
    socket = http.Socket(Bare(error))
    with pytest.raises(http.SocketHangUpError) as caught:
        await getattr(socket, call)(*([b"x"] if call == "send" else []))
    assert caught.value.code == code
    assert caught.value.__cause__ is error
    assert isinstance(caught.value, (ConnectionResetError, trio.BrokenResourceError))
    assert socket.broken is caught.value
    assert not socket.destroyed


@pytest.mark.parametrize(
    ("cause", "name", "code"),
    [
        (OSError(errno.EPIPE, "gone"), "EPIPE", "EPIPE"),
        # OpenSSL's numbers, which mean EPERM and ENOEXEC elsewhere.
        (ssl.SSLError(1, "bad record"), "EPROTO", "ECONNRESET"),
        (ssl.SSLEOFError(8, "cut off"), "ECONNRESET", "ECONNRESET"),
    ],
)
async def test_the_errno_may_be_one_deeper(cause: Exception, name: str, code: str) -> None:
    error = trio.BrokenResourceError()
    error.__cause__ = cause
    with pytest.raises(http.SocketHangUpError, match=f"^write {name}$") as caught:
        await http.Socket(Bare(error)).send(b"x")
    assert caught.value.code == code


async def test_other_errors_are_left_alone() -> None:
    socket = http.Socket(Bare(LookupError("a bug")))
    with pytest.raises(LookupError):
        await socket.receive()
    with pytest.raises(LookupError):
        await socket.send(b"x")
    assert socket.broken is None


async def test_half_closing_a_dead_connection() -> None:
    ours, theirs = memory_pipe()
    theirs.reset()
    with pytest.raises(http.SocketHangUpError, match="shutdown"):
        await http.Socket(ours).send_eof()
    await http.Socket(Bare()).send_eof()  # which cannot


async def test_tls_without_a_farewell_is_an_end() -> None:
    server_context, client_context = contexts()
    ours, theirs = memory_pipe()
    client = trio.SSLStream(ours, client_context, server_hostname="127.0.0.1")
    server = trio.SSLStream(theirs, server_context, server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        nursery.start_soon(server.do_handshake)
    await client.send_all(b"x")
    ours.close_now()
    socket = http.Socket(server)
    assert await socket.receive() == b"x"
    assert await socket.receive() == b""


# --- silence -----------------------------------------------------------------------------


async def test_silence_destroys(autojump_clock: Any) -> None:
    socket = http.Socket(memory_pipe()[0])
    began = trio.current_time()
    assert socket.timeout == math.inf
    assert socket.set_timeout(5) is socket
    assert socket.timeout == 5
    with pytest.raises(http.SocketTimeoutError) as caught:
        await socket.receive()
    assert trio.current_time() - began == 5
    assert socket.destroyed
    assert socket.errored is caught.value
    assert isinstance(caught.value, trio.TooSlowError)
    with pytest.raises(http.SocketTimeoutError):
        await socket.send(b"x")


@pytest.mark.parametrize("how", ["observer", "watcher", "callback"])
async def test_silence_that_is_noticed(autojump_clock: Any, how: str) -> None:
    socket = http.Socket(memory_pipe()[0])
    told: list[float] = []
    began = trio.current_time()

    def note() -> bool:
        told.append(trio.current_time() - began)
        return True

    if how == "observer":
        socket.on("timeout", note)
    elif how == "watcher":
        socket.watchers.extend([bool, note])
    socket.set_timeout(5, note if how == "callback" else None)
    await trio.sleep(100)
    assert told == [5]
    assert not socket.destroyed
    # Told once, and again after further bytes; a callback was for one time.
    await socket.send(b"x")
    await trio.sleep(100)
    assert told == ([5] if how == "callback" else [5, 105])
    assert socket.destroyed is (how == "callback")


@pytest.mark.parametrize("way", ["receive", "send"])
async def test_bytes_are_no_silence(autojump_clock: Any, way: str) -> None:
    ours, theirs = memory_pipe()
    socket = http.Socket(ours)
    socket.set_timeout(5)
    for _ in range(10):
        await trio.sleep(4)
        if way == "receive":
            await theirs.send_all(b"x")
            await socket.receive()
        else:
            await socket.send(b"x")
    assert not socket.destroyed
    await trio.sleep(6)
    assert socket.destroyed


async def send_to_the_slow(client: http.Socket, server: http.Socket, clock: Any) -> None:
    """A peer that reads a part every 6 s keeps a timeout of 10 s from striking."""

    async def send() -> None:
        with pytest.raises(http.SocketTimeoutError):
            await client.send(bytes(64 << 20))

    client.set_timeout(10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        for _ in range(4):
            await trio.testing.wait_all_tasks_blocked(0.01)
            clock.jump(6)
            written = 0
            while written < 8 << 20:
                written += len(await server.receive())
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not client.destroyed
        clock.jump(11)
    assert client.destroyed


async def test_a_slow_reader_is_not_silent_over_tcp(mock_clock: Any) -> None:
    async with connected() as (client, server):
        await send_to_the_slow(client, server, mock_clock)


async def test_a_slow_reader_is_not_silent_in_memory(mock_clock: Any) -> None:
    ours, theirs = memory_pipe(1 << 20)
    await send_to_the_slow(http.Socket(ours), http.Socket(theirs), mock_clock)


async def test_switching_it_off(autojump_clock: Any) -> None:
    socket = http.Socket(memory_pipe()[0])
    for off in (0, None, math.inf):
        socket.set_timeout(1)
        socket.set_timeout(off)
        await trio.sleep(5)
        assert socket.timeout == math.inf
    assert not socket.destroyed
    socket.set_timeout(1)
    socket.destroy()
    socket.set_timeout(1)
    assert socket._timer is None
    await trio.sleep(5)
    assert socket.errored is None


async def test_a_timeout_is_a_number() -> None:
    socket = http.Socket(memory_pipe()[0])
    for wrong, error in (("1", http.InvalidArgTypeError), (-1, http.OutOfRangeError)):
        bad: Any = wrong
        with pytest.raises(error):
            socket.set_timeout(bad)
    assert socket.timeout == math.inf


# --- the end -----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [None, LookupError("mine"), http.AbortedError("ours")])
async def test_destroy_tells_once(nursery: trio.Nursery, error: Exception | None) -> None:
    ours, theirs = memory_pipe()
    socket = http.Socket(ours)
    told: list[object] = []
    socket.on("error", told.append)
    socket.on("close", lambda: told.append("close"))
    socket.on_destroy = lambda: told.append("owner")

    async def read() -> None:
        with pytest.raises(http.SocketHangUpError) as caught:
            await socket.receive()
        told.append(caught.value is error)

    nursery.start_soon(read)
    await trio.testing.wait_all_tasks_blocked()
    assert socket.destroy(error) is socket
    assert socket.destroy(LookupError()) is socket
    assert theirs.peer_closed
    await trio.testing.wait_all_tasks_blocked()
    expected: list[object] = ["owner"] if error is None else ["owner", error]
    assert told == [*expected, "close", isinstance(error, http.AbortedError)]
    assert socket.errored is error
    assert "destroyed" in repr(socket)


async def test_close_is_told_whatever_an_observer_raises() -> None:
    socket = http.Socket(memory_pipe()[0])
    told: list[str] = []

    def fail(_: object) -> None:
        raise LookupError

    socket.on("error", fail)
    socket.on("close", lambda: told.append("close"))
    with pytest.raises(LookupError):
        socket.destroy(RuntimeError())
    assert told == ["close"]


async def test_a_stream_that_cannot_close_at_once_is_closed_in_a_task() -> None:
    stream = Bare()
    http.Socket(stream).destroy()
    with trio.fail_after(1):
        await stream.closed.wait()


async def test_aclose() -> None:
    ours, theirs = memory_pipe()
    socket = http.Socket(ours)
    for _ in range(2):
        with trio.testing.assert_checkpoints():
            await socket.aclose()
    assert socket.destroyed
    assert theirs.peer_closed


async def test_aclose_tells_why() -> None:
    socket = http.Socket(memory_pipe()[0])
    mistake = LookupError()
    await socket.aclose(mistake)
    assert socket.errored is mistake


@pytest.mark.parametrize("peer", ["reads", "is silent", "is gone", "cancelled"])
async def test_aclose_over_tls_is_bounded(autojump_clock: Any, peer: str) -> None:
    server_context, client_context = contexts()
    ours, theirs = memory_pipe(1 << 20)
    client = trio.SSLStream(ours, client_context, server_hostname="127.0.0.1")
    server = trio.SSLStream(theirs, server_context, server_side=True, https_compatible=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        nursery.start_soon(server.do_handshake)
    if peer == "is gone":
        theirs.reset()
    socket = http.Socket(client)
    began = trio.current_time()
    with trio.CancelScope() as scope:
        if peer == "cancelled":
            scope.cancel()
        await socket.aclose()
    assert trio.current_time() - began <= 0.1
    assert scope.cancelled_caught is (peer == "cancelled")
    assert socket.destroyed
    assert ours.closed
    if peer == "reads":
        assert await server.receive_some() == b""  # a farewell, no cut


async def test_a_stream_that_fails_to_close(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Bare):
        async def aclose(self) -> None:
            raise OSError(errno.EIO, "cannot even close")

    stream = trio.SSLStream(Failing(), contexts()[1], server_hostname="127.0.0.1")
    socket = http.Socket(stream)
    await socket.aclose()
    assert socket.destroyed
    http.Socket(Failing()).destroy()
    await trio.testing.wait_all_tasks_blocked()
    assert "could not be closed" in caplog.text


def test_a_forgotten_socket_is_collected_quietly() -> None:
    async def main() -> None:
        socket = http.Socket(memory_pipe()[0])
        socket.set_timeout(1000)
        socket.set_timeout(None)
        del socket

    trio.run(main)
    gc.collect()
