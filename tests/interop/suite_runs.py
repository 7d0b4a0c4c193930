"""Put the outside suites to a server or client, and count."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import attrs
import trio

from tests.interop import gunicorn_files, llhttp_vectors, score, suites, wire

# What llhttp refuses should be refused by then, and must be at the stream's end.
REFUSE_SECONDS = 2.0
# Where nothing is complete, nothing must come.
SILENCE_SECONDS = 0.6
TOGETHER = 24

Address = tuple[str, int]
Item = TypeVar("Item")


@attrs.frozen
class FileCount:
    """How many of gunicorn's files were read as gunicorn reads them."""

    good: int
    total: int
    bad: dict[str, str]

    @property
    def others(self) -> int:
        """How many were not."""
        return self.total - self.good

    def __str__(self) -> str:
        lines = [f"{self.good} of {self.total}"]
        lines += [f"  {name}: {note}" for name, note in self.bad.items()]
        return "\n".join(lines)


async def run_server_vectors(title: str, address: Address) -> score.Table:
    """Send llhttp's request vectors to an echo server, each on its connection."""
    vectors = llhttp_vectors.load_vectors(suites.fetch(suites.LLHTTP), "request")

    async def ask(vector: llhttp_vectors.Vector) -> wire.Exchange:
        wanted = len(vector.complete)
        data = llhttp_vectors.with_host(vector)
        if vector.error:
            return await wire.exchange_patiently(address, data, patience=REFUSE_SECONDS)
        seconds = wire.ANSWER_SECONDS if wanted else SILENCE_SECONDS
        return await wire.exchange(address, [data], answers=wanted, seconds=seconds)

    table = score.Table(title)
    for vector, told in zip(vectors, await _gather(ask, vectors), strict=True):
        table.add(vector.name, *score.judge_server(vector, told))
    return table


def load_responses() -> list[llhttp_vectors.Vector]:
    """Read llhttp's response vectors, for a scripted server to send."""
    return llhttp_vectors.load_vectors(suites.fetch(suites.LLHTTP), "response")


def judge_clients(
    title: str, vectors: list[llhttp_vectors.Vector], reports: list[score.Told]
) -> score.Table:
    """Compare what a client reported of each response vector."""
    table = score.Table(title)
    for vector, told in zip(vectors, reports, strict=True):
        table.add(vector.name, *score.judge_client(vector, told))
    return table


async def run_valid_files(address: Address) -> FileCount:
    """Send gunicorn's valid files to an echo server."""
    folder = suites.fetch(suites.GUNICORN)
    files = gunicorn_files.load_files(folder, "valid")

    async def ask(file: gunicorn_files.RequestFile) -> wire.Exchange:
        wanted = len(file.wanted)
        return await wire.exchange(address, [file.data], answers=wanted, seconds=3)

    told = await _gather(ask, files)
    good = [gunicorn_files.is_taken(*pair) for pair in zip(files, told, strict=True)]
    return _count(files, told, good)


async def run_invalid_files(address: Address) -> FileCount:
    """Send gunicorn's invalid files to an echo server, then end our side."""
    folder = suites.fetch(suites.GUNICORN)
    files = gunicorn_files.load_files(folder, "invalid")

    async def ask(file: gunicorn_files.RequestFile) -> wire.Exchange:
        return await wire.exchange(address, [file.data], half_close=True, seconds=REFUSE_SECONDS)

    told = await _gather(ask, files)
    return _count(files, told, [gunicorn_files.is_refused(one) for one in told])


def _count(
    files: list[gunicorn_files.RequestFile],
    told: list[wire.Exchange],
    good: list[bool],
) -> FileCount:
    bad = {
        file.name: f"{[reply.status for reply in one.replies]} to {file.data[:120]!r}"
        for file, one, is_good in zip(files, told, good, strict=True)
        if not is_good
    }
    return FileCount(sum(good), len(good), bad)


async def _gather(
    ask: Callable[[Item], Awaitable[wire.Exchange]], items: Sequence[Item]
) -> list[wire.Exchange]:
    told = [wire.Exchange()] * len(items)
    limit = trio.CapacityLimiter(TOGETHER)

    async def one(index: int) -> None:
        async with limit:
            told[index] = await ask(items[index])

    async with trio.open_nursery() as nursery:
        for index in range(len(items)):
            nursery.start_soon(one, index)
    return told
