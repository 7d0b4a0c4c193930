"""What a big pool costs: idle connections and queued requests, few and many."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.client import FIXED
from benchmarks.measure import (
    OURS,
    PATIENCE,
    BenchmarkError,
    Child,
    Plan,
    Samples,
    python,
)
from benchmarks.report import Budget, Report, Row, Table

FEW_IDLE, MANY_IDLE = 5, 5_000
FEW_QUEUED, MANY_QUEUED = 1_000, 100_000
BUDGET = 1.5
#: A hundred times as many waiters may miss the processor's caches, no more.
GRANT_BUDGET = 2.0

DECISIONS = python(OURS, "pools.decisions", "trio_nodehttp")
AGENT = python(OURS, "pools.agent", "trio_nodehttp")

CHECKOUTS = {
    "lifo": "checkout, lifo",
    "fifo": "checkout, fifo",
    "origins": "checkout, an origin each",
}
GRANTS = {
    "grant": "grant, one origin",
    "grant-origins": "grant, an origin each",
    "withdraw": "cancel a queued request",
}


def run(plan: Plan) -> Report:
    """Measure the pool's decisions, then an agent on sockets.

    Raises:
        BenchmarkError: The package is missing, or a process died.
    """
    if not plan.choose([DECISIONS]):
        return Report(tables=(), budgets=())
    found = [_decisions(plan), *_agent(plan)]
    return Report(
        tables=tuple(table for table, _ in found),
        budgets=tuple(budget for _, budgets in found for budget in budgets),
    )


def _decisions(plan: Plan) -> tuple[Table, list[Budget]]:
    """The pool itself."""
    few, many = Samples(), Samples()
    names = CHECKOUTS | GRANTS
    with Child(DECISIONS) as child:
        for _, order in plan.turns(list(names)):
            for what in order:
                queue = what in GRANTS
                child.tell(what, FEW_QUEUED if queue else FEW_IDLE)
                few.add(names[what], child.hear_number() / 1000)
                child.tell(what, MANY_QUEUED if queue else MANY_IDLE)
                many.add(names[what], child.hear_number() / 1000)
    title = (
        f"Pool, decisions alone: {FEW_IDLE} and {MANY_IDLE:,} idle, "
        f"{FEW_QUEUED:,} and {MANY_QUEUED:,} queued"
    )
    limits = dict.fromkeys(CHECKOUTS.values(), BUDGET)
    limits |= dict.fromkeys(GRANTS.values(), GRANT_BUDGET)
    return _compare("pool-decisions", title, few, many, limits)


def _agent(plan: Plan) -> list[tuple[Table, list[Budget]]]:
    """An agent's requests against a server that only answers."""
    few, many, few_queued, many_queued = Samples(), Samples(), Samples(), Samples()
    fetches = 500 if plan.quick else 4000
    crowd = 5_000 if plan.quick else MANY_QUEUED
    with ExitStack() as stack:
        port = stack.enter_context(Child(FIXED, beside=True)).hear_number()
        for scheduling in ("lifo", "fifo"):
            small, big = (
                stack.enter_context(Child(AGENT, port, idle, scheduling))
                for idle in (FEW_IDLE, MANY_IDLE)
            )
            for child, idle in ((small, FEW_IDLE), (big, MANY_IDLE)):
                _opened(child, idle)
                _ask(child, "fetch", 100)
            name = f"request, {scheduling}"
            for _ in range(plan.rounds):
                few.add(name, _ask(small, "fetch", fetches))
                many.add(name, _ask(big, "fetch", fetches))
        for _ in range(1 if plan.quick else min(plan.rounds, 3)):
            few_queued.add("request", _ask(small, "queue", FEW_QUEUED))
            many_queued.add("request", _ask(small, "queue", crowd))
    idle_title = f"Agent: requests with {FEW_IDLE} and {MANY_IDLE:,} idle sockets"
    queue_title = f"Agent: {FEW_QUEUED:,} and {crowd:,} requests at once over 4 sockets"
    return [
        _compare("pool-agent", idle_title, few, many, dict.fromkeys(few.values, BUDGET)),
        _compare("pool-queue", queue_title, few_queued, many_queued, {}),
    ]


def _opened(child: Child, idle: int) -> None:
    found = child.hear_number(2 * PATIENCE)
    if found != idle:
        raise BenchmarkError(f"{found} idle sockets after {idle} requests at once")


def _ask(child: Child, what: str, count: int) -> float:
    """Microseconds per request."""
    child.tell(what, count)
    return child.hear_number(4 * PATIENCE) / 1000


def _compare(
    key: str, title: str, few: Samples, many: Samples, limits: dict[str, float]
) -> tuple[Table, list[Budget]]:
    """Few beside many, and the budgets for their ratio."""
    ratios = {name: many.over(few, name) for name in few.values}
    rows = [
        Row(
            name=name,
            figures=(few.median(name), many.median(name), ratio),
            rounds=tuple(many.values[name]),
        )
        for name, ratio in ratios.items()
    ]
    columns = ("CPU us, few", "CPU us, many", "many by few")
    budgets = [
        Budget(name=f"{key}, {name}, many by few", value=ratios[name], limit=limit)
        for name, limit in limits.items()
    ]
    return Table(key=key, title=title, columns=columns, rows=tuple(rows)), budgets
