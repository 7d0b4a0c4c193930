"""The base of all ratios: the least that fetches over HTTP with h11 on Trio."""

from __future__ import annotations

import h11
import trio

from benchmarks.clients import Count, port, turns


class Connection:
    """One stream, one h11 connection, one request at a time."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._conn = h11.Connection(h11.CLIENT)
        self._host = b"127.0.0.1:%d" % port()

    async def fetch(self) -> int:
        """One GET; returns the size of the body.

        Raises:
            EOFError: The server closed before the end.
        """
        conn = self._conn
        request = h11.Request(method="GET", target="/", headers=[(b"Host", self._host)])
        head = conn.send(request)
        tail = conn.send(h11.EndOfMessage())
        await self._stream.send_all((head) + (tail))
        body = b""
        while True:
            event = conn.next_event()
            if event is h11.NEED_DATA:
                conn.receive_data(await self._stream.receive_some())
            elif isinstance(event, h11.Data):
                body += event.data
            elif type(event) is h11.EndOfMessage:
                conn.start_next_cycle()
                return len(body)
            elif type(event) is h11.ConnectionClosed:
                raise EOFError


async def main() -> None:
    """Fetch in turns until the parent stops asking."""
    connections: list[Connection] = []
    for tasks, end in turns():
        while len(connections) < tasks:
            stream = await trio.open_tcp_stream("127.0.0.1", port())
            connections.append(Connection(stream))
        count = Count()
        async with trio.open_nursery() as nursery:
            for connection in connections[:tasks]:
                nursery.start_soon(count.fetch_until, end, connection.fetch)
        count.tell()


trio.run(main)
