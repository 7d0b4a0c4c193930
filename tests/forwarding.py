"""A raw client, a proxy made with ``forward``, and a raw origin, joined in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import attrs
import trio

import trio_nodehttp as http
from tests.wires import read_all, read_head
from trio_nodehttp.testing import MemoryNetwork, MemoryStream

ORIGIN = "http://origin.test"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSE = b"Host: front.test\r\nConnection: close\r\n\r\n"
Peer = Callable[[Any], Awaitable[object]]


@attrs.define
class Chain:
    """The three of them.

    Attributes:
        network: What joins them; the proxy answers at ``front.test``.
        agent: Of the proxy.
        server: The proxy's.
        heads: What the origin received up to the end of a head, for each request.
    """

    network: MemoryNetwork
    agent: http.Agent
    server: http.Server
    heads: list[bytes] = attrs.field(factory=list)

    def origin(self, *answers: bytes, then: Peer | None = None) -> None:
        """Answer each request of a connection in turn; what comes then is up to ``then``."""

        async def serve(stream: MemoryStream) -> None:
            for answer in answers:
                head = await read_head(stream)
                if not head:
                    return
                self.heads.append(head)
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(answer)
            await (then or read_all)(stream)

        self.network.listen("origin.test", 80, serve)

    async def ask(self, request: bytes) -> bytes:
        """Send bytes to the proxy, and read to the end."""
        stream = await self.network.connect("front.test")
        await stream.send_all(request)
        return await read_all(stream)

    async def get(self, target: bytes = b"/", *fields: bytes) -> bytes:
        """Send a GET, and read to the end."""
        lines = b"".join(field + b"\r\n" for field in fields)
        return await self.ask(b"GET " + target + b" HTTP/1.1\r\n" + lines + CLOSE)

    async def client(self, *pieces: bytes) -> MemoryStream:
        """Connect to the proxy, and send."""
        stream = await self.network.connect("front.test")
        for piece in pieces:
            await stream.send_all(piece)
        return stream

    def counts(self) -> tuple[int, int, int, int]:
        """Active, connecting, idle and queued."""
        stats = self.agent.stats()
        return stats.active, stats.connecting, stats.idle, stats.queued

    async def all_quiet(self) -> None:
        """Wait until nothing is under way; then no socket may be in use."""
        await trio.testing.wait_all_tasks_blocked()
        stats = self.agent.stats()
        assert (stats.active, stats.connecting, stats.queued) == (0, 0, 0)


def lines_of(head: bytes) -> list[bytes]:
    """The lines of a head, less its end."""
    return head.partition(b"\r\n\r\n")[0].split(b"\r\n")


async def read_one_head(stream: Any) -> bytes:
    """Read a head, and nothing behind it."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += await stream.receive_some(1)
    return data


async def chain(
    nursery: trio.Nursery,
    network: MemoryNetwork,
    *,
    agent: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    **options: Any,
) -> Chain:
    """Start a proxy with these options of ``forward``."""
    upstream = network.agent(**({"keep_alive": True} | (agent or {})))
    target = options.pop("origin", ORIGIN)

    async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        await http.forward(request, response, target, agent=upstream, **options)

    made = http.create_server(handler, on_error="raise", **(server or {}))
    await nursery.start(network.serve, made, "front.test", 80)
    return Chain(network, upstream, made)
