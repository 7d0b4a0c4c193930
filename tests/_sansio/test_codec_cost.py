"""What reading costs, beside h11 on the same bytes; and that it grows with them only."""

from __future__ import annotations

import time
from collections.abc import Callable

import h11
import pytest

from trio_nodehttp._errors import ParseError
from trio_nodehttp._sansio.codec import HeadReader
from trio_nodehttp._sansio.codec_h11 import H11Codec

HEAD = (
    b"GET /hello?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: curl/8.0\r\n"
    b"Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n"
    b"Cookie: session=abcdef0123456789; theme=dark\r\n\r\n"
)
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def cost(action: Callable[[], object], times: int = 50) -> float:
    """Seconds that it takes, at its quickest: what else runs here does not count."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - start)
    return best


def read_with_h11(data: bytes) -> h11.Connection:
    engine = h11.Connection(h11.SERVER)
    engine.receive_data(data)
    while engine.next_event() is not h11.NEED_DATA:
        if engine.their_state is not h11.SEND_BODY:
            break
    return engine


def read_with_ours(data: bytes) -> H11Codec:
    codec = H11Codec(is_server=True)
    codec.feed(data)
    assert codec.read_request() is not None
    while codec.read_body(1 << 20):
        pass
    return codec


def test_a_head_costs_a_fraction_of_what_h11_takes() -> None:
    reader = HeadReader(is_request=True)
    assert cost(lambda: reader.request(HEAD)) < 0.35 * cost(lambda: read_with_h11(HEAD))


@pytest.mark.parametrize(("size", "most"), [(100, 1.0), (65536, 2.0)])
def test_chunks_cost_no_more_than_with_h11(size: int, most: float) -> None:
    # Measured 0.3 and 0.6; large ones are mostly copied, and that depends on the machine.
    count = 300 if size == 100 else 6
    data = CHUNKED + (b"%x\r\n%b\r\n" % (size, b"x" * size)) * count
    assert cost(lambda: read_with_ours(data), 20) < most * cost(lambda: read_with_h11(data), 20)


GROWING: dict[str, Callable[[int], bytes]] = {
    "empty lines": lambda n: b"\r\n" * n,
    "header lines": lambda n: HEAD[:-2] + b"a:b\r\n" * n + b"\x00",
    "a value": lambda n: b"GET / HTTP/1.1\r\nA: " + b"b " * n + b"\x00",
    "user info": lambda n: b"GET http://" + b"a" * n + b", HTTP/1.1\r\nHost: a\r\n\r\n",
    "extensions": lambda n: CHUNKED + b"5" + b";a=b" * n + b";\r\n",
    "quoted extensions": lambda n: CHUNKED + b"5" + b';a="\\""' * n + b"\x00",
    "a long extension": lambda n: CHUNKED + b'5;a="' + b"\\b" * n,
    "trailers": lambda n: CHUNKED + b"0\r\n" + b"a:b\r\n" * n + b"\x00",
    "small chunks": lambda n: CHUNKED + b"1\r\na\r\n" * n,
}


@pytest.mark.parametrize("name", GROWING)
def test_no_bytes_cost_more_than_their_number(name: str) -> None:
    def read(data: bytes) -> None:
        codec = H11Codec(is_server=True, max_header_size=1 << 20)
        codec.feed(data)
        try:
            if codec.read_request() is not None:
                while codec.read_body(1 << 20):
                    pass
        except ParseError:
            pass

    few, many = GROWING[name](500), GROWING[name](4000)
    # Eight times the bytes; what grows with their square would take 64 times as long.
    assert cost(lambda: read(many), 9) < 24 * cost(lambda: read(few), 9)
