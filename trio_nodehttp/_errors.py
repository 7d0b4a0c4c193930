"""The tree of errors, and nothing else; two of its leaves stand in ``_websocket``.

Each carries Node's ``code`` and also derives from what a Python user would
catch for the same trouble::

    HTTPError
     +-- ArgumentError                        what a caller passed is wrong
     |    +-- InvalidArgTypeError             TypeError   ERR_INVALID_ARG_TYPE
     |    +-- InvalidArgValueError            ValueError  ERR_INVALID_ARG_VALUE
     |    |    +-- OutOfRangeError            ERR_OUT_OF_RANGE
     |    |    +-- InvalidURLError            ERR_INVALID_URL
     |    |    +-- InvalidProtocolError       ERR_INVALID_PROTOCOL
     |    |    +-- InvalidStatusCodeError     ERR_HTTP_INVALID_STATUS_CODE
     |    |    +-- InvalidHTTPTokenError      ERR_INVALID_HTTP_TOKEN
     |    |    +-- InvalidCharError           ERR_INVALID_CHAR
     |    |    +-- UnescapedCharactersError   ERR_UNESCAPED_CHARACTERS
     |    +-- InvalidHeaderValueError         TypeError   ERR_HTTP_INVALID_HEADER_VALUE
     +-- StateError                           RuntimeError: not now
     |    +-- HeadersSentError                ERR_HTTP_HEADERS_SENT
     |    +-- TrailerInvalidError             ERR_HTTP_TRAILER_INVALID
     |    +-- BodyNotAllowedError             ERR_HTTP_BODY_NOT_ALLOWED
     |    +-- ContentLengthMismatchError      ERR_HTTP_CONTENT_LENGTH_MISMATCH
     |    +-- SocketAssignedError             ERR_HTTP_SOCKET_ASSIGNED
     |    +-- SocketEncodingError             ERR_HTTP_SOCKET_ENCODING
     |    +-- ServerNotRunningError           ERR_SERVER_NOT_RUNNING
     |    +-- ServerAlreadyListenError        ERR_SERVER_ALREADY_LISTEN
     |    +-- ParserUnavailableError          ERR_FEATURE_UNAVAILABLE_ON_PLATFORM
     |    +-- MethodNotImplementedError       NotImplementedError
     |    |                                   ERR_METHOD_NOT_IMPLEMENTED
     |    +-- WriteAfterEndError              trio.ClosedResourceError
     |    |                                   ERR_STREAM_WRITE_AFTER_END
     |    +-- StreamDestroyedError            trio.ClosedResourceError
     |                                        ERR_STREAM_DESTROYED
     +-- ConnectionFailedError                ConnectionError: nobody answered the dial
     |    +-- ProxyError                      a proxy opened no tunnel, ERR_PROXY_TUNNEL
     +-- SocketHangUpError                    ConnectionResetError and
     |    |                                   trio.BrokenResourceError, ECONNRESET
     |    +-- AbortedError                    a message was cut short
     |    +-- StaleConnectionError            a reused socket was dead
     +-- ParseError                           trio.BrokenResourceError, HPE_*
     +-- SocketTimeoutError                   trio.TooSlowError, ETIMEDOUT
     |    +-- QueueTimeoutError               no socket became free in time
     |    +-- RequestTimeoutError             a request came too slowly
     +-- UpgradeRefusedError                  trio.BrokenResourceError
     +-- WebSocketError                       ERR_WEBSOCKET
          +-- WebSocketHandshakeError         ERR_WEBSOCKET_HANDSHAKE
          +-- WebSocketClosedError            trio.BrokenResourceError
          +-- WebSocketStateError             a StateError too
"""

from __future__ import annotations

from typing import Any

import trio


class HTTPError(Exception):
    """Base of every error that this package raises.

    Attributes:
        code: Node's error code, such as ``"ECONNRESET"``.
    """

    code: str = "ERR_HTTP"


# --- what a caller passed is wrong ------------------------------------------------


class ArgumentError(HTTPError):
    """An argument is wrong; nothing was sent and no socket was opened."""


class InvalidArgTypeError(ArgumentError, TypeError):
    """An argument has the wrong type; the message names it."""

    code = "ERR_INVALID_ARG_TYPE"


class InvalidArgValueError(ArgumentError, ValueError):
    """An argument has the right type and a wrong value; the message names it."""

    code = "ERR_INVALID_ARG_VALUE"


class OutOfRangeError(InvalidArgValueError):
    """A number lies outside its permitted range; the message names both."""

    code = "ERR_OUT_OF_RANGE"


class InvalidURLError(InvalidArgValueError):
    """A URL cannot be parsed, or its port is no port."""

    code = "ERR_INVALID_URL"


class InvalidProtocolError(InvalidArgValueError):
    """A URL scheme, or the ``protocol`` option, is not one the agent speaks."""

    code = "ERR_INVALID_PROTOCOL"


class InvalidStatusCodeError(InvalidArgValueError):
    """A status code lies outside 100 to 999."""

    code = "ERR_HTTP_INVALID_STATUS_CODE"


class InvalidHTTPTokenError(InvalidArgValueError, TypeError):
    """A method or header name is not a token (RFC 9110 section 5.6.2)."""

    code = "ERR_INVALID_HTTP_TOKEN"


class InvalidCharError(InvalidArgValueError, TypeError):
    """A header value or reason phrase holds a character that may not be sent."""

    code = "ERR_INVALID_CHAR"


class UnescapedCharactersError(InvalidArgValueError, TypeError):
    """A request path holds characters that must be percent-encoded first."""

    code = "ERR_UNESCAPED_CHARACTERS"


class InvalidHeaderValueError(ArgumentError, TypeError):
    """A header value is ``None``, which cannot be sent."""

    code = "ERR_HTTP_INVALID_HEADER_VALUE"


# --- the call came at the wrong time ----------------------------------------------


class StateError(HTTPError, RuntimeError):
    """The call is right but comes at the wrong time; the object is unchanged."""

    code = "ERR_INVALID_STATE"


class HeadersSentError(StateError):
    """The head has left already."""

    code = "ERR_HTTP_HEADERS_SENT"


class TrailerInvalidError(StateError):
    """Trailers need chunked transfer coding (RFC 9112 section 7.1.2)."""

    code = "ERR_HTTP_TRAILER_INVALID"


class BodyNotAllowedError(StateError):
    """This message has no body (HEAD, 204, 304) and strictness was asked for."""

    code = "ERR_HTTP_BODY_NOT_ALLOWED"


class ContentLengthMismatchError(StateError):
    """More or fewer bytes than the declared Content-Length."""

    code = "ERR_HTTP_CONTENT_LENGTH_MISMATCH"


class SocketAssignedError(StateError):
    """A ServerResponse was given a second socket."""

    code = "ERR_HTTP_SOCKET_ASSIGNED"


class SocketEncodingError(StateError):
    """A connection carries bytes; a text encoding cannot be set on it."""

    code = "ERR_HTTP_SOCKET_ENCODING"


class ServerNotRunningError(StateError):
    """The server is not listening."""

    code = "ERR_SERVER_NOT_RUNNING"


class ServerAlreadyListenError(StateError):
    """The server is listening already."""

    code = "ERR_SERVER_ALREADY_LISTEN"


class ParserUnavailableError(StateError):
    """An option asks for a parser that is not installed."""

    code = "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"


class MethodNotImplementedError(StateError, NotImplementedError):
    """A class leaves to its subclasses what was called."""

    code = "ERR_METHOD_NOT_IMPLEMENTED"


class WriteAfterEndError(StateError, trio.ClosedResourceError):
    """``write`` after ``end``; what was sent before is unharmed."""

    code = "ERR_STREAM_WRITE_AFTER_END"


class StreamDestroyedError(StateError, trio.ClosedResourceError):
    """The message was destroyed."""

    code = "ERR_STREAM_DESTROYED"


# --- the network ------------------------------------------------------------------


class ConnectionFailedError(HTTPError, ConnectionError):
    """No connection could be made; ``code`` is the system's, as ``ECONNREFUSED``.

    The error that the system or the connection factory raised is the cause.
    """

    code = "ECONNREFUSED"


class ProxyError(ConnectionFailedError):
    """A proxy did not open the tunnel that CONNECT asked for (RFC 9110 section 9.3.6).

    Attributes:
        response: What it answered, an ``IncomingMessage``: 407 says that credentials are
            missing or wrong. None if that was not HTTP.
        body: The beginning of its body, 64 KiB at most, as it came within a second.
    """

    code = "ERR_PROXY_TUNNEL"

    def __init__(self, message: str, response: Any = None, body: bytes = b"") -> None:
        super().__init__(message)
        self.response = response
        self.body = body


class SocketHangUpError(HTTPError, ConnectionResetError, trio.BrokenResourceError):
    """The peer, or a ``destroy()``, ended the connection before an answer."""

    code = "ECONNRESET"


class AbortedError(SocketHangUpError):
    """A message was cut short: its head arrived, its end did not."""


class StaleConnectionError(SocketHangUpError):
    """A reused connection died before the first response byte.

    Attributes:
        reused: Always True; the request was not, or could not be, sent again.
    """

    reused = True


class ParseError(HTTPError, trio.BrokenResourceError):
    """The peer's bytes are not HTTP (RFC 9112).

    Attributes:
        code: llhttp's name for the fault, such as ``"HPE_INVALID_METHOD"``.
        reason: The fault in words.
        bytes_parsed: How many bytes of the packet were good.
        raw_packet: The bytes that were being read.
    """

    code = "HPE_INTERNAL"

    def __init__(
        self, code: str, reason: str, *, bytes_parsed: int = 0, raw_packet: bytes = b""
    ) -> None:
        super().__init__(f"Parse Error: {reason}")
        self.code = code
        self.reason = reason
        self.bytes_parsed = bytes_parsed
        self.raw_packet = raw_packet


class SocketTimeoutError(HTTPError, trio.TooSlowError):
    """A socket stayed silent for longer than its timeout."""

    code = "ETIMEDOUT"


class QueueTimeoutError(SocketTimeoutError):
    """No socket of the agent became free within ``queue_timeout`` seconds.

    The text names every holder of a socket and the place in the queue.
    """


class RequestTimeoutError(SocketTimeoutError):
    """On the server: a request did not arrive in time; it is answered 408."""

    code = "ERR_HTTP_REQUEST_TIMEOUT"


class UpgradeRefusedError(HTTPError, trio.BrokenResourceError):
    """The server answered an upgrade request with an ordinary response.

    Attributes:
        response: That response (an ``IncomingMessage``), to read within the request's
            scope.
        body: What was read of it already, for those who are outside of that.
    """

    code = "ERR_HTTP_UPGRADE_REFUSED"
    body: bytes = b""

    def __init__(self, message: str, response: Any = None) -> None:
        super().__init__(message)
        self.response = response


# --- WebSocket ----------------------------------------------------------------------


class WebSocketError(HTTPError):
    """A WebSocket failed, or was used in a state that does not allow the call.

    Attributes:
        close_code: Why it is closed (RFC 6455 section 7.4); None if it is not.
    """

    code = "ERR_WEBSOCKET"
    close_code: int | None = None


class WebSocketHandshakeError(WebSocketError):
    """The opening handshake failed (RFC 6455 section 4).

    Attributes:
        response: The server's response, or None if there was none.
        body: The beginning of its body, 64 KiB at most, as it came within a second.
    """

    code = "ERR_WEBSOCKET_HANDSHAKE"

    def __init__(self, message: str, response: Any = None, body: bytes = b"") -> None:
        super().__init__(message)
        self.response = response
        self.body = body
