"""What reading costs beside h11 on the same bytes, and that it grows with them only."""

from __future__ import annotations

import time
from collections.abc import Callable

import h11

from benchmarks.measure import Plan
from benchmarks.report import Budget, Report, Row, Table
from trio_nodehttp._errors import ParseError
from trio_nodehttp._sansio.codec import HeadReader
from trio_nodehttp._sansio.codec_h11 import H11Codec

HEAD = (
    b"GET /hello?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: curl/8.0\r\n"
    b"Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n"
    b"Cookie: session=abcdef0123456789; theme=dark\r\n\r\n"
)
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
FEW, MANY = 500, 4000
#: Eight times the bytes; what grows with their square takes 64 times as long.
GROWTH_BUDGET = 24.0

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


def run(plan: Plan) -> Report:
    """Measure heads, chunks, and hostile bytes of growing number."""
    times = 5 if plan.quick else 30
    small = CHUNKED + (b"64\r\n" + b"x" * 100 + b"\r\n") * 300
    large = CHUNKED + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 6
    reader = HeadReader(is_request=True)
    pairs = {
        "a head": (
            _cost(lambda: reader.request(HEAD), times * 50),
            _cost(lambda: _read_with_h11(HEAD), times * 50),
            0.35,
        ),
        "chunks of 100 bytes": (
            _cost(lambda: _read(small), times),
            _cost(lambda: _read_with_h11(small), times),
            1.0,
        ),
        "chunks of 64 KiB": (
            _cost(lambda: _read(large), times),
            _cost(lambda: _read_with_h11(large), times),
            1.0,
        ),
    }
    growth = {name: _growth(make, times) for name, make in GROWING.items()}
    beside = Table(
        key="reading",
        title="Reading, beside h11 on the same bytes",
        columns=("ours us", "h11 us", "by h11"),
        rows=tuple(
            Row(name=name, figures=(ours * 1e6, engine * 1e6, ours / engine))
            for name, (ours, engine, _) in pairs.items()
        ),
    )
    grown = Table(
        key="reading-growth",
        title="Reading hostile bytes: eight times as many, by the cost of the few",
        columns=("growth",),
        rows=tuple(Row(name=name, figures=(value,)) for name, value in growth.items()),
    )
    budgets = [
        Budget(name=f"reading {name}, by h11", value=ours / engine, limit=limit)
        for name, (ours, engine, limit) in pairs.items()
    ]
    budgets += [
        Budget(name=f"growth of {name}", value=value, limit=GROWTH_BUDGET)
        for name, value in growth.items()
    ]
    return Report(tables=(beside, grown), budgets=tuple(budgets))


def _cost(action: Callable[[], object], times: int) -> float:
    """Seconds that it takes, at its quickest: what else runs here does not count."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - start)
    return best


def _growth(make: Callable[[int], bytes], times: int) -> float:
    few, many = make(FEW), make(MANY)
    return _cost(lambda: _read(many), times) / _cost(lambda: _read(few), times)


def _read(data: bytes) -> None:
    codec = H11Codec(is_server=True, max_header_size=1 << 20)
    codec.feed(data)
    try:
        if codec.read_request() is not None:
            while codec.read_body(1 << 20):
                pass
    except ParseError:
        pass


def _read_with_h11(data: bytes) -> None:
    engine = h11.Connection(h11.SERVER)
    engine.receive_data(data)
    while engine.next_event() is not h11.NEED_DATA:
        if engine.their_state is not h11.SEND_BODY:
            break
