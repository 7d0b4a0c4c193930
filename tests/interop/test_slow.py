"""slowhttptest: 300 clients that are slow on purpose, beside a probe that is not."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.interop import peers
from tests.interop.conftest import Tell

CLIENTS = 300
TEST_SECONDS = 25
OPTIONS = {"headers_timeout": 3, "request_timeout": 5}


@attrs.frozen
class Outcome:
    """How many connections were closed, by when, and if the probe got through."""

    closed: int
    seconds: int
    available: bool


@pytest.fixture
def server() -> Iterator[peers.Peer]:
    with peers.run_peer(peers.ours("our_server", {"options": OPTIONS})) as peer:
        yield peer


def attack(url: str, folder: Path, *how: str) -> Outcome:
    """Run slowhttptest against a URL and read its second by second report."""
    many = ["-c", str(CLIENTS), "-r", str(CLIENTS), "-l", str(TEST_SECONDS)]
    report = folder / "slow"
    command = ["slowhttptest", *many, "-x", "10", "-g", "-o", str(report)]
    told = peers.run_program([*command, *how, "-u", url], seconds=TEST_SECONDS + 20)
    lines = report.with_suffix(".csv").read_text(encoding="ascii").splitlines()
    rows = list(csv.DictReader(lines))
    # It stops when the last one is closed, without a row for that moment.
    everyone = "No open connections left" in told
    return Outcome(
        closed=CLIENTS if everyone else int(rows[-1]["Closed"]),
        seconds=int(rows[-1]["Seconds"]),
        available=all(int(row["Service Available"]) > 0 for row in rows),
    )


@pytest.mark.parametrize(
    ("path", "how"),
    [
        pytest.param("/hello", ["-H", "-i", "2"], id="headers"),
        pytest.param("/sink", ["-B", "-i", "2", "-s", "8192"], id="body"),
        # At its usual 5 bytes in 5 s it would not reach the end of one short reply.
        pytest.param("/hello", ["-X", "-n", "1", "-z", "64"], id="reading"),
    ],
)
def test_slow_clients_are_closed(
    server: peers.Peer, tmp_path: Path, path: str, how: list[str], tell: Tell
) -> None:
    outcome = attack(server.url + path, tmp_path, *how)
    tell(f"{outcome} of {CLIENTS}")
    assert outcome.available
    assert outcome.closed >= CLIENTS - 1
    assert outcome.seconds <= 15
