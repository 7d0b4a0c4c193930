"""An origin, a reverse proxy in front of it, and clients; it ends by itself.

python examples/demo.py
"""

import hashlib
from collections.abc import AsyncIterator
from functools import partial

import trio
from reverse_proxy import proxy

import trio_nodehttp as http

PIECE = bytes(range(256)) * 256  # 64 KiB
PIECES = 80


async def origin(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    """Serve three pages: an upload's checksum, a stream, and a short answer."""
    if request.method == "POST":
        seen = hashlib.sha256()
        async for chunk in request:
            seen.update(chunk)
        await response.end(seen.hexdigest())
    elif request.url == "/stream":
        for _ in range(PIECES):
            await response.write(PIECE)
        response.add_trailers({"X-Pieces": PIECES})
        await response.end()
    else:
        await trio.sleep(0.02)
        await response.end(f"answer to {request.url}")


async def upload() -> AsyncIterator[bytes]:
    """Make a body of a size that nobody announces."""
    for _ in range(PIECES):
        yield PIECE


async def send_up(url: str, agent: http.Agent) -> None:
    """Stream a body up through the proxy."""
    async with http.request(url, method="POST", body=upload(), agent=agent) as request:
        response = await request.get_response()
        arrived = await response.text() == hashlib.sha256(PIECE * PIECES).hexdigest()
    print(f"  up:   {response.status_code}, {PIECES * len(PIECE):,} bytes, intact: {arrived}")


async def send_down(url: str, agent: http.Agent) -> None:
    """Stream a body down through the proxy."""
    size = 0
    async with http.get(url + "/stream", agent=agent) as response:
        async for chunk in response:
            size += len(chunk)
    pieces = response.trailers.get("x-pieces")
    print(f"  down: {response.status_code}, {size:,} bytes, trailer x-pieces: {pieces}")


async def ask(url: str, number: int, agent: http.Agent) -> None:
    """Ask for one short answer."""
    async with http.get(f"{url}/{number}", agent=agent) as response:
        text = await response.text()
    print(
        f"  {response.status_code} {text!r}, from port {response.socket.local_port}, "
        f"reused: {response.timings.reused}, queued {response.timings.queued or 0:.3f} s"
    )


async def main() -> None:
    """Run it all on loopback."""
    async with trio.open_nursery() as nursery, http.Agent(keep_alive=True) as upstream:
        back: http.Server = await nursery.start(http.create_server(origin).listen, 0, "127.0.0.1")
        handler = partial(proxy, origin=back.url, agent=upstream)
        front: http.Server = await nursery.start(http.create_server(handler).listen, 0, "127.0.0.1")
        print(f"origin {back.url}, reverse proxy {front.url}")
        url = str(front.url)
        async with http.Agent(keep_alive=True, max_sockets=2) as agent:
            print("streams through the proxy:")
            await send_up(url, agent)
            await send_down(url, agent)
            print("eight requests at once over max_sockets=2:")
            async with trio.open_nursery() as clients:
                for number in range(8):
                    clients.start_soon(ask, url, number, agent)
            print(f"the client's pool: {agent!r}")
            print(f"the proxy's pool:  {upstream!r}")
        report = await front.drain(1)
        print(f"the proxy drained: {report.finished} finished, {report.cancelled} cancelled")
        await back.close()


if __name__ == "__main__":
    trio.run(main)
