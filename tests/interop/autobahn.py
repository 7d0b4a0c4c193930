"""Autobahn's test suite against our WebSocket, on either side.

It runs under Python 2.7, found through pyenv or on the path, in an environment that
is made once in the cache directory.  `python -m tests.interop.autobahn server 12.*`
runs some cases by hand and prints the score.
"""

from __future__ import annotations

import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import attrs
import trio

import trio_nodehttp as http
from tests.interop import peers, suites
from tests.interop.websocket_ends import echo_server

VERSION = "25.10.1"
# The last virtualenv that can make an environment for Python 2.7.
VIRTUALENV = "virtualenv<20.22"
INSTALL_SECONDS = 300.0
#: Every case but limits (9) and compression (12, 13), which take their time.
CORE = [f"{section}.*" for section in (*range(1, 8), 10)]
#: The largest message of section 9, and room for more.
MAX_MESSAGE_SIZE = 2**25
PASSED = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})


@attrs.frozen
class Score:
    """What a run found.

    Attributes:
        behaviors: How many cases ended in each way.
        closes: How many connections were closed in each way.
        failed: The cases that failed, or were closed wrongly.
    """

    behaviors: collections.Counter[str]
    closes: collections.Counter[str]
    failed: list[str]

    @property
    def cases(self) -> int:
        """How many cases were run."""
        return self.behaviors.total()


def read_score(report: Path) -> Score:
    """Read the index of a report of one agent."""
    index: dict[str, dict[str, Any]] = json.loads(report.read_text())
    (cases,) = index.values()
    behaviors = collections.Counter(str(case["behavior"]) for case in cases.values())
    closes = collections.Counter(str(case["behaviorClose"]) for case in cases.values())
    failed = [
        f"{name}: {case['behavior']}, close {case['behaviorClose']}"
        for name, case in sorted(cases.items())
        if not {case["behavior"], case["behaviorClose"]} <= PASSED
    ]
    return Score(behaviors, closes, failed)


def install() -> str:
    """Return the path of ``wstest``, installing it if need be.

    Raises:
        RuntimeError: There is no Python 2.7, or pip failed. Never skipped.
    """
    home = suites.cache_dir() / f"autobahn-{VERSION}"
    program = home / "py27" / "bin" / "wstest"
    if not program.exists():
        with tempfile.TemporaryDirectory(dir=suites.cache_dir()) as scratch:
            tools = Path(scratch) / "tools"
            run([sys.executable, "-m", "venv", str(tools)])
            run([str(tools / "bin" / "pip"), "install", "--quiet", VIRTUALENV])
            make = [str(tools / "bin" / "virtualenv"), "--quiet", "-p", find_python27()]
            run([*make, str(home / "py27")])
        pip = str(home / "py27" / "bin" / "pip")
        run([pip, "install", "--quiet", f"autobahntestsuite=={VERSION}"])
    return str(program)


def find_python27() -> str:
    """Return the path of a Python 2.7.

    Raises:
        RuntimeError: None is installed.
    """
    roots = [Path(os.environ.get("PYENV_ROOT", "")), Path.home() / ".pyenv"]
    found = [path for root in roots for path in root.glob("versions/2.7.*/bin/python2.7")]
    path = str(found[0]) if found else shutil.which("python2.7")
    if path is None:
        raise RuntimeError("Autobahn's suite needs Python 2.7, which is not installed")
    return path


def run(command: list[str]) -> None:
    """Run a step of the installation.

    Raises:
        RuntimeError: It failed.
    """
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr}")


async def run_server(cases: list[str], seconds: float) -> Score:
    """Run cases against our server, within some seconds."""
    program = install()
    with tempfile.TemporaryDirectory() as folder, trio.fail_after(seconds):
        async with echo_server({"max_message_size": MAX_MESSAGE_SIZE}) as url:
            spec = _write_spec(folder, cases, servers=[{"agent": "ours", "url": url}])
            await trio.run_process(
                [program, "-m", "fuzzingclient", "-s", spec], capture_stdout=True
            )
        return read_score(Path(folder) / "index.json")


async def run_client(cases: list[str], seconds: float) -> Score:
    """Run cases against our client, within some seconds."""
    program = install()
    port = peers.free_port()
    with tempfile.TemporaryDirectory() as folder, trio.fail_after(seconds):
        url = f"ws://127.0.0.1:{port}"
        spec = _write_spec(folder, cases, url=url)
        command = [program, "-m", "fuzzingserver", "-u", "0", "-s", spec]
        async with trio.open_nursery() as nursery:
            await nursery.start(_run_quietly, command)
            await _run_cases(url)
            nursery.cancel_scope.cancel()
        return read_score(Path(folder) / "index.json")


async def _run_quietly(command: list[str], task_status: Any) -> None:
    await trio.run_process(
        command,
        capture_stdout=True,
        capture_stderr=True,
        task_status=task_status,
    )


async def _run_cases(url: str) -> None:
    for case in range(1, await _count_cases(url) + 1):
        # Many cases break the rules and are closed with an error, as they have to.
        try:
            async with http.WebSocket(
                f"{url}/runCase?case={case}&agent=ours",
                max_message_size=MAX_MESSAGE_SIZE,
            ) as ws:
                async for message in ws:
                    await ws.send(message)
        except http.WebSocketError:
            continue
    async with http.WebSocket(f"{url}/updateReports?agent=ours") as ws:
        async for _ in ws:
            pass


async def _count_cases(url: str) -> int:
    """Ask how many cases there are, once the fuzzing server listens."""
    while True:
        try:
            async with http.WebSocket(f"{url}/getCaseCount") as ws:
                return int(await ws.receive())
        except OSError:
            await trio.sleep(0.1)


def _write_spec(folder: str, cases: list[str], **more: object) -> str:
    path = Path(folder) / "spec.json"
    spec = {"outdir": folder, "cases": cases, "exclude-cases": [], **more}
    path.write_text(json.dumps({**spec, "exclude-agent-cases": {}}))
    return str(path)


async def main(*words: str) -> None:
    """Run some cases by hand: a side, then the cases."""
    side, *cases = words
    chosen = {"server": run_server, "client": run_client}[side]
    print(await chosen(cases or CORE, 3600))


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
