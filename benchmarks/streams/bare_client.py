"""A copy with `send_all` and `receive_some`; HTTP only as canned bytes."""

from __future__ import annotations

import trio

from benchmarks.streams import BLOCK, Job, jobs


async def upload(stream: trio.SocketStream, job: Job) -> int:
    """Send the body; returns its size."""
    head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {job.total}\r\n\r\n"
    await stream.send_all(head.encode())
    for _ in job.blocks:
        await stream.send_all(BLOCK)
    await stream.receive_some()
    return len(job.blocks) * len(BLOCK)


async def download(stream: trio.SocketStream) -> int:
    """Read to the end; returns the size of the body."""
    await stream.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    count = len(bytes(await stream.receive_some()).partition(b"\r\n\r\n")[2])
    while data := await stream.receive_some():
        count += len(data)
    return count


async def main() -> None:
    """Do what the parent asks for."""
    for job in jobs():
        async with await trio.open_tcp_stream("127.0.0.1", job.port) as stream:
            size = await (upload(stream, job) if job.upload else download(stream))
        print(size, flush=True)


trio.run(main)
