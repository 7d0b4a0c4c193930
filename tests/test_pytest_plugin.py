"""The fixtures, used the way a project that tests with them would."""

from __future__ import annotations

import trio.testing

from trio_nodehttp.testing import FaultyServer, MemoryNetwork

pytest_plugins = ["trio_nodehttp.pytest_plugin"]


async def test_memory_network_is_entered_for_the_test(
    memory_network: MemoryNetwork,
) -> None:
    memory_network.listen("origin.test", 80, FaultyServer.half_body())
    async with await memory_network.connect("origin.test") as client:
        await client.send_all(b"GET / HTTP/1.1\r\n\r\n")
        assert b"".join([chunk async for chunk in client]).endswith(b"hello")


async def test_a_stalled_peer_does_not_outlive_the_test(
    memory_network: MemoryNetwork,
) -> None:
    # The fixture ends the peer; were it left running, this would hang.
    memory_network.listen("origin.test", 80, FaultyServer.silent())
    await memory_network.connect("origin.test")
    await trio.testing.wait_all_tasks_blocked()
    assert len(memory_network.connections) == 1
