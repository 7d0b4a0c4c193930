"""What a codec reads: heads, and how the body behind each is framed (RFC 9112)."""

from __future__ import annotations

from typing import Final

from .headers import Pairs

# How a body is framed, where it is not a number of bytes (RFC 9112 section 6.3).
CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2

CONTINUE: Final = "100-continue"
"""The one expectation that there is (RFC 9110 section 10.1.1)."""


class Head:
    """What both kinds of head share. Made by a codec, once per message.

    Attributes:
        minor: The minor of ``HTTP/1.minor``.
        body: Bytes of body that follow, or ``CHUNKED``, or ``UNTIL_CLOSE``.
        close: The sender said ``Connection: close``.
        keep_alive: The connection may serve another message (RFC 9112 section 9.3).
        upgrade: The value of ``Upgrade`` when ``Connection: upgrade`` names it.
        size: Bytes of the head on the wire.
        max_pairs: Show at most so many header pairs (Node: ``maxHeadersCount``).
    """

    __slots__ = (
        "_block",
        "_pairs",
        "body",
        "close",
        "keep_alive",
        "max_pairs",
        "minor",
        "size",
        "upgrade",
    )

    minor: int
    body: int
    close: bool
    keep_alive: bool
    upgrade: str | None
    size: int
    max_pairs: int
    _block: bytes
    _pairs: Pairs | None

    @property
    def pairs(self) -> Pairs:
        """Header names and values as they came, decoded when first asked for."""
        if self._pairs is None:
            # Every line stands between "\n" and "\r".
            lines = self._block.decode("latin-1")[1:-1].split("\r\n") if self._block else ()
            pairs = []
            for line in lines:
                name, _, value = line.partition(":")
                pairs.append((name, value.strip(" \t")))
            self._pairs = pairs[: self.max_pairs] if self.max_pairs else pairs
        return self._pairs


class RequestHead(Head):
    """A request line and its fields.

    Attributes:
        method: One of ``METHODS``.
        target: The request target as it came, one character per byte.
        host: The value of ``Host``, or None.
        expect: ``CONTINUE`` if ``Expect`` names it, else its value in lower case; None
            without one, and for HTTP/1.0.
        te_chunked: ``TE: chunked`` was sent (as HTTP/1.0 clients may).
    """

    __slots__ = ("expect", "host", "method", "target", "te_chunked")

    method: str
    target: str
    host: str | None
    expect: str | None
    te_chunked: bool


class ResponseHead(Head):
    """A status line and its fields.

    Attributes:
        status: The three-digit code.
        reason: The reason phrase as it came.
        version: Such as ``"1.1"``; ``"0.9"`` is met too.
        keep_alive_timeout: Seconds from ``Keep-Alive: timeout=N``, or None.
    """

    __slots__ = ("keep_alive_timeout", "reason", "status", "version")

    status: int
    reason: str
    version: str
    keep_alive_timeout: int | None
