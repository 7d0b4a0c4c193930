"""One word per check; `nox` with no arguments is what CI runs."""

import os
import shutil
import subprocess
import sys

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
# Two processes keep the suite under a minute; more would crowd the real sockets.
TWO_AT_ONCE = ("-n", "2")
PEERS = tuple("ab chromium curl h2load haproxy nginx node npm slowhttptest wrk".split())


def runs(python: str) -> bool:
    """Say whether an interpreter is there; a shim may stand for one that is not."""
    if shutil.which(python) is None:
        return False
    probe = subprocess.run([python, "-c", ""], stderr=subprocess.DEVNULL, check=False)
    return probe.returncode == 0


def other_pythons() -> list[str]:
    """List the supported Pythons on this machine, besides the one that runs nox."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    supported = nox.project.python_versions(PROJECT)
    return [x for x in supported if x != here and runs(f"python{x}")]


OTHER_PYTHONS = other_pythons()

nox.needs_version = ">=2024.4.15"
# virtualenv comes with nox, so no session needs anything but Python.
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = [
    "lint",
    "types",
    "coverage",
    "tests",
    *(["matrix"] if OTHER_PYTHONS else []),
    "docs",
    "demo",
    "node",
    "interop",
    "bench",
]


def install(session: nox.Session, *groups: str) -> None:
    """Install the package, editable, and the dependency groups of a check."""
    wanted = nox.project.dependency_groups(PROJECT, *groups) if groups else ()
    session.install("-e", ".", *wanted)


def need_peers(session: nox.Session) -> None:
    """Stop where a program that a check talks to is missing: nothing is skipped."""
    missing = [peer for peer in PEERS if shutil.which(peer) is None]
    if missing:
        session.error(f"not on this machine: {', '.join(missing)} (see .ci/run)")


@nox.session
def demo(session: nox.Session) -> None:
    """Show a server, a proxy and a client exchanging real traffic."""
    install(session)
    session.run("python", "examples/demo.py", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the suite on the Python that runs nox."""
    install(session, "test")
    session.run("python", "-m", "pytest", *TWO_AT_ONCE, *session.posargs)


@nox.session(python=OTHER_PYTHONS)
def matrix(session: nox.Session) -> None:
    """Run the suite on each other supported Python of this machine."""
    install(session, "test")
    session.run("python", "-m", "pytest", *TWO_AT_ONCE, *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the suite and require every line and branch to be covered."""
    install(session, "coverage")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "report")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and the changelog fragments."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("towncrier", "build", "--draft", "--version", "next", silent=True)


@nox.session
def types(session: nox.Session) -> None:
    """Check the annotations of the package, its tests and its scripts."""
    install(session, "types")
    session.run("mypy", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the pages with warnings as errors, and run their examples."""
    install(session, "docs")
    build = ("sphinx-build", "-n", "-W", "--keep-going", "-b", "html", "-E")
    session.run(*build, "docs", "build/docs", *session.posargs)
    session.run("python", "-m", "pytest", "tests/test_docs.py")


@nox.session
def interop(session: nox.Session) -> None:
    """Talk to curl, Node, nginx, Chromium, aiohttp and others over real sockets."""
    need_peers(session)
    install(session, "interop")
    session.run("python", "-m", "pytest", "tests/interop", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure CPU per request beside other servers and clients; CI only smokes."""
    need_peers(session)
    install(session, "bench")
    options = session.posargs or (["--quick"] if os.environ.get("CI") else [])
    session.run("python", "-m", "benchmarks", "--json=build/bench.json", *options)


@nox.session
def node(session: nox.Session) -> None:
    """Count the rows of Node's tables that a passing test shows."""
    install(session, "test")
    run = ("--node-json=build/node-run.json", "-m", "node or node_api")
    # A failed test (1) or none at all (5) is for the report to judge.
    session.run("python", "-m", "pytest", *run, success_codes=[0, 1, 5])
    report = ("build/node-run.json", "--page=docs/node.md", "--json=build/node.json")
    session.run("python", "-m", "tests.node.report", *report, *session.posargs)
