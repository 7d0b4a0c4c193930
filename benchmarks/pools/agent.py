"""A real Agent on real sockets.

Given the server's port, an idle count and a scheduling, it opens that many
connections and lets them go idle. Then it reads lines: ``fetch COUNT`` fetches
one after the other, ``queue COUNT`` starts that many requests at once over four
connections; each prints its CPU nanoseconds per request.
"""

from __future__ import annotations

import gc
import resource
import sys
import time
from typing import Literal, cast

import trio

import trio_nodehttp as http

#: Dials at a time: more than a listener's backlog would wait for a second SYN.
DIALS = 100


class Fetcher:
    """Fetches one URL with one agent."""

    def __init__(self, url: str, agent: http.Agent) -> None:
        self._url = url
        self._agent = agent
        self._held = 0

    async def fetch(self) -> None:
        """One GET, read whole."""
        async with http.get(self._url, agent=self._agent) as response:
            await response.read()

    async def open(self, count: int) -> None:
        """Leave *count* idle connections behind."""
        dials, release = trio.Semaphore(DIALS), trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(self._hold, dials, release, count)

    async def _hold(self, dials: trio.Semaphore, release: trio.Event, count: int) -> None:
        """One GET that keeps its connection until *count* of them have one."""
        await dials.acquire()
        async with http.get(self._url, agent=self._agent) as response:
            dials.release()
            self._held += 1
            if self._held == count:
                release.set()
            await release.wait()
            await response.read()

    async def one_by_one(self, count: int) -> None:
        """*count* GETs, each after the last."""
        for _ in range(count):
            await self.fetch()

    async def at_once(self, count: int) -> None:
        """*count* GETs that all want a connection now."""
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(self.fetch)


async def main() -> None:
    """Do what the parent asks for."""
    port, idle = int(sys.argv[1]), int(sys.argv[2])
    scheduling = cast('Literal["lifo", "fifo"]', sys.argv[3])
    url = f"http://127.0.0.1:{port}/"
    async with (
        http.Agent(keep_alive=True, max_free_sockets=idle, scheduling=scheduling) as many,
        http.Agent(keep_alive=True, max_sockets=4) as few,
    ):
        await Fetcher(url, many).open(idle)
        print(sum(map(len, many.free_sockets.values())), flush=True)
        for line in sys.stdin:
            what, count = line.split()[0], int(line.split()[1])
            gc.collect()
            start = time.process_time_ns()
            if what == "fetch":
                await Fetcher(url, many).one_by_one(count)
            else:
                await Fetcher(url, few).at_once(count)
            print(round((time.process_time_ns() - start) / count), flush=True)


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
trio.run(main)
