"""CPU of a copied gigabyte: `pipe` and `tunnel` beside a loop of two calls.

This process is both ends: one thread sends, another receives, with blocking sockets
and big buffers, so that the contender is what both wait for.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack

from benchmarks.measure import OURS, PATIENCE, BenchmarkError, Child, Plan, Samples, cores, python
from benchmarks.report import Budget, Report, Row, Table
from benchmarks.streams import BLOCK, CONNECTED

BASE = "bare copy"
PIPE = f"{OURS}, pipe"
TUNNEL = f"{OURS}, tunnel"
BUDGET = 1.2
MIB = 2**20
BURST = BLOCK * 16

CONTENDERS = (
    python(BASE, "streams.bare_tunnel"),
    python(PIPE, "streams.ours_pipe", "trio_nodehttp"),
    python(TUNNEL, "streams.ours_tunnel", "trio_nodehttp"),
)


def run(plan: Plan) -> Report:
    """Measure a copy from one socket to another.

    Raises:
        BenchmarkError: A contender is missing, died, or lost a byte.
    """
    total = (64 if plan.quick else 1024) * MIB
    before = os.sched_getaffinity(0)
    load = cores()[1]
    if load is not None:
        os.sched_setaffinity(0, {load})
    cost = Samples()
    try:
        with ExitStack() as stack:
            children = {
                each.name: stack.enter_context(Child(each)) for each in plan.choose(CONTENDERS)
            }
            ports = {name: child.hear_number() for name, child in children.items()}
            for name, child in children.items():
                _copy(child, ports[name], 16 * MIB)
            for _, order in plan.turns(list(children)):
                for name in order:
                    child = children[name]
                    used = child.cpu
                    _copy(child, ports[name], total)
                    cost.add(name, (child.cpu - used) / (total / MIB) * 1e6)
    finally:
        os.sched_setaffinity(0, before)
    return Report(tables=(_table(total, cost),), budgets=tuple(_budgets(cost)))


def _copy(child: Child, port: int, total: int) -> None:
    """Send so much through the contender, and count what arrives."""
    counted: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        sink = threading.Thread(target=_sink, args=(listener, counted))
        sink.start()
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
            authority = f"127.0.0.1:{listener.getsockname()[1]}"
            sock.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            answer = sock.recv(4096)
            if not answer.startswith(CONNECTED[:12]):
                raise BenchmarkError(f"{child.name} answered {answer!r}")
            for _ in range(total // len(BURST)):
                sock.sendall(BURST)
            sock.shutdown(socket.SHUT_WR)
            sink.join(PATIENCE)
    if counted != [total]:
        raise BenchmarkError(f"{child.name} passed on {counted} bytes of {total}")


def _sink(listener: socket.socket, counted: list[int]) -> None:
    """Take one connection, and count its bytes to the end."""
    buffer = bytearray(MIB)
    count = 0
    with listener.accept()[0] as sock:
        while size := sock.recv_into(buffer):
            count += size
    counted.append(count)


def _table(total: int, cost: Samples) -> Table:
    rows = [
        Row(
            name=name,
            figures=(cost.median(name), *cost.spread(name), cost.ratio(name, BASE)),
            rounds=tuple(rounds),
        )
        for name, rounds in cost.values.items()
    ]
    return Table(
        key="tunnel",
        title=f"Tunnel: {total // MIB} MiB from one socket to another",
        columns=("CPU us/MiB", "lowest", "highest", f"by {BASE}"),
        rows=tuple(rows),
    )


def _budgets(cost: Samples) -> list[Budget]:
    return [
        Budget(
            name=f"{name.rpartition(', ')[2]}, CPU by {BASE}",
            value=cost.ratio(name, BASE),
            limit=BUDGET,
        )
        for name in (PIPE, TUNNEL)
    ]
