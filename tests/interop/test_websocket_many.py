"""A thousand WebSockets at once in one process: each gets its echoes."""

from __future__ import annotations

import json

import pytest

from tests.interop import peers
from tests.interop.conftest import Tell

CONNECTIONS = 1000
ROUNDS = 5
#: KiB of client and server together; compression keeps two windows at each end.
MOST = {False: 100, True: 300}


@pytest.mark.parametrize("compression", [False, True])
def test_a_thousand_at_once(compression: bool, tell: Tell) -> None:
    crowd = {"connections": CONNECTIONS, "rounds": ROUNDS, "compression": compression}
    told = json.loads(peers.run_program(peers.ours("websocket_many", crowd)))
    assert told["echoes"] == CONNECTIONS * ROUNDS
    opened, used = round(told["open"]), round(told["used"])
    tell(f"{opened} KiB per open connection, {used} KiB once used, both ends counted")
    assert told["used"] < MOST[compression]
