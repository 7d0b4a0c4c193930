"""One answer for every way in which the same bytes may be split."""

from __future__ import annotations

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests._sansio.readings import Reading, bytewise, cut, read
from trio_nodehttp._sansio.codec_h11 import H11Codec

# What is spliced into good bytes: mostly what a parser may trip over.
SHARDS = st.sampled_from(
    [
        *(bytes([byte]) for byte in b'\x00\t\n\r \x08"\\*/:;=,+-0159aAfgz[]@?_\x7f\x80\xff'),
        b"\r\n",
        b"\n\n",
        b"\r\n\r\n",
        b"\r\n ",
        b"0\r\n\r\n",
        b";a=b",
        b';a="\\"',
        b"Host: b\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"HTTP/1.0",
        b"GET / HTTP/1.1\r\n\r\n",
    ]
)
REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nOPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nA:\r\nB: \t c d \r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    b"GET http://u@a/b?c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'5;a;b=c;d="e\\"f"\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: u\r\nV:\r\n\r\n'
    ),
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
    b"HTTP/1.0 404 \r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\nKeep-Alive: timeout=5\r\n\r\n",
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
        b"5;a=b\r\nhello\r\n0\r\nT: u\r\n\r\n"
    ),
]
PLENTY = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


@st.composite
def wires(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """Good messages, a few times changed."""
    data = b"".join(draw(st.lists(st.sampled_from(samples), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        gone = draw(st.sampled_from([0, 0, 1, 2, 7]))
        data = data[:at] + draw(SHARDS) + data[at + gone :]
    return data


@st.composite
def split_wires(draw: st.DrawFn, samples: list[bytes]) -> tuple[bytes, list[bytes]]:
    data = draw(wires(samples))
    return data, cut(data, draw(st.lists(st.integers(1, max(len(data), 1)), max_size=9)))


def same(data: bytes, pieces: list[bytes], *, is_server: bool, max_header_size: int) -> Reading:
    """Check that the verdict and all that was read are the same."""
    reading, *others = [
        read(split, is_server=is_server, eof=True, max_header_size=max_header_size)
        for split in ([data], pieces, bytewise(data))
    ]
    for other in others:
        assert other == reading
    return reading


LIMITS = st.sampled_from([24, 60, 16384])


@PLENTY
@given(split_wires(REQUESTS), LIMITS)
def test_requests(wire: tuple[bytes, list[bytes]], limit: int) -> None:
    same(*wire, is_server=True, max_header_size=limit)


@PLENTY
@given(split_wires(RESPONSES), LIMITS)
def test_responses(wire: tuple[bytes, list[bytes]], limit: int) -> None:
    same(*wire, is_server=False, max_header_size=limit)


@PLENTY
@given(split_wires(REQUESTS), st.integers(1, 20))
def test_how_much_is_read_at_a_time_changes_nothing(
    wire: tuple[bytes, list[bytes]], max_bytes: int
) -> None:
    data, pieces = wire
    assert read(pieces, is_server=True, eof=True, max_bytes=max_bytes) == read(
        [data], is_server=True, eof=True
    )


@PLENTY
@given(wires(REQUESTS))
def test_no_request_is_taken_that_h11_refuses(data: bytes) -> None:
    """And both see the same in it."""
    codec = H11Codec(is_server=True)
    codec.feed(data)
    try:
        head = codec.read_request()
    except Exception:  # noqa: BLE001 - refused, so there is nothing to compare
        return
    if head is None or head.host is None:
        return
    engine = h11.Connection(h11.SERVER)
    engine.receive_data(data.lstrip(b"\r\n"))
    event = engine.next_event()
    assert isinstance(event, h11.Request)
    assert event.method == head.method.encode()
    assert event.target == head.target.encode("latin-1")
    assert [(name.decode(), value.decode("latin-1")) for name, value in event.headers] == [
        (name.lower(), value.lower() if name.lower() == "transfer-encoding" else value)
        for name, value in head.pairs
    ]


@pytest.mark.parametrize("data", REQUESTS + RESPONSES)
def test_the_samples_themselves_are_good(data: bytes) -> None:
    reading = read([data], is_server=data in REQUESTS, eof=True)
    assert reading.fault is None
    assert all(message.complete for message in reading.messages)
