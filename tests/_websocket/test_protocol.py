"""Frames to events and back, in one direction and in the other."""

from __future__ import annotations

import math
import os
import tracemalloc
import zlib
from collections.abc import Iterable

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage
from wsproto.extensions import PerMessageDeflate

from tests._websocket.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_payload,
    frame,
)
from trio_nodehttp._websocket import protocol as protocol_module
from trio_nodehttp._websocket.deflate import Deflate, DeflateParameters
from trio_nodehttp._websocket.protocol import (
    PIECE,
    Close,
    Event,
    Failure,
    Message,
    Ping,
    Pong,
    Protocol,
)


def make(
    *,
    client: bool = True,
    parameters: DeflateParameters | None = None,
    limit: float = math.inf,
) -> Protocol:
    deflate = Deflate(parameters, client=client) if parameters is not None else None
    return Protocol(client=client, deflate=deflate, max_message_size=limit)


def events(protocol: Protocol, pieces: Iterable[bytes]) -> list[Event]:
    found: list[Event] = []
    for piece in pieces:
        protocol.feed(piece)
        while (event := protocol.next_event()) is not None:
            found += [event] if event is not PIECE else []
    return found


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def deflated(*messages: bytes) -> list[bytes]:
    compressor = zlib.compressobj(wbits=-15)
    return [
        (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4] for data in messages
    ]


# Frames of a peer, and what is read in them.
GOOD = {
    "text": ([(TEXT, "é€".encode(), True)], [Message("é€", 5)]),
    "bytes": ([(BINARY, b"\xff\x00", True)], [Message(b"\xff\x00", 2)]),
    "empty": (
        [(TEXT, b"", True), (BINARY, b"", True)],
        [Message("", 0), Message(b"", 0)],
    ),
    "fragments": (
        [
            (TEXT, b"\xe2", False),
            (CONTINUATION, b"", False),
            (CONTINUATION, b"\x82\xac", True),
        ],
        [Message("€", 3)],
    ),
    "fragmented lines": (
        [(TEXT, b"a\r\nb\r", False), (CONTINUATION, b"\nc\n", True)],
        [Message("a\r\nb\r\nc\n", 8)],
    ),
    "fragmented bytes": (
        [(BINARY, b"", False), (CONTINUATION, b"a", False), (CONTINUATION, b"b", True)],
        [Message(b"ab", 2)],
    ),
    "ping between fragments": (
        [(TEXT, b"a", False), (PING, b"?", True), (CONTINUATION, b"b", True)],
        [Ping(b"?"), Message("ab", 2)],
    ),
    "pong": ([(PONG, b"!", True)], [Pong(b"!")]),
    "close": ([(CLOSE, close_payload(3000, "bye"), True)], [Close(3000, "bye")]),
    "bad gateway": (
        [(PING, close_payload(1014), True), (CLOSE, close_payload(1014, "bye"), True)],
        [Ping(close_payload(1014)), Close(1014, "bye")],
    ),
    "close without a code": ([(CLOSE, b"", True)], [Close(1005, "")]),
}


@pytest.mark.parametrize("split", [lambda data: [data], bytewise])
@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("case", GOOD)
def test_frames_are_read(case: str, client: bool, split: object) -> None:
    frames, expected = GOOD[case]
    wire = b"".join(
        frame(opcode, payload, fin=fin, masked=not client) for opcode, payload, fin in frames
    )
    assert callable(split)
    assert events(make(client=client), split(wire)) == expected


@pytest.mark.parametrize(("opcode", "piece"), [(TEXT, "€".encode()), (BINARY, b"\xe2\x82")])
def test_tiny_fragments_take_no_more_than_their_message(opcode: int, piece: bytes) -> None:
    protocol = make()
    events(protocol, [frame(opcode, piece, fin=False)])
    wire = frame(CONTINUATION, piece, fin=False) * 1000
    tracemalloc.start()
    try:
        events(protocol, [wire] * 5)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2 * 5000 * len(piece)
    (message,) = events(protocol, [frame(CONTINUATION, piece)])
    expected = piece * 5002
    assert message == Message(expected.decode() if opcode == TEXT else expected, len(expected))


def test_large_messages_have_every_length_field() -> None:
    for size in (125, 126, 65535, 65536):
        data = os.urandom(size)
        assert events(make(), [frame(BINARY, data)]) == [Message(data, size)]


BAD = {
    "reserved bit": (frame(TEXT, b"", rsv=2), 1002),
    "compressed without agreement": (frame(TEXT, b"", rsv=4), 1002),
    "opcode": (frame(3), 1002),
    "masked by a server": (frame(TEXT, b"a", masked=True), 1002),
    "fragmented ping": (frame(PING, fin=False), 1002),
    "long ping": (frame(PING, bytes(126)), 1002),
    "continuation of nothing": (frame(CONTINUATION, b"a"), 1002),
    "text inside text": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "invalid UTF-8": (frame(TEXT, b"\xff"), 1007),
    "cut UTF-8": (frame(TEXT, b"\xe2\x82"), 1007),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "close code": (frame(CLOSE, close_payload(1005)), 1002),
    "close code that nobody has": (frame(CLOSE, close_payload(1015)), 1002),
    "close code of the future": (frame(CLOSE, close_payload(1016)), 1002),
    "close reason of a gateway": (frame(CLOSE, close_payload(1014) + b"\xff"), 1007),
    "close reason": (frame(CLOSE, close_payload(1000) + b"\xff"), 1007),
    "too long": (frame(TEXT, b"abcdef"), 1009),
    "too long in all": (
        frame(TEXT, b"abc", fin=False) + frame(CONTINUATION, b"abc"),
        1009,
    ),
}


@pytest.mark.parametrize("split", [lambda data: [data], bytewise])
@pytest.mark.parametrize("case", BAD)
def test_a_broken_frame_is_a_failure(case: str, split: object) -> None:
    wire, code = BAD[case]
    protocol = make(limit=5)
    assert callable(split)
    (failure,) = events(protocol, split(wire + b"trailing"))
    assert isinstance(failure, Failure)
    assert failure.code == code
    assert failure.reason
    assert not protocol.close_received
    # What follows is not read.
    assert events(protocol, [frame(TEXT, b"a")]) == []


def test_a_message_is_too_long_before_it_has_come() -> None:
    protocol = make(limit=5)
    head = frame(TEXT, b"", length=2**40)
    (failure,) = events(protocol, [head])
    assert failure == Failure(1009, "a message has more than 5 bytes")


def test_the_limit_counts_each_message_anew() -> None:
    wire = frame(TEXT, b"abcde") + frame(PING, b"abcdef") + frame(BINARY, b"12345")
    found = events(make(limit=5), [wire])
    assert found == [Message("abcde", 5), Ping(b"abcdef"), Message(b"12345", 5)]


def test_invalid_text_is_noticed_before_its_end() -> None:
    (failure,) = events(make(), [frame(TEXT, b"ok \xff...", length=1000)])
    assert isinstance(failure, Failure)
    assert failure.code == 1007


# -- compression


def test_compressed_messages_share_a_window() -> None:
    first, second = deflated(b"hello" * 9, b"hello" * 9)
    assert len(second) < len(first)
    wire = frame(TEXT, first, rsv=4) + frame(BINARY, second, rsv=4)
    for pieces in ([wire], bytewise(wire)):
        protocol = make(parameters=DeflateParameters())
        assert events(protocol, pieces) == [
            Message("hello" * 9, 45),
            Message(b"hello" * 9, 45),
        ]


def test_a_ping_does_not_end_a_compressed_message() -> None:
    (data,) = deflated(b"hello world " * 5)
    wire = (
        frame(TEXT, data[:4], rsv=4, fin=False) + frame(PING, b"?") + frame(CONTINUATION, data[4:])
    )
    found = events(make(parameters=DeflateParameters()), [wire])
    assert found == [Ping(b"?"), Message("hello world " * 5, 60)]


def test_messages_may_stay_uncompressed() -> None:
    protocol = make(parameters=DeflateParameters())
    assert events(protocol, [frame(TEXT, b"plain")]) == [Message("plain", 5)]


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(TEXT, b"\xff\xff\xff", rsv=4), 1007),
        (frame(PING, b"", rsv=4), 1002),
        (frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", rsv=4), 1002),
        (frame(TEXT, deflated(bytes(11))[0], rsv=4), 1009),
        (frame(BINARY, deflated(bytes(10**6))[0], rsv=4), 1009),
        (frame(TEXT, deflated(b"\xff")[0], rsv=4), 1007),
    ],
)
def test_bad_compressed_frames_fail(wire: bytes, code: int) -> None:
    (failure,) = events(make(parameters=DeflateParameters(), limit=10), [wire])
    assert isinstance(failure, Failure)
    assert failure.code == code


def test_a_limit_is_inclusive_for_inflated_bytes() -> None:
    wire = frame(BINARY, deflated(bytes(10))[0], rsv=4)
    protocol = make(parameters=DeflateParameters(), limit=10)
    assert events(protocol, [wire]) == [Message(bytes(10), 10)]


def test_wsproto_has_nothing_to_offer_for_us() -> None:
    # Its handshake is not used; ours speaks for compression.
    assert protocol_module._Guard(None, 0).offer() is False


def test_no_limit_is_no_limit() -> None:
    wire = frame(BINARY, deflated(bytes(10**6))[0], rsv=4)
    protocol = make(parameters=DeflateParameters(), limit=math.inf)
    assert events(protocol, [wire]) == [Message(bytes(10**6), 10**6)]


@pytest.mark.parametrize("client", [True, False])
def test_the_extension_of_wsproto_understands_ours(client: bool) -> None:
    role = ConnectionType.SERVER if client else ConnectionType.CLIENT
    extension = PerMessageDeflate()
    extension.finalize("permessage-deflate")
    other = Connection(role, [extension])
    protocol = make(client=client, parameters=DeflateParameters())
    for data in ("hello " * 99, "", "hello " * 99, "é"):
        other.receive_data(protocol.encode_message(data))
        (event,) = other.events()
        assert isinstance(event, TextMessage)
        assert event.data == data
        found = events(protocol, [other.send(BytesMessage(data.encode()))])
        assert found == [Message(data.encode(), len(data.encode()))]


# -- what is written


def test_a_server_writes_plain_frames() -> None:
    protocol = make(client=False)
    assert protocol.encode_message("hi") == b"\x81\x02hi"
    assert protocol.encode_message(b"\x00") == b"\x82\x01\x00"
    assert protocol.encode_ping(b"p") == b"\x89\x01p"
    assert protocol.encode_pong(b"p") == b"\x8a\x01p"
    assert protocol.encode_close(1000, "bye") == b"\x88\x05\x03\xe8bye"


def test_a_client_masks_with_fresh_keys() -> None:
    protocol = make(client=True)
    keys = set()
    for _ in range(20):
        wire = protocol.encode_message(b"abc")
        assert wire[:2] == b"\x82\x83"
        keys.add(wire[2:6])
        assert bytes(a ^ b for a, b in zip(wire[6:], wire[2:6], strict=False)) == b"abc"
    assert len(keys) == 20


def test_compressed_frames_carry_the_bit_and_control_frames_do_not() -> None:
    protocol = make(client=False, parameters=DeflateParameters())
    assert protocol.encode_message("a" * 99)[0] == 0xC1
    assert protocol.encode_ping(b"aaaa") == b"\x89\x04aaaa"


def test_a_window_of_eight_bits_sends_uncompressed() -> None:
    parameters = DeflateParameters(server_max_window_bits=8)
    protocol = make(client=False, parameters=parameters)
    assert protocol.encode_message("hi") == b"\x81\x02hi"


def test_nothing_is_sent_after_a_close() -> None:
    protocol = make(client=False)
    assert not protocol.close_sent
    assert protocol.encode_close(1005, "") == b"\x88\x00"
    assert protocol.close_sent
    assert protocol.encode_close(1000, "") == b""
    assert protocol.encode_ping(b"") == b""
    assert protocol.encode_pong(b"") == b""


def test_a_close_is_answered_once_and_pongs_end() -> None:
    protocol = make()
    assert events(protocol, [frame(CLOSE, close_payload(1001))]) == [Close(1001, "")]
    assert protocol.close_received
    assert protocol.encode_pong(b"") == b""
    assert protocol.encode_close(1001, "")[:2] == b"\x88\x82"
    assert protocol.close_sent


def test_the_answer_to_our_close_is_read() -> None:
    protocol = make(client=False)
    protocol.encode_close(1000, "")
    wire = frame(TEXT, b"late", masked=True)
    wire += frame(CLOSE, close_payload(1000), masked=True)
    assert events(protocol, [wire]) == [Message("late", 4), Close(1000, "")]
    assert protocol.close_sent
    assert protocol.close_received
