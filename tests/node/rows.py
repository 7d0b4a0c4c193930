"""The two tables of Node's http module, as records.

`node_behaviours.tsv` says in words what Node's own tests assert, one row for each
of its test files. `node_api.tsv` has every member, event and option of Node's
page, and our name for it.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import attrs

FOLDER = Path(__file__).parent

# Where our name stands in the `python` column of an API row.
_WORD = re.compile(
    r"""on\("(\w+)"           # an event: on("finish")
      | \boption\ (\w+)       # an option: option keep_alive
      | \b(?:[A-Z]\w+|message)\.(?!on\()(\w+)  # a member: Agent.destroy()
      | ^(\w+)(?=[(:]|$)      # a name of the module: create_server(...)
    """,
    re.VERBOSE,
)


@attrs.frozen
class Behaviour:
    """One row of `node_behaviours.tsv`: what one of Node's tests asserts."""

    test: str
    area: str
    portable: str
    behaviour: str

    @property
    def key(self) -> str:
        """The name that a mark gives: the file name of Node's test."""
        return self.test


@attrs.frozen
class ApiRow:
    """One row of `node_api.tsv`: a member of Node's module and our name for it."""

    owner: str
    kind: str
    name: str
    added: str
    deprecated: str
    default: str
    python: str

    @property
    def key(self) -> str:
        """The name that a mark gives: `owner|name`."""
        return f"{self.owner}|{self.name}"

    @property
    def absent(self) -> str:
        """Why we leave this out, empty where we have it."""
        head, _, reason = self.python.partition("absent on purpose")
        return "" if head else reason.lstrip(" :")

    @property
    def words(self) -> frozenset[str]:
        """Our names for it; empty where Python's syntax takes its place."""
        if self.absent or "async with" in self.python:
            return frozenset()
        found = _WORD.findall(self.python)
        return frozenset(word for groups in found for word in groups if word)


def load_behaviours() -> dict[str, Behaviour]:
    """Read `node_behaviours.tsv`: the rows by key, in the order of the file."""
    rows = [Behaviour(**fields) for fields in _read("node_behaviours.tsv")]
    return {row.key: row for row in rows}


def load_api() -> dict[str, ApiRow]:
    """Read `node_api.tsv`: the rows by key, in the order of the file."""
    rows = [ApiRow(**fields) for fields in _read("node_api.tsv")]
    return {row.key: row for row in rows}


def _read(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
