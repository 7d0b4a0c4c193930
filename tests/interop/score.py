"""Compare what a server or client made of a vector with what llhttp makes of it."""

from __future__ import annotations

import base64
import enum
from collections import Counter

import attrs

from tests.interop import wire
from tests.interop.llhttp_vectors import Message, Vector


class Verdict(enum.Enum):
    """How an implementation stands to a vector.

    AGREE: the same messages, or both refuse. LAXER: took what llhttp refuses, or
    saw messages that are not there. STRICTER: refused what llhttp takes.
    DIFFERS: took it, and read something else in it.
    """

    AGREE = "agree"
    LAXER = "laxer"
    STRICTER = "stricter"
    DIFFERS = "differs"


@attrs.define
class Table:
    """Verdicts by vector name, and their printed form."""

    title: str
    rows: dict[str, tuple[Verdict, str]] = attrs.field(factory=dict)

    def add(self, name: str, verdict: Verdict, note: str = "") -> None:
        """Enter one vector; names that occur twice are told apart."""
        same = sum(known.partition(" #")[0] == name for known in self.rows)
        self.rows[f"{name} #{same + 1}" if same else name] = verdict, note

    def count(self, verdict: Verdict) -> int:
        """How many vectors have this verdict."""
        return sum(found is verdict for found, _ in self.rows.values())

    def __str__(self) -> str:
        counts = Counter(verdict for verdict, _ in self.rows.values())
        numbers = ", ".join(f"{counts[one]} {one.value}" for one in Verdict)
        lines = [f"{self.title}: {numbers}, of {len(self.rows)}"]
        lines += [
            f"  {verdict.value:8} {name}: {note}"
            for name, (verdict, note) in self.rows.items()
            if verdict is not Verdict.AGREE or note.startswith("only")
        ]
        return "\n".join(lines)


def judge_server(vector: Vector, told: wire.Exchange) -> tuple[Verdict, str]:
    """Say how a server's answers to a request vector stand to it."""
    finals = [one for one in told.replies if one.status >= 200]
    echoes = [wire.decode_echo(one.body) for one in finals if one.status == 200]
    refused = told.closed or len(finals) > len(echoes)
    wanted = vector.complete
    note = f"{vector.error or 'no error'}; got {[one.status for one in finals]}"
    if told.late:
        note = f"only at the end of the stream: {note}"
    if len(echoes) > len(wanted):
        return Verdict.LAXER, note
    for message, echo in zip(wanted, echoes, strict=False):
        if difference := _compare_request(message, echo):
            return Verdict.DIFFERS, difference
    if vector.error:
        return (Verdict.AGREE if refused else Verdict.LAXER), note
    missing = len(echoes) < len(wanted) or len(finals) > len(echoes)
    return (Verdict.STRICTER if missing else Verdict.AGREE), note


def _compare_request(message: Message, echo: dict[str, object]) -> str:
    version = message.version or b"0.9"
    return _difference(
        {
            "method": (message.method.decode(), echo["method"]),
            "url": (message.url.decode("latin-1"), echo["url"]),
            "version": (version.decode(), echo["version"]),
            "headers": (_pairs(message.headers), _without_host(message, echo)),
            "body": (message.body, echo["body"]),
            "trailers": (_pairs(message.trailers), _stripped(echo["trailers"])),
        }
    )


@attrs.frozen
class Told:
    """What a client reported of one response.

    ``error`` is empty for a response that was delivered to its end.
    """

    status: int = 0
    reason: str = ""
    version: str = ""
    headers: list[list[str]] = attrs.field(factory=list)
    body: bytes = b""
    trailers: list[list[str]] = attrs.field(factory=list)
    error: str = ""


def read_told(told: dict[str, object]) -> Told:
    """Build a report from the JSON of Node's client."""
    return Told(**{**told, "body": base64.b64decode(str(told.get("body", "")))})  # type: ignore[arg-type]


def final_message(vector: Vector) -> Message:
    """Return the message a client has to report: the first that is not 1xx."""
    for message in vector.messages:
        if vector.upgrade or not 100 <= message.status < 200:
            return message
    return vector.messages[-1]


def judge_client(vector: Vector, told: Told) -> tuple[Verdict, str]:
    """Say how a client's report of a response vector stands to it."""
    message = final_message(vector)
    note = f"{vector.error or 'no error'}; got {told.error or told.status}"
    if not _is_deliverable(vector, message):
        return (Verdict.AGREE if told.error else Verdict.LAXER), note
    if told.error:
        return (Verdict.AGREE if vector.error else Verdict.STRICTER), note
    difference = _compare_response(message, told)
    return (Verdict.DIFFERS, difference) if difference else (Verdict.AGREE, note)


def _is_deliverable(vector: Vector, message: Message) -> bool:
    # What follows a complete message may be refused, but need not be looked at.
    if message.complete:
        return True
    return not vector.error and vector.ended_by_close(message)


def _compare_response(message: Message, told: Told) -> str:
    return _difference(
        {
            "status": (message.status, told.status),
            "reason": (message.reason.decode("latin-1").strip(), told.reason.strip()),
            "version": (message.version.decode(), told.version),
            "headers": (_pairs(message.headers), _stripped(told.headers)),
            "body": (message.body, told.body),
            "trailers": (_pairs(message.trailers), _stripped(told.trailers)),
        }
    )


def _difference(fields: dict[str, tuple[object, object]]) -> str:
    return "; ".join(
        f"{name} {got!r}, not {want!r}" for name, (want, got) in fields.items() if want != got
    )


def _pairs(pairs: list[list[bytes]]) -> list[list[str]]:
    return _stripped([[part.decode("latin-1") for part in pair] for pair in pairs])


def _stripped(pairs: object) -> list[list[str]]:
    assert isinstance(pairs, list)
    # Whether spans keep trailing blanks is llhttp's business (RFC 9110 section 5.5).
    return [[name, value.strip(" \t")] for name, value in pairs]


def _without_host(message: Message, echo: dict[str, object]) -> list[list[str]]:
    pairs = _stripped(echo["headers"])
    own = any(name.lower() == b"host" for name, _ in message.headers)
    return pairs if own else [pair for pair in pairs if pair != ["Host", "vector"]]
