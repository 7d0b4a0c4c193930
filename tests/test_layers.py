"""Which module may import which: one table, read against the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "trio_nodehttp"

# A module imports only from rows above its own. Modules in one row are strangers,
# and so are `_server` and `_client`, wherever they stand. A new module gets a row.
TABLE = """
    _errors                 _sansio   _server   _client   _websocket

    _sansio.status          _sansio.headers         _sansio.destination
    _sansio.events          _sansio.framing         _sansio.pool
    _sansio.codec           _sansio.hops
    _sansio.codec_h11

    _typing
    _timeouts               _observers              _encodings
    _checks                 _memory                 _facts
    _fields                 _faulty
    _transport
    _upgraded               _connection
    _received
    _incoming               _outgoing
    _pipe

    _server.response        _client.timings
    _server.answers         _client.information     _client.proxy
    _server.options         _client.options         _client.upgraded
    _server.access          _client.dial
    _server.handlers        _client.lease
    _server.listeners       _client.idle            _client.refusal
    _server.progress        _client.overrides       _client.through
    _server.state           _client.keeper
    _server.sweep           _client.agent
    _server.handover        _client.target
    _server.session         _client.outset
    _server.server          _client.holding
    _server.serve           _client.exchange
                            _client.request
                            _client.functions

    _websocket.deflate      _websocket.events       _websocket.errors
    _websocket.protocol     _websocket.handshake    _websocket.options
    _websocket.session      _websocket.opening
    _websocket.websocket
    _websocket.accept

    _passage
    _forward
    testing
    pytest_plugin
    __init__
"""
ROWS = {module: number for number, line in enumerate(TABLE.splitlines()) for module in line.split()}
SIDES = ("_server", "_client")
NO_IO = ("trio", "socket", "ssl", "time")
MAX_LINES = 500


def module_name(path: Path) -> str:
    """`_sansio/pool.py` is `_sansio.pool`, `_sansio/__init__.py` is `_sansio`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    inner = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(inner) or "__init__"


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def imported(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[str]:
    """Each imported name, absolute, wherever in the file it stands."""
    names = [PACKAGE.name, *module.split(".")]
    here = [PACKAGE.name] if module == "__init__" else names
    base = here if is_package else here[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = base[: len(base) - node.level + 1] if node.level else []
            source = ".".join([*up, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def imports_of(module: str) -> set[str]:
    is_package = FILES[module].name == "__init__.py"
    return set(imported(TREES[module], module, is_package=is_package))


def our_module(name: str) -> str | None:
    """The module of ours that an imported name comes from, None for foreign ones."""
    head, *inner = name.split(".")
    if head != PACKAGE.name:
        return None
    while inner and ".".join(inner) not in ROWS:
        inner.pop()
    return ".".join(inner) or "__init__"


def complaints(module: str, names: set[str]) -> list[str]:
    """What is wrong with the imports of a module."""
    ours = {found for name in names if (found := our_module(name))}
    tops = {name.partition(".")[0] for name in names}
    side, _, _ = module.partition(".")
    strangers = [x for x in SIDES if side in SIDES and x != side]
    wrong = [f"not above it: {x}" for x in sorted(ours) if ROWS[x] >= ROWS[module]]
    wrong += [f"a stranger: {x}" for x in ours if x.partition(".")[0] in strangers]
    if side == "_sansio":
        wrong += [f"does I/O: {name}" for name in NO_IO if name in tops]
    if "h11" in tops and module != "_sansio.codec_h11":
        wrong.append("only _sansio/codec_h11.py knows h11")
    return wrong


def test_every_module_has_a_row() -> None:
    assert sorted(set(FILES) - set(ROWS)) == []


def test_every_row_has_a_module() -> None:
    assert sorted(set(ROWS) - set(FILES)) == []


@pytest.mark.parametrize("module", FILES)
def test_a_module_imports_only_what_stands_above_it(module: str) -> None:
    assert complaints(module, imports_of(module)) == []


def test_errors_import_nothing_of_ours() -> None:
    assert {our_module(name) for name in imports_of("_errors")} == {None}


@pytest.mark.parametrize("module", FILES)
def test_imports_stand_at_the_top(module: str) -> None:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    inside = [
        node.lineno
        for function in ast.walk(TREES[module])
        if isinstance(function, functions)
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert inside == []


def test_the_pool_decides_without_waiting() -> None:
    waits = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    sansio = [tree for name, tree in TREES.items() if name.startswith("_sansio")]
    found = [node for tree in sansio for node in ast.walk(tree)]
    assert not [node for node in found if isinstance(node, waits)]


def test_no_file_is_too_long() -> None:
    folders = ("trio_nodehttp", "tests", "examples", "benchmarks", "docs")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    sizes = {path: len(path.read_text().splitlines()) for path in paths}
    assert {str(path): n for path, n in sizes.items() if n > MAX_LINES} == {}


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("_connection", "from ._errors import HTTPError", ""),
        ("_connection", "from trio_nodehttp._sansio.pool import Pool", ""),
        ("_connection", "from ._incoming import IncomingMessage", "_incoming"),
        ("_connection", "import trio_nodehttp._incoming", "_incoming"),
        ("_connection", "from . import _incoming", "_incoming"),
        ("_connection", "from . import Server", "__init__"),
        ("_connection", "import h11", "h11"),
        ("_sansio.pool", "from .._errors import HTTPError", ""),
        ("_sansio.pool", "from .._connection import Connection", "_connection"),
        ("_sansio.pool", "from .codec_h11 import H11Codec", "codec_h11"),
        ("_sansio.pool", "def f():\n import trio.abc", "trio"),
        ("_sansio.pool", "if TYPE_CHECKING:\n from ssl import SSLContext", "ssl"),
        ("_sansio.codec_h11", "import h11", ""),
        ("_incoming", "from ._outgoing import OutgoingMessage", "_outgoing"),
        ("_client.agent", "from .dial import dial", ""),
        ("_client.agent", "from .functions import get", "functions"),
        ("_client.agent", "from .._server.options import ServerOptions", "stranger"),
        ("_server.server", "from .._client import dial", "stranger"),
        ("testing", "from ._server.server import Server", ""),
        ("__init__", "from .testing import MemoryNetwork", ""),
    ],
)
def test_the_table_bites(module: str, source: str, expected: str) -> None:
    names = set(imported(ast.parse(source), module, is_package=module == "__init__"))
    wrong = " ".join(complaints(module, names))
    assert (expected in wrong) if expected else (wrong == "")
