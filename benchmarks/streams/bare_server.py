"""A copy with `send_all` and `receive_some`; HTTP only as canned bytes."""

from __future__ import annotations

import trio

from benchmarks.servers import announce, listening_socket
from benchmarks.streams import BLOCK, Job, from_target

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"


async def serve(stream: trio.SocketStream) -> None:
    """One message, then the end."""
    head = bytes(await stream.receive_some())
    line, early = head.partition(b"\r\n")[0], head.partition(b"\r\n\r\n")[2]
    method, target, _ = line.decode().split(" ")
    job = from_target(method, target)
    if job.upload:
        await receive(stream, job, len(early))
    else:
        await stream.send_all(HEAD % job.total)
        for _ in job.blocks:
            await stream.send_all(BLOCK)


async def receive(stream: trio.SocketStream, job: Job, count: int) -> None:
    """Read to the total; answer with the size."""
    while count < job.total:
        data = await stream.receive_some()
        if not data:
            break
        count += len(data)
    answer = b"%d" % count
    await stream.send_all(HEAD % len(answer) + answer)


async def main() -> None:
    """Serve until killed."""
    sock = listening_socket()
    announce(sock)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    await trio.serve_listeners(serve, [listener])


trio.run(main)
