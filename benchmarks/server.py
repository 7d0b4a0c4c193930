"""CPU per request and requests per second of servers, under wrk."""

from __future__ import annotations

import re
import socket
import subprocess
from contextlib import ExitStack

from benchmarks.measure import (
    OURS,
    BenchmarkError,
    Child,
    Plan,
    Samples,
    cores,
    node,
    pinned,
    python,
)
from benchmarks.report import Budget, Report, Row, Table

BASE = "h11 loop"
BODY = b"Hello, world!"
CONNECTIONS = 10
BUDGET = 1.35

CONTENDERS = (
    python(OURS, "servers.ours", "trio_nodehttp"),
    python(BASE, "servers.h11_loop", "h11"),
    python("stream loop", "servers.stream_loop"),
    python("socket loop", "servers.socket_loop"),
    python("llhttp loop", "servers.llhttp_loop", "httptools"),
    python("hypercorn trio", "servers.hypercorn_trio", "hypercorn"),
    python("uvicorn h11", "servers.uvicorn_h11", "uvicorn", "h11"),
    python("uvicorn httptools", "servers.uvicorn_httptools", "uvicorn", "httptools"),
    python("aiohttp", "servers.aiohttp_web", "aiohttp"),
    node("node", "servers/node.js"),
)


def run(plan: Plan) -> Report:
    """Measure every server contender.

    Raises:
        BenchmarkError: A contender is missing, died or answered wrongly.
    """
    cost, rate = Samples(), Samples()
    with ExitStack() as stack:
        children = [stack.enter_context(Child(c)) for c in plan.choose(CONTENDERS)]
        servers = {child.name: (child, child.hear_number()) for child in children}
        for name, (_, port) in servers.items():
            warm_up(name, port)
            if not plan.quick:
                drive(name, port, 1)
        for _, order in plan.turns(list(servers)):
            for name in order:
                child, port = servers[name]
                before = child.cpu
                requests, took = drive(name, port, plan.seconds)
                cost.add(name, (child.cpu - before) / requests * 1e6)
                rate.add(name, requests / took)
    return _report(cost, rate)


def _report(cost: Samples, rate: Samples) -> Report:
    rows = [
        Row(
            name=name,
            figures=(
                cost.median(name),
                *cost.spread(name),
                cost.ratio(name, BASE),
                rate.median(name),
            ),
            rounds=tuple(rounds),
        )
        for name, rounds in cost.values.items()
    ]
    table = Table(
        key="server",
        title=f"Server: {len(BODY)}-byte keep-alive GETs, {CONNECTIONS} connections",
        columns=("CPU us/request", "lowest", "highest", f"by {BASE}", "requests/s"),
        rows=tuple(rows),
    )
    budget = Budget(name=f"server, CPU by {BASE}", value=cost.ratio(OURS, BASE), limit=BUDGET)
    return Report(tables=(table,), budgets=(budget,))


def warm_up(name: str, port: int, count: int = 300) -> None:
    """Send *count* GETs over one connection and look at every answer.

    Raises:
        BenchmarkError: An answer is no 200 with `BODY`.
    """
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        for _ in range(count):
            client.sendall(request)
            answer = b""
            while not answer.endswith((BODY, BODY + b"\r\n0\r\n\r\n")):
                data = client.recv(65536)
                if not data:
                    raise BenchmarkError(f"{name} closed after {answer!r}")
                answer += data
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise BenchmarkError(f"{name} answered {answer!r}")


def drive(name: str, port: int, seconds: int) -> tuple[int, float]:
    """Load a server with wrk.

    Returns:
        Requests answered, and the seconds that took.

    Raises:
        BenchmarkError: wrk failed, or saw an error or a status other than 2xx.
    """
    url = f"http://127.0.0.1:{port}/"
    wrk = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", url]
    try:
        done = subprocess.run(pinned(wrk, cores()[1]), capture_output=True, check=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        raise BenchmarkError(f"wrk against {name}: {error}") from error
    text = done.stdout.decode()
    if "Socket errors" in text or "Non-2xx" in text:
        raise BenchmarkError(f"wrk against {name}:\n{text}")
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m),", text)
    if found is None or found[1] == "0":
        raise BenchmarkError(f"wrk against {name}:\n{text}")
    unit = {"ms": 0.001, "s": 1.0, "m": 60.0}[found[3]]
    return int(found[1]), float(found[2]) * unit
