"""What the observers of a WebSocket are given, under the names of a browser."""

from __future__ import annotations

import attrs


@attrs.frozen
class OpenEvent:
    """The opening handshake is done."""

    type: str = attrs.field(default="open", init=False)


@attrs.frozen
class MessageEvent:
    """A message has arrived.

    Attributes:
        data: ``str`` for a text message, ``bytes`` for a binary one.
        origin: scheme, host and port of the WebSocket's URL.
    """

    data: str | bytes
    origin: str
    type: str = attrs.field(default="message", init=False)


@attrs.frozen
class ErrorEvent:
    """The connection failed; a `CloseEvent` follows.

    Attributes:
        error: what happened.
        message: the same in words.
    """

    error: Exception
    type: str = attrs.field(default="error", init=False)

    @property
    def message(self) -> str:
        """What happened, in words."""
        return str(self.error)


@attrs.frozen
class CloseEvent:
    """The connection is closed.

    Attributes:
        code: close code of RFC 6455 section 7.4; 1005 if the peer named none,
            1006 if it left without a close frame.
        reason: the peer's text, or what went wrong here.
        was_clean: whether both sides sent their close frame.
    """

    code: int
    reason: str
    was_clean: bool
    type: str = attrs.field(default="close", init=False)
