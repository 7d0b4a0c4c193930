"""One hop of a proxy chain as a child: `python -m tests.interop.proxy_hop SETTINGS`.

Settings are JSON: ``role`` is one of

- ``forward``: a forward proxy that reaches ``allowed`` and nothing else;
- ``reverse``: a reverse proxy in front of ``origin``, upgrades of any kind included,
  over TLS if there is a ``certificate`` (a path);
- ``origin``: what `route` of this module answers, and upgrades that echo.

Ports: ``only``, and ``admin``, which answers with what is open in this process; see
`Hop`. The process ends when its standard input does.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import ssl
import sys
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import trio

import trio_nodehttp as http

BLOCK = 65536
MIGHTY = 10_000_000


@lru_cache(maxsize=64)
def content(size: int) -> bytes:
    """The body of that size; every size has another one."""
    seed = hashlib.sha256(b"%d" % size).digest()
    return (seed * (size // len(seed) + 1))[:size]


async def route(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    """Answer ``GET /bytes/SIZE`` with content, and a body with its hash."""
    if request.method == "GET":
        body = content(int(request.url.rpartition("/")[2]))
        response.set_header("Content-Length", len(body))
        for at in range(0, len(body), BLOCK):
            await response.write(body[at : at + BLOCK])
        await response.end()
        return
    seen = hashlib.sha256()
    async for piece in request:
        seen.update(piece)
    await response.end(seen.hexdigest())


async def echo(_: http.IncomingMessage, stream: http.UpgradedStream) -> None:
    """Send back what comes, to the end."""
    head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    await stream.send_all(head.encode())
    async for data in stream:
        await stream.send_all(data)
    await stream.send_eof()


def permitted(authority: str, allowed: list[str]) -> bool:
    """Whether a forward proxy may go there."""
    return authority in allowed


class Hop:
    """What a role is made of: a server, and an agent for what stands behind it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.agent = http.Agent(keep_alive=True, max_free_sockets=64)
        self.server = http.create_server(getattr(self, settings["role"]))
        self.server.on("upgrade", partial(self.upgrade, settings["role"]))
        if settings["role"] == "forward":
            self.server.on("connect", self.connect)

    async def origin(self, request: http.IncomingMessage, response: http.ServerResponse) -> None:
        """Answer as the origin."""
        await route(request, response)

    async def reverse(self, request: http.IncomingMessage, response: http.ServerResponse) -> None:
        """Pass on to the one origin."""
        await http.forward(request, response, self.settings["origin"], agent=self.agent)

    async def forward(self, request: http.IncomingMessage, response: http.ServerResponse) -> None:
        """Pass on to where the request wants to go, if that is allowed."""
        scheme, _, rest = request.url.partition("://")
        authority = rest.partition("/")[0]
        if scheme != "http" or not permitted(authority, self.settings["allowed"]):
            await response.write_head(403).end("not allowed\n")
            return
        await http.forward(request, response, f"http://{authority}", agent=self.agent)

    async def upgrade(
        self, role: str, request: http.IncomingMessage, stream: http.UpgradedStream
    ) -> None:
        """Echo as the origin; else pass on."""
        if role == "origin":
            await echo(request, stream)
        elif role == "reverse":
            origin = self.settings["origin"]
            await http.forward_upgrade(request, stream, origin, agent=self.agent)

    async def connect(self, request: http.IncomingMessage, stream: http.UpgradedStream) -> None:
        """Open a tunnel, if that is allowed."""
        if permitted(request.url, self.settings["allowed"]):
            await http.forward_connect(request, stream, agent=self.agent)
        else:
            await stream.send_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    async def admin(self, request: http.IncomingMessage, response: http.ServerResponse) -> None:
        """Tell what is open; ``POST`` closes what is idle in the pool first."""
        if request.method == "POST":
            self.agent.destroy()
            self.server.close_idle_connections()
        gc.collect()
        stats = self.agent.stats()
        told = {
            "sockets": count_sockets(),
            "connections": self.server.connections,
            "active": stats.active,
            "connecting": stats.connecting,
            "queued": stats.queued,
            "idle": stats.idle,
            "opened": stats.opened,
            "reused": stats.reused,
        }
        await response.write_head(200, {"Connection": "close"}).end(json.dumps(told))


def count_sockets() -> int:
    """How many descriptors of this process are sockets."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        try:
            found += os.readlink(each).startswith("socket:")  # noqa: PTH115  # a link to nowhere
        except FileNotFoundError:
            continue  # the one that the folder itself was read by
    return found


async def main(settings: dict[str, Any]) -> None:
    """Serve until standard input ends."""
    hop = Hop(settings)
    context = None
    if "certificate" in settings:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings["certificate"])
    admin = http.create_server(hop.admin)
    async with trio.open_nursery() as nursery:
        listen = partial(hop.server.listen, ssl_context=context)
        await nursery.start(listen, 0, "127.0.0.1")
        await nursery.start(admin.listen, 0, "127.0.0.1")
        ports = {}
        for name, server in (("only", hop.server), ("admin", admin)):
            assert isinstance(server.address, tuple)
            ports[name] = server.address[1]
        sys.stdout.write(json.dumps({"ports": ports}) + "\n")
        sys.stdout.flush()
        await trio.to_thread.run_sync(sys.stdin.buffer.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
