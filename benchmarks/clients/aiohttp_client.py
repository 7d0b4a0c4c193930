"""aiohttp's client."""

from __future__ import annotations

import asyncio

import aiohttp

from benchmarks.clients import Count, turns, url


async def main() -> None:
    """Fetch in turns until the parent stops asking."""
    target = url()
    async with aiohttp.ClientSession() as session:

        async def fetch() -> int:
            async with session.get(target) as response:
                return len(await response.read())

        for tasks, end in turns():
            count = Count()
            work = [count.fetch_until(end, fetch) for _ in range(tasks)]
            await asyncio.gather(*work)
            count.tell()


asyncio.run(main())
