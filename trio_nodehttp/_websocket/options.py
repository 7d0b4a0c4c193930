"""The bounds of a connection, and checks of what callers give."""

from __future__ import annotations

import math
from typing import Final

import attrs

from .._checks import check_count
from .._errors import InvalidArgTypeError, InvalidArgValueError, OutOfRangeError
from .._timeouts import check_seconds

MAX_MESSAGE_SIZE: Final = 16 * 2**20
MAX_QUEUE: Final = 16
CLOSE_TIMEOUT: Final = 10.0
PING_TIMEOUT: Final = 20.0
#: RFC 6455 section 5.5: a control frame has 125 bytes, the code takes two.
MAX_REASON: Final = 123
#: Codes that a server may send, besides 3000 to 4999 (RFC 6455 section 7.4.1, IANA).
SERVER_CODES: Final = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015)))


@attrs.frozen
class Limits:
    """The bounds of one connection; infinity is no limit.

    Attributes:
        max_message_size: bytes of one message, uncompressed.
        max_queue: messages that wait for the application before reading stops.
            Reading also stops once they have ``max_message_size`` bytes.
        close_timeout: seconds from the start of closing to its forced end.
        ping_interval: seconds between pings to the peer; infinity sends none.
        ping_timeout: seconds in which a ping must bring any byte in return.
    """

    max_message_size: float
    max_queue: float
    close_timeout: float
    ping_interval: float
    ping_timeout: float


def make_limits(
    max_message_size: float | None,
    max_queue: float | None,
    close_timeout: float | None,
    ping_interval: float | None,
    ping_timeout: float | None,
) -> Limits:
    """Check the bounds that a caller gave.

    Raises:
        InvalidArgTypeError: one is no number.
        OutOfRangeError: one is too small.
    """
    check_count("max_message_size", max_message_size, least=0)
    check_count("max_queue", max_queue, least=1)
    interval = check_seconds("ping_interval", ping_interval)
    if interval == 0:
        raise OutOfRangeError("ping_interval must be more than 0 seconds")
    return Limits(
        math.inf if max_message_size is None else max_message_size,
        math.inf if max_queue is None else max_queue,
        check_seconds("close_timeout", close_timeout),
        interval,
        check_seconds("ping_timeout", ping_timeout),
    )


def check_message(data: str | bytes | bytearray | memoryview) -> str | bytes:
    """Check what is to be sent, and copy it if it can change.

    Raises:
        InvalidArgTypeError: it is neither text nor bytes.
        InvalidArgValueError: it has a lone surrogate, which UTF-8 has not.
    """
    if isinstance(data, str):
        _encode("data", data)
        return data
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise InvalidArgTypeError(f"data must be text or bytes, not {type(data).__name__}")
    return bytes(data)


def _encode(name: str, text: str) -> bytes:
    if not isinstance(text, str):
        raise InvalidArgTypeError(f"{name} must be text, not {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidArgValueError(f"{name} has a lone surrogate") from exc


def check_close(code: int, reason: str, *, client: bool) -> None:
    """Check what a close frame is to say (RFC 6455 section 7.4).

    Raises:
        InvalidArgValueError: *code* may not be sent from that side, *reason* has
            more than 123 bytes or cannot be encoded.
        InvalidArgTypeError: *code* is no integer, or *reason* no text.
    """
    if isinstance(code, bool) or not isinstance(code, int):
        raise InvalidArgTypeError(f"code must be an integer, not {code!r}")
    permitted = (1000,) if client else SERVER_CODES
    if code not in permitted and not 3000 <= code <= 4999:
        raise InvalidArgValueError(f"code must be 1000 or 3000 to 4999, not {code}")
    if len(_encode("reason", reason)) > MAX_REASON:
        raise InvalidArgValueError(f"reason must have at most {MAX_REASON} bytes")
