"""Processes to measure: started, pinned, spoken to by lines, ended by pid."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import selectors
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import final

import attrs

ROOT = Path(__file__).resolve().parent.parent

#: Seconds that a contender may take to start or to answer beyond its run.
PATIENCE = 30.0

#: Prints as one word, so that a table shows who is measured.
OURS = "trio_nodehttp"


class BenchmarkError(Exception):
    """A contender is missing, died, or answered wrongly: no figure is valid."""


@attrs.frozen(kw_only=True)
class Contender:
    """One program that takes part.

    Attributes:
        name: As the tables and ``--skip`` say it.
        command: What to run; further arguments are appended.
        packages: Importable modules that it needs.
        tool: An executable that it needs, or None.
    """

    name: str
    command: tuple[str, ...]
    packages: tuple[str, ...] = ()
    tool: str | None = None

    @property
    def missing(self) -> str | None:
        """What must be installed before this can run, or None."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return f"Python package {package}"
        if self.tool is not None and shutil.which(self.tool) is None:
            return f"executable {self.tool}"
        return None


def python(name: str, module: str, *packages: str) -> Contender:
    """A contender that is one module of ``benchmarks``."""
    command = (sys.executable, "-m", f"benchmarks.{module}")
    return Contender(name=name, command=command, packages=packages)


def node(name: str, script: str) -> Contender:
    """A contender that is one script for Node."""
    path = str(ROOT / "benchmarks" / script)
    return Contender(name=name, command=("node", path), tool="node")


@attrs.frozen(kw_only=True)
class Plan:
    """What the command line asked for.

    Attributes:
        rounds: How often every contender has its turn.
        seconds: Length of one turn.
        quick: A smoke run: the figures are read, not relied on.
        skip: Contenders to leave out; ``missing`` stands for those whose
            package or tool is not installed.
    """

    rounds: int
    seconds: int
    quick: bool
    skip: frozenset[str]

    def choose(self, contenders: Iterable[Contender]) -> list[Contender]:
        """Those to run.

        Raises:
            BenchmarkError: One of them lacks something and is not skipped.
        """
        chosen = [each for each in contenders if each.name not in self.skip]
        if "missing" in self.skip:
            return [each for each in chosen if each.missing is None]
        for each in chosen:
            if each.missing is not None:
                raise BenchmarkError(
                    f"{each.name} needs {each.missing}; install it or use --skip {each.name}"
                )
        return chosen

    def turns(self, contenders: Sequence[str]) -> Iterable[tuple[int, list[str]]]:
        """Each round with its order; nobody always follows the same one."""
        for index in range(self.rounds):
            shift = index % len(contenders) if contenders else 0
            yield index, [*contenders[shift:], *contenders[:shift]]


@functools.cache
def cores() -> tuple[int | None, int | None]:
    """The contender's core and the load's; (None, None) if there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2 or shutil.which("taskset") is None:
        return None, None
    return usable[-1], usable[0]


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """The command, bound to one core; it keeps the pid it is started with."""
    if core is None:
        return list(command)
    return ["taskset", "-c", str(core), *command]


@final
class Child:
    """A contender's process. Leaving its scope kills it and waits for it.

    Args:
        contender: What to run.
        arguments: Appended to its command.
        beside: Run it on the load's core: it is not the one measured.
    """

    def __init__(self, contender: Contender, *arguments: object, beside: bool = False) -> None:
        self.name = contender.name
        self._process = subprocess.Popen(
            pinned([*contender.command, *map(str, arguments)], cores()[beside]),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.pid = self._process.pid
        self._unread = b""

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def tell(self, *words: object) -> None:
        """Write one line to it."""
        if self._process.stdin is None:
            raise BenchmarkError(f"{self.name} has no standard input")
        try:
            self._process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        except BrokenPipeError as error:
            raise BenchmarkError(f"{self.name} is gone") from error

    def hear(self, timeout: float = PATIENCE) -> str:
        """Read one line from it.

        Raises:
            BenchmarkError: It ended, or said nothing for *timeout* seconds.
        """
        if self._process.stdout is None:
            raise BenchmarkError(f"{self.name} has no standard output")
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise BenchmarkError(f"{self.name} is silent for {timeout:g} s")
                data = os.read(self._process.stdout.fileno(), 4096)
                if not data:
                    code = self._process.wait()
                    raise BenchmarkError(f"{self.name} ended with exit code {code}")
                self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def hear_number(self, timeout: float = PATIENCE) -> int:
        """Read one line that holds a whole number."""
        line = self.hear(timeout)
        try:
            return int(line)
        except ValueError:
            raise BenchmarkError(f"{self.name} said {line!r}, not a number") from None

    @property
    def cpu(self) -> float:
        """User and system seconds of all its threads so far."""
        # clock_getcpuclockid(3) in the kernel's own notation: it counts
        # nanoseconds where /proc/PID/stat counts ticks of 10 ms.
        return time.clock_gettime((~self.pid << 3) | 2)

    @property
    def memory(self) -> int:
        """Resident bytes now."""
        return self._status("VmRSS")

    @property
    def peak_memory(self) -> int:
        """Most resident bytes since it started or `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Start `peak_memory` again at what is resident now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")

    def _status(self, field: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        for line in status.splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise BenchmarkError(f"/proc/{self.pid}/status has no {field}")


@attrs.define
class Samples:
    """The figures of one run, by contender, one per round."""

    values: dict[str, list[float]] = attrs.field(factory=dict)

    def add(self, name: str, value: float) -> None:
        """Note one round's figure."""
        self.values.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        """The middle one of a contender's rounds."""
        return statistics.median(self.values[name])

    def ratio(self, name: str, base: str) -> float | None:
        """Median over the rounds of *name* by *base*; None if either is out."""
        if name not in self.values or base not in self.values:
            return None
        return _median_ratio(self.values[name], self.values[base])

    def over(self, other: Samples, name: str) -> float:
        """Median over the rounds of *name* here by *name* there."""
        return _median_ratio(self.values[name], other.values[name])

    def spread(self, name: str) -> tuple[float, float]:
        """The lowest and the highest round."""
        return min(self.values[name]), max(self.values[name])


def _median_ratio(values: Sequence[float], bases: Sequence[float]) -> float:
    pairs = zip(values, bases, strict=True)
    return statistics.median(value / base for value, base in pairs)


def versions(packages: Iterable[str]) -> Mapping[str, str]:
    """Installed version of each package that is there."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
