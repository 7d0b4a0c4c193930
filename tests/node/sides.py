"""A message of either side, live on a memory network, with a raw peer at the other end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import attrs
import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import settle
from trio_nodehttp.testing import MemoryNetwork, MemoryStream

HOST = "a.test"
Side = Literal["client", "server"]
both = pytest.mark.parametrize("side", ["client", "server"])


@attrs.define
class Peer:
    """The raw end of a connection, and all that has come out of it."""

    stream: MemoryStream
    received: bytearray = attrs.field(factory=bytearray)
    ended: bool = False

    async def seen(self) -> bytes:
        """All bytes that came so far, once nothing else happens."""
        await settle()
        while self.stream.readable and not self.ended:
            try:
                data = await self.stream.receive_some()
            except trio.BrokenResourceError:
                data = b""
            self.ended = not data
            self.received += data
            await settle()
        return bytes(self.received)

    async def body(self) -> bytes:
        """What came behind the head."""
        _, mark, body = (await self.seen()).partition(b"\r\n\r\n")
        assert mark
        return body

    async def lines(self) -> list[str]:
        """The lines of the head, without Date."""
        head, _, _ = (await self.seen()).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        return [line for line in lines if not line.startswith("Date:")]


@attrs.frozen
class Outgoing:
    """A message that is being sent: a request, or a response to `POST /`."""

    message: http.ClientRequest | http.ServerResponse
    peer: Peer


class _Accepted:
    """A raw server that keeps its first connection."""

    def __init__(self) -> None:
        self._give, self._take = trio.open_memory_channel[MemoryStream](8)

    async def __call__(self, stream: MemoryStream) -> None:
        await self._give.send(stream)
        await trio.sleep_forever()

    async def peer(self) -> Peer:
        return Peer(await self._take.receive())


@asynccontextmanager
async def outgoing(side: Side, **options: Any) -> AsyncIterator[Outgoing]:
    """Send a message for the length of a block; options are those of a request."""
    make = _sent_request if side == "client" else _sent_response
    async with make(**options) as made:
        yield made


@asynccontextmanager
async def _sent_request(*, buffer_size: int = 65536, **options: Any) -> AsyncIterator[Outgoing]:
    async with MemoryNetwork(buffer_size=buffer_size) as network:
        accepted = _Accepted()
        network.listen(HOST, 80, accepted)
        options.setdefault("method", "POST")
        options.setdefault("agent", network.agent())
        async with http.request(f"http://{HOST}/", **options) as request:
            yield Outgoing(request, await accepted.peer())


@asynccontextmanager
async def _sent_response(*, buffer_size: int = 65536, **options: Any) -> AsyncIterator[Outgoing]:
    give, take = trio.open_memory_channel[http.ServerResponse](1)
    done = trio.Event()

    async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await give.send(response)
        await done.wait()

    async with MemoryNetwork(buffer_size=buffer_size) as network:
        server = http.create_server(handler, **options)
        network.listen(HOST, 80, server.serve_stream)
        stream = await network.connect(HOST)
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
        yield Outgoing(await take.receive(), Peer(stream))
        done.set()
        await settle()


@attrs.frozen
class Incoming:
    """A message that is being received: a request, or the response to `GET /`."""

    message: http.IncomingMessage
    peer: Peer


START = {"client": "HTTP/1.1 201 Made so", "server": "PUT /a?b=c HTTP/1.1\r\nHost: a.test"}


@asynccontextmanager
async def incoming(
    side: Side, *lines: str, body: bytes = b"", **options: Any
) -> AsyncIterator[Incoming]:
    """Receive a message with such header lines for the length of a block."""
    data = "\r\n".join([START[side], *lines]).encode("latin-1") + b"\r\n\r\n" + body
    make = _received_response if side == "client" else _received_request
    async with make(data, **options) as made:
        yield made


@asynccontextmanager
async def _received_response(data: bytes, **options: Any) -> AsyncIterator[Incoming]:
    async with MemoryNetwork() as network:
        accepted = _Accepted()
        network.listen(HOST, 80, accepted)
        agent = options.pop("agent", None) or network.agent()
        async with http.request(f"http://{HOST}/", agent=agent, **options) as request:
            await request.end()
            peer = await accepted.peer()
            await peer.stream.send_all(data)
            yield Incoming(await request.get_response(), peer)


@asynccontextmanager
async def _received_request(data: bytes, **options: Any) -> AsyncIterator[Incoming]:
    give, take = trio.open_memory_channel[http.IncomingMessage](1)
    done = trio.Event()

    async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await give.send(request)
        await done.wait()

    async with MemoryNetwork() as network:
        server = http.create_server(handler, **options)
        network.listen(HOST, 80, server.serve_stream)
        stream = await network.connect(HOST)
        await stream.send_all(data)
        yield Incoming(await take.receive(), Peer(stream))
        done.set()
        await settle()
