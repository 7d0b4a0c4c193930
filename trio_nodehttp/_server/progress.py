"""How long a request body may take: as long as it makes progress."""

from __future__ import annotations

import math

import trio

from .._connection import Connection
from .._errors import RequestTimeoutError
from .answers import MAX_DRAIN
from .options import ServerSettings


class Progress:
    """Receives the body bytes of one connection, within ``request_timeout``.

    Every ``min_body_progress`` bytes restart the time, so that a steady upload may
    take as long as it needs while a stalled or dripping one ends.
    """

    __slots__ = ("_at", "_connection", "_mark", "_options")

    def __init__(self, options: ServerSettings, connection: Connection) -> None:
        self._options = options
        self._connection = connection
        self._at = 0.0
        self._mark = 0
        connection.receive_body = self.receive

    def restart(self) -> None:
        """A body is about to be read."""
        self._at = trio.current_time()
        self._mark = self._connection.body_bytes

    async def receive(self) -> bytes:
        """Receive some bytes.

        Raises:
            RequestTimeoutError: The body made no progress.
            SocketHangUpError: The connection broke.

        A cancelled call has received nothing.
        """
        options = self._options
        read = self._connection.body_bytes
        step = options.min_body_progress
        if step is not None and read - self._mark >= step:
            self._mark = read
            self._at = trio.current_time()
        socket = self._connection.socket
        await trio.lowlevel.checkpoint_if_cancelled()
        data = socket.receive_now()
        if data is not None:
            # What is there needs no limit; a scope would double the cost.
            await trio.lowlevel.cancel_shielded_checkpoint()
            return data
        limit = options.request_timeout or math.inf
        with trio.move_on_at(self._at + limit):
            return await socket.receive()
        error = RequestTimeoutError(f"the body made no progress for {limit} s")
        self._connection.fault = error
        raise error

    async def drain(self, announced: int) -> bool:
        """Throw away the rest of a body, up to ``MAX_DRAIN`` bytes.

        Args:
            announced: Its length, or a negative number where that is not known.

        Returns:
            Whether its end was found.

        Raises:
            ParseError: The framing is wrong.

        Raises otherwise what ``receive`` does. A cancelled call can be repeated.
        """
        if announced > MAX_DRAIN:
            return False
        self.restart()
        budget = MAX_DRAIN
        while budget > 0:
            data = await self._connection.read_body(None)
            if not data:
                return True
            budget -= len(data)
        return False
