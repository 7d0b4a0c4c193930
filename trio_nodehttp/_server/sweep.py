"""Notices peers that left while a handler runs: one poll over the busy sockets."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable
from typing import Final

from .state import SessionState

_POLLRDHUP: Final[int] = getattr(select, "POLLRDHUP", 0)
_GONE: Final[int] = _POLLRDHUP | select.POLLERR | select.POLLHUP


def find_departed(sessions: Iterable[SessionState], rdhup: int = _POLLRDHUP) -> list[SessionState]:
    """Find the sessions whose handler runs, and whose peer has left.

    Args:
        sessions: All sessions.
        rdhup: The event that tells that a peer has ended its side; 0 on platforms that
            have none, where a peek at the next byte tells.

    Returns:
        The sessions whose peer has ended its side, or reset.
    """
    poll = select.poll()
    found = []
    watched: dict[int, SessionState] = {}
    for session in sessions:
        if not session.at_work:
            continue
        descriptor = session.socket.watch_descriptor()
        if session.peer_left:
            found.append(session)
        elif descriptor is not None:
            watched[descriptor] = session
            poll.register(descriptor, _GONE | (rdhup or select.POLLIN))
    if watched:
        for descriptor, events in poll.poll(0):
            if events & _GONE or (not rdhup and _at_end(descriptor)):
                found.append(watched[descriptor])
    return found


def _at_end(descriptor: int) -> bool:
    """Say whether a readable socket has nothing more to read."""
    peeked = socket.socket(fileno=descriptor)
    try:
        return not peeked.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
    finally:
        peeked.detach()
