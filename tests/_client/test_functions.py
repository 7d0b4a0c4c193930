"""``request``, ``get`` and which agent they use."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import read_all, wire
from trio_nodehttp._client.functions import open_upgrade
from trio_nodehttp.testing import Expect, ExpectEnd, FaultyServer, Send

SWITCH = b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\nearly"


async def no_connection(_: object) -> Any:
    raise AssertionError


def test_which_agent_is_used() -> None:
    assert http.request("http://a/")._agent is http.global_agent
    own = http.Agent()
    assert http.request("http://a/", agent=own)._agent is own
    assert http.request({"host": "a", "agent": own})._agent is own
    lone = http.request("http://a/", agent=False)._agent
    assert lone is not http.global_agent
    assert not lone.keep_alive
    bare = http.request("http://a/", create_connection=no_connection)._agent
    assert bare is not http.global_agent
    with pytest.raises(TypeError, match="agent"):
        http.request("http://a/", agent="global")  # type: ignore[arg-type]


async def test_the_global_agent_can_be_another(
    nursery: Any, autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = http.global_agent
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    wired = await wire(
        nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(ok), ExpectEnd()])
    )
    with monkeypatch.context() as patch:
        patch.setattr(http, "global_agent", wired.agent)
        assert http.global_agent is wired.agent
        async with http.get(wired.url) as response:
            assert wired.counts() == (1, 0, 0, 0)
            assert await response.text() == "hi"
    assert http.global_agent is former
    for wrong in (None, False, http.Agent):
        with pytest.raises(http.InvalidArgTypeError, match="global_agent"):
            http.global_agent = wrong  # type: ignore[assignment]
    assert http.request("http://a/")._agent is former


def test_unknown_option() -> None:
    with pytest.raises(TypeError, match=r"^request\(\) got an unexpected option 'surprise'$"):
        http.request("http://a/", surprise=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"option 'timout'; did you mean 'timeout'\?$"):
        http.get("http://a/", timout=1)  # type: ignore[call-arg]


async def test_get_that_fails_leaves_nothing(nursery: Any, autojump_clock: Any) -> None:
    async def close(stream: Any) -> None:
        await stream.receive_some()

    wired = await wire(nursery, "memory", close)
    with pytest.raises(http.SocketHangUpError):
        async with http.get(wired.url, agent=wired.agent):
            pytest.fail("there is no response")
    assert wired.counts() == (0, 0, 0, 0)


async def test_get_with_a_method_and_a_body(nursery: Any, autojump_clock: Any) -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    server = FaultyServer([Expect(b"\r\n\r\ndata"), Send(ok), ExpectEnd()])
    wired = await wire(nursery, "memory", server)
    async with http.get(wired.url, agent=wired.agent, method="PUT", body="data") as response:
        assert response.status_code == 200
    assert server.received[0].startswith(b"PUT / HTTP/1.1\r\n")


async def test_cancelled_get(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", read_all)
    with trio.move_on_after(1) as scope:
        async with http.get(wired.url, agent=wired.agent):
            pytest.fail("there is no response")
    assert scope.cancelled_caught
    await wired.all_ended()


async def test_open_upgrade(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(
        nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(SWITCH), ExpectEnd()])
    )
    headers = {"Connection": "Upgrade", "Upgrade": "raw"}
    async with open_upgrade(wired.url, headers=headers, agent=wired.agent, ssl_context=None) as (
        response,
        stream,
    ):
        assert response.status_code == 101
        assert await stream.receive_some() == b"early"
    await wired.all_ended()
