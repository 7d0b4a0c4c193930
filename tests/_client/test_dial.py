"""Names, addresses, and what their failures are called."""

from __future__ import annotations

import errno
import socket as stdlib_socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import trio_nodehttp as http
from tests._client.sockets import FakeNet
from trio_nodehttp._client.dial import dial, open_stream
from trio_nodehttp._client.timings import Timings
from trio_nodehttp._memory import memory_pipe

Clock = trio.testing.MockClock
HANG = 1e9


@pytest.fixture
async def net() -> FakeNet:
    """What every Trio socket of the test talks to."""
    return FakeNet()


def to(host: str = "name.test", **options: Any) -> http.ConnectOptions:
    return http.ConnectOptions(host=host, port=8080, **options)


async def refused(options: http.ConnectOptions) -> http.ConnectionFailedError:
    with pytest.raises(http.ConnectionFailedError) as caught:
        await dial(options)
    return caught.value


# --- TCP ------------------------------------------------------------------------------------


async def test_one_address(autojump_clock: Clock, net: FakeNet) -> None:
    net.names = {"name.test": ["10.0.0.1"]}
    net.answers = {"10.0.0.1": (1, 0)}
    stream = await dial(to())
    assert isinstance(stream, trio.SocketStream)
    assert stream.socket is net.connected[0]
    assert net.connected[0].target == ("10.0.0.1", 8080)
    assert (stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1) in net.sockets[0].options
    assert net.sockets[0].bound is None
    assert net.asked == [("name.test", 8080, 0, 0)]


async def test_small_packets_may_wait(autojump_clock: Clock, net: FakeNet) -> None:
    net.names = {"name.test": ["10.0.0.1"]}
    net.answers = {"10.0.0.1": (0, 0)}
    await dial(to(no_delay=False))
    no_delay = (stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY)
    assert [value for *option, value in net.sockets[0].options if tuple(option) == no_delay] == [
        1,
        0,
    ]


@pytest.mark.parametrize(
    ("address", "options", "bound"),
    [
        ("10.0.0.1", {"local_address": "10.0.0.9"}, ("10.0.0.9", 0)),
        ("10.0.0.1", {"local_port": 1234}, ("", 1234)),
        ("::1", {"local_port": 1234}, ("::", 1234)),
        ("10.0.0.1", {"local_address": "10.0.0.9", "local_port": 1}, ("10.0.0.9", 1)),
    ],
)
async def test_where_from(
    autojump_clock: Clock,
    net: FakeNet,
    address: str,
    options: dict[str, Any],
    bound: tuple[str, int],
) -> None:
    net.names = {"name.test": [address]}
    net.answers = {address: (0, 0)}
    await dial(to(**options))
    assert net.sockets[0].bound == bound


@pytest.mark.parametrize(
    ("family", "tried"), [(4, "10.0.0.1"), (6, "::1"), (0, "::1"), (None, "::1")]
)
async def test_a_family_may_be_chosen(
    autojump_clock: Clock, net: FakeNet, family: int | None, tried: str
) -> None:
    net.names = {"name.test": ["::1", "10.0.0.1"]}
    net.answers = {"::1": (0, 0), "10.0.0.1": (0, 0)}
    await dial(to(family=family, hints=stdlib_socket.AI_ADDRCONFIG))
    assert [host for _, host in net.attempts] == [tried]
    families = {4: stdlib_socket.AF_INET, 6: stdlib_socket.AF_INET6}
    expected = families.get(family or 0, stdlib_socket.AF_UNSPEC)
    assert net.asked == [("name.test", 8080, expected, stdlib_socket.AI_ADDRCONFIG)]


async def test_the_caller_may_look_names_up(autojump_clock: Clock, net: FakeNet) -> None:
    asked: list[tuple[str, http.ConnectOptions]] = []

    async def one(host: str, options: http.ConnectOptions) -> str:
        asked.append((host, options))
        return "10.0.0.1"

    async def several(host: str, options: http.ConnectOptions) -> Sequence[str]:
        return ["10.0.0.2", "10.0.0.1"]

    net.names = {"10.0.0.1": ["10.0.0.1"], "10.0.0.2": ["10.0.0.2"]}
    net.answers = {"10.0.0.1": (0, 0)}
    options = to(lookup=one)
    await dial(options)
    assert asked == [("name.test", options)]
    await dial(to(lookup=several))
    assert [host for _, host in net.attempts] == ["10.0.0.1", "10.0.0.2", "10.0.0.1"]


# --- happy eyeballs -----------------------------------------------------------------------


async def test_the_next_is_tried_after_a_quarter_second(
    autojump_clock: Clock, net: FakeNet
) -> None:
    net.names = {"name.test": ["::1", "::2", "10.0.0.1", "10.0.0.2"]}
    net.answers = {"::1": (HANG, 0), "10.0.0.1": (HANG, 0), "::2": (0.1, 0)}
    stream = await dial(to())
    # The second is of the other family (RFC 8305 section 4).
    assert net.attempts == [(0, "::1"), (0.25, "10.0.0.1"), (0.5, "::2")]
    assert isinstance(stream, trio.SocketStream)
    assert net.still_open() == [stream.socket]
    assert trio.current_time() == pytest.approx(0.6)


async def test_a_failure_does_not_wait_for_the_quarter(autojump_clock: Clock, net: FakeNet) -> None:
    net.names = {"name.test": ["::1", "10.0.0.1"]}
    net.answers = {"::1": (0.1, errno.ENETUNREACH), "10.0.0.1": (0.1, 0)}
    await dial(to())
    assert net.attempts == [(0, "::1"), (0.1, "10.0.0.1")]


async def test_an_earlier_one_may_still_win(autojump_clock: Clock, net: FakeNet) -> None:
    net.names = {"name.test": ["10.0.0.1", "10.0.0.2"]}
    net.answers = {"10.0.0.1": (0.3, 0), "10.0.0.2": (HANG, 0)}
    await dial(to())
    assert [one.target for one in net.still_open()] == [("10.0.0.1", 8080)]


async def test_of_two_winners_one_is_closed(autojump_clock: Clock, net: FakeNet) -> None:
    net.names = {"name.test": ["10.0.0.1", "10.0.0.2"]}
    net.answers = {"10.0.0.1": (0.5, 0), "10.0.0.2": (0.25, 0)}
    stream = await dial(to())
    assert isinstance(stream, trio.SocketStream)
    assert net.still_open() == [stream.socket]


async def test_where_all_fail_the_first_error_counts(autojump_clock: Clock, net: FakeNet) -> None:
    net.names = {"name.test": ["::1", "10.0.0.1"]}
    net.answers = {"::1": (0, errno.EHOSTUNREACH), "10.0.0.1": (0, errno.ECONNREFUSED)}
    error = await refused(to())
    assert (error.code, error.errno) == ("EHOSTUNREACH", errno.EHOSTUNREACH)
    assert str(error) == "connect EHOSTUNREACH name.test:8080"
    assert isinstance(error.__cause__, OSError)
    assert net.still_open() == []


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.25, 0.3, 0.5, 0.6])
async def test_cancelled_it_leaves_nothing_open(
    autojump_clock: Clock, net: FakeNet, moment: float
) -> None:
    net.names = {"name.test": ["10.0.0.1", "10.0.0.2"]}
    net.answers = {"10.0.0.1": (HANG, 0), "10.0.0.2": (0.25, 0)}
    stream: trio.abc.Stream | None = None
    with trio.move_on_after(moment):
        stream = await dial(to())
    assert len(net.still_open()) == (stream is not None)


async def test_cancelled_as_somebody_wins_it_leaves_nothing_open(
    autojump_clock: Clock, net: FakeNet
) -> None:
    net.names = {"name.test": ["10.0.0.1", "10.0.0.2"]}
    net.answers = {"10.0.0.1": (0.3, 0), "10.0.0.2": (HANG, 0)}

    class Greedy(list[Any]):
        def append(self, socket: Any) -> None:
            super().append(socket)
            scope.cancel()

    net.connected = Greedy()
    with trio.CancelScope() as scope:
        await dial(to())
    assert len(net.connected) == 1
    assert net.still_open() == []


async def test_a_timeout_ends_it(autojump_clock: Clock, net: FakeNet) -> None:
    net.names = {"name.test": ["10.0.0.1"]}
    net.answers = {"10.0.0.1": (HANG, 0)}
    with pytest.raises(http.SocketTimeoutError, match=r"connecting took longer than 2 s"):
        await dial(to(timeout=2))
    assert trio.current_time() == 2
    assert net.still_open() == []
    net.answers = {"10.0.0.1": (1, 0)}
    await dial(to(timeout=2))


# --- failures -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ECONNREFUSED, "ECONNREFUSED"),
        (errno.ETIMEDOUT, "ETIMEDOUT"),
        (errno.ENETUNREACH, "ENETUNREACH"),
        (errno.EADDRNOTAVAIL, "EADDRNOTAVAIL"),
    ],
)
async def test_errors_of_the_system_keep_their_code(
    autojump_clock: Clock, net: FakeNet, number: int, code: str
) -> None:
    net.names = {"a{b}.test": ["10.0.0.1"]}
    net.answers = {"10.0.0.1": (0, number)}
    error = await refused(to("a{b}.test"))
    assert (error.code, error.errno) == (code, number)
    assert str(error) == f"connect {code} a{{b}}.test:8080"
    assert isinstance(error, ConnectionError), "as the system's own would be"
    assert isinstance(error, OSError)
    assert net.still_open() == []


async def test_an_unknown_name(autojump_clock: Clock, net: FakeNet) -> None:
    error = await refused(to())
    assert (error.code, str(error)) == ("ENOTFOUND", "getaddrinfo ENOTFOUND name.test")
    assert isinstance(error.__cause__, stdlib_socket.gaierror)


async def test_a_name_without_an_address_of_the_family(autojump_clock: Clock, net: FakeNet) -> None:
    net.names = {"name.test": ["::1"]}
    assert (await refused(to(family=4))).code == "ENOTFOUND"


async def test_a_name_that_is_none() -> None:
    error = await refused(to("x" * 64 + ".test"))
    assert error.code == "ENOTFOUND"
    assert isinstance(error.__cause__, UnicodeError)


async def test_a_resolver_that_is_away() -> None:
    async def lookup(host: str, options: http.ConnectOptions) -> Sequence[str]:
        raise stdlib_socket.gaierror(stdlib_socket.EAI_AGAIN, "try again")

    assert (await refused(to(lookup=lookup))).code == "EAI_AGAIN"


async def test_a_lookup_that_finds_nothing() -> None:
    async def lookup(host: str, options: http.ConnectOptions) -> Sequence[str]:
        return []

    assert (await refused(to(lookup=lookup))).code == "ENOTFOUND"


@pytest.mark.parametrize("answer", [None, 127, [b"127.0.0.1"], {"address": "127.0.0.1"}])
async def test_a_lookup_that_gives_something_else(answer: Any) -> None:
    async def lookup(host: str, options: http.ConnectOptions) -> Any:
        return answer

    with pytest.raises(http.InvalidArgTypeError, match="lookup must give addresses"):
        await dial(to(lookup=lookup))


async def test_a_lookup_that_raises_something_else() -> None:
    async def lookup(host: str, options: http.ConnectOptions) -> Sequence[str]:
        raise KeyError(host)

    with pytest.raises(KeyError):
        await dial(to(lookup=lookup))


# --- Unix sockets -------------------------------------------------------------------------


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    listener = stdlib_socket.socket(stdlib_socket.AF_UNIX)
    with listener:
        listener.bind(path)
        listener.listen()
        timings = Timings()
        stream = await dial(http.ConnectOptions(socket_path=path, timings=timings))
        assert timings.connect is not None
        assert timings.dns is None
        await stream.aclose()


@pytest.mark.parametrize(("path", "code"), [("missing", "ENOENT"), ("x" * 200, "EINVAL")])
async def test_a_unix_socket_that_is_not_there(tmp_path: Path, path: str, code: str) -> None:
    whole = f"{tmp_path}/{path}"
    error = await refused(http.ConnectOptions(socket_path=whole))
    assert (error.code, str(error)) == (code, f"connect {code} {whole}")


# --- factories ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "ECONNREFUSED"),
        (OSError(errno.EMFILE, "too many"), "EMFILE"),
        (OSError("no number"), "ECONNREFUSED"),
        (ssl.SSLError(1, "bad record"), "EPROTO"),
        (trio.BrokenResourceError("broken"), "ECONNRESET"),
        (trio.ClosedResourceError("closed"), "ECONNRESET"),
    ],
)
async def test_what_a_factory_raises_is_the_cause(raised: Exception, code: str) -> None:
    async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
        raise raised

    with pytest.raises(http.ConnectionFailedError) as caught:
        await open_stream(connect, to())
    assert caught.value.code == code
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("raised", [KeyError("mine"), http.SocketHangUpError("ours")])
async def test_other_errors_of_a_factory_pass(raised: Exception) -> None:
    async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
        raise raised

    with pytest.raises(type(raised)) as caught:
        await open_stream(connect, to())
    assert caught.value is raised


@pytest.mark.parametrize("given", [None, "stream", b"", object()])
async def test_a_factory_must_give_a_stream(given: Any) -> None:
    async def connect(options: http.ConnectOptions) -> Any:
        return given

    with pytest.raises(http.InvalidArgTypeError, match=r"create_connection must give a trio\.abc"):
        await open_stream(connect, to())


async def test_a_stream_of_a_factory_is_taken_as_it_is() -> None:
    stream, _ = memory_pipe()

    async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
        return stream

    assert await open_stream(connect, to()) is stream
    timings = Timings()
    assert await open_stream(connect, to(timings=timings)) is stream
    assert timings.connect is not None
