from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import Client, dialled, hello, listening, settle
from trio_nodehttp._server import listeners as module


@pytest.mark.parametrize(
    ("where", "error", "text"),
    [
        ({"port": "80"}, http.InvalidArgTypeError, "port"),
        ({"port": True}, http.InvalidArgTypeError, "port"),
        ({"port": -1}, http.OutOfRangeError, "65535"),
        ({"port": 65536}, http.OutOfRangeError, "65535"),
        ({"backlog": "5"}, http.InvalidArgTypeError, "backlog"),
        ({"backlog": True}, http.InvalidArgTypeError, "backlog"),
        ({"listeners": []}, http.InvalidArgValueError, "listeners"),
        ({"host": []}, http.InvalidArgValueError, "host"),
        ({"path": "x", "port": 80}, http.InvalidArgValueError, "path"),
        ({"path": "x", "host": "::"}, http.InvalidArgValueError, "path"),
        ({"path": 5}, http.InvalidArgTypeError, "path"),
    ],
)
async def test_what_listen_refuses(
    where: dict[str, Any], error: type[Exception], text: str
) -> None:
    server = http.create_server(hello)
    with pytest.raises(error, match=text):
        await server.listen(**where)
    assert not server.listening
    async with listening(server):  # and it can be tried again
        assert server.listening


async def test_several_addresses_share_a_port() -> None:
    server = http.create_server(hello)
    async with listening(server, host=["127.0.0.1", "127.0.0.2"]):
        assert isinstance(server.address, tuple)
        host, port = server.address
        assert host == "127.0.0.1"
        assert server.url == f"http://127.0.0.1:{port}"
        for name in ("127.0.0.1", "127.0.0.2"):
            async with await trio.open_tcp_stream(name, port) as stream:
                assert (await Client(stream).get()).body == b"hello"


async def test_where_one_of_several_fails_none_stays_open() -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"in use: '127.0.0.2:{port}'"):
            await http.create_server(hello).listen(port, ["127.0.0.1", "127.0.0.2"])
        socket.create_server(("127.0.0.1", port)).close()


async def test_an_error_of_the_system_names_the_address(tmp_path: Path) -> None:
    server = http.create_server(hello)
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"'\*:{port}'") as caught:
            await server.listen(port)
        assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        await server.listen(path=str(tmp_path / "none" / "socket"))


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (("127.0.0.1", 80), "http://127.0.0.1:80"),
        (("0.0.0.0", 80), "http://127.0.0.1:80"),
        (("::", 80), "http://[::1]:80"),
        (("fe80::1", 80), "http://[fe80::1]:80"),
        ("/tmp/x", ""),  # noqa: S108 - a name
        (None, ""),
    ],
)
def test_the_url_of_an_address(address: Any, url: str) -> None:
    assert module.url_of(address, secure=False) == url
    assert module.url_of(address, secure=True) == url.replace("http:", "https:")


async def test_a_server_on_all_addresses() -> None:
    server = http.create_server(hello)
    async with listening(server, host=None, backlog=3), http.get(server.url) as response:
        assert await response.text() == "hello"


async def test_a_listener_without_a_socket() -> None:
    class Lonely(trio.abc.Listener[trio.abc.Stream]):
        closed = False

        async def accept(self) -> trio.abc.Stream:
            await trio.sleep_forever()
            raise AssertionError

        async def aclose(self) -> None:
            self.closed = True
            await trio.lowlevel.checkpoint()

    lonely = Lonely()
    server = http.create_server(hello)
    async with listening(server, listeners=[lonely]):
        assert (server.address, server.url) == (None, "")
        await server.close()
        assert lonely.closed


async def test_the_file_of_a_dead_server_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    server = http.create_server(hello)
    async with listening(server, path=os.fspath(path), backlog=5):
        async with await trio.open_unix_socket(path) as stream:
            assert (await Client(stream).get()).body == b"hello"
        assert path.is_socket()
        # A live one is left alone.
        with pytest.raises(OSError, match="in use"):
            await http.create_server(hello).listen(path=str(path))
        assert path.is_socket()
        await server.close()
        assert not path.exists()


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        await http.create_server(hello).listen(path=str(path))
    assert path.read_text() == "precious"


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_file_that_is_not_ours_any_more_stays(tmp_path: Path, replaced: bool) -> None:
    path = tmp_path / "sock"
    async with listening(http.create_server(hello), path=str(path)):
        path.rename(tmp_path / "old")
        if replaced:
            path.write_text("another's")
    assert path.exists() is replaced


class Faulty(trio.abc.Listener[trio.abc.Stream]):
    """Raises what it is told to, then waits."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.waits = trio.Event()

    async def accept(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if self.codes:
            raise OSError(self.codes.pop(0), "no")
        self.waits.set()
        await trio.sleep_forever()
        raise AssertionError

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_where_descriptors_run_out_accepting_goes_on(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = Faulty(errno.EMFILE, errno.ENOBUFS)
    async with listening(http.create_server(hello), listeners=[faulty]):
        await faulty.waits.wait()
        assert trio.current_time() == pytest.approx(0.2)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


async def test_a_listener_that_breaks_ends_listen_with_its_error() -> None:
    server = http.create_server(hello)
    with pytest.raises(OSError, match="no") as caught:
        await server.listen(listeners=[Faulty(errno.EBADF)])
    assert caught.value.errno == errno.EBADF
    assert not server.listening


CHILD = """
import os, sys, trio, trio_nodehttp as http
from functools import partial
from tests._server.certificates import Authority
authority = Authority()
secure = {"ssl_context": authority.server("127.0.0.1")} if sys.argv[1] == "https" else {}
os.environ["LISTEN_PID"] = str(os.getpid())
async def handler(request, response):
    await response.end(f"{request.socket.local_port}")
async def main():
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(http.serve, handler, **secure))
        print(server.address[1], flush=True)
        async with http.get(server.url, ssl_context=authority.client()) as response:
            print(await response.text(), flush=True)
        os.kill(os.getpid(), 15)
trio.run(main)
"""


def run_child(scheme: str, environment: dict[str, str], *descriptors: int) -> list[str]:
    """Run a server as a service manager does, its sockets from descriptor 3 on."""

    def place() -> None:
        for place, descriptor in enumerate(descriptors, 3):
            os.dup2(descriptor, place)

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD, scheme],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        pass_fds=range(3, 3 + len(descriptors)),
        preexec_fn=place,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_sockets_of_a_service_manager(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = str(sock.getsockname()[1])
        descriptor = os.dup(sock.fileno())
        high = os.dup2(descriptor, 60)
        os.close(descriptor)
        try:
            assert run_child(scheme, {"LISTEN_FDS": "1"}, high) == [port, port]
        finally:
            os.close(high)


def test_environments_that_name_no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    for pid, count in ((str(os.getpid()), "many"), ("1", "1"), ("", "")):
        monkeypatch.setenv("LISTEN_PID", pid)
        monkeypatch.setenv("LISTEN_FDS", count)
        assert module.inherited_listeners() == []


async def test_inherited_sockets_become_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        monkeypatch.setattr(module, "_FIRST_DESCRIPTOR", os.dup(sock.fileno()))
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    (listener,) = module.inherited_listeners()
    assert not os.get_inheritable(listener.socket.fileno())
    server = http.create_server(hello)
    async with listening(server, listeners=[listener]), dialled(server) as client:
        assert (await client.get()).status == 200
    await settle()
