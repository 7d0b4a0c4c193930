"""llhttp's vectors and gunicorn's request files: how ours compares.

The figures to reach are the ones that Node and others reach, measured the same
way. Node runs beside us so that a yardstick that has gone wrong shows itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.interop import peers, scripted, suite_runs
from tests.interop.score import Verdict


@pytest.fixture(scope="module")
def node_echo() -> Iterator[peers.Peer]:
    with peers.run_peer(peers.node("server.js", {"handler": "echo"})) as peer:
        yield peer


@pytest.fixture(scope="module")
def our_echo() -> Iterator[peers.Peer]:
    with peers.run_peer(peers.ours("our_server", {"handler": "echo"})) as peer:
        yield peer


def test_node_server_agrees_with_the_vectors(node_echo: peers.Peer) -> None:
    table = trio.run(suite_runs.run_server_vectors, "Node's server", node_echo.address)
    print(table)
    # Node 20 carries an older llhttp, which differs about tabs in two of them.
    assert len(table.rows) == 128
    assert table.count(Verdict.AGREE) >= 126


def test_our_server_agrees_with_the_vectors(our_echo: peers.Peer) -> None:
    table = trio.run(suite_runs.run_server_vectors, "our server", our_echo.address)
    print(table)
    assert len(table.rows) == 128
    assert table.count(Verdict.LAXER) == 0, str(table)
    assert table.count(Verdict.DIFFERS) == 0, str(table)
    assert table.count(Verdict.AGREE) >= 122, str(table)


async def test_node_client_agrees_with_the_vectors() -> None:
    vectors = suite_runs.load_responses()
    upgrades = [index for index, vector in enumerate(vectors) if vector.upgrade]
    settings = {"count": len(vectors), "upgrades": upgrades}
    async with scripted.scripted_server([vector.data for vector in vectors]) as port:
        reports = await scripted.ask_node(port, settings)
    table = suite_runs.judge_clients("Node's client", vectors, reports)
    print(table)
    # One of them came after the llhttp in Node 20.
    assert len(table.rows) == 75
    assert table.count(Verdict.AGREE) >= 74


async def test_our_client_agrees_with_the_vectors() -> None:
    vectors = suite_runs.load_responses()
    requests = [{"upgrade": vector.upgrade} for vector in vectors]
    async with scripted.scripted_server([vector.data for vector in vectors]) as port:
        reports = await scripted.ask_ours(port, requests)
    table = suite_runs.judge_clients("our client", vectors, reports)
    print(table)
    assert len(table.rows) == 75
    assert table.count(Verdict.LAXER) == 0, str(table)
    assert table.count(Verdict.DIFFERS) == 0, str(table)
    assert table.count(Verdict.AGREE) >= 67, str(table)


def test_node_server_reads_gunicorns_files(node_echo: peers.Peer) -> None:
    valid = trio.run(suite_runs.run_valid_files, node_echo.address)
    invalid = trio.run(suite_runs.run_invalid_files, node_echo.address)
    print(f"Node: valid {valid}\nNode: invalid {invalid}")
    assert (valid.good, valid.total) == (41, 47)
    assert (invalid.good, invalid.total) == (57, 65)


def test_our_server_takes_gunicorns_valid_files(our_echo: peers.Peer) -> None:
    valid = trio.run(suite_runs.run_valid_files, our_echo.address)
    print(f"ours: valid {valid}")
    assert valid.total == 47
    assert valid.good >= 37, str(valid)


def test_our_server_refuses_gunicorns_invalid_files(our_echo: peers.Peer) -> None:
    invalid = trio.run(suite_runs.run_invalid_files, our_echo.address)
    print(f"ours: invalid {invalid}")
    assert invalid.total == 65
    # Another Content-Type, and empty lines before a request: no MUST against them.
    assert invalid.others <= 3, str(invalid)
