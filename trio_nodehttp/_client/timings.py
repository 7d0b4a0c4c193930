"""Where the time of one request went."""

from __future__ import annotations

from typing import Final

import trio

_PARTS: Final = ("queued", "dns", "connect", "tls", "sent", "first_byte", "done")


class Timings:
    """Durations in seconds, by Trio's clock; None for what did not happen.

    Attributes:
        started: When the request was begun, as ``trio.current_time()`` counts.
        queued: Waiting for a socket of the agent.
        dns: Resolving the name.
        connect: Connecting.
        tls: The TLS handshake.
        sent: Sending the request.
        first_byte: From then to the response's head.
        done: From then to the end of the response.
        reused: The socket had served another request before.
    """

    __slots__ = (
        "_last",
        "connect",
        "dns",
        "done",
        "first_byte",
        "queued",
        "reused",
        "sent",
        "started",
        "tls",
    )

    def __init__(self) -> None:
        self.started = self._last = trio.current_time()
        self.queued: float | None = None
        self.dns: float | None = None
        self.connect: float | None = None
        self.tls: float | None = None
        self.sent: float | None = None
        self.first_byte: float | None = None
        self.done: float | None = None
        self.reused = False

    def mark(self, name: str) -> None:
        """Note that a part ends now; what a retry repeats adds up."""
        now = trio.current_time()
        setattr(self, name, (getattr(self, name) or 0.0) + now - self._last)
        self._last = now

    @property
    def total(self) -> float:
        """Seconds from the beginning to the last part that was noted."""
        return self._last - self.started

    def __repr__(self) -> str:
        parts = [f"{n}={getattr(self, n):.4f}" for n in _PARTS if getattr(self, n) is not None]
        return f"<Timings {' '.join([*parts, f'reused={self.reused}'])}>"
