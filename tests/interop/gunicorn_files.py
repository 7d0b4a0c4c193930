r"""gunicorn's request files: raw requests, and what must be read in the valid ones.

A ``.http`` file holds one request's bytes with ``\r\n`` and the like written out
and real newlines meaning nothing. The ``.py`` beside it says in literals what the
request is; it is read as syntax and never run.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import attrs

from tests.interop import wire

_ESCAPES = ((rb"\r\n", b"\r\n"), (rb"\0", b"\0"), (rb"\n", b"\n"), (rb"\t", b"\t"))

_GUNICORNS = re.compile(r"cfg\.set\(|^request = Limit", re.MULTILINE)
_REQUEST_LINE = re.compile(rb"^[A-Z]+ [^\r\n]* HTTP/(1\.[01])\r\n", re.MULTILINE)


@attrs.frozen
class Wanted:
    """One request in a valid file."""

    method: str
    url: str
    body: bytes


@attrs.frozen
class RequestFile:
    """One file: what to send, and what must be read in it if it is valid."""

    name: str
    data: bytes
    wanted: list[Wanted]


def load_files(folder: Path, kind: str) -> list[RequestFile]:
    """Read the files of one kind that any server can be asked about.

    Left out are the files that set an option of gunicorn's own or run into one of
    its limits, and CONNECT, which no server can echo. An HTTP/1.1 request without
    Host gets one, as in llhttp's.

    Args:
        folder: gunicorn's ``tests/requests`` directory.
        kind: ``"valid"`` or ``"invalid"``.
    """
    files = []
    for path in sorted((folder / kind).glob("*.http")):
        told = path.with_suffix(".py").read_text(encoding="utf-8")
        data = _unescape(path.read_bytes())
        if not _GUNICORNS.search(told) and not data.startswith(b"CONNECT "):
            wanted = _read_wanted(told) if kind == "valid" else []
            data = _with_host(data, len(wanted) or 1)
            files.append(RequestFile(path.stem, data, wanted))
    return files


def is_taken(file: RequestFile, told: wire.Exchange) -> bool:
    """Whether a server answered every request of a valid file as it stands."""
    finals = [one for one in told.replies if one.status >= 200]
    if any(one.status != 200 for one in finals):
        return False
    echoes = [wire.decode_echo(one.body) for one in finals]
    return [Wanted(*map(one.get, ("method", "url", "body"))) for one in echoes] == (  # type: ignore[arg-type]
        file.wanted
    )


def is_refused(told: wire.Exchange) -> bool:
    """Whether a server refused an invalid file: an error reply, or no reply."""
    finals = [one for one in told.replies if one.status >= 200]
    if any(one.status >= 400 for one in finals):
        return True
    return told.closed and not finals


def _unescape(source: bytes) -> bytes:
    data = source.replace(b"\n", b"")
    for escape, plain in _ESCAPES:
        data = data.replace(escape, plain)
    return re.sub(rb"\\x([0-9a-fA-F]{2})", lambda found: bytes([int(found[1], 16)]), data)


def _with_host(data: bytes, requests: int) -> bytes:
    # A later request line may be a body's bytes, which are counted.
    lines = list(_REQUEST_LINE.finditer(data))[:requests]
    ends = [*(line.start() for line in lines[1:]), len(data)]
    for line, end in reversed(list(zip(lines, ends, strict=False))):
        start = line.end()
        if line[1] == b"1.1" and b"\nhost:" not in data[start - 1 : end].lower():
            data = data[:start] + b"Host: vector\r\n" + data[start:]
    return data


def _read_wanted(told: str) -> list[Wanted]:
    found: dict[str, Wanted] = {}
    order: list[Wanted] = []
    for statement in ast.parse(told).body:
        if not isinstance(statement, ast.Assign):
            continue
        target, value = statement.targets[0], statement.value
        if isinstance(value, ast.Dict) and isinstance(target, ast.Name):
            found[target.id] = _read_dict(value)
            order = [found[target.id]]
        elif isinstance(value, ast.List):
            order = [
                found[one.id] if isinstance(one, ast.Name) else _read_dict(one)
                for one in value.elts
            ]
    return order


def _read_dict(tree: ast.expr) -> Wanted:
    assert isinstance(tree, ast.Dict)
    pairs = {
        key.value: value
        for key, value in zip(tree.keys, tree.values, strict=True)
        if isinstance(key, ast.Constant)
    }
    url = pairs["uri"]
    assert isinstance(url, ast.Call)
    return Wanted(
        ast.literal_eval(pairs["method"]),
        ast.literal_eval(url.args[0]),
        _read_body(pairs["body"]),
    )


def _read_body(tree: ast.expr) -> bytes:
    if isinstance(tree, ast.Call):
        # One long body is written with newlines and calls that make CRLF of them.
        assert isinstance(tree.func, ast.Attribute)
        plain = _read_body(tree.func.value)
        return plain.replace(b"\n", b"\r\n") if tree.args[1:] else plain
    body: str | bytes = ast.literal_eval(tree)
    return body.encode() if isinstance(body, str) else body
