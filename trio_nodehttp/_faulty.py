"""Peers that misbehave on purpose, by a script of small steps.

A client is tested against what real servers do to it: they reset, stall, close in
the middle of a body and send what is no HTTP.  Each of these is one line here.
"""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import Sequence
from typing import ClassVar, Protocol

import attrs
import trio
import trio.testing

from ._memory import MemoryStream


class _PeerEnded(Exception):  # noqa: N818 - news, not a fault
    """The peer ended its side before the script was through."""


class Dialogue:
    """One connection that plays a script: its stream and what was read of it.

    Attributes:
        stream: the server's end.
        received: all bytes read so far.
        read_to: how many of them were matched by an `Expect`.
    """

    __slots__ = ("read_to", "received", "stream")

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.received = bytearray()
        self.read_to = 0

    async def receive_more(self) -> None:
        """Wait for more bytes and keep them; being cancelled loses none.

        The script ends here if the peer has ended its side.
        """
        data = await self.stream.receive_some()
        if not data:
            raise _PeerEnded
        self.received += data


class Step(Protocol):
    """One thing that a `FaultyServer` does; write your own where these fall short."""

    async def play(self, dialogue: Dialogue, /) -> None:
        """Do it.  If cancelled, the connection is closed by the server."""


@attrs.frozen
class Expect:
    """Read until *data* has come; the next `Expect` looks behind it.

    The script ends there if the peer ends its side first.
    """

    data: bytes

    async def play(self, dialogue: Dialogue, /) -> None:
        """Read until the bytes are found; if cancelled, what was read is kept."""
        while (at := dialogue.received.find(self.data, dialogue.read_to)) < 0:
            await dialogue.receive_more()
        dialogue.read_to = at + len(self.data)


@attrs.frozen
class ExpectEnd:
    """Read until the peer ends its side."""

    async def play(self, dialogue: Dialogue, /) -> None:
        """Read until there is nothing more; if cancelled, what was read is kept."""
        try:
            while True:
                await dialogue.receive_more()
        except _PeerEnded:
            pass


@attrs.frozen
class Send:
    """Send *data*, *piece* bytes at a time (None: all at once)."""

    data: bytes
    piece: int | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(attrs.validators.ge(1)),
    )

    async def play(self, dialogue: Dialogue, /) -> None:
        """Send each piece in a call of its own; if cancelled, a part was sent."""
        step = self.piece or max(len(self.data), 1)
        for at in range(0, len(self.data), step):
            await dialogue.stream.send_all(self.data[at : at + step])


@attrs.frozen
class Stall:
    """Neither read nor send for so many seconds; for ever if none are given."""

    seconds: float = math.inf

    async def play(self, dialogue: Dialogue, /) -> None:
        """Sleep on Trio's clock; being cancelled changes nothing."""
        del dialogue
        await trio.sleep(self.seconds)


@attrs.frozen
class Reset:
    """Cut the connection with a TCP reset, or what is one in memory.

    In memory it waits until no task has anything to do, so that the peer has
    received whatever it wanted of the bytes sent before; the rest is lost.
    """

    async def play(self, dialogue: Dialogue, /) -> None:
        """Find the transport and reset it; if cancelled, it may be still open."""
        stream = dialogue.stream
        if isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        if isinstance(stream, MemoryStream):
            await trio.testing.wait_all_tasks_blocked()
            stream.reset()
        elif isinstance(stream, trio.SocketStream):
            # Lingering for no time at all makes close() send RST, not FIN.
            linger = struct.pack("ii", 1, 0)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await trio.aclose_forcefully(stream)


@attrs.frozen
class Close:
    """Close the connection in good order (over TLS with close_notify)."""

    async def play(self, dialogue: Dialogue, /) -> None:
        """Close both directions, also if cancelled."""
        await dialogue.stream.aclose()


@attrs.frozen
class HalfClose:
    """Send the end, and go on reading; not possible over TLS."""

    async def play(self, dialogue: Dialogue, /) -> None:
        """Close the sending direction; if cancelled, it may be still open."""
        stream = dialogue.stream
        if not isinstance(stream, trio.abc.HalfCloseableStream):
            raise TypeError(f"{type(stream).__name__} cannot be half-closed")
        await stream.send_eof()


class FaultyServer:
    r"""A peer that plays a script to whoever connects, right or wrong.

    It is an async callable of one stream, so it goes wherever a handler does:
    ``network.listen("origin.test", 80, FaultyServer([...]))`` in memory,
    ``await nursery.start(trio.serve_tcp, FaultyServer([...]), 0)`` over TCP::

        FaultyServer([Expect(b"\r\n\r\n"), Send(b"HTTP/1.1 200 OK\r\n"), Reset()])

    The connection is closed when the script is through.  A peer that leaves
    early ends the script of that connection and is no error.

    Args:
        script: the steps for the first connection.
        later: scripts for the second connection and on; the last one of all
            serves every further connection.

    Attributes:
        received: what each connection has sent so far, in order of arrival.
        completed: number of connections that came to the end of their script.
    """

    #: What the ready-made faults begin to answer: eleven bytes of body.
    RESPONSE: ClassVar[bytes] = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"

    def __init__(self, script: Sequence[Step], *later: Sequence[Step]) -> None:
        self._scripts = [list(each) for each in (script, *later)]
        self.received: list[bytearray] = []
        self.completed = 0

    def __repr__(self) -> str:
        return f"<FaultyServer connections={len(self.received)} completed={self.completed}>"

    @classmethod
    def reset(cls, after: int = 0) -> FaultyServer:
        """Reset after so many bytes of `RESPONSE`."""
        return cls([Expect(b"\r\n\r\n"), Send(cls.RESPONSE[:after]), Reset()])

    @classmethod
    def stall(cls, after: int = 0) -> FaultyServer:
        """Fall silent, still connected, after so many bytes of `RESPONSE`."""
        return cls([Expect(b"\r\n\r\n"), Send(cls.RESPONSE[:after]), Stall()])

    @classmethod
    def half_body(cls) -> FaultyServer:
        """Close in good order in the middle of the body."""
        return cls([Expect(b"\r\n\r\n"), Send(cls.RESPONSE[:-6]), Close()])

    @classmethod
    def bad_framing(cls) -> FaultyServer:
        """Send one good chunk, then a chunk whose size is no number."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        return cls([Expect(b"\r\n\r\n"), Send(head + b"5\r\nhello\r\nsize?\r\n")])

    @classmethod
    def silent(cls) -> FaultyServer:
        """Accept, and neither read nor send anything."""
        return cls([Stall()])

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Play the script of the next connection to *stream*, then close it.

        If cancelled, *stream* is closed at once.

        Raises:
            TypeError: the script half-closes a stream that cannot be.
            trio.ClosedResourceError: the script goes on after its own end.
        """
        script = self._scripts[min(len(self.received), len(self._scripts) - 1)]
        dialogue = Dialogue(stream)
        self.received.append(dialogue.received)
        try:
            for step in script:
                await step.play(dialogue)
            self.completed += 1
        except (_PeerEnded, trio.BrokenResourceError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def __call__(self, stream: trio.abc.Stream) -> None:
        """Do what `serve_stream` does; if cancelled, *stream* is closed at once."""
        await self.serve_stream(stream)
