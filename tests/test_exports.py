"""The public face: names, where they say they live, and what they promise."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import attrs
import pytest

import trio_nodehttp
import trio_nodehttp.testing
from trio_nodehttp._client.target import CHECKS

REFERENCE = Path(__file__).parent.parent / "docs" / "reference.md"
MODULES: tuple[ModuleType, ...] = (trio_nodehttp, trio_nodehttp.testing)
STATIC = (classmethod, staticmethod)
EXPORTS = [(module, name) for module in MODULES for name in module.__all__]


def documented(module: ModuleType) -> set[str]:
    """The names that the reference page describes, each by a directive."""
    pattern = rf"^\.\. (?:auto(?!module)\w+|py:data):: {re.escape(module.__name__)}\.(\w+)$"
    return set(re.findall(pattern, REFERENCE.read_text(), re.MULTILINE))


def is_described(value: object) -> bool:
    """Classes and functions; constants cannot carry a module or a docstring."""
    return inspect.isclass(value) or inspect.isfunction(value)


DESCRIBED = [
    pytest.param(module, getattr(module, name), id=f"{module.__name__}.{name}")
    for module, name in EXPORTS
    if is_described(getattr(module, name))
]


def public_members(owner: type) -> Iterator[tuple[str, object]]:
    """The public methods and properties of a class, ours only."""
    members: dict[str, object] = {}
    for base in reversed(owner.__mro__):
        members.update(vars(base) if _is_ours(base.__module__) else {})
    for name, value in members.items():
        found = value.__func__ if isinstance(value, STATIC) else value
        if isinstance(found, (FunctionType, property)) and not name.startswith("_"):
            yield name, found


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == trio_nodehttp.__name__


def async_callables() -> Iterator[object]:
    """Each public async function and method."""
    for module, name in EXPORTS:
        value = getattr(module, name)
        members = public_members(value) if inspect.isclass(value) else [("", value)]
        for member, found in members:
            if inspect.iscoroutinefunction(found):
                yield pytest.param(found, id=".".join(filter(None, (name, member))))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_reference_page_has_every_public_name(module: ModuleType) -> None:
    assert len(set(module.__all__)) == len(module.__all__)
    assert sorted(documented(module)) == sorted(module.__all__)


def test_the_reference_page_has_every_option_of_a_request() -> None:
    _, _, section = REFERENCE.read_text().partition("### Options of a request")
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(CHECKS)


@pytest.mark.parametrize("owner", [trio_nodehttp.Agent, trio_nodehttp.Server])
def test_help_describes_every_option(owner: type) -> None:
    described = re.findall(r"^    (\w+): ", inspect.getdoc(owner) or "", re.MULTILINE)
    assert [each.name for each in attrs.fields(owner) if each.name not in described] == []


def test_nothing_public_is_left_out_of_all() -> None:
    public = {
        name
        for name, value in vars(trio_nodehttp).items()
        if not name.startswith("_") and not isinstance(value, (ModuleType, type(annotations)))
    }
    assert public == set(trio_nodehttp.__all__)


@pytest.mark.parametrize(("module", "value"), DESCRIBED)
def test_a_name_says_where_it_is_imported_from(module: ModuleType, value: type) -> None:
    assert value.__module__ == module.__name__


@pytest.mark.parametrize(("module", "value"), DESCRIBED)
def test_everything_public_is_described(module: ModuleType, value: type) -> None:
    assert getattr(module, value.__name__) is value
    members = public_members(value) if inspect.isclass(value) else ()
    named = [("", value), *members]
    assert [name for name, member in named if not inspect.getdoc(member)] == []


@pytest.mark.parametrize("function", [*async_callables()])
def test_a_docstring_says_what_cancelling_leaves(function: object) -> None:
    assert "cancel" in (inspect.getdoc(function) or "").lower()
