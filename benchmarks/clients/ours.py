"""trio_nodehttp as a user writes it."""

from __future__ import annotations

import trio

import trio_nodehttp as http
from benchmarks.clients import Count, turns, url


async def main() -> None:
    """Fetch in turns until the parent stops asking."""
    target = url()
    async with http.Agent(keep_alive=True) as agent:

        async def fetch() -> int:
            async with http.get(target, agent=agent) as response:
                return len(await response.read())

        for tasks, end in turns():
            count = Count()
            async with trio.open_nursery() as nursery:
                for _ in range(tasks):
                    nursery.start_soon(count.fetch_until, end, fetch)
            count.tell()


trio.run(main)
