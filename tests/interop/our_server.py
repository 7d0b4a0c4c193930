"""Our server as a child process: `python -m tests.interop.our_server SETTINGS`.

Settings are JSON: ``handler`` (a name in handlers.py, or ``route``) and
``options`` for `create_server`. The port is the first line on standard output; the
process ends when its standard input does.
"""

from __future__ import annotations

import json
import sys

import trio

import trio_nodehttp as http
from tests.interop import handlers


async def main(settings: dict[str, object]) -> None:
    """Serve until standard input ends."""
    name = str(settings.get("handler", "route"))
    handler = handlers.route if name == "route" else handlers.HANDLERS[name]
    options = settings.get("options", {})
    assert isinstance(options, dict)
    server = http.create_server(handler, **options)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.listen, 0, "127.0.0.1")
        sys.stdout.write(json.dumps({"port": server.address[1]}) + "\n")
        sys.stdout.flush()
        await trio.to_thread.run_sync(sys.stdin.buffer.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
