"""Start and stop the programs on the other side, ours included.

Each program runs as a child whose first line on standard output is a JSON object
with its ports (peers of ours), or is asked for on the command line (everybody
else's). Children end when their standard input does, and are stopped by pid.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "node"
START_SECONDS = 20.0
STOP_SECONDS = 5.0
RUN_SECONDS = 120.0


def find_program(name: str) -> str:
    """Return the path of a peer program.

    Raises:
        RuntimeError: It is not installed. A peer that is missing is an error and
            never a skipped test.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        msg = f"{name} is needed by the interop tests and is not installed"
        raise RuntimeError(msg)
    return found


@attrs.frozen
class Peer:
    """A running child: its process and the loopback ports of its servers by name."""

    process: subprocess.Popen[str]
    ports: dict[str, int]

    @property
    def port(self) -> int:
        """The port of its only server, or of its first."""
        return next(iter(self.ports.values()))

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port

    @property
    def url(self) -> str:
        """The origin as a URL without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self.process.pid


@contextlib.contextmanager
def run_peer(command: list[str], *, port: int = 0) -> Iterator[Peer]:
    """Run a server as a child for the length of the block.

    Args:
        command: Program and arguments.
        port: Where it listens if it cannot say so itself; 0 reads the JSON line
            that our own scripts print first.

    Raises:
        RuntimeError: It ended or kept silent instead of listening.
    """
    environment = os.environ | {"PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    ) as process:
        try:
            yield Peer(process, _await_ports(process, port))
        finally:
            stop(process)


def node(script: str, settings: Mapping[str, object] | None = None) -> list[str]:
    """Return the command line of one of our scripts for Node."""
    program = find_program("node")
    return [program, str(SCRIPTS / script), json.dumps(dict(settings or {}))]


def ours(module: str, settings: Mapping[str, object] | None = None) -> list[str]:
    """Return the command line of one of our own peers, a module beside this one."""
    name = f"tests.interop.{module}"
    return [sys.executable, "-m", name, json.dumps(dict(settings or {}))]


def stop(process: subprocess.Popen[str]) -> None:
    """End a child: politely, then not; it is gone when this returns."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)


def run_program(
    command: list[str], *, seconds: float = RUN_SECONDS, data: bytes | None = None
) -> str:
    """Run a program to its end and return what it printed, errors included.

    Raises:
        RuntimeError: It failed.
        subprocess.TimeoutExpired: It took longer than ``seconds``.
    """
    done = subprocess.run(
        [find_program(command[0]), *command[1:]],
        cwd=ROOT,
        input=data,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )
    told = done.stdout.decode(errors="replace")
    if done.returncode:
        msg = f"{command[0]} failed with {done.returncode}: {told}"
        raise RuntimeError(msg)
    return told


def free_port() -> int:
    """Return a port that was free a moment ago, for programs that cannot choose."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def memory_peak(pid: int) -> int:
    """Return the peak resident memory of a process so far, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    msg = f"process {pid} has no memory figures"
    raise RuntimeError(msg)


def _await_ports(process: subprocess.Popen[str], port: int) -> dict[str, int]:
    if port:
        _await_listener(process, port)
        return {"only": port}
    ports: dict[str, int] = json.loads(_first_line(process))["ports"]
    return ports


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        ready = selector.select(START_SECONDS)
    line = process.stdout.readline() if ready else ""
    if not line:
        msg = f"{process.args!r} did not say where it listens"
        raise RuntimeError(msg)
    return line


def _await_listener(process: subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    msg = f"{process.args!r} does not listen on port {port}"
    raise RuntimeError(msg)
