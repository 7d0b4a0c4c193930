"""Notices peers that left while a handler runs: one poll over the busy sockets."""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator
from typing import Final

from .session import HANDLER, Session

# The peer has ended its side, or reset. Where a platform cannot tell the former
# without reading, only the latter is noticed.
_GONE: Final[int] = getattr(select, "POLLRDHUP", 0) | select.POLLERR | select.POLLHUP


def find_departed(sessions: Iterable[Session]) -> Iterator[Session]:
    """Find the sessions whose handler runs since the last sweep, and whose peer has left.

    Args:
        sessions: All sessions; those seen at work are marked.

    Yields:
        Sessions whose peer has left, once each for a request.
    """
    poll = select.poll()
    watched: dict[int, Session] = {}
    for session in sessions:
        if session.phase != HANDLER or session.request is None or session.request.aborted:
            continue
        descriptor = session.socket.watch_descriptor()
        if descriptor is not None:
            watched[descriptor] = session
            poll.register(descriptor, _GONE)
    if watched:
        for descriptor, _ in poll.poll(0):
            yield watched[descriptor]
