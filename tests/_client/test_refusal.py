"""What a proxy or a WebSocket's server says in place of yes is kept on the error."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from trio_nodehttp.testing import Close, Expect, FaultyServer, MemoryNetwork, Send, Stall

LONG = b"x" * 100_000
REFUSALS = [
    pytest.param([Send(b"Content-Length: 2\r\n\r\nno"), Stall()], b"no", 0, id="whole"),
    pytest.param([Send(b"Content-Length: 0\r\n\r\n"), Stall()], b"", 0, id="empty"),
    pytest.param([Send(b"\r\nuntil the end"), Close()], b"until the end", 0, id="to the end"),
    pytest.param([Send(b"Content-Length: 9\r\n\r\nno"), Close()], b"no", 0, id="cut off"),
    pytest.param([Send(b"Content-Length: 9\r\n\r\nno"), Stall()], b"no", 1, id="stalled"),
    pytest.param([Send(b"\r\n" + LONG), Stall()], LONG[:65536], 0, id="long"),
]


@pytest.mark.parametrize(("script", "body", "seconds"), REFUSALS)
@pytest.mark.parametrize("who", ["proxy", "server"])
async def test_the_beginning_of_a_refusal_is_kept(  # noqa: PLR0917
    memory_network: MemoryNetwork,
    autojump_clock: Any,
    script: list[Any],
    body: bytes,
    seconds: float,
    who: str,
) -> None:
    start = b"HTTP/1.1 403 Forbidden\r\nX-Why: because\r\n"
    peer = FaultyServer([Expect(b"\r\n\r\n"), Send(start), *script])
    memory_network.listen(f"{who}.test", 80, peer)
    began = trio.current_time()
    async with memory_network.agent(proxy="proxy.test:80" if who == "proxy" else None) as agent:
        with pytest.raises((http.ProxyError, http.WebSocketHandshakeError)) as caught:
            async with http.WebSocket("ws://server.test", agent=agent):
                pass
        stats = agent.stats()
        assert (stats.active, stats.connecting, stats.queued) == (0, 0, 0)
    error: Any = caught.value
    assert error.body == body
    assert error.response.status_code == 403
    assert error.response.headers["x-why"] == "because"
    assert trio.current_time() - began == pytest.approx(seconds)


async def test_within_its_scope_a_refusal_is_read_by_hand(memory_network: MemoryNetwork) -> None:
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    memory_network.listen("server.test", 80, FaultyServer([Expect(b"\r\n\r\n"), Send(answer)]))
    headers = {"Connection": "Upgrade", "Upgrade": "x"}
    async with (
        memory_network.agent() as agent,
        http.request("http://server.test", headers=headers, agent=agent) as request,
    ):
        with pytest.raises(http.UpgradeRefusedError) as caught:
            await request.upgrade()
        assert caught.value.body == b""
        assert await caught.value.response.text() == "no"
