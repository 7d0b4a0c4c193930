"""Many WebSockets at once in one process, and what each costs in memory.

`python -m tests.interop.websocket_many SETTINGS` takes ``connections``, ``rounds`` and
``compression`` as JSON and prints what it found; both ends of each connection live
in the process, which is fresh, so that its memory shows what they need.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

import trio

import trio_nodehttp as http
from tests.interop.websocket_ends import echo_server


def resident() -> float:
    """The memory of this process, in KiB."""
    gc.collect()
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4


class Crowd:
    """Clients that wait until all are connected, and then speak in turns."""

    def __init__(self, connections: int, rounds: int, *, compression: bool) -> None:
        self.connections = connections
        self.rounds = rounds
        self.compression = compression
        self.connected = trio.Event()
        self.echoes = self.ready = 0
        self.when_open = self.when_used = 0.0

    async def talk(self, url: str, number: int) -> None:
        """Be one client."""
        async with http.WebSocket(url, compression=self.compression) as ws:
            self.ready += 1
            if self.ready == self.connections:
                self.when_open = resident()
                self.connected.set()
            await self.connected.wait()
            for turn in range(self.rounds):
                text = f"{number}:{turn} " * 9
                await ws.send(text)
                assert await ws.receive() == text
                self.echoes += 1
            if self.echoes == self.connections * self.rounds:
                self.when_used = resident()
        assert ws.close_code == 1000


async def main(settings: dict[str, Any]) -> None:
    """Run one crowd and tell of it."""
    crowd = Crowd(**settings)
    async with echo_server({"compression": crowd.compression}) as url:
        before = resident()
        async with trio.open_nursery() as nursery:
            for number in range(crowd.connections):
                nursery.start_soon(crowd.talk, url, number)
    told = {
        "echoes": crowd.echoes,
        "open": (crowd.when_open - before) / crowd.connections,
        "used": (crowd.when_used - before) / crowd.connections,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
