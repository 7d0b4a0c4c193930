"""permessage-deflate: what the sides agree on, and the two streams of it (RFC 7692).

wsproto's own extension inflates a frame to whatever size it has and forgets, after a
ping between two fragments, that the message is compressed; so only its frame layer is
used, and this stands behind it.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable
from typing import Final

import attrs

NAME: Final = "permessage-deflate"
#: What a client offers; the hint lets the server choose a smaller window.
OFFER: Final = f"{NAME}; client_max_window_bits"
#: Window of what is compressed here: 12 bits and this level cost 32 KiB, not 256.
OWN_WINDOW_BITS: Final = 12
MEMORY_LEVEL: Final = 5
# zlib cannot write raw streams with a window of 2 ** 8 bytes.
SMALLEST_OWN_BITS: Final = 9
# Streams that one piece may hold: each costs a copy of the rest of the piece.
MOST_STREAMS: Final = 8
# RFC 7692 section 7.2.1: left out at the end of a message, put back by the reader.
TAIL: Final = b"\x00\x00\xff\xff"

Parameters = list[tuple[str, str | None]]
"""Parameters of one extension, in order; None is a name without a value."""

_PART = re.compile(
    r"""[ \t]*(?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)
        (?:[ \t]*=[ \t]*(?:(?P<token>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)
                          |"(?P<quoted>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)"))?
        [ \t]*(?P<end>[;,]|\Z)""",
    re.VERBOSE,
)
# RFC 9110 section 5.6.1.2: empty elements of a list count for nothing.
_NOTHING = re.compile(r"[ \t]*(?:,|\Z)")
_BITS = re.compile(r"8|9|1[0-5]").fullmatch


class BadExtensionsError(ValueError):
    """A Sec-WebSocket-Extensions field that breaks its grammar or its promises."""


@attrs.frozen
class DeflateParameters:
    """What both sides agreed on (RFC 7692 section 7.1).

    Attributes:
        server_no_context_takeover: the server compresses each message by itself.
        client_no_context_takeover: the client does.
        server_max_window_bits: window of the server's compressor, 8 to 15.
        client_max_window_bits: window of the client's.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15


def parse_extensions(field: str) -> list[tuple[str, Parameters]]:
    """Read a Sec-WebSocket-Extensions field (RFC 6455 section 9.1).

    Raises:
        BadExtensionsError: it breaks the grammar.
    """
    extensions: list[tuple[str, Parameters]] = []
    position, starts = 0, True
    while position < len(field) or not starts:
        nothing = _NOTHING.match(field, position) if starts else None
        if nothing is not None:
            position = nothing.end()
            continue
        part = _PART.match(field, position)
        if part is None or (starts and "=" in part[0]):
            raise BadExtensionsError(f"not a list of extensions: {field!r}")
        if starts:
            extensions.append((part["name"], []))
        else:
            extensions[-1][1].append((part["name"], part["token"] or part["quoted"]))
        position, starts = part.end(), part["end"] != ";"
    return extensions


def accept_offers(field: str) -> tuple[DeflateParameters, str] | None:
    """Choose the first offer of a client that can be met (RFC 7692 section 5.1).

    Returns:
        What is agreed, and the field that tells the client; None for no compression.

    Raises:
        BadExtensionsError: the field breaks the grammar.
    """
    for name, parameters in parse_extensions(field):
        values = _read_parameters(parameters) if name == NAME else None
        if values is not None and values.get("server_max_window_bits", "15"):
            return _answer(values)
    return None


def check_answer(field: str) -> DeflateParameters | None:
    """Read what a server answered to `OFFER` (RFC 7692 section 7.1).

    Returns:
        What is agreed; None if the server wants no compression.

    Raises:
        BadExtensionsError: the field breaks the grammar, names an extension or a
            parameter that was not offered, or names one twice.
    """
    extensions = parse_extensions(field)
    if not extensions:
        return None
    name, parameters = extensions[0]
    values = _read_parameters(parameters) if name == NAME else None
    if len(extensions) > 1 or values is None or "" in values.values():
        raise BadExtensionsError(f"the server chose what was not offered: {field!r}")
    return _agreed(values)


def _read_parameters(parameters: Parameters) -> dict[str, str] | None:
    """Parameters by name, "" where the hint has no value; None if one is wrong."""
    values: dict[str, str] = {}
    for name, value in parameters:
        if name in values:
            return None
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
            values[name] = "yes"
        elif name in ("server_max_window_bits", "client_max_window_bits"):
            if value is not None and not _BITS(value):
                return None
            values[name] = value or ""
        else:
            return None
    return values


def _answer(values: dict[str, str]) -> tuple[DeflateParameters, str]:
    """Grant what a client asked for, and narrow its window if it lets us."""
    chosen = dict(values)
    if "client_max_window_bits" in chosen:
        hint = int(chosen["client_max_window_bits"] or 15)
        chosen["client_max_window_bits"] = str(min(hint, OWN_WINDOW_BITS))
    return _agreed(chosen), "; ".join([NAME, *_write_parameters(chosen)])


def _agreed(values: dict[str, str]) -> DeflateParameters:
    return DeflateParameters(
        "server_no_context_takeover" in values,
        "client_no_context_takeover" in values,
        int(values.get("server_max_window_bits", 15)),
        int(values.get("client_max_window_bits", 15)),
    )


def _write_parameters(values: dict[str, str]) -> Iterable[str]:
    for name, value in values.items():
        yield f"{name}={value}" if name.endswith("_bits") else name


class TooLongError(Exception):
    """A message inflates to more than its limit."""


class Deflate:
    """The compressor and the decompressor of one connection.

    Neither exists before it is needed.

    Args:
        parameters: what was agreed.
        client: whether this end is the client.
    """

    __slots__ = (
        "_compressor",
        "_inflater",
        "_own_bits",
        "_own_resets",
        "_peer_bits",
        "_peer_resets",
    )

    def __init__(self, parameters: DeflateParameters, *, client: bool) -> None:
        bits = [parameters.server_max_window_bits, parameters.client_max_window_bits]
        resets = [
            parameters.server_no_context_takeover,
            parameters.client_no_context_takeover,
        ]
        self._own_bits = min(bits[client], OWN_WINDOW_BITS)
        self._own_resets = resets[client]
        self._peer_bits = bits[not client]
        self._peer_resets = resets[not client]
        self._compressor: zlib._Compress | None = None
        self._inflater: zlib._Decompress | None = None

    @property
    def compresses(self) -> bool:
        """Whether messages from here are compressed; zlib has no window of 8 bits."""
        return self._own_bits >= SMALLEST_OWN_BITS

    def compress(self, message: bytes) -> bytes:
        """Compress one whole message (RFC 7692 section 7.2.1)."""
        compressor = self._compressor or zlib.compressobj(
            wbits=-self._own_bits, memLevel=MEMORY_LEVEL
        )
        self._compressor = None if self._own_resets else compressor
        data = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return data[: -len(TAIL)]

    def inflate(self, data: bytes, room: float) -> bytes:
        """Inflate a piece of a message (RFC 7692 section 7.2.2).

        Args:
            data: the piece.
            room: bytes that it may come to; infinity is no limit.

        Raises:
            zlib.error: it is no such data.
            TooLongError: it inflates to more than *room*; little more was stored.
        """
        output = b""
        for _ in range(MOST_STREAMS):
            if self._inflater is None:
                self._inflater = zlib.decompressobj(-self._peer_bits)
            inflater = self._inflater
            # One byte more than fits tells "full" from "too long"; 0 is no limit.
            most = 0 if room == math.inf else int(room) - len(output) + 1
            output += inflater.decompress(data, most)
            if room < len(output):
                raise TooLongError
            if not inflater.eof:
                return output
            # RFC 7692 section 7.2.3.4: BFINAL ends a stream, and another may follow.
            data, self._inflater = inflater.unused_data, None
        raise zlib.error("too many final blocks")

    def end_message(self) -> None:
        """Forget the window, unless the peer goes on using it."""
        if self._peer_resets:
            self._inflater = None
