"""llhttp's Markdown vectors as records: the bytes, and what must come of them.

Each vector is one fenced ``http`` block, a comment in front of it saying which
mode it is for, and one fenced ``log`` block of parser events. Offsets in the log
count bytes of the unescaped input, so the spans are cut out of the input itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

_HEADING = re.compile(r"^#+ +(.*)$")
_META = re.compile(r"^<!-- *meta=(\{.*\}) *-->$")
_EVENT = re.compile(r"^off=(\d+) (?:len=(\d+) )?(.*)$")
_SPAN = re.compile(r"^span\[([a-z_]+)\]=")
_ERROR = re.compile(r"^error code=(\d+) ")

# llhttp stops on purpose after CONNECT and Upgrade: what follows is a tunnel.
_UPGRADE_CODE = 22
_UNTESTABLE = ("HEAD ", "CONNECT ")


@attrs.define
class Message:
    """One request or response as the log describes it, up to where it got.

    ``headers`` and ``trailers`` are (name, value) pairs in the order of the wire;
    ``at`` is where the first header line would stand, for inserting a Host line.
    """

    method: bytes = b""
    url: bytes = b""
    version: bytes = b""
    status: int = 0
    reason: bytes = b""
    headers: list[list[bytes]] = attrs.field(factory=list)
    body: bytes = b""
    trailers: list[list[bytes]] = attrs.field(factory=list)
    has_head: bool = False
    complete: bool = False
    at: int = -1


@attrs.define
class Vector:
    """One test case: ``data`` on the wire must give ``messages``.

    ``error`` is the reason llhttp stops with, empty when it takes everything;
    ``upgrade`` says that the bytes after the first message are a tunnel's; a
    request's are cut off, a response's are the body that must be handed out.
    """

    name: str
    data: bytes
    messages: list[Message]
    error: str = ""
    upgrade: bool = False

    @property
    def complete(self) -> list[Message]:
        """The messages that were read to their end."""
        return [message for message in self.messages if message.complete]

    @staticmethod
    def ended_by_close(message: Message) -> bool:
        """Whether a message's body lasts until the stream ends."""
        names = {name.lower() for name, _ in message.headers}
        coding = b", ".join(
            value.lower() for name, value in message.headers if name.lower() == b"transfer-encoding"
        )
        chunked = coding.split(b",")[-1].strip() == b"chunked"
        return message.has_head and not chunked and b"content-length" not in names


def load_vectors(folder: Path, kind: str) -> list[Vector]:
    """Read the strict vectors of one kind.

    Args:
        folder: llhttp's ``test`` directory.
        kind: ``"request"`` or ``"response"``; also the wanted mode, so that
            lenient and finish-only vectors are left out.

    Returns:
        Every vector in file order. HEAD and CONNECT requests, whose messages no
        server can echo, and the one whose bodies are skipped are left out.
    """
    vectors: list[Vector] = []
    for path in sorted((folder / kind).glob("*.md")):
        for title, meta, source, log in _blocks(path.read_text(encoding="utf-8")):
            wanted = meta["type"] == kind and not meta.get("skipBody")
            if wanted and not source.lstrip().startswith(_UNTESTABLE):
                name = f"{path.stem}: {title}"
                vectors.append(_read_log(name, _unescape(source), log))
    return vectors


def with_host(vector: Vector) -> bytes:
    """Return the bytes of a request vector, each HTTP/1.1 head with a Host line.

    A Host line is added where a message has none and its request line is whole;
    HTTP/1.1 asks for one, and it is not what the vectors are about.
    """
    data, end = vector.data, len(vector.data)
    for message in reversed(vector.messages):
        at = message.at
        whole_line = at >= 0 and data[at - 2 : at] == b"\r\n"
        if whole_line and message.version == b"1.1" and not _has_host(data[at:end]):
            data = data[:at] + b"Host: vector\r\n" + data[at:]
        end = max(at, 0)
    return data


def _has_host(region: bytes) -> bool:
    return re.search(rb"(?:^|\n)host *:", region, re.IGNORECASE) is not None


def _blocks(text: str) -> Iterator[tuple[str, dict[str, object], str, list[str]]]:
    title, meta, source = "", {}, ""
    lines = iter(text.splitlines())
    for line in lines:
        if heading := _HEADING.match(line):
            title = heading[1]
        elif found := _META.match(line):
            meta = json.loads(found[1])
        elif line == "```http":
            source = "\n".join(_fenced(lines))
        elif line == "```log":
            yield title, meta, source, list(_fenced(lines))


def _fenced(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line == "```":
            return
        yield line


def _unescape(source: str) -> bytes:
    text = re.sub(r"\\\n", "", source).replace("\n", "\r\n")
    for escape, plain in (("r", "\r"), ("n", "\n"), ("t", "\t"), ("f", "\f")):
        text = text.replace("\\" + escape, plain)
    text = re.sub(r"\\x([0-9a-fA-F]+)", lambda found: chr(int(found[1], 16)), text)
    text = re.sub(r"\\([0-7]{1,3})", lambda found: chr(int(found[1], 8)), text)
    # The one expression in use repeats a literal: ${'a'.repeat(N)}.
    return re.sub(r"\$\{(.+?)\}", _repeat, text).encode()


def _repeat(found: re.Match[str]) -> str:
    parts = re.fullmatch(r"['\"](.+)['\"]\.repeat\((\d+)\)", found[1])
    if parts is None:
        msg = f"cannot evaluate {found[1]!r}"
        raise ValueError(msg)
    return parts[1] * int(parts[2])


def _read_log(name: str, data: bytes, log: list[str]) -> Vector:
    vector = Vector(name, data, [])
    fresh = True
    for line in log:
        event = _EVENT.match(line)
        if event is None:
            continue
        offset, length, what = int(event[1]), int(event[2] or 0), event[3]
        if what == "message begin":
            vector.messages.append(Message())
        elif found := _ERROR.match(what):
            _stop(vector, int(found[1]), what.partition("reason=")[2], offset)
        elif found := _SPAN.match(what):
            piece = data[offset : offset + length]
            _add_span(vector.messages[-1], found[1], piece, fresh=fresh)
            fresh = False
        elif what.endswith(" complete") or what.startswith("headers complete"):
            fresh = True
            _complete(vector.messages[-1], what, offset)
    return vector


def _stop(vector: Vector, code: int, reason: str, offset: int) -> None:
    vector.upgrade = code == _UPGRADE_CODE
    if not vector.upgrade:
        vector.error = reason
    elif vector.messages[-1].method:
        # What follows would be a request to a server that does not upgrade.
        vector.data = vector.data[:offset]
    else:
        vector.messages[-1].body = vector.data[offset:]


def _add_span(message: Message, span: str, piece: bytes, *, fresh: bool) -> None:
    pairs = message.trailers if message.has_head else message.headers
    if span == "header_field":
        if fresh:
            pairs.append([b"", b""])
        pairs[-1][0] += piece
    elif span == "header_value":
        pairs[-1][1] += piece
    elif span == "status":
        message.reason += piece
    elif span in {"method", "url", "version", "body"}:
        setattr(message, span, getattr(message, span) + piece)


def _complete(message: Message, what: str, offset: int) -> None:
    if what == "version complete":
        message.at = offset + len(b"\r\n")
    elif what == "message complete":
        message.complete = True
    elif what.startswith("headers complete"):
        message.has_head = True
        found = re.search(r"status=(\d+)", what)
        message.status = int(found[1]) if found else 0
