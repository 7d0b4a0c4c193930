"""Run the benchmarks: ``python -m benchmarks {server,client,stream,tunnel,pool,reading,all}``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from benchmarks import client, pool, reading, server, stream, tunnel
from benchmarks.measure import BenchmarkError, Plan
from benchmarks.report import Report, show, write_json

BENCHMARKS: Mapping[str, Callable[[Plan], Report]] = {
    "server": server.run,
    "client": client.run,
    "stream": stream.run,
    "tunnel": tunnel.run,
    "pool": pool.run,
    "reading": reading.run,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names.

    Returns:
        The exit code: 0, or 1 when a contender failed, or when ``--check`` is
        given and a budget is missed or could not be measured; 130 on Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    plan = _plan(options)
    names = list(BENCHMARKS) if options.which == "all" else [options.which]
    # Unwinding ends the contenders, so let `kill` unwind as Ctrl-C does.
    signal.signal(signal.SIGTERM, _unwind)
    reports = []
    try:
        for name in names:
            reports.append(BENCHMARKS[name](plan))
            show(reports[-1])
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    whole = Report(
        tables=tuple(table for each in reports for table in each.tables),
        budgets=tuple(budget for each in reports for budget in each.budgets),
    )
    if options.json is not None:
        write_json(options.json, plan, whole)
    return int(options.check and not all(budget.held for budget in whole.budgets))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    add = parser.add_argument
    add("which", choices=[*BENCHMARKS, "all"], nargs="?", default="all")
    add("--rounds", type=_count, help="turns per contender (default 5; quick: 1)")
    add("--seconds", type=_count, help="length of a turn (default 2; quick: 1)")
    add("--quick", action="store_true", help="a smoke run in under a minute")
    add("--json", type=Path, metavar="PATH", help="write every figure there")
    add("--check", action="store_true", help="exit 1 unless every budget is held")
    add(
        "--skip",
        action="append",
        default=[],
        metavar="NAME",
        help="leave a contender out; 'missing': those that are not installed",
    )
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        rounds=options.rounds or (1 if options.quick else 5),
        seconds=options.seconds or (1 if options.quick else 2),
        quick=options.quick,
        skip=frozenset(name for names in options.skip for name in names.split(",")),
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _unwind(number: int, frame: FrameType | None) -> None:
    del frame
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
