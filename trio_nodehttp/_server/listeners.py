"""Where a server listens: TCP, several addresses, Unix sockets, sockets handed over."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket as stdlib_socket
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import trio

from .._errors import InvalidArgTypeError, InvalidArgValueError, OutOfRangeError
from .._sansio.destination import host_header
from .options import logger

_FIRST_DESCRIPTOR: Final = 3  # sd_listen_fds(3)
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - not bound, looked up
_BACKLOG: Final = 65535
_ACCEPT_TIME: Final = 0.1
_CAPACITY: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
_MAX_WAITING: Final = 4096  # so that a flood cannot keep a server from stopping


async def open_listeners(
    port: int,
    host: str | Sequence[str] | None,
    path: str | None,
    listeners: Iterable[trio.abc.Listener[Any]] | None,
    backlog: int | None,
) -> list[trio.abc.Listener[Any]]:
    """Open what ``Server.listen`` was asked for.

    Raises:
        InvalidArgTypeError: An argument has the wrong type.
        InvalidArgValueError: Arguments contradict each other.
        OSError: The address is not free, or not ours; the text names it.

    A cancelled call leaves nothing open.
    """
    _check_backlog(backlog)
    if listeners is not None:
        ready = list(listeners)
        if not ready:
            raise InvalidArgValueError("listeners must not be empty")
        await trio.lowlevel.checkpoint()
        return ready
    if path is not None:
        if host is not None or port:
            raise InvalidArgValueError("path excludes port and host")
        return [await _open_unix(path, backlog)]
    if host is None or isinstance(host, str):
        return [*await _open_tcp(port, host, backlog)]
    opened: list[trio.abc.Listener[Any]] = []
    try:
        for one in host:
            found = await _open_tcp(port, one, backlog)
            opened.extend(found)
            # Port 0 means one port for all the addresses.
            port = port or found[0].socket.getsockname()[1]
    except BaseException:
        for listener in opened:
            await trio.aclose_forcefully(listener)
        raise
    if not opened:
        raise InvalidArgValueError("host must name at least one address")
    return opened


def check_port(port: object) -> None:
    """Check a port to listen on.

    Raises:
        InvalidArgTypeError: It is no whole number.
        OutOfRangeError: It is not within 0 to 65535.
    """
    if isinstance(port, bool) or not isinstance(port, int):
        raise InvalidArgTypeError(f"port must be a whole number, not {port!r}")
    if not 0 <= port <= 65535:
        raise OutOfRangeError(f"port must be within 0 and 65535, not {port!r}")


def _check_backlog(backlog: object) -> None:
    if backlog is not None and (isinstance(backlog, bool) or not isinstance(backlog, int)):
        raise InvalidArgTypeError(f"backlog must be a whole number, not {backlog!r}")


@contextlib.contextmanager
def _naming(address: str) -> Iterator[None]:
    """Name the address in an error of the system's, which does not (as Node does)."""
    try:
        yield
    except OSError as error:
        error.filename = address
        raise


async def _open_tcp(
    port: int, host: str | None, backlog: int | None
) -> Sequence[trio.SocketListener]:
    with _naming(host_header(host or "*", port, None)):
        return await trio.open_tcp_listeners(port, host=host, backlog=backlog)


async def _open_unix(path: str, backlog: int | None) -> UnixListener:
    """Listen on a Unix socket; a stale file of a dead server is replaced."""
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidArgTypeError(f"path must be a string, not {type(path).__name__}")
    sock = trio.socket.socket(stdlib_socket.AF_UNIX, stdlib_socket.SOCK_STREAM)
    try:
        if await _is_stale(path):
            _remove(path)
        with _naming(os.fspath(path)):
            await sock.bind(os.fspath(path))
        sock.listen(min(backlog or _BACKLOG, _BACKLOG))
    except BaseException:
        sock.close()
        raise
    return UnixListener(sock, os.fspath(path))


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode)
    except FileNotFoundError:
        return False


def _remove(path: str) -> None:
    Path(path).unlink()


async def _is_stale(path: str) -> bool:
    """Say whether nobody listens behind a socket file any more."""
    if not _is_socket(path):
        return False
    try:
        stream = await trio.open_unix_socket(path)
    except OSError:
        return True
    await trio.aclose_forcefully(stream)
    return False


class UnixListener(trio.abc.Listener[trio.SocketStream]):
    """Listens on a Unix socket, and removes its file when it closes."""

    def __init__(self, sock: trio.socket.SocketType, path: str) -> None:
        self._listener = trio.SocketListener(sock)
        self.socket = sock
        self._path = Path(path)
        self._inode = self._path.stat().st_ino

    async def accept(self) -> trio.SocketStream:
        """Accept a connection; a cancelled call has accepted none."""
        return await self._listener.accept()

    async def aclose(self) -> None:
        """Close, and remove the file unless another server has replaced it."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        await self._listener.aclose()


async def accept_streams(
    listener: trio.abc.Listener[Any], take: Callable[[trio.abc.Stream], object]
) -> None:
    """Accept connections until cancelled; where descriptors run out it waits for some.

    Args:
        listener: Where they come from.
        take: Called with each.

    Raises:
        OSError: The listener is of no more use.

    A cancelled call has handed over what it had accepted.
    """
    while True:
        try:
            stream = await listener.accept()
        except OSError as error:
            if error.errno not in _CAPACITY:
                raise
            logger.error("accepting failed, and is tried again in 0.1 s: %s", error)
            await trio.sleep(_ACCEPT_TIME)
        else:
            take(stream)


async def accept_waiting(listener: trio.abc.Listener[Any]) -> list[trio.abc.Stream]:
    """Accept the connections that wait already, and no others.

    Args:
        listener: One that has a socket; there is no telling of another.

    Returns:
        The streams. They are few, or many at once, but never more than 4096.

    It takes at most 0.1 s and is not cancelled, so that none of them is lost.
    """
    sock = getattr(listener, "socket", None)
    found: list[trio.abc.Stream] = []
    if sock is None:
        return found
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    # The time limit is for a listener that is shared: another may be quicker.
    with trio.move_on_after(_ACCEPT_TIME, shield=True), contextlib.suppress(OSError):
        while len(found) < _MAX_WAITING and poll.poll(0):
            found.append(await listener.accept())
    return found


def inherited_listeners() -> list[trio.SocketListener]:
    """Take the sockets that a service manager hands over (``LISTEN_FDS``).

    Returns:
        A listener for each; none where the environment names none for this process.
    """
    named = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not named.isdecimal():
        return []
    found = []
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(named)):
        sock = stdlib_socket.socket(fileno=descriptor)
        sock.set_inheritable(False)
        sock.setblocking(False)
        found.append(trio.SocketListener(trio.socket.from_stdlib_socket(sock)))
    return found


def listening_address(listener: trio.abc.Listener[Any]) -> tuple[str, int] | str | None:
    """Tell where a listener listens; None if it has no socket."""
    sock = getattr(listener, "socket", None)
    if sock is None:
        return None
    name = sock.getsockname()
    if isinstance(name, tuple):
        return name[0], name[1]
    return os.fsdecode(name)


def url_of(address: tuple[str, int] | str | None, *, secure: bool) -> str:
    """Write an address as a URL that this machine can fetch."""
    if not isinstance(address, tuple):
        return ""
    host, port = address
    if host in _EVERYWHERE:
        host = _EVERYWHERE[host]
    elif ":" in host:
        host = f"[{host}]"
    return f"{'https' if secure else 'http'}://{host}:{port}"
