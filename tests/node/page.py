"""docs/node.md: Node's names beside ours, and what shows that they behave alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tests.node.rows import ApiRow, Behaviour

Outcome = dict[str, dict[str, Any]]

HEAD = """\
# Node's names and behaviours

<!-- Written by `nox -s node` from tests/node/; edits here are lost. -->

Each name of Node's `http` page with ours, then each behaviour that Node's own tests
assert, with the test of ours that shows it. `nox -s node` counts these rows again.
"""
STATUS = {
    "passed": "as Node",
    "decided": "decided differently",
    "absent": "absent on purpose",
    "missing": "not shown yet",
    "failed": "not shown yet",
}


def page(
    behaviours: dict[str, Behaviour],
    shown: Outcome,
    api: dict[str, ApiRow],
    present: Outcome,
) -> str:
    """The whole page as Markdown."""
    parts = [HEAD, "## Names\n"]
    for owner, members in _by_place(api.values(), "owner"):
        parts += [f"### {_owner_title(owner)}\n", _api_table(members, present)]
    parts.append("## Behaviours\n")
    decided = [row for row in behaviours.values() if shown[row.key]["reason"]]
    if decided:
        parts += ["### Decided differently\n", _decided_list(decided, shown)]
    for area, rows in _by_place(behaviours.values(), "area"):
        parts += [f"### Area: {area}\n", _behaviour_table(rows, shown)]
    return "\n".join(parts)


def _owner_title(owner: str) -> str:
    return "Names of Node 0.4" if owner == "v0.4" else f"`{owner}`"


def _api_table(rows: list[ApiRow], outcomes: Outcome) -> str:
    head = ("Node", "kind", "default in Node", "here", "shown by")
    cells = [(_code(row.name), *_api_cells(row, outcomes[row.key])) for row in rows]
    return _table(head, cells)


def _api_cells(row: ApiRow, outcome: dict[str, Any]) -> tuple[str, ...]:
    kind = f"{row.kind}, {row.deprecated}" if row.deprecated else row.kind
    return kind, _default(row.default), _code(row.python), _evidence(outcome)


def _default(text: str) -> str:
    inner = text.strip("`")
    # Some are a sentence with code in it.
    return _cell(text) if not inner or "`" in inner else _code(inner)


def _behaviour_table(rows: list[Behaviour], outcomes: Outcome) -> str:
    head = ("Node's test", "what it asserts", "here", "shown by")
    return _table(
        head,
        [
            (
                _code(row.test.removesuffix(".js")),
                _text(row.behaviour),
                STATUS[outcomes[row.key]["status"]],
                _evidence(outcomes[row.key]),
            )
            for row in rows
        ],
    )


def _decided_list(rows: list[Behaviour], outcomes: Outcome) -> str:
    items = [f"- {_code(row.test)}: {_text(outcomes[row.key]['reason'])}\n" for row in rows]
    return "".join(items)


def _evidence(outcome: dict[str, Any]) -> str:
    if outcome["status"] in {"missing", "failed"}:
        return STATUS[outcome["status"]]
    tests: list[str] = outcome["tests"]
    if not tests:
        return _text(outcome["reason"])
    more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
    return _code(tests[0].removeprefix("tests/")) + more


def _by_place(rows: Iterable[Any], field: str) -> Iterator[tuple[str, list[Any]]]:
    places: dict[str, list[Any]] = {}
    for row in rows:
        places.setdefault(getattr(row, field), []).append(row)
    yield from places.items()


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    pad = " " if fence == "``" else ""
    return f"{fence}{pad}{_cell(text)}{pad}{fence}"


def _text(text: str) -> str:
    for sign in "\\`*_<[":
        text = text.replace(sign, f"\\{sign}")
    return _cell(text)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
