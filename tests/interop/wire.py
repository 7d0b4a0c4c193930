"""Raw bytes to a server and back, with a bound on every wait."""

from __future__ import annotations

import base64
import json
import re
from functools import partial

import attrs
import trio

# Answers come in milliseconds; this is for a machine under load.
ANSWER_SECONDS = 10.0
# Long enough for a stray extra answer to show itself.
QUIET_SECONDS = 0.4

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@attrs.frozen
class Reply:
    """One reply on the wire: its status code, the head and the decoded body."""

    status: int
    head: bytes
    body: bytes


@attrs.define
class Exchange:
    """What came back on one connection.

    ``closed`` says that the server ended it, ``error`` that it did so by reset,
    ``late`` that it did only when our side ended.
    """

    data: bytes = b""
    closed: bool = False
    error: bool = False
    late: bool = False

    @property
    def replies(self) -> list[Reply]:
        """The complete replies in ``data``, in order; 1xx ones included."""
        return parse_replies(self.data)


def parse_replies(data: bytes) -> list[Reply]:
    """Split what a server sent into replies.

    Args:
        data: Bytes from the start of the connection. A reply with neither length
            nor chunks takes all that follows (RFC 9112 section 6.3), except 1xx,
            204, 304 and the bare replies to bad input, which have no body.

    Returns:
        The replies that are complete; a torn one at the end is left out.
    """
    replies: list[Reply] = []
    while data:
        head, blank, rest = data.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.") else 0
        if not blank or not status:
            break
        body, rest, whole = _cut_body(status, head, rest)
        if not whole:
            break
        replies.append(Reply(status, head, body))
        data = rest
    return replies


def _cut_body(status: int, head: bytes, rest: bytes) -> tuple[bytes, bytes, bool]:
    if status < 200 or status in {204, 304}:
        return b"", rest, True
    if found := _LENGTH.search(head):
        size = int(found[1])
        return rest[:size], rest[size:], len(rest) >= size
    if _CHUNKED.search(head):
        return _cut_chunks(rest)
    return rest, b"", True


def _cut_chunks(rest: bytes) -> tuple[bytes, bytes, bool]:
    body = b""
    while True:
        line, end, rest = rest.partition(b"\r\n")
        size = int(line.split(b";")[0], 16) if end else -1
        if size < 0 or len(rest) < size + 2:
            return body, rest, False
        if size == 0:
            trailers, end, after = (b"\r\n" + rest).partition(b"\r\n\r\n")
            return body, after, bool(end) or not trailers
        body, rest = body + rest[:size], rest[size + 2 :]


def decode_echo(body: bytes) -> dict[str, object]:
    """Read the JSON of the echo server, its body back as bytes.

    Raises:
        ValueError: It is not the echo server's JSON.
    """
    told = json.loads(body)
    if not isinstance(told, dict):
        msg = "an echo is a JSON object"
        raise ValueError(msg)  # noqa: TRY004 # the content is wrong, not a type
    told["body"] = base64.b64decode(told["body"])
    return told


async def exchange(
    address: tuple[str, int],
    pieces: list[bytes],
    *,
    answers: int = 0,
    half_close: bool = False,
    pause: float = 0.0,
    seconds: float = ANSWER_SECONDS,
) -> Exchange:
    """Send bytes on a fresh connection and collect what the server says.

    Args:
        address: The server's host and port.
        pieces: What to send; each piece is a send of its own.
        answers: How many final replies to wait for; after them only strays are
            waited for. 0 waits until the server closes.
        half_close: End our side after the last piece.
        pause: Seconds between pieces, so that they arrive as such.
        seconds: The longest wait for the server, in seconds.

    Returns:
        What came back, whether or not the server had finished.
    """
    result = Exchange()
    stream = await trio.open_tcp_stream(*address)
    async with stream:
        with trio.move_on_after(seconds) as limit:
            await _send(stream, pieces, half_close=half_close, pause=pause)
            while not result.closed:
                await _receive(stream, result)
                finals = [one for one in result.replies if one.status >= 200]
                if answers and len(finals) >= answers:
                    limit.deadline = min(limit.deadline, trio.current_time() + QUIET_SECONDS)
    return result


def ask(
    address: tuple[str, int], pieces: list[bytes], *, seconds: float = ANSWER_SECONDS
) -> Exchange:
    """`exchange` for a test that is not async: until the server closes."""
    return trio.run(partial(exchange, address, pieces, seconds=seconds))


async def exchange_patiently(address: tuple[str, int], data: bytes, *, patience: float) -> Exchange:
    """Send bytes until the server closes, and end our side if it waits for more.

    Args:
        address: The server's host and port.
        data: What to send.
        patience: Seconds until our side ends.
    """
    result = Exchange()
    stream = await trio.open_tcp_stream(*address)
    async with stream:
        for half_close in (False, True):
            with trio.move_on_after(patience):
                await _send(stream, [b"" if half_close else data], half_close=half_close)
                while not result.closed:
                    await _receive(stream, result)
            if result.closed:
                break
            result.late = True
    return result


async def _send(
    stream: trio.SocketStream,
    pieces: list[bytes],
    *,
    half_close: bool,
    pause: float = 0.0,
) -> None:
    # A server that has seen enough may close at once; its answer still counts.
    try:
        for index, piece in enumerate(pieces):
            if index and pause:
                await trio.sleep(pause)
            await stream.send_all(piece)
        if half_close:
            await stream.send_eof()
    except trio.BrokenResourceError:
        pass


async def _receive(stream: trio.SocketStream, result: Exchange) -> None:
    try:
        chunk = await stream.receive_some()
    except trio.BrokenResourceError:
        result.closed = result.error = True
    else:
        result.data += chunk
        result.closed = not chunk


def split(data: bytes, *, bytewise: bool) -> list[bytes]:
    """Return the bytes as one piece, or one piece per byte."""
    return [data[at : at + 1] for at in range(len(data))] if bytewise else [data]
