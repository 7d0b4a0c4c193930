"""A pytest plugin: which rows of Node's tables did the passing tests show?

Marks, on a test, a class, a module or one parameter set::

    @pytest.mark.node("test-http-agent-abort.js")
    @pytest.mark.node("test-http-expect.js", decided="RFC 9110 forbids it")
    @pytest.mark.node_api("Agent|agent.destroy()", "new Agent|maxSockets")
    @pytest.mark.node_api("http|http.setSomething()", absent="why")

A mark that names no row stops the run, as does an API mark on a test that never
writes the member's name. `--node-json=PATH` writes the outcome of every row.
"""

from __future__ import annotations

import difflib
import inspect
import json
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.node.rows import ApiRow, Behaviour, load_api, load_behaviours

KINDS = {"node": ("behaviours", "decided"), "node_api": ("api", "absent")}


@attrs.define
class RowRun:
    """What a run has shown about one row so far."""

    passed: list[str] = attrs.field(factory=list)
    failed: list[str] = attrs.field(factory=list)
    reasons: list[str] = attrs.field(factory=list)

    def note(self, test: str, *, passed: bool, reason: str | None) -> None:
        """Count the outcome of one test that carries the row's mark."""
        tests = self.passed if passed else self.failed
        if test not in tests:
            tests.append(test)
        if reason and reason not in self.reasons:
            self.reasons.append(reason)

    def summary(self, other: str) -> dict[str, Any]:
        """The row as JSON; `other` is the status of a row with a reason."""
        if self.failed:
            status = "failed"
        elif not self.passed:
            status = "missing"
        else:
            status = other if self.reasons else "passed"
        tests = [*self.passed, *self.failed]
        return {"status": status, "tests": tests, "reason": "; ".join(self.reasons)}


class NodeRows:
    """Collects marks and outcomes, and writes them at the end of the run."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: dict[str, dict[str, Behaviour] | dict[str, ApiRow]] = {
            "behaviours": load_behaviours(),
            "api": load_api(),
        }
        self._runs = {kind: {key: RowRun() for key in rows} for kind, rows in self._rows.items()}
        self._marks: dict[str, list[tuple[str, str, str | None]]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Read every mark, before tests are deselected or run."""
        wrong: list[str] = []
        for item in items:
            marks = list(row_marks(item))
            self._marks[item.nodeid] = marks
            wrong += [
                f"{item.nodeid}: {problem}"
                for kind, key, _ in marks
                if (problem := self._problem(item, kind, key))
            ]
        if wrong:
            raise pytest.UsageError("\n".join(wrong))

    def _problem(self, item: pytest.Item, kind: str, key: str) -> str | None:
        row = self._rows[kind].get(key)
        if row is None:
            close = difflib.get_close_matches(key, self._rows[kind], n=3)
            return f"no row {key!r} in the {kind} table; close: {close}"
        if isinstance(row, ApiRow) and row.words and not row.words & written(item):
            return f"marked {key!r} but writes none of {sorted(row.words)}"
        return None

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: when its call ends, or what surrounds it fails."""
        if report.when != "call" and report.passed:
            return
        test = report.nodeid.partition("[")[0]
        for kind, key, reason in self._marks.get(report.nodeid, ()):
            self._runs[kind][key].note(test, passed=report.passed, reason=reason)

    def pytest_sessionfinish(self) -> None:
        """Write every row, those without a test too."""
        if self._path is None:
            return
        outcome = {
            kind: {key: run.summary(other) for key, run in self._runs[kind].items()}
            for kind, other in KINDS.values()
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")


def row_marks(item: pytest.Item) -> Iterator[tuple[str, str, str | None]]:
    """Each row that a test's marks name: table, key, reason if it differs."""
    for mark_name, (kind, keyword) in KINDS.items():
        for mark in item.iter_markers(mark_name):
            wrong = set(mark.kwargs) - {keyword}
            if wrong or not mark.args:
                raise pytest.UsageError(f"{item.nodeid}: {mark_name} mark: {mark}")
            for key in mark.args:
                yield kind, key, mark.kwargs.get(keyword)


def written(item: pytest.Item) -> set[str]:
    """Every name and string that a test writes, its parameters included."""
    function: Callable[..., object] = getattr(item, "function", lambda: None)
    inner = getattr(function, "hypothesis", None)
    function = inspect.unwrap(getattr(inner, "inner_test", function))
    words = set(_code_words(function.__code__))
    callspec = getattr(item, "callspec", None)
    words.update(_strings(callspec.params.values() if callspec else ()))
    return words


def _code_words(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    yield from _strings(code.co_consts)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code_words(constant)


def _strings(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from _strings([*value, *value.values()])
        elif isinstance(value, (tuple, list, set, frozenset)):
            yield from _strings(value)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--node-json`."""
    parser.addoption("--node-json", type=Path, help="write the outcome of Node's rows")


def pytest_configure(config: pytest.Config) -> None:
    """Start collecting."""
    config.pluginmanager.register(NodeRows(config.getoption("node_json")), "node-rows")
