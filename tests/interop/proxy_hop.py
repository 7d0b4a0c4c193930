"""One hop of a proxy chain as a child: `python -m tests.interop.proxy_hop SETTINGS`.

Settings are JSON: ``role`` is one of

- ``forward``: the example of a forward proxy, which reaches ``allowed`` and nothing else;
- ``reverse``: the example of a reverse proxy, in front of ``origin``, over TLS if there
  is a ``certificate`` (a path);
- ``origin``: what `route` of this module answers, and WebSockets that echo.

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
from tests.interop.websocket_ends import echo

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import forward_proxy
import reverse_proxy

sys.path.pop(0)

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


class Hop:
    """What a role is made of: a server, and an agent for what stands behind it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.agent = http.Agent(keep_alive=True, max_free_sockets=64)
        getattr(self, settings["role"])()

    def origin(self) -> None:
        """Answer by ourselves."""
        self.server = http.create_server(route)
        self.server.on("upgrade", echo, protocol="websocket")

    def reverse(self) -> None:
        """Pass on to the one origin."""
        ways = {"origin": self.settings["origin"], "agent": self.agent}
        self.server = http.create_server(partial(reverse_proxy.proxy, **ways))
        self.server.on("upgrade", partial(reverse_proxy.upgrade, **ways), protocol="websocket")

    def forward(self) -> None:
        """Pass on to where requests want to go, if that is allowed."""
        proxy = forward_proxy.ForwardProxy(self.settings["allowed"], self.agent)
        self.server = http.create_server(proxy.request)
        self.server.on("connect", proxy.connect)

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
