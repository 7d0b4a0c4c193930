"""hypercorn with its Trio worker."""

from __future__ import annotations

import sys

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from benchmarks.servers import announce, listening_socket
from benchmarks.servers.asgi import app

sock = listening_socket()
config = Config()
config.bind = [f"fd://{sock.fileno()}"]
config.errorlog = None
# Its default of 1,000 would close connections in mid-run.
config.keep_alive_max_requests = sys.maxsize
announce(sock)
trio.run(serve, app, config)
