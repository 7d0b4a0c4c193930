"""The least that streams through h11: where our own cost starts."""

from __future__ import annotations

import h11
import trio

from benchmarks.streams import BLOCK, Job, jobs


async def transfer(stream: trio.SocketStream, job: Job) -> int:
    """One request and its response; returns the size of the body."""
    conn = h11.Connection(h11.CLIENT)
    headers = [("Host", "127.0.0.1"), *(job.headers.items() if job.upload else ())]
    method = "POST" if job.upload else "GET"
    head = h11.Request(method=method, target="/", headers=headers)
    await stream.send_all(conn.send(head))
    sent = 0
    if job.upload:
        for _ in job.blocks:
            await stream.send_all(conn.send(h11.Data(data=BLOCK)))
            sent += len(BLOCK)
    await stream.send_all(conn.send(h11.EndOfMessage()))
    received = await receive(stream, conn)
    return sent if job.upload else received


async def receive(stream: trio.SocketStream, conn: h11.Connection) -> int:
    """Read the response; returns the size of its body."""
    count = 0
    while True:
        event = conn.next_event()
        if event is h11.NEED_DATA:
            conn.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Data):
            count += len(event.data)
        elif not isinstance(event, h11.Response):
            return count


async def main() -> None:
    """Do what the parent asks for."""
    for job in jobs():
        async with await trio.open_tcp_stream("127.0.0.1", job.port) as stream:
            size = await transfer(stream, job)
        print(size, flush=True)


trio.run(main)
