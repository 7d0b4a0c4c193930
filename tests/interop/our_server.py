"""Our server as a child process: `python -m tests.interop.our_server SETTINGS`.

Settings are JSON: ``handler`` (a name in handlers.py, or ``route``) and
``options`` for `create_server`; or ``servers``, several of those by name. The
ports are the first line on standard output; the process ends when its standard
input does.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import trio

import trio_nodehttp as http
from tests.interop import handlers


def build(*, handler: str = "route", options: dict[str, Any] | None = None) -> http.Server:
    """Build a server from its settings."""
    wanted = handlers.route if handler == "route" else handlers.HANDLERS[handler]
    return http.create_server(wanted, **(options or {}))


async def main(settings: dict[str, Any]) -> None:
    """Serve until standard input ends."""
    servers = settings.get("servers") or {"only": settings}
    ports = {}
    async with trio.open_nursery() as nursery:
        for name, one in servers.items():
            server = build(**one)
            await nursery.start(server.listen, 0, "127.0.0.1")
            assert isinstance(server.address, tuple)
            ports[name] = server.address[1]
        sys.stdout.write(json.dumps({"ports": ports}) + "\n")
        sys.stdout.flush()
        await trio.to_thread.run_sync(sys.stdin.buffer.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
