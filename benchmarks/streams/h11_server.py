"""The least that streams through h11: where our own cost starts."""

from __future__ import annotations

import h11
import trio

from benchmarks.servers import announce, listening_socket
from benchmarks.streams import BLOCK, Job, from_target


async def serve(stream: trio.SocketStream) -> None:
    """One message, then the end."""
    conn = h11.Connection(h11.SERVER)
    count, job = 0, None
    while True:
        event = conn.next_event()
        if event is h11.NEED_DATA:
            conn.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Request):
            job = from_target(event.method.decode(), event.target.decode())
        elif isinstance(event, h11.Data):
            count += len(event.data)
        else:
            break
    if job is None:
        return
    if job.upload:
        await answer(stream, conn, b"%d" % count)
    else:
        await send(stream, conn, job)


async def answer(stream: trio.SocketStream, conn: h11.Connection, body: bytes) -> None:
    """A small response."""
    headers = [("Content-Length", str(len(body)))]
    head = conn.send(h11.Response(status_code=200, headers=headers))
    await stream.send_all((head) + (conn.send(h11.Data(data=body))))


async def send(stream: trio.SocketStream, conn: h11.Connection, job: Job) -> None:
    """A big one, block by block."""
    headers = list(job.headers.items())
    await stream.send_all(conn.send(h11.Response(status_code=200, headers=headers)))
    for _ in job.blocks:
        await stream.send_all(conn.send(h11.Data(data=BLOCK)))
    await stream.send_all(conn.send(h11.EndOfMessage()))


async def main() -> None:
    """Serve until killed."""
    sock = listening_socket()
    announce(sock)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    await trio.serve_listeners(serve, [listener])


trio.run(main)
