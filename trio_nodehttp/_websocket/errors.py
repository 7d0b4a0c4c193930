"""The errors of a WebSocket that is closed, or not open yet."""

from __future__ import annotations

import trio

from .._errors import StateError, WebSocketError


class WebSocketStateError(WebSocketError, StateError):
    """The call needs an open WebSocket (a browser's ``InvalidStateError``)."""

    code = "ERR_INVALID_STATE"


class WebSocketClosedError(WebSocketError, trio.BrokenResourceError):
    """The WebSocket is closed: nothing can be sent, nothing more will come.

    Attributes:
        close_code: why, as in RFC 6455 section 7.4; 1006 if the peer just left.
        close_reason: the text that came with it, often empty.
        was_clean: whether both sides sent their close frame.
    """

    code = "ERR_WEBSOCKET_CLOSED"

    def __init__(
        self, close_code: int, close_reason: str, *, was_clean: bool, under_way: bool = False
    ) -> None:
        manner = "is closing" if under_way else "was closed" if was_clean else "failed"
        detail = f": {close_reason}" if close_reason else ""
        super().__init__(f"the WebSocket {manner} ({close_code}){detail}")
        self.close_code: int = close_code
        self.close_reason = close_reason
        self.was_clean = was_clean
