"""aiohttp's server."""

from __future__ import annotations

import asyncio

from aiohttp import web

from benchmarks.servers import BODY, announce, listening_socket


async def handler(request: web.BaseRequest) -> web.Response:
    """Answer anything alike."""
    del request
    return web.Response(body=BODY, content_type="text/plain")


async def main() -> None:
    """Serve until killed."""
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    sock = listening_socket()
    await web.SockSite(runner, sock).start()
    announce(sock)
    await asyncio.Event().wait()


asyncio.run(main())
