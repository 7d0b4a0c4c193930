"""CPU and memory of a streamed body, beside a copy that knows no HTTP.

The peer of the contender is this process: blocking sockets and big buffers, so
that the contender is what both wait for.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

import attrs

from benchmarks.measure import (
    OURS,
    PATIENCE,
    BenchmarkError,
    Child,
    Contender,
    Plan,
    Samples,
    cores,
    python,
)
from benchmarks.report import Budget, Report, Row, Table
from benchmarks.streams import BLOCK

BASE = "bare copy"
H11 = "h11 loop"
BUDGET = 1.2
#: Bytes of growth that are no leak: buffers in flight and the allocator's slack.
MEMORY_BUDGET = 20.0
MIB = 2**20

LENGTH, CHUNKED = "length", "chunked"

SERVERS = (
    python(BASE, "streams.bare_server"),
    python(H11, "streams.h11_server", "h11"),
    python(OURS, "streams.ours_server", "trio_nodehttp"),
)
CLIENTS = (
    python(BASE, "streams.bare_client"),
    python(H11, "streams.h11_client", "h11"),
    python(OURS, "streams.ours_client", "trio_nodehttp"),
)

#: Blocks that the peer sends at once, bare and as chunks.
BURST = 16
BLOCKS = {
    LENGTH: BLOCK * BURST,
    CHUNKED: b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK) * BURST,
}
LAST = {LENGTH: b"", CHUNKED: b"0\r\n\r\n"}


def run(plan: Plan) -> Report:
    """Measure both directions on both sides.

    Raises:
        BenchmarkError: A contender is missing, died, or lost a byte.
    """
    total = (16 if plan.quick else 200) * MIB
    before = os.sched_getaffinity(0)
    peer = cores()[1]
    if peer is not None:
        os.sched_setaffinity(0, {peer})
    try:
        sections = [
            _section(plan, total, "server sends", SERVERS, _pull),
            _section(plan, total, "server receives", SERVERS, _push),
            _section(plan, total, "client sends", CLIENTS, _accept_upload),
            _section(plan, total, "client receives", CLIENTS, _accept_download),
        ]
    finally:
        os.sched_setaffinity(0, before)
    return Report(
        tables=tuple(table for table, _ in sections),
        budgets=tuple(budget for _, budgets in sections for budget in budgets),
    )


@attrs.frozen
class Received:
    """A message as the peer saw it: its head, the size of the rest, its last bytes."""

    head: bytes
    count: int
    tail: bytes


Transfer = Callable[[Child, int, str, int], None]


def _section(
    plan: Plan,
    total: int,
    what: str,
    contenders: tuple[Contender, ...],
    transfer: Transfer,
) -> tuple[Table, list[Budget]]:
    """One side and direction: every contender with every framing it knows."""
    cost, growth = Samples(), Samples()
    with ExitStack() as stack:
        lanes = {}
        chosen = plan.choose(contenders)
        for child in [stack.enter_context(Child(each)) for each in chosen]:
            port = child.hear_number()
            # A copy has no framing: it is the base of both.
            for framing in (LENGTH,) if child.name == BASE else (LENGTH, CHUNKED):
                transfer(child, port, framing, 8 * MIB)
                lanes[_lane(child.name, framing)] = child, port, framing
        for _, order in plan.turns(list(lanes)):
            for name in order:
                child, port, framing = lanes[name]
                child.forget_peak()
                cpu, memory = child.cpu, child.memory
                # One transfer takes a blink; half a turn of them averages out.
                length = 0.1 if plan.quick else plan.seconds / 2
                end, count = time.monotonic() + length, 0
                while count == 0 or time.monotonic() < end:
                    transfer(child, port, framing, total)
                    count += 1
                cost.add(name, (child.cpu - cpu) / (count * total / MIB) * 1e6)
                growth.add(name, (child.peak_memory - memory) / MIB)
    return _table(what, total, cost, growth), _budgets(what, cost, growth)


def _lane(name: str, framing: str) -> str:
    return BASE if name == BASE else f"{name}, {framing}"


def _table(what: str, total: int, cost: Samples, growth: Samples) -> Table:
    rows = [
        Row(
            name=name,
            figures=(
                cost.median(name),
                *cost.spread(name),
                cost.ratio(name, BASE),
                growth.spread(name)[1],
            ),
            rounds=tuple(rounds),
        )
        for name, rounds in cost.values.items()
    ]
    return Table(
        key=f"stream-{what.replace(' ', '-')}",
        title=f"Stream: {what} {total // MIB} MiB in blocks of {len(BLOCK) // 1024} KiB",
        columns=("CPU us/MiB", "lowest", "highest", f"by {BASE}", "growth MiB"),
        rows=tuple(rows),
    )


def _budgets(what: str, cost: Samples, growth: Samples) -> list[Budget]:
    budgets = []
    for framing in (LENGTH, CHUNKED):
        lane = _lane(OURS, framing)
        peak = growth.spread(lane)[1] if lane in growth.values else None
        budgets += [
            Budget(
                name=f"stream, {what}, {framing}, CPU by {BASE}",
                value=cost.ratio(lane, BASE),
                limit=BUDGET,
            ),
            Budget(
                name=f"stream, {what}, {framing}, growth in MiB",
                value=peak,
                limit=MEMORY_BUDGET,
            ),
        ]
    return budgets


def _pull(child: Child, port: int, framing: str, total: int) -> None:
    """Be the client that downloads."""
    with _connect(port) as sock:
        sock.sendall(_request("GET", framing, total))
        _check(child, _receive(sock), framing, total)


def _push(child: Child, port: int, framing: str, total: int) -> None:
    """Be the client that uploads; the server answers with the size it read."""
    with _connect(port) as sock:
        sock.sendall(_request("POST", framing, total))
        _send_body(sock, framing, total)
        got = _receive(sock)
    if not got.head.startswith(b"HTTP/1.1 200 ") or b"%d" % total not in got.tail:
        raise BenchmarkError(f"{child.name} answered {got.head!r} {got.tail!r}")


def _accept_upload(child: Child, port: int, framing: str, total: int) -> None:
    """Be the server that reads a body."""
    del port
    with _listener() as listener:
        child.tell("up", framing, total, listener.getsockname()[1])
        with listener.accept()[0] as sock:
            _check(child, _receive(sock, framing, total), framing, total)
            sock.sendall(_head("200 OK", LENGTH, 0))
    _heard(child, total)


def _accept_download(child: Child, port: int, framing: str, total: int) -> None:
    """Be the server that sends a body."""
    del port
    with _listener() as listener:
        child.tell("down", framing, total, listener.getsockname()[1])
        with listener.accept()[0] as sock:
            while not sock.recv(65536).endswith(b"\r\n\r\n"):
                pass
            sock.sendall(_head("200 OK", framing, total))
            _send_body(sock, framing, total)
    _heard(child, total)


def _heard(child: Child, total: int) -> None:
    size = child.hear_number()
    if size != total:
        raise BenchmarkError(f"{child.name} passed on {size} bytes of {total}")


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def _listener() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE)
    return listener


def _request(method: str, framing: str, total: int) -> bytes:
    """A request head; the path tells a server what to send or to expect."""
    lines = [f"{method} /{framing}/{total} HTTP/1.1", "Host: 127.0.0.1"]
    if method == "POST":
        lines.append(_field(framing, total))
    lines += ["Connection: close", "", ""]
    return "\r\n".join(lines).encode()


def _head(status: str, framing: str, total: int) -> bytes:
    lines = [f"HTTP/1.1 {status}", _field(framing, total), "Connection: close", "", ""]
    return "\r\n".join(lines).encode()


def _field(framing: str, total: int) -> str:
    if framing == LENGTH:
        return f"Content-Length: {total}"
    return "Transfer-Encoding: chunked"


def _send_body(sock: socket.socket, framing: str, total: int) -> None:
    for _ in range(total // (len(BLOCK) * BURST)):
        sock.sendall(BLOCKS[framing])
    sock.sendall(LAST[framing])


def _receive(sock: socket.socket, framing: str = "", total: int = 0) -> Received:
    """Read a message to its end as *framing* has it, or else to the stream's end."""
    early = b""
    while b"\r\n\r\n" not in early:
        data = sock.recv(65536)
        if not data:
            raise BenchmarkError(f"the contender closed after {early!r}")
        early += data
    head, _, tail = early.partition(b"\r\n\r\n")
    count = len(tail)
    buffer = bytearray(MIB)
    view = memoryview(buffer)
    while not _is_whole(framing, total, count, tail):
        size = sock.recv_into(buffer)
        if not size:
            break
        count += size
        tail = (tail + view[max(0, size - 64) : size])[-64:]
    return Received(head, count, tail)


def _is_whole(framing: str, total: int, count: int, tail: bytes) -> bool:
    if framing == LENGTH:
        return count >= total
    return framing == CHUNKED and tail.endswith(LAST[CHUNKED])


def _check(child: Child, got: Received, framing: str, total: int) -> None:
    """Raise `BenchmarkError` unless this message carries *total* bytes as asked."""
    if framing == CHUNKED:
        right = got.count > total and got.tail.endswith(LAST[CHUNKED])
    else:
        right = got.count == total
    if not right or (b"chunked" in got.head.lower()) != (framing == CHUNKED):
        raise BenchmarkError(f"{child.name} sent {got.head!r} and {got.count} bytes")
