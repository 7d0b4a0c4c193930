"""The same raw bytes to Node's server and to ours; the same scripts to both clients.

A case carries the row of `tests/node/node_behaviours.tsv` that it is about. What
both sides make of it must be equal once the date is taken out. Where Node and the
RFC part, or the table describes a later Node than the one on this machine, the case
says so in ``decided``, and then the two must indeed differ.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import attrs
import trio

from tests.interop import peers, score, scripted, wire

Outcome = TypeVar("Outcome")

_DATE = re.compile(rb"\r\nDate: [^\r]*")
# Pieces are to arrive as such.
PAUSE_SECONDS = 0.05
TOGETHER = 24


@attrs.frozen
class Setup:
    """One way of setting up a server, said to both.

    ``options`` are ours; ``node_options`` are given to Node's `createServer`, and
    ``node_attributes`` are set on its server.
    """

    options: dict[str, Any] = attrs.field(factory=dict)
    node_options: dict[str, Any] = attrs.field(factory=dict)
    node_attributes: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class ServerCase:
    """Bytes for a server.

    ``answers`` is how many final replies to wait for; with 0 there is time until the
    server closes, up to ``seconds``. ``decided_end`` is for a case in which the bytes
    are equal and only the end of the connection differs.
    """

    name: str
    row: str
    pieces: list[bytes]
    answers: int = 1
    setup: str = "plain"
    half_close: bool = False
    seconds: float = wire.ANSWER_SECONDS
    decided: str = ""
    decided_end: str = ""


@attrs.frozen
class ClientCase:
    """A script of bytes for a client, and the options of its request."""

    name: str
    row: str
    script: bytes
    method: str = "GET"
    decided: str = ""


@attrs.frozen
class Answer:
    """What a server sent, without dates, and whether it closed the connection."""

    data: bytes
    closed: bool


@attrs.frozen
class Pair(Generic[Outcome]):
    """What Node and we made of a case, ready to be compared."""

    node: Outcome
    ours: Outcome


def node_setup(setup: Setup) -> dict[str, Any]:
    """Say a setup in the settings of node/server.js."""
    return {"options": setup.node_options, "attributes": setup.node_attributes}


def our_setup(setup: Setup) -> dict[str, Any]:
    """Say a setup in the settings of our_server.py."""
    return {"options": setup.options}


def run_servers(cases: Sequence[ServerCase], setups: dict[str, Setup]) -> dict[str, Pair[Answer]]:
    """Send every case to both servers.

    Returns:
        The answers of both to each case.
    """
    with (
        peers.run_peer(peers.node("server.js", _all(setups, node_setup))) as node,
        peers.run_peer(peers.ours("our_server", _all(setups, our_setup))) as ours,
    ):
        told = trio.run(_ask_servers, cases, (node, ours))
    return {
        case.name: Pair(_strip(one), _strip(other))
        for case, (one, other) in zip(cases, told, strict=True)
    }


async def run_clients(cases: Sequence[ClientCase]) -> dict[str, Pair[score.Told]]:
    """Serve every script to both clients.

    Returns:
        For each case, the report of each client: the response and the error's code.
    """
    scripts = [case.script for case in cases]
    options = [{"method": case.method} for case in cases]
    settings = {"count": len(cases), "each": dict(enumerate(options))}
    async with scripted.scripted_server(scripts) as port:
        node = await scripted.ask_node(port, settings)
        ours = await scripted.ask_ours(port, options)
    return {
        case.name: Pair(_settle(one), _settle(other))
        for case, one, other in zip(cases, node, ours, strict=True)
    }


def check_server(pair: Pair[Answer], case: ServerCase) -> None:
    """Compare; a decision about what does not differ is out of date."""
    if case.decided_end:
        assert pair.ours.data == pair.node.data
        assert pair.ours.closed != pair.node.closed, "no longer decided"
    else:
        check_client(pair, case)


def check_client(pair: Pair[Any], case: ServerCase | ClientCase) -> None:
    """Compare; a decision about what does not differ is out of date."""
    if case.decided:
        assert pair.ours != pair.node, "no longer decided"
    else:
        assert pair.ours == pair.node


def describe(pairs: Mapping[str, Pair[Any]], cases: Sequence[ServerCase | ClientCase]) -> str:
    """Print the table: equal, decided with its reason, or different."""
    counts = Counter[str]()
    lines = []
    for case in cases:
        reason = case.decided or getattr(case, "decided_end", "")
        pair = pairs[case.name]
        word = "equal" if pair.node == pair.ours else "decided" if reason else "DIFFERS"
        counts[word] += 1
        lines.append(f"{word:8} {case.name} ({case.row}){reason and ': '}{reason}")
    rows = len({case.row for case in cases})
    told = ", ".join(f"{count} {word}" for word, count in counts.items())
    return "\n".join([*lines, f"{told}, of {len(cases)} cases for {rows} rows"])


def _all(setups: dict[str, Setup], say: Any) -> dict[str, Any]:
    return {"servers": {name: say(setup) for name, setup in setups.items()}}


async def _ask_servers(
    cases: Sequence[ServerCase], servers: tuple[peers.Peer, ...]
) -> list[list[wire.Exchange]]:
    told = [[wire.Exchange() for _ in servers] for _ in cases]
    limit = trio.CapacityLimiter(TOGETHER)

    async def one(at: int, which: int) -> None:
        case, port = cases[at], servers[which].ports[cases[at].setup]
        async with limit:
            told[at][which] = await wire.exchange(
                ("127.0.0.1", port),
                case.pieces,
                answers=case.answers,
                half_close=case.half_close,
                seconds=case.seconds,
                pause=PAUSE_SECONDS,
            )

    async with trio.open_nursery() as nursery:
        for at in range(len(cases)):
            for which in range(len(servers)):
                nursery.start_soon(one, at, which)
    return told


def _strip(told: wire.Exchange) -> Answer:
    return Answer(_DATE.sub(b"", told.data), told.closed)


def _settle(told: score.Told) -> score.Told:
    # Node reports what is wrong with a body before it hands out the head, or after:
    # it depends on the packets.
    return score.Told(error=told.error) if told.error.startswith("HPE_") else told
