"""uvicorn over httptools (llhttp)."""

from __future__ import annotations

import uvicorn

from benchmarks.servers import announce, listening_socket
from benchmarks.servers.asgi import app

sock = listening_socket()
announce(sock)
uvicorn.Server(
    uvicorn.Config(
        app,
        http="httptools",
        loop="asyncio",
        lifespan="off",
        log_level="critical",
        access_log=False,
    )
).run([sock])
