"""What a refusal says, kept for the error that tells of it."""

from __future__ import annotations

from typing import Final

import trio

from .._errors import HTTPError
from .._incoming import IncomingMessage

_MOST: Final = 65536  # bytes
_PATIENCE: Final = 1.0  # seconds


async def read_beginning(response: IncomingMessage) -> bytes:
    """Read what comes of a body within a second, 64 KiB at most.

    What breaks it off is no error here. Cancelled, the response can only be left.
    """
    read = bytearray()
    with trio.move_on_after(_PATIENCE):
        try:
            while len(read) < _MOST and (data := await response.receive_some(_MOST - len(read))):
                read += data
        except HTTPError:
            pass
    return bytes(read)
