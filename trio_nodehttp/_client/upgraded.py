"""What a client has once HTTP is done with its connection."""

from __future__ import annotations

from typing import NamedTuple

from .._incoming import IncomingMessage
from .._upgraded import UpgradedStream


class Upgraded(NamedTuple):
    """What a client gets from ``upgrade()`` and ``connect()``; it can be unpacked.

    Attributes:
        response: The response head that opened the stream.
        stream: The raw stream.
    """

    response: IncomingMessage
    stream: UpgradedStream
