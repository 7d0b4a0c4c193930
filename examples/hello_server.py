"""A server that says hello; stop it with Ctrl-C, and it drains first.

python examples/hello_server.py [port]
"""

import sys

import trio

import trio_nodehttp as http


async def hello(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    """Answer any request."""
    response.set_header("Content-Type", "text/plain; charset=utf-8")
    await response.end(f"Hello, {request.url}\n")


async def main(port: int) -> None:
    """Serve on loopback until a signal comes."""
    async with trio.open_nursery() as nursery:
        server: http.Server = await nursery.start(http.serve, hello, port, "127.0.0.1")
        print(f"listening on {server.url}", flush=True)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
