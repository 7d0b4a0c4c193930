"""Connections that a handler takes over, byte by byte."""

from __future__ import annotations

from typing import Any

import pytest

import trio_nodehttp as http
from tests._server.kit import ask, hello, serving

UPGRADE = ("Connection: upgrade", "Upgrade: chat")


@pytest.mark.parametrize("framing", ["Content-Length: 4", "Transfer-Encoding: chunked"])
async def test_what_a_head_says_of_a_body_is_the_streams(framing: str, autojump_clock: Any) -> None:
    """As in Node, whose request has no body then."""

    async def upgrade(request: http.IncomingMessage, stream: Any) -> None:
        assert request.complete
        assert await request.read() == b""
        await stream.send_all(b"got " + await stream.receive_some())

    async with serving(hello) as served:
        served.server.on("upgrade", upgrade)
        client = await served.connect()
        await client.send(ask("/", *UPGRADE, framing, "Expect: 100-continue"), b"4\r\nbody")
        assert await client.until_end() == b"got 4\r\nbody"


async def test_a_refused_tunnel_is_not_read(autojump_clock: Any) -> None:
    async with serving(hello, max_requests_per_socket=1) as served:
        client = await served.connect()
        await client.send(ask("x:1", method="CONNECT"), ask())
        assert await client.until_end() == b""
