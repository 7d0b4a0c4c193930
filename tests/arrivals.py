"""Received messages made without a server."""

from __future__ import annotations

from typing import Any

import trio_nodehttp as http
from trio_nodehttp._connection import Connection
from trio_nodehttp._memory import MemoryStream, memory_pipe
from trio_nodehttp._sansio.codec_h11 import H11Codec

LENGTH = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n%b\r\n"


async def message(
    wire: bytes, *, max_receive: int | None = None, end: bool = False
) -> tuple[http.IncomingMessage, MemoryStream]:
    """A request whose head was read, and the end on which the rest may come."""
    ours, theirs = memory_pipe(max_receive=max_receive)
    codec = H11Codec(is_server=True)
    connection = Connection(http.Socket(ours), codec)
    await theirs.send_all(wire)
    if end:
        await theirs.send_eof()
    while (head := codec.read_request()) is None:
        codec.feed(await connection.socket.receive())
    return http.IncomingMessage(connection, head), theirs


async def body(data: bytes, *lines: bytes, **options: Any) -> http.IncomingMessage:
    """A request with this chunked body, all of it there."""
    chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
    head = CHUNKED % b"".join(line + b"\r\n" for line in lines)
    return (await message(head + chunk + b"0\r\n\r\n", **options))[0]


def told_of(request: http.IncomingMessage) -> list[object]:
    told: list[object] = []
    request.on("data", told.append)
    for name in ("end", "aborted", "close", "timeout"):
        request.on(name, lambda name=name: told.append(name))
    request.on("error", lambda error: told.append(type(error)))
    return told
