"""Fetch URLs side by side, over a pool of at most four sockets for each origin.

python examples/fetch.py URL...
"""

import sys

import trio

import trio_nodehttp as http


async def fetch(url: str, agent: http.Agent) -> None:
    """Fetch one URL and print what came."""
    try:
        async with http.get(url, agent=agent) as response:
            size = len(await response.read())
    except http.HTTPError as error:
        print(f"{url}: {error.code}: {error}")
        return
    print(f"{url}: {response.status_code} {response.status_message}, {size} bytes")


async def main(urls: list[str]) -> None:
    """Fetch them all."""
    agent = http.Agent(keep_alive=True, max_sockets=4)
    async with agent, trio.open_nursery() as nursery:
        for url in urls:
            nursery.start_soon(fetch, url, agent)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    trio.run(main, sys.argv[1:])
