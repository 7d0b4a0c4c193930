"""Count the rows of Node's tables that a run has shown, and write docs/node.md.

    python -m tests.node.report RUN.json [--page PAGE] [--json OUT] [--allow-missing]

Fails while a row has no passing test, unless `--allow-missing` is given, and always
when a test of a row has failed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.node.page import page
from tests.node.rows import ApiRow, Behaviour, load_api, load_behaviours

Outcome = dict[str, dict[str, Any]]


def settle(api: Outcome, rows: dict[str, ApiRow]) -> Outcome:
    """Rows that the table leaves out on purpose need no test."""
    left_out = {"status": "absent", "tests": []}
    return {
        key: {**left_out, "reason": rows[key].absent}
        if rows[key].absent and outcome["status"] == "missing"
        else outcome
        for key, outcome in api.items()
    }


def counts(outcomes: Outcome) -> Counter[str]:
    """How many rows have each status."""
    return Counter(outcome["status"] for outcome in outcomes.values())


def lines(behaviours: Outcome, api: Outcome) -> list[str]:
    """The two lines that the session prints."""
    shown, members = counts(behaviours), counts(api)
    first = (
        f"behaviours: {shown['passed']} passed / {shown['decided']} decided "
        f"differently / {shown['missing'] + shown['failed']} missing "
        f"out of {len(behaviours)}"
    )
    second = (
        f"API rows: {members['passed']} present / {members['absent']} absent on "
        f"purpose / {members['missing'] + members['failed']} missing out of {len(api)}"
    )
    return [first, second]


def groups(outcomes: Outcome, places: dict[str, str], status: str) -> list[str]:
    """The rows with a status, gathered by area or owner."""
    found: dict[str, list[str]] = {}
    for key, outcome in outcomes.items():
        if outcome["status"] == status:
            found.setdefault(places[key], []).append(key)
    return [f"  {place} ({len(keys)}): {', '.join(keys)}" for place, keys in found.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the counts, write page and JSON; the exit status is 1 on a bad row."""
    options = _parser().parse_args(arguments)
    run: dict[str, Outcome] = json.loads(options.run.read_text(encoding="utf-8"))
    behaviour_rows, api_rows = load_behaviours(), load_api()
    behaviours, api = run["behaviours"], settle(run["api"], api_rows)
    places = _places(behaviour_rows, api_rows)
    for status in ("failed", "missing"):
        rows = [x for part in (behaviours, api) for x in groups(part, places, status)]
        if rows:
            print(f"{status}:", *rows, sep="\n")
    print(*lines(behaviours, api), sep="\n")
    if options.json:
        tables = {"behaviours": behaviours, "api": api}
        tallies = {name: counts(part) for name, part in tables.items()}
        options.json.write_text(json.dumps({"counts": tallies, **tables}, indent=1))
    if options.page:
        options.page.write_text(page(behaviour_rows, behaviours, api_rows, api))
    total = counts(behaviours) + counts(api)
    return int(total["failed"] > 0 or (total["missing"] > 0 and not options.allow))


def _places(behaviours: dict[str, Behaviour], api: dict[str, ApiRow]) -> dict[str, str]:
    areas = {key: row.area for key, row in behaviours.items()}
    return areas | {key: row.owner for key, row in api.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="report", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run", type=Path, help="what --node-json of pytest has written")
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    parser.add_argument("--json", type=Path, help="counts and rows to write")
    parser.add_argument("--allow-missing", dest="allow", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
