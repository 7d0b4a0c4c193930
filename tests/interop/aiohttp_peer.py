"""aiohttp as a child process, either side: `python -m tests.interop.aiohttp_peer`.

Settings are JSON: ``serve`` prints a port and serves until standard input ends;
``ask`` is the URL of a server with the handlers of handlers.py, to which requests
are made; what came is printed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web


async def hello(_request: web.Request) -> web.Response:
    """Answer with one piece of text."""
    return web.Response(text="hello")


async def body(request: web.Request) -> web.Response:
    """Answer with the request's body."""
    return web.Response(body=await request.read())


async def many(request: web.Request) -> web.StreamResponse:
    """Answer in chunks."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(16):
        await response.write(b"x" * 65536)
    return response


async def serve() -> None:
    """Serve until standard input ends."""
    application = web.Application()
    application.add_routes(
        [web.get("/hello", hello), web.post("/body", body), web.get("/many", many)]
    )
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(json.dumps({"ports": {"only": runner.addresses[0][1]}}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)
    await runner.cleanup()


async def pieces() -> AsyncIterator[bytes]:
    """Give a body in pieces."""
    for _ in range(3):
        yield b"piece"


async def ask(url: str) -> None:
    """Make requests over two connections, and print what came."""
    connector = aiohttp.TCPConnector(limit=2)
    async with aiohttp.ClientSession(url, connector=connector) as client:

        async def fetch(path: str) -> str:
            async with client.get(path) as reply:
                return await reply.text()

        async def post(data: bytes | AsyncIterator[bytes]) -> str:
            async with client.post("/body", data=data) as reply:
                return await reply.text()

        told: dict[str, object] = {
            "together": await asyncio.gather(*(fetch("/chunks") for _ in range(50))),
            "posted": await post(b"sized"),
            "streamed": await post(pieces()),
        }
        async with client.head("/hello") as reply:
            told["head"] = [reply.status, await reply.text()]
        async with client.get("/status/204") as reply:
            told["none"] = [reply.status, await reply.text()]
        async with client.get("/stream/16") as reply:
            told["size"] = len(await reply.read())
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    asyncio.run(serve() if settings.get("serve") else ask(settings["ask"]))
