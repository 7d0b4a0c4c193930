from __future__ import annotations

from typing import Any, get_type_hints

import trio

from tests._server.kit import serving
from trio_nodehttp import IncomingMessage, Upgraded, UpgradedStream, request


async def answer(_: IncomingMessage, stream: UpgradedStream) -> None:
    await stream.send_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\nearly")


async def test_upgraded_can_be_taken_apart(autojump_clock: Any) -> None:
    async with serving() as served, served.network.agent() as agent:
        served.server.on("upgrade", answer)
        headers = {"Connection": "Upgrade", "Upgrade": "x"}
        async with request("http://a.test/", headers=headers, agent=agent) as asked:
            upgraded = await asked.upgrade()
            response, stream = upgraded
            assert (response, stream) == (upgraded.response, upgraded.stream)
            assert response.status_code == 101
            assert await stream.receive_some() == b"early"
    assert trio.current_time() < 1


def test_a_type_checker_knows_both_parts() -> None:
    assert get_type_hints(Upgraded) == {"response": IncomingMessage, "stream": UpgradedStream}
