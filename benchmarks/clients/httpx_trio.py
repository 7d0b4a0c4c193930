"""httpx on Trio."""

from __future__ import annotations

import httpx
import trio

from benchmarks.clients import Count, turns, url


async def main() -> None:
    """Fetch in turns until the parent stops asking."""
    target = url()
    async with httpx.AsyncClient(trust_env=False) as client:

        async def fetch() -> int:
            return len((await client.get(target)).content)

        for tasks, end in turns():
            count = Count()
            async with trio.open_nursery() as nursery:
                for _ in range(tasks):
                    nursery.start_soon(count.fetch_until, end, fetch)
            count.tell()


trio.run(main)
