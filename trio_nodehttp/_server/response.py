"""The answer to one request (Node: ``http.ServerResponse``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from .._errors import (
    HeadersSentError,
    InvalidArgTypeError,
    InvalidArgValueError,
    InvalidCharError,
    InvalidStatusCodeError,
    SocketAssignedError,
)
from .._incoming import IncomingMessage
from .._outgoing import OutgoingMessage, http_date
from .._sansio.framing import Shape, write_lines
from .._sansio.headers import (
    HeadersLike,
    HeaderValue,
    clean_value,
    has_invalid_char,
    validate_header_name,
)
from .._sansio.status import STATUS_CODES
from .._transport import Socket

_STATUS_LINES: Final = {
    code: f"HTTP/1.1 {code} {reason}\r\n" for code, reason in STATUS_CODES.items()
}
# RFC 8288 section 3: a target in angle brackets, then parameters.
_is_link = re.compile(
    r"""<[^>\r\n]*>(?:[ \t]*;[ \t]*[^;"=\s]+(?:="[^"\r\n]*"|=[^;"\s]*)?)*"""
).fullmatch


class ServerResponse(OutgoingMessage):
    """The answer to one request; handlers get it as their second argument.

    Attributes:
        status_code: The status to send, 200 unless changed.
        status_message: The reason phrase; empty for the standard one.
        req: The request that it answers.
    """

    __slots__ = (
        "_may_persist",
        "_sent_continue",
        "keep_alive_hint",
        "req",
        "status_code",
        "status_message",
    )

    send_date = True

    def __init__(self, request: IncomingMessage) -> None:
        head = request._head
        shape = Shape(default_chunked=head.minor == 1, keep_alive=head.keep_alive)
        OutgoingMessage.__init__(self, shape)
        if head.minor != 1:
            # An HTTP/1.0 client may say that it reads chunks all the same.
            shape.default_chunked = getattr(head, "te_chunked", False)
        if request.method == "HEAD":
            shape.has_body = False
            shape.to_head = True
        self.req = request
        self.status_code = 200
        self.status_message = ""
        self.keep_alive_hint: str | None = None
        self._may_persist: Callable[[], bool] | None = None
        self._sent_continue = False

    def assign_socket(self, socket: Socket) -> None:
        """Give a response made by hand its socket.

        Raises:
            SocketAssignedError: It has one.
        """
        if self._socket is not None:
            raise SocketAssignedError("ServerResponse has an already assigned socket")
        self.socket = socket

    # --- the head ------------------------------------------------------------------

    def write_head(
        self,
        status_code: int,
        status_message: str | HeadersLike | None = None,
        headers: HeadersLike | None = None,
    ) -> ServerResponse:
        """Settle the head; it leaves with the first piece of the body.

        Args:
            status_code: 100 to 999.
            status_message: The reason phrase; may be left out before ``headers``.
            headers: A mapping, a list of pairs or Node's flat list. They override
                headers that were set before; a repeated name gives repeated lines.

        Returns:
            This response, for ``await response.write_head(...).end(...)``.

        Raises:
            HeadersSentError: The head was settled before.
            InvalidStatusCodeError: ``status_code`` is out of range.
            InvalidHTTPTokenError: A header name is not a token.
            InvalidCharError: A value or the reason holds a forbidden character.
            TrailerInvalidError: ``Trailer`` is set, and the body goes in no chunks. The
                given headers stay set.

        After any other error the response is as it was.
        """
        if self._rendered:
            raise HeadersSentError("Cannot write headers after they are sent to the client")
        if status_message is not None and not isinstance(status_message, str):
            status_message, headers = None, status_message
        self._check_start_line(status_code, status_message or self.status_message)
        if headers is not None:
            self._merge(headers)
        self.status_code = status_code
        if status_message:
            self.status_message = status_message
        self._settle_head()
        if not self.status_message:
            self.status_message = STATUS_CODES.get(status_code, "unknown")
        return self

    def _check_start_line(self, status_code: object, status_message: object) -> None:
        if isinstance(status_code, bool) or not isinstance(status_code, int):
            raise InvalidStatusCodeError(f"Invalid status code: {status_code!r}")
        if not 100 <= status_code <= 999:
            raise InvalidStatusCodeError(f"Invalid status code: {status_code}")
        if status_message:
            if not isinstance(status_message, str):
                raise InvalidArgTypeError(f"status_message must be a string: {status_message!r}")
            if has_invalid_char(status_message):
                raise InvalidCharError("Invalid character in statusMessage")

    def _render_head(self) -> bytes:
        status, message, shape = self.status_code, self.status_message, self._shape
        line = _STATUS_LINES.get(status) if not message else None
        if line is None:
            self._check_start_line(status, message)
            line = f"HTTP/1.1 {status} {message or STATUS_CODES.get(status, 'unknown')}\r\n"
        if status in {204, 304} or status < 200:
            # Node closes behind a coding here, also in answer to HEAD.
            shape.has_body = shape.to_head = False
        if self._may_persist is not None and not self._may_persist():
            shape.keep_alive = False
        lines = [line]
        noted = write_lines(lines, self._headers, self.unique_headers) if self._headers else {}
        shape.plan(
            lines,
            noted,
            date=http_date() if self.send_date else None,
            always_persistent=False,
            keep_alive_hint=self.keep_alive_hint,
        )
        self._check_trailer(noted="trailer" in noted)
        lines.append("\r\n")
        return "".join(lines).encode("latin-1")

    # --- informational responses (RFC 9110 section 15.2) ------------------------------

    async def write_continue(self) -> None:
        """Send 100 Continue: the client may send its body.

        Raises:
            HeadersSentError: The final head has left.
            SocketHangUpError: The peer has gone.

        A cancelled call may have sent a part: the response can only be destroyed.
        """
        self._sent_continue = True
        await self._write_information(100, [])

    async def write_processing(self) -> None:
        """Send 102 Processing. Errors and cancellation as for ``write_continue``."""
        await self._write_information(102, [])

    async def write_early_hints(self, hints: Mapping[str, HeaderValue]) -> None:
        """Send 103 Early Hints (RFC 8297).

        Args:
            hints: ``link`` with one link or a list of links, and other headers.
                Without a link nothing is sent.

        Raises:
            InvalidArgTypeError: ``hints`` is not a mapping.
            InvalidArgValueError: A link is malformed (RFC 8288 section 3).
            InvalidCharError: A value holds a forbidden character.
            HeadersSentError: The final head has left.

        A cancelled call may have sent a part: the response can only be destroyed.
        """
        if not isinstance(hints, Mapping):
            raise InvalidArgTypeError(f"hints must be a mapping, not {type(hints).__name__}")
        lines: list[tuple[str, str]] = []
        for name, value in hints.items():
            validate_header_name(name)
            if name.lower() == "link":
                lines[:0] = [("Link", link)] if (link := _join_links(value)) else []
            else:
                cleaned = clean_value(name, value)
                items = [cleaned] if isinstance(cleaned, str) else cleaned
                lines.extend((name, item) for item in items)
        await self._write_information(103 if lines and lines[0][0] == "Link" else 0, lines)

    async def _write_information(self, status: int, lines: list[tuple[str, str]]) -> None:
        if self._rendered:
            raise HeadersSentError("Cannot write headers after they are sent to the client")
        text = "".join(f"{name}: {value}\r\n" for name, value in lines)
        # HTTP/1.0 knows no such responses, and they may not be sent there.
        known = status and self.req._head.minor == 1
        start = _STATUS_LINES.get(status, f"HTTP/1.1 {status} unknown\r\n")
        line = f"{start}{text}\r\n" if known else ""
        await self._pass_on(line.encode("latin-1"))

    def __repr__(self) -> str:
        state = "ended" if self.writable_ended else "open"
        return f"<ServerResponse {self.status_code} {state} sent={self._body_sent}>"


def _join_links(value: Any) -> str:
    links = [value] if isinstance(value, str) else value
    if not isinstance(links, (list, tuple)):
        raise InvalidArgTypeError(f"link must be a string or a list, not {type(value).__name__}")
    for link in links:
        if not isinstance(link, str) or not _is_link(link) or has_invalid_char(link):
            raise InvalidArgValueError(
                f"link must be like '</styles.css>; rel=preload; as=style', not {link!r}"
            )
    return ", ".join(links)
