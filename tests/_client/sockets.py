"""A network under Trio's sockets: names that resolve and addresses that answer, or not."""

from __future__ import annotations

import errno
import os
import socket as stdlib_socket
from typing import Any

import trio


class FakeSocket(trio.socket.SocketType):
    """A socket whose `connect` does what its network says of the address."""

    def __init__(self, net: FakeNet, family: int) -> None:
        self.net = net
        self._family = family
        self.options: list[tuple[int, int, int]] = []
        self.bound: tuple[str, int] | None = None
        self.closed = False
        self.target: tuple[Any, ...] | None = None

    @property
    def family(self) -> stdlib_socket.AddressFamily:
        return stdlib_socket.AddressFamily(self._family)

    @property
    def type(self) -> stdlib_socket.SocketKind:
        return stdlib_socket.SOCK_STREAM

    def getpeername(self) -> Any:
        return self.target

    def setsockopt(self, level: int, option: int, value: Any, length: Any = None) -> None:
        self.options.append((level, option, value))

    async def bind(self, address: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.bound = address

    async def connect(self, address: Any) -> None:
        host = address[0]
        self.net.attempts.append((trio.current_time(), host))
        delay, number = self.net.answers.get(host, (0.0, errno.ECONNREFUSED))
        await trio.sleep(delay)
        if number:
            raise OSError(number, os.strerror(number))
        self.target = address
        self.net.connected.append(self)

    def close(self) -> None:
        self.closed = True


class FakeNet(trio.abc.SocketFactory, trio.abc.HostnameResolver):
    """Used by every Trio socket of the current run.

    Attributes:
        names: what each name resolves to.
        answers: for each address, seconds until it answers, and its error or 0.
        attempts: when which address was tried.
        sockets: all that were made.
        connected: those that were connected.
    """

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.answers: dict[str, tuple[float, int]] = {}
        self.attempts: list[tuple[float, str]] = []
        self.asked: list[tuple[Any, ...]] = []
        self.sockets: list[FakeSocket] = []
        self.connected: list[FakeSocket] = []
        self.delay = 0.0
        trio.socket.set_custom_socket_factory(self)
        trio.socket.set_custom_hostname_resolver(self)

    def socket(self, family: Any = None, kind: Any = None, proto: Any = None) -> FakeSocket:
        made = FakeSocket(self, family)
        self.sockets.append(made)
        return made

    async def getaddrinfo(  # noqa: PLR0917  # as in Trio
        self,
        host: Any,
        port: Any,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        self.asked.append((name, port, family, flags))
        await trio.sleep(self.delay)
        if name not in self.names:
            raise stdlib_socket.gaierror(stdlib_socket.EAI_NONAME, "Name or service not known")
        kinds = {True: stdlib_socket.AF_INET6, False: stdlib_socket.AF_INET}
        return [
            (kinds[":" in address], stdlib_socket.SOCK_STREAM, 6, "", (address, port))
            for address in self.names[name]
            if family in (0, kinds[":" in address])
        ]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError

    def still_open(self) -> list[FakeSocket]:
        return [one for one in self.sockets if not one.closed]
