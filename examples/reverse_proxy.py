"""A reverse proxy in front of one origin, WebSocket included.

python examples/reverse_proxy.py http://127.0.0.1:9000 [port]
"""

import sys
from functools import partial

import trio

import trio_nodehttp as http


async def proxy(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    *,
    origin: str,
    agent: http.Agent,
) -> None:
    """Pass one request on and its response back, both streamed."""
    # What a client says of earlier hops is not believed here, at the edge.
    await http.forward(request, response, origin, agent=agent, forwarded="replace")


async def upgrade(
    request: http.IncomingMessage,
    stream: http.UpgradedStream,
    *,
    origin: str,
    agent: http.Agent,
) -> None:
    """Pass an upgrade on, and join the two streams."""
    await http.forward_upgrade(request, stream, origin, agent=agent, forwarded="replace")


async def main(origin: str, port: int) -> None:
    """Serve until a signal comes."""
    async with http.Agent(keep_alive=True) as agent, trio.open_nursery() as nursery:
        handler = partial(proxy, origin=origin, agent=agent)
        server: http.Server = await nursery.start(http.serve, handler, port, "127.0.0.1")
        server.on("upgrade", partial(upgrade, origin=origin, agent=agent), protocol="websocket")
        print(f"passing on to {origin}, listening on {server.url}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    trio.run(main, sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8000)
