"""What Node and we make of the same bytes is the same, or decided and said why."""

from __future__ import annotations

import pytest
import trio

from tests.interop import beside_node, client_cases, server_cases
from tests.interop.beside_node import Answer, ClientCase, Pair, ServerCase
from tests.interop.score import Told
from tests.interop.server_setups import SETUPS
from tests.node.rows import load_behaviours

WANTED_ROWS = 60


@pytest.fixture(scope="module")
def server_pairs() -> dict[str, Pair[Answer]]:
    pairs = beside_node.run_servers(server_cases.CASES, SETUPS)
    print(beside_node.describe(pairs, server_cases.CASES))
    return pairs


@pytest.fixture(scope="module")
def client_pairs() -> dict[str, Pair[Told]]:
    pairs = trio.run(beside_node.run_clients, client_cases.CASES)
    print(beside_node.describe(pairs, client_cases.CASES))
    return pairs


@pytest.mark.parametrize("case", server_cases.CASES, ids=lambda case: case.name)
def test_servers_answer_alike(server_pairs: dict[str, Pair[Answer]], case: ServerCase) -> None:
    beside_node.check_server(server_pairs[case.name], case)


@pytest.mark.parametrize("case", client_cases.CASES, ids=lambda case: case.name)
def test_clients_report_alike(client_pairs: dict[str, Pair[Told]], case: ClientCase) -> None:
    beside_node.check_client(client_pairs[case.name], case)


@pytest.mark.parametrize(
    "cases", [server_cases.CASES, client_cases.CASES], ids=["servers", "clients"]
)
def test_case_names_are_told_apart(cases: list[ServerCase] | list[ClientCase]) -> None:
    assert len({case.name for case in cases}) == len(cases)


def test_cases_name_rows_enough() -> None:
    named = {case.row for case in server_cases.CASES}
    named |= {case.row for case in client_cases.CASES}
    assert named <= set(load_behaviours())
    assert len(named) >= WANTED_ROWS
