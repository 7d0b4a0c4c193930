"""Contenders that stream.

Servers print their port; ``GET /FRAMING/TOTAL`` is answered with that many
bytes, ``POST /FRAMING/TOTAL`` with the size of what was read. Clients print 0,
then read lines ``down|up FRAMING TOTAL PORT`` and print how much they passed on.
All close the connection after one message.

Those of a tunnel print their port too, and serve CONNECT.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import attrs

BLOCK = bytes(65536)
CHUNKED = "chunked"
CONNECTED = b"HTTP/1.1 200 OK\r\n\r\n"


@attrs.frozen
class Job:
    """One transfer.

    Attributes:
        upload: The client sends; otherwise it receives.
        framing: ``length`` or ``chunked``.
        total: Size of the body, whole blocks.
        port: Where the server listens; 0 to a server.
    """

    upload: bool
    framing: str
    total: int
    port: int = 0

    @property
    def blocks(self) -> range:
        """One step per block of the body."""
        return range(self.total // len(BLOCK))

    @property
    def headers(self) -> dict[str, str]:
        """What frames the body, if its length is told at all."""
        if self.framing == CHUNKED:
            return {"Transfer-Encoding": CHUNKED}
        return {"Content-Length": str(self.total)}


def port_of(head: bytes) -> int:
    """The port that a CONNECT asks for."""
    return int(head.split()[1].rpartition(b":")[2])


def from_target(method: str | None, target: str) -> Job:
    """What a request line asks a server for."""
    _, framing, total = target.split("/")
    return Job(upload=method == "POST", framing=framing, total=int(total))


def jobs() -> Iterator[Job]:
    """What the parent asks a client for, until it is done."""
    print(0, flush=True)
    for line in sys.stdin:
        direction, framing, total, port = line.split()
        yield Job(direction == "up", framing, int(total), int(port))
