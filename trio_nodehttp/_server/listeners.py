"""Where a server listens: TCP, several addresses, Unix sockets, sockets handed over."""

from __future__ import annotations

import os
import socket as stdlib_socket
import stat
from collections.abc import Iterable, Sequence
from typing import Any, Final

import trio

from .._errors import InvalidArgTypeError, InvalidArgValueError

_FIRST_DESCRIPTOR: Final = 3  # sd_listen_fds(3)
_BACKLOG: Final = 65535


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
        OSError: The address is not free, or not ours.

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
        return list(await trio.open_tcp_listeners(port, host=host, backlog=backlog))
    opened: list[trio.abc.Listener[Any]] = []
    try:
        for one in host:
            found = await trio.open_tcp_listeners(port, host=one, backlog=backlog)
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


def _check_backlog(backlog: object) -> None:
    if backlog is not None and (isinstance(backlog, bool) or not isinstance(backlog, int)):
        raise InvalidArgTypeError(f"backlog must be a whole number, not {backlog!r}")


async def _open_unix(path: str, backlog: int | None) -> UnixListener:
    """Listen on a Unix socket; a stale file of a dead server is replaced."""
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidArgTypeError(f"path must be a string, not {type(path).__name__}")
    sock = trio.socket.socket(stdlib_socket.AF_UNIX, stdlib_socket.SOCK_STREAM)
    try:
        if await _is_stale(path):
            os.unlink(path)
        await sock.bind(os.fspath(path))
        sock.listen(min(backlog or _BACKLOG, _BACKLOG))
    except BaseException:
        sock.close()
        raise
    return UnixListener(sock, os.fspath(path))


async def _is_stale(path: str) -> bool:
    """Say whether nobody listens behind a socket file any more."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except FileNotFoundError:
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
        self._path = path
        self._inode = os.stat(path).st_ino

    async def accept(self) -> trio.SocketStream:
        """Accept a connection; a cancelled call has accepted none."""
        return await self._listener.accept()

    async def aclose(self) -> None:
        """Close, and remove the file unless another server has replaced it."""
        try:
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)
        except FileNotFoundError:
            pass
        await self._listener.aclose()


def inherited_listeners() -> list[trio.SocketListener]:
    """Take the sockets that a service manager hands over (``LISTEN_FDS``).

    Returns:
        A listener for each; none where the environment names none for this process.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    found = []
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + count):
        sock = stdlib_socket.socket(fileno=descriptor)
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
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if secure else 'http'}://{host}:{port}"
