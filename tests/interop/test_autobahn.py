"""Autobahn's suite on both sides: nothing may fail, no close may be wrong.

Sections 12 and 13 take a quarter of an hour a side and are run by hand, see
autobahn.py; their short cases are here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.interop import autobahn
from tests.interop.conftest import Tell

#: One case of each kind of compressed message, and of each way to agree on it.
COMPRESSED = ["12.1.1", "12.2.1", "12.3.1", *[f"13.{i}.1" for i in range(1, 8)]]

Run = Callable[[list[str], float], Awaitable[autobahn.Score]]
SIDES = [
    pytest.param(autobahn.run_server, id="server"),
    pytest.param(autobahn.run_client, id="client"),
]


@pytest.mark.parametrize("run", SIDES)
async def test_the_core_cases(run: Run, tell: Tell) -> None:
    score = await run(autobahn.CORE, 120)
    tell(score)
    assert score.cases == 247
    assert score.failed == []
    assert score.closes["OK"] + score.closes["INFORMATIONAL"] == 247


@pytest.mark.parametrize("run", SIDES)
async def test_large_and_many_messages(run: Run, tell: Tell) -> None:
    score = await run(["9.*"], 180)
    tell(score)
    assert score.behaviors == {"OK": 54}
    assert score.closes == {"OK": 54}


@pytest.mark.parametrize("run", SIDES)
async def test_compressed_messages(run: Run, tell: Tell) -> None:
    score = await run(COMPRESSED, 180)
    tell(score)
    assert score.behaviors == {"OK": len(COMPRESSED)}
