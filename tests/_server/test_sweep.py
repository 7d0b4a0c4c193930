from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import Client, ask, dialled, listening
from trio_nodehttp._server.state import SessionState
from trio_nodehttp._server.sweep import _at_end, find_departed

HOUR = 3600


@asynccontextmanager
async def at_work() -> AsyncIterator[tuple[Client, list[SessionState]]]:
    """Have one handler run; it is never swept by the server itself."""

    async def forever(request: Any, response: Any) -> None:
        await trio.sleep_forever()

    server = http.create_server(forever, connections_checking_interval=HOUR)
    async with listening(server), dialled(server) as client:
        await client.send(ask())
        while not any(session.at_work for session in server._sessions):
            await trio.lowlevel.checkpoint()
        yield client, list(server._sessions)


@pytest.mark.parametrize("rdhup", [True, False])
@pytest.mark.parametrize("how", ["stays", "pipelines", "half-closes", "resets"])
async def test_who_has_left(how: str, rdhup: bool) -> None:
    async with at_work() as (client, sessions):
        assert isinstance(client.stream, trio.SocketStream)
        if how == "pipelines":
            await client.send(ask("/2"))
        elif how == "half-closes":
            await client.end()
        elif how == "resets":
            linger = struct.pack("ii", 1, 0)
            client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            await client.stream.aclose()
        # Some platforms cannot poll for a peer that ended its side.
        found = find_departed(sessions) if rdhup else find_departed(sessions, rdhup=0)
        assert found == (sessions if how in ("half-closes", "resets") else [])
        for session in found:
            session.depart()
        assert not find_departed(sessions)  # once for each request


async def test_destroyed_and_idle_sockets_are_not_polled() -> None:
    async with at_work() as (_, sessions):
        sessions[0].socket.destroyed = True
        assert find_departed(sessions) == []
        sessions[0].socket.destroyed = False
        sessions[0].phase = 0
        assert find_departed(sessions) == []


def test_a_reset_between_poll_and_peek_is_a_departure() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        assert _at_end(ours.fileno())  # nothing to read where poll said so
