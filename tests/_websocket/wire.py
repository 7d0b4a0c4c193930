"""Frames written and read byte by byte, and a peer that speaks them.

Written from RFC 6455 section 5.2 alone, so that what it finds is not our own mistake.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import trio

from trio_nodehttp._memory import MemoryStream, memory_pipe
from trio_nodehttp._websocket.handshake import accept_value

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x11\x22\x33\x44"


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    masked: bool = False,
    fin: bool = True,
    rsv: int = 0,
    length: int | None = None,
) -> bytes:
    """The bytes of a frame; ``length`` lies about the payload's."""
    size = len(payload) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if size < 126:
        head += bytes([masked << 7 | size])
    elif size < 2**16:
        head += bytes([masked << 7 | 126]) + struct.pack("!H", size)
    else:
        head += bytes([masked << 7 | 127]) + struct.pack("!Q", size)
    return head + (MASK + mask(payload, MASK) if masked else payload)


def mask(payload: bytes, key: bytes) -> bytes:
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def close_payload(code: int, reason: str = "") -> bytes:
    return struct.pack("!H", code) + reason.encode()


class Frame(NamedTuple):
    """What was on the wire, unmasked."""

    opcode: int
    payload: bytes
    masked: bool = False
    fin: bool = True
    rsv: int = 0


class Peer:
    """The other end of a connection.

    Args:
        stream: where it is.
        client: whether it masks its frames.
    """

    def __init__(self, stream: MemoryStream, *, client: bool = False) -> None:
        self.stream = stream
        self.client = client
        self._buffer = b""

    async def send(self, opcode: int, payload: bytes = b"", **kwargs: Any) -> None:
        await self.stream.send_all(self.frame(opcode, payload, **kwargs))

    def frame(self, opcode: int, payload: bytes = b"", **kwargs: Any) -> bytes:
        return frame(opcode, payload, masked=self.client, **kwargs)

    async def read(self) -> Frame | None:
        """Read a frame; None at the end."""
        first, second = await self._take(2) or (None, 0)
        if first is None:
            return None
        size = second & 127
        if size > 125:
            size = int.from_bytes(await self._take(2 if size == 126 else 8), "big")
        key = await self._take(4) if second >> 7 else b""
        payload = await self._take(size)
        whole = mask(payload, key) if key else payload
        return Frame(first & 15, whole, bool(key), bool(first >> 7), first >> 4 & 7)

    async def read_all(self) -> list[Frame]:
        """Read to the end of the connection."""
        frames = []
        while (found := await self.read()) is not None:
            frames.append(found)
        return frames

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.send(CLOSE, close_payload(code, reason))

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = await self.stream.receive_some()
            if not data:
                assert not self._buffer, f"cut off: {self._buffer!r}"
                return b""
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


class Through(trio.abc.Stream):
    """Passes everything on; cannot end one direction, as TLS cannot."""

    def __init__(self, inner: MemoryStream) -> None:
        self.inner = inner

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self.inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.inner.aclose()


class Opening:
    """Opens connections to a `Peer` in memory, in place of a request.

    Args:
        headers: fields of the 101 that differ; None leaves one out.
        buffer_size: bytes that the pipe takes in each direction.
    """

    def __init__(
        self, headers: Mapping[str, str | None] | None = None, buffer_size: int = 65536
    ) -> None:
        self._headers = headers or {}
        ours, theirs = memory_pipe(buffer_size)
        self.stream = ours
        self.peer = Peer(theirs)
        self.asked: dict[str, Any] = {}
        self.is_open = False

    @contextlib.asynccontextmanager
    async def __call__(self, url: str, **options: Any) -> AsyncIterator[Any]:
        self.asked = {"url": url, **options}
        await trio.lowlevel.checkpoint()
        answer: dict[str, str | None] = {
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-accept": accept_value(self.fields["Sec-WebSocket-Key"]),
            **self._headers,
        }
        present = {name: value for name, value in answer.items() if value is not None}
        self.is_open = True
        try:
            response = SimpleNamespace(headers=present, status_code=101)
            yield SimpleNamespace(response=response, stream=self.stream)
        finally:
            self.is_open = False

    @property
    def fields(self) -> dict[str, Any]:
        """The header fields that were asked for."""
        return dict(self.asked["headers"])


def upgrade_request(**headers: str | None) -> SimpleNamespace:
    """A proper upgrade request, with some fields changed; None leaves one out."""
    fields: dict[str, str | None] = {
        "host": "example.com",
        "upgrade": "websocket",
        "connection": "keep-alive, Upgrade",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
    }
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    present = {name: value for name, value in fields.items() if value is not None}
    return SimpleNamespace(method="GET", url="/chat", http_version="1.1", headers=present)
