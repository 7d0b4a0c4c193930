"""Figures for people (tables), for machines (JSON) and for a gate (budgets)."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from benchmarks.measure import Plan, versions

PACKAGES = (
    "trio-nodehttp",
    "trio",
    "h11",
    "httptools",
    "hypercorn",
    "uvicorn",
    "aiohttp",
    "httpx",
)


@attrs.frozen(kw_only=True)
class Row:
    """One line of a table.

    Attributes:
        name: Who, or what.
        figures: One per column of the table; None prints as a dash.
        rounds: The main figure of every round, in the order measured.
    """

    name: str
    figures: tuple[float | None, ...]
    rounds: tuple[float, ...] = ()


@attrs.frozen(kw_only=True)
class Table:
    """One measured comparison.

    Attributes:
        key: Its name in JSON.
        title: Printed above it.
        columns: Heads of the figures; the unit stands in the head.
        rows: In the order printed.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@attrs.frozen(kw_only=True)
class Budget:
    """One promise of the design, held against what was measured.

    Attributes:
        name: What is promised.
        value: As measured; None when a side of it did not run.
        limit: Not to be exceeded; or to be reached if *at_least*.
        at_least: Which of the two.
    """

    name: str
    value: float | None
    limit: float
    at_least: bool = False

    @property
    def held(self) -> bool | None:
        """Whether it is kept; None when nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        """One line with the verdict in front."""
        verdict = {True: "held  ", False: "MISSED", None: "not measured"}[self.held]
        sign = ">=" if self.at_least else "<="
        value = "-" if self.value is None else f"{self.value:.2f}"
        return f"{verdict} {self.name}: {value} ({sign} {self.limit:g})"


@attrs.frozen(kw_only=True)
class Report:
    """What one benchmark found."""

    tables: tuple[Table, ...]
    budgets: tuple[Budget, ...]


def show(report: Report) -> None:
    """Print the tables, then the budgets."""
    for table in report.tables:
        print(f"\n{table.title}")
        for line in _lines(table):
            print(f"  {line}")
    if report.budgets:
        print("\nBudgets")
    for budget in report.budgets:
        print(f"  {budget}", flush=True)


def _lines(table: Table) -> list[str]:
    """The table as text, columns aligned."""
    cells = [["", *table.columns]]
    cells += [[row.name, *map(_cell, row.figures)] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [_line(row, widths) for row in cells]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    figures = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *figures[1:]])


def _cell(figure: float | None) -> str:
    if figure is None:
        return "-"
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.2f}"


def write_json(path: Path, plan: Plan, report: Report) -> None:
    """Write everything that `show` prints, and every round, to *path*."""
    document = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "plan": {
            "rounds": plan.rounds,
            "seconds": plan.seconds,
            "quick": plan.quick,
            "skip": sorted(plan.skip),
        },
        "machine": {
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "node": _node_version(),
            **versions(PACKAGES),
        },
        "tables": [attrs.asdict(table) for table in report.tables],
        "budgets": [{**attrs.asdict(budget), "held": budget.held} for budget in report.budgets],
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _node_version() -> str | None:
    node = shutil.which("node")
    if node is None:
        return None
    done = subprocess.run([node, "--version"], capture_output=True, check=True)
    return done.stdout.decode().strip()
