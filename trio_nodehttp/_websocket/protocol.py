"""Frames and messages of one WebSocket, without I/O (RFC 6455 sections 5 to 7).

The only module that knows wsproto, whose frame layer it drives.  Bytes go in by
`Protocol.feed`, events come out of `Protocol.next_event` one at a time, so that a
reader that has no room for more leaves the rest unread.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage
from wsproto.events import Event as FrameEvent
from wsproto.events import Ping as PingFrame
from wsproto.events import Pong as PongFrame
from wsproto.extensions import Extension
from wsproto.frame_protocol import (
    CloseReason,
    FrameDecoder,
    FrameProtocol,
    Opcode,
    RsvBits,
)

from .deflate import TAIL, Deflate, TooLongError

#: RFC 6455 section 7.4.1: an end that stops, or a page that is left.
GOING_AWAY: Final = 1001
#: RFC 6455 section 7.1.5: what is reported if the peer named no code, or just left.
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006
#: IANA's registry has it; wsproto, which has not, is shown 1013 in its place.
BAD_GATEWAY: Final = 1014

_BAD_GATEWAY: Final = BAD_GATEWAY.to_bytes(2, "big")
_STAND_IN: Final = (1013).to_bytes(2, "big")
_NO_BITS: Final = RsvBits(rsv1=False, rsv2=False, rsv3=False)
_COMPRESSED: Final = RsvBits(rsv1=True, rsv2=False, rsv3=False)
_CLOSE_SENT: Final = (ConnectionState.LOCAL_CLOSING, ConnectionState.CLOSED)
_CLOSE_RECEIVED: Final = (ConnectionState.REMOTE_CLOSING, ConnectionState.CLOSED)


class Message(NamedTuple):
    """A whole message, and the bytes that it had on the wire once inflated."""

    data: str | bytes
    size: int


class Piece(NamedTuple):
    """A part of a message whose end is still to come."""


class Ping(NamedTuple):
    """A ping, to be answered with the same payload (RFC 6455 section 5.5.2)."""

    payload: bytes


class Pong(NamedTuple):
    """The answer to a ping, or one that nobody asked for."""

    payload: bytes


class Close(NamedTuple):
    """The peer's close frame; nothing follows it."""

    code: int
    reason: str


class Failure(NamedTuple):
    """The peer broke the protocol or a limit; nothing more is read from it."""

    code: int
    reason: str


PIECE: Final = Piece()
Event: TypeAlias = Message | Piece | Ping | Pong | Close | Failure


class Protocol:
    """What one end of an open WebSocket has received, and the bytes to send.

    Args:
        client: whether this end is the client, whose frames are masked.
        deflate: permessage-deflate, if it was agreed on.
        max_message_size: most bytes of a message, once inflated; infinity is no
            limit.
    """

    __slots__ = ("_begun", "_connection", "_events", "_guard")

    def __init__(self, *, client: bool, deflate: Deflate | None, max_message_size: float) -> None:
        role = ConnectionType.CLIENT if client else ConnectionType.SERVER
        self._guard = _Guard(deflate, max_message_size)
        self._connection = Connection(role, [self._guard])
        self._events: Iterator[FrameEvent] = iter(())
        # A message so far, text too: a list of tiny strings is many times its size.
        self._begun: bytearray | None = None

    @property
    def close_sent(self) -> bool:
        """Whether a close frame was made here; nothing may be sent after it."""
        return self._connection.state in _CLOSE_SENT

    @property
    def close_received(self) -> bool:
        """Whether the peer's close frame was read."""
        return self._connection.state in _CLOSE_RECEIVED

    def feed(self, data: bytes) -> None:
        """Take what was received, once `next_event` has answered None."""
        self._connection.receive_data(data)
        self._events = self._connection.events()

    def next_event(self) -> Event | None:
        """Read on; None once more bytes are needed, and after Close or Failure."""
        event = next(self._events, None)
        return None if event is None else self._read(event)

    def encode_message(self, data: str | bytes | bytearray | memoryview) -> bytes:
        """Frame a whole message: text if *data* is a string, else binary."""
        if isinstance(data, str):
            return self._connection.send(TextMessage(data))
        return self._connection.send(BytesMessage(bytes(data)))

    def encode_ping(self, payload: bytes) -> bytes:
        """Frame a ping; nothing once a close frame was sent or received."""
        return self._encode_control(PingFrame(payload))

    def encode_pong(self, payload: bytes) -> bytes:
        """Frame a pong; nothing once a close frame was sent or received."""
        return self._encode_control(PongFrame(payload))

    def encode_close(self, code: int, reason: str) -> bytes:
        """Frame a close, if none was sent; 1005 gives one without a code."""
        if self.close_sent:
            return b""
        named = CloseReason.NO_STATUS_RCVD if code == NO_STATUS else code
        return self._connection.send(CloseConnection(named, reason))

    def _encode_control(self, event: FrameEvent) -> bytes:
        if self._connection.state is not ConnectionState.OPEN:
            return b""
        return self._connection.send(event)

    def _read(self, event: FrameEvent) -> Event:
        if isinstance(event, TextMessage):
            return self._read_text(event.data, finished=event.message_finished)
        if isinstance(event, BytesMessage):
            return self._read_bytes(bytes(event.data), finished=event.message_finished)
        if isinstance(event, PingFrame):
            return Ping(bytes(event.payload))
        if isinstance(event, PongFrame):
            return Pong(bytes(event.payload))
        assert isinstance(event, CloseConnection)  # wsproto has no others
        return self._read_close(event)

    def _read_text(self, text: str, *, finished: bool) -> Message | Piece:
        if finished and self._begun is None:
            return Message(text, self._guard.size)
        whole = self._gather(text.encode(), finished=finished)
        return PIECE if whole is None else Message(whole.decode(), self._guard.size)

    def _read_bytes(self, data: bytes, *, finished: bool) -> Message | Piece:
        if finished and self._begun is None:
            return Message(data, self._guard.size)
        whole = self._gather(data, finished=finished)
        return PIECE if whole is None else Message(bytes(whole), self._guard.size)

    def _gather(self, data: bytes, *, finished: bool) -> bytearray | None:
        """Keep a piece; answer the whole message at its end."""
        whole = bytearray() if self._begun is None else self._begun
        whole += data
        self._begun = None if finished else whole
        return whole if finished else None

    def _read_close(self, event: CloseConnection) -> Close | Failure:
        code, reason = int(event.code), event.reason or ""
        # wsproto reports a broken frame as a close of the peer, but keeps its state.
        if self.close_received:
            return Close(self._guard.close_code or code, reason)
        return Failure(code, self._guard.complaint or reason)


class _Guard(Extension):
    """Counts the bytes of a message against a limit, and (de)compresses it.

    Seen by wsproto as an extension, which it asks at every frame.
    """

    name = "guard"

    def __init__(self, deflate: Deflate | None, limit: float) -> None:
        self.size = 0  # bytes of the message that is being read
        self.complaint = ""
        self.close_code = 0  # one that wsproto does not know
        self._deflate = deflate
        self._limit = limit
        self._is_control = False
        self._is_close = False
        self._inflate: Deflate | None = None  # set while a compressed message is read

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        """Take no part in wsproto's own handshake."""
        return False

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        """Judge a frame by its head, which may be shown more than once."""
        self._is_control = opcode.iscontrol()
        self._is_close = opcode is Opcode.CLOSE
        if self._is_control:
            return _NO_BITS
        if opcode is Opcode.CONTINUATION:
            permitted = _NO_BITS
        else:
            # RFC 7692 section 6: the first frame says it for the whole message.
            self.size = 0
            self._inflate = self._deflate if rsv.rsv1 else None
            permitted = _COMPRESSED if self._deflate else _NO_BITS
        if self._inflate is None and self._limit < self.size + payload_length:
            return self._too_big()
        return permitted

    def frame_inbound_payload_data(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002
        data: bytes,
    ) -> bytes | CloseReason:
        """Count, and inflate, a piece of a frame."""
        if self._is_close and data[:2] == _BAD_GATEWAY:
            self.close_code = BAD_GATEWAY
            return _STAND_IN + data[2:]
        if self._is_control:
            return data
        if self._inflate is None:
            self.size += len(data)
            return data
        return self._inflated(data)

    def frame_inbound_complete(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002
        fin: bool,
    ) -> bytes | CloseReason | None:
        """Inflate what the end of a message holds back."""
        if self._is_control or self._inflate is None or not fin:
            return None
        last = self._inflated(TAIL)
        self._inflate.end_message()
        return last

    def frame_outbound(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002
        opcode: Opcode,
        rsv: RsvBits,
        data: bytes,
        fin: bool,  # noqa: ARG002
    ) -> tuple[RsvBits, bytes]:
        """Compress a message, which always leaves as one frame."""
        deflate = self._deflate
        if opcode.iscontrol() or deflate is None or not deflate.compresses:
            return rsv, data
        return _COMPRESSED, deflate.compress(data)

    def _inflated(self, data: bytes) -> bytes | CloseReason:
        assert self._inflate is not None  # both callers have looked
        try:
            output = self._inflate.inflate(data, self._limit - self.size)
        except TooLongError:
            return self._too_big()
        except zlib.error as exc:
            self.complaint = f"compressed data is damaged: {exc}"
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self.size += len(output)
        return output

    def _too_big(self) -> CloseReason:
        self.complaint = f"a message has more than {self._limit} bytes"
        return CloseReason.MESSAGE_TOO_BIG
