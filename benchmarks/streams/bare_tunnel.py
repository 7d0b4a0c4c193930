"""A CONNECT proxy that is a `receive_some`/`send_all` loop, one way."""

from __future__ import annotations

import trio

from benchmarks.streams import CONNECTED, port_of


async def serve(near: trio.SocketStream) -> None:
    """Open the connection that is asked for, and copy into it."""
    async with near:
        port = port_of(bytes(await near.receive_some()))
        async with await trio.open_tcp_stream("127.0.0.1", port) as far:
            await near.send_all(CONNECTED)
            while data := await near.receive_some():
                await far.send_all(data)


async def main() -> None:
    """Serve for ever."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listener.socket.getsockname()[1], flush=True)
    await trio.serve_listeners(serve, [listener])


trio.run(main)
