"""CPU per request of clients, against one fast fixed server."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.measure import (
    OURS,
    BenchmarkError,
    Child,
    Plan,
    Samples,
    node,
    python,
)
from benchmarks.report import Budget, Report, Row, Table

BASE = "h11 loop"
PEER = "httpx trio"
BUDGET = 1.35
PEER_BUDGET = 2.0
TASKS = (1, 10)

FIXED = python("fixed server", "servers.fixed")

CONTENDERS = (
    python(OURS, "clients.ours", "trio_nodehttp"),
    python(BASE, "clients.h11_loop", "h11"),
    python(PEER, "clients.httpx_trio", "httpx"),
    python("aiohttp", "clients.aiohttp_client", "aiohttp"),
    node("node", "clients/node.js"),
)


def run(plan: Plan) -> Report:
    """Measure every client contender.

    Raises:
        BenchmarkError: A contender is missing, died or answered wrongly.
    """
    seconds = plan.seconds / 2 if plan.quick else plan.seconds
    costs = {tasks: Samples() for tasks in TASKS}
    rates = {tasks: Samples() for tasks in TASKS}
    with ExitStack() as stack:
        port = stack.enter_context(Child(FIXED, beside=True)).hear_number()
        chosen = plan.choose(CONTENDERS)
        children = [stack.enter_context(Child(each, port)) for each in chosen]
        clients = {child.name: child for child in children}
        for child in children:
            fetch(child, max(TASKS), 0.2 if plan.quick else 1.0)
        for _, order in plan.turns(list(clients)):
            for tasks in TASKS:
                for name in order:
                    child = clients[name]
                    before = child.cpu
                    requests = fetch(child, tasks, seconds)
                    costs[tasks].add(name, (child.cpu - before) / requests * 1e6)
                    rates[tasks].add(name, requests / seconds)
    tables = [_table(tasks, costs[tasks], rates[tasks]) for tasks in TASKS]
    budgets = [budget for tasks in TASKS for budget in _budgets(tasks, costs[tasks])]
    return Report(tables=tuple(tables), budgets=tuple(budgets))


def fetch(child: Child, tasks: int, seconds: float) -> int:
    """Let a client fetch for some seconds, and return how often it did."""
    child.tell(tasks, seconds)
    count = child.hear_number(seconds + 30)
    if count < 1:
        raise BenchmarkError(f"{child.name} fetched nothing")
    return count


def _table(tasks: int, cost: Samples, rate: Samples) -> Table:
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
    how = "one after the other" if tasks == 1 else f"{tasks} at a time"
    return Table(
        key=f"client-{tasks}",
        title=f"Client: keep-alive GETs, {how}",
        columns=("CPU us/request", "lowest", "highest", f"by {BASE}", "requests/s"),
        rows=tuple(rows),
    )


def _budgets(tasks: int, cost: Samples) -> list[Budget]:
    return [
        Budget(
            name=f"client, {tasks} at a time, CPU by {BASE}",
            value=cost.ratio(OURS, BASE),
            limit=BUDGET,
        ),
        Budget(
            name=f"client, {tasks} at a time, {PEER} by ours",
            value=cost.ratio(PEER, OURS),
            limit=PEER_BUDGET,
            at_least=True,
        ),
    ]
