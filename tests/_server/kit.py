"""A server on a memory network, and raw clients that see every byte."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio
import trio.testing

import trio_nodehttp as http
from trio_nodehttp.testing import MemoryNetwork, MemoryStream

HOST = "a.test"
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
_PATIENCE = 1000.0
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"

_DATE = re.compile(rb"Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n")


def undated(data: bytes) -> bytes:
    """Leave the Date lines out; each must be well formed."""
    found = _DATE.sub(b"", data)
    assert b"Date:" not in found
    return found


def ask(path: str = "/", *lines: str, method: str = "GET", body: str = "") -> bytes:
    """Write a request with a Host; a body gets its Content-Length."""
    length = [f"Content-Length: {len(body)}"] if body else []
    head = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", *length, *lines]
    return ("\r\n".join(head) + f"\r\n\r\n{body}").encode()


@attrs.frozen
class Answer:
    """One response as it came."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


class Client:
    """A raw client."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._buffer = bytearray()

    async def send(self, *parts: bytes) -> None:
        await self.stream.send_all(b"".join(parts))

    async def _more(self) -> bool:
        # A jumping clock would wait for good where a server never answers.
        with trio.fail_after(_PATIENCE):
            data = await self.stream.receive_some()
        self._buffer += data
        return bool(data)

    async def line(self, end: bytes = b"\r\n\r\n") -> bytes:
        """Read up to a mark, and the mark."""
        while end not in self._buffer:
            assert await self._more(), f"{end!r} did not come, but {self._buffer!r}"
        return self._cut(self._buffer.index(end) + len(end))

    def _cut(self, size: int) -> bytes:
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    async def take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            assert await self._more(), f"only {self._buffer!r}"
        return self._cut(size)

    async def until_end(self) -> bytes:
        """Read until the server ends its side, or cuts the connection."""
        try:
            while await self._more():
                pass
        except (OSError, trio.BrokenResourceError):
            pass
        return self._cut(len(self._buffer))

    async def answer(self, method: str = "GET") -> Answer:
        """Read one response."""
        start, *lines = (await self.line()).decode("latin-1")[:-4].split("\r\n")
        _, status, reason = start.split(" ", 2)
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = b""
        if method == "HEAD" or status in ("204", "304") or status.startswith("1"):
            pass
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(await self.line(b"\r\n"), 16):
                body += (await self.take(size + 2))[:-2]
            assert await self.line(b"\r\n") == b"\r\n"
        elif "content-length" in headers:
            body = await self.take(int(headers["content-length"]))
        else:
            body = await self.until_end()
        return Answer(int(status), reason, headers, body)

    async def get(self, path: str = "/", *lines: str) -> Answer:
        await self.send(ask(path, *lines))
        return await self.answer()

    async def is_open(self) -> bool:
        """Say whether the server still waits for us, once nothing else happens."""
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(self.stream, MemoryStream)
        return not self.stream.peer_closed

    async def end(self) -> None:
        """End our side."""
        assert isinstance(self.stream, trio.abc.HalfCloseableStream)
        await self.stream.send_eof()

    def leave(self) -> None:
        """Close both sides."""
        assert isinstance(self.stream, MemoryStream)
        self.stream.close_now()

    def reset(self) -> None:
        assert isinstance(self.stream, MemoryStream)
        self.stream.reset()


@attrs.frozen
class Served:
    """A server, and the network on which it answers."""

    server: http.Server
    network: MemoryNetwork

    async def connect(self) -> Client:
        return Client(await self.network.connect(HOST))

    def agent(self, **options: Any) -> http.Agent:
        return http.Agent(create_connection=self.network.create_connection, **options)


@asynccontextmanager
async def serving(
    handler: Callable[..., Awaitable[object]] | None = None,
    *,
    buffer_size: int = 65536,
    **options: Any,
) -> AsyncIterator[Served]:
    """Serve on a memory network for the length of a block."""
    async with MemoryNetwork(buffer_size=buffer_size) as network:
        server = http.create_server(handler, **options)
        network.listen(HOST, 80, server.serve_stream)
        yield Served(server, network)


@asynccontextmanager
async def listening(server: http.Server, **where: Any) -> AsyncIterator[http.Server]:
    """Let a server listen on a real socket of loopback for the length of a block."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        where.setdefault("host", None if {"path", "listeners"} & set(where) else "127.0.0.1")

        async def listen(task_status: Any) -> None:
            await server.listen(**where, task_status=task_status)

        await nursery.start(listen)
        try:
            yield server
        except BaseException as error:  # noqa: BLE001 - raised below, alone
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


@asynccontextmanager
async def dialled(server: http.Server) -> AsyncIterator[Client]:
    """Connect to a server on a real socket."""
    assert isinstance(server.address, tuple)
    async with await trio.open_tcp_stream(*server.address) as stream:
        yield Client(stream)


async def echo(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    """Answer with method, target and body."""
    body = await request.text()
    await response.end(f"{request.method} {request.url} {body}")


async def hello(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    await response.end("hello")


async def settle() -> None:
    """Let everything happen that needs no time."""
    await trio.testing.wait_all_tasks_blocked()


async def send_quietly(client: Client, data: bytes) -> None:
    """Send to a server that may close meanwhile."""
    with contextlib.suppress(trio.BrokenResourceError):
        await client.send(data)


# --- clients that hold a connection up ---


async def drip(client: Client, data: bytes) -> None:
    for byte in data:
        await client.send(bytes([byte]))
        await trio.sleep(0.5)


async def silent(client: Client) -> None:
    pass


async def stalled_head(client: Client) -> None:
    await client.send(b"GET / HTTP/1.1\r\nHost: a")


async def dripping_head(client: Client) -> None:
    await drip(client, b"GET / HTTP/1.1\r\nHost: a.test\r\nX: " + b"y" * 100)
