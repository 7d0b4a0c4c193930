"""Node's message framing as a pure plan (Node: ``_storeHeader``; RFC 9112 section 6).

What a caller's headers say is noted line by line; ``plan`` then adds Date,
Connection, Keep-Alive and Content-Length or Transfer-Encoding, in Node's order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

_says_close = re.compile(r"(?:^|\W)close(?:$|\W)", re.IGNORECASE).search
_says_chunked = re.compile(r"(?:^|\W)chunked(?:$|\W)", re.IGNORECASE).search

StoredHeaders = dict[str, tuple[str, "str | list[str]"]]
"""Headers to send: lower-case name to (name as given, value or values)."""

# What a caller may remove for good; a bit each.
REMOVED_CONNECTION: Final = 1
REMOVED_LENGTH: Final = 2
REMOVED_CODING: Final = 4
REMOVED_DATE: Final = 8
REMOVABLE: Final = {
    "connection": REMOVED_CONNECTION,
    "content-length": REMOVED_LENGTH,
    "transfer-encoding": REMOVED_CODING,
    "date": REMOVED_DATE,
}

_NOTED: Final = frozenset(
    "connection transfer-encoding content-length date expect trailer keep-alive".split()
)


class Shape:
    """How one message is framed: what is known before, and what ``plan`` decides.

    Attributes:
        has_body: False for HEAD, 204, 304 and 1xx: no body byte may be sent.
        to_head: It answers a HEAD, whose sender expects no body whatever is said.
        default_chunked: Chunks are the default when no length is known.
        keep_alive: The connection could be used again.
        removed: Bits of the automatic headers that the caller removed.
        length: The body's length, when known or declared; None otherwise.
        declared: ``length`` was given as a Content-Length header.
        chunked: The body goes in chunks (RFC 9112 section 7.1).
        last: The connection closes after this message.
        expect: An Expect header was given.
    """

    __slots__ = (
        "chunked",
        "declared",
        "default_chunked",
        "expect",
        "has_body",
        "keep_alive",
        "last",
        "length",
        "removed",
        "to_head",
    )

    def __init__(self, *, default_chunked: bool, keep_alive: bool) -> None:
        self.has_body = True
        self.to_head = False
        self.default_chunked = default_chunked
        self.keep_alive = keep_alive
        self.removed = 0
        self.length: int | None = None
        self.declared = False
        self.chunked = False
        self.last = False
        self.expect = False

    def plan(
        self,
        lines: list[str],
        noted: dict[str, str],
        *,
        date: str | None,
        always_persistent: bool,
        keep_alive_hint: str | None,
    ) -> None:
        """Add the automatic headers and decide the framing.

        Args:
            lines: The head so far; complete lines are appended.
            noted: What ``write_lines`` noted.
            date: The Date to send, or None.
            always_persistent: A keep-alive header is sent even where the end of the
                body is not marked (for requests, which belong to an agent).
            keep_alive_hint: The value of ``Keep-Alive`` to send, or None; ``""``
                says that this is the connection's last request.
        """
        if "transfer-encoding" in noted and noted.pop("content-length", None) is not None:
            # RFC 9112 section 6.2 forbids both, which recipients take for smuggling.
            lines[:] = [x for x in lines if not x.lower().startswith("content-length:")]
        self._read_noted(noted)
        if date is not None and "date" not in noted and not self.removed & REMOVED_DATE:
            lines.append(f"Date: {date}\r\n")
        if self.chunked and not self.has_body:
            self.chunked = False
            # A 204 or 304 with a coding could be read as having a body: close behind it.
            self.keep_alive = self.keep_alive and self.to_head
        self._plan_connection(lines, noted, always_persistent, keep_alive_hint)
        if "content-length" not in noted and "transfer-encoding" not in noted:
            self._plan_body(lines, noted)

    def _read_noted(self, noted: dict[str, str]) -> None:
        if not noted:
            return
        if "connection" in noted:
            if _says_close(noted["connection"]):
                self.last = True
            else:
                self.keep_alive = True
        if "transfer-encoding" in noted and _says_chunked(noted["transfer-encoding"]):
            self.chunked = True
        if "content-length" in noted:
            text = noted["content-length"].strip()
            # What is longer is no length that any peer believes.
            self.length = int(text) if text.isdecimal() and len(text) < 20 else None
            self.declared = True
        self.expect = "expect" in noted

    def _plan_connection(
        self, lines: list[str], noted: dict[str, str], always: bool, hint: str | None
    ) -> None:
        if self.removed & REMOVED_CONNECTION:
            # Without the header HTTP/1.1 persists all the same.
            self.last = not self.keep_alive
        elif "connection" not in noted:
            marked = "content-length" in noted or self.default_chunked or always
            if not (self.keep_alive and marked) or hint == "":
                self.last = True
                lines.append("Connection: close\r\n")
                return
            lines.append("Connection: keep-alive\r\n")
            if hint is not None and "keep-alive" not in noted:
                lines.append(f"Keep-Alive: {hint}\r\n")

    def _plan_body(self, lines: list[str], noted: dict[str, str]) -> None:
        if not self.has_body:
            self.chunked = False
        elif not self.default_chunked:
            self.last = True
        elif (
            "trailer" not in noted and not self.removed & REMOVED_LENGTH and self.length is not None
        ):
            lines.append(f"Content-Length: {self.length}\r\n")
        elif not self.removed & REMOVED_CODING:
            lines.append("Transfer-Encoding: chunked\r\n")
            self.chunked = True
        else:
            # Nothing marks the end of the body but the end of the connection.
            self.last = True


def write_lines(
    lines: list[str], headers: StoredHeaders, unique: Collection[str] | None
) -> dict[str, str]:
    """Write headers as lines, and note those that bear on framing.

    Args:
        lines: Where the lines go.
        headers: The headers, checked before.
        unique: Lower-case names of which repeated values share one line.

    Returns:
        The noted headers: lower-case name to value.
    """
    noted: dict[str, str] = {}
    for key, (name, value) in headers.items():
        if type(value) is str:
            lines.append(f"{name}: {value}\r\n")
            if key in _NOTED:
                noted[key] = value
            continue
        if (unique is not None and key in unique) or (key == "cookie" and len(value) > 1):
            lines.append(f"{name}: {'; '.join(value)}\r\n")
        else:
            lines.extend(f"{name}: {item}\r\n" for item in value)
        if value and key in _NOTED:
            noted[key] = ", ".join(value)
    return noted


def encode_chunk(data: bytes) -> bytes:
    """Write one chunk (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def encode_last_chunk(trailers: Iterable[tuple[str, str]]) -> bytes:
    """Write the last chunk and the trailers behind it (RFC 9112 section 7.1.2)."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
    return b"0\r\n" + lines.encode("latin-1") + b"\r\n"
