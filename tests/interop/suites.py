"""Fetch the outside suites from the package index, once, at test time.

Nothing of them is committed: the sdists are downloaded with pip into a cache
directory, unpacked there, and only read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

import attrs

# A download on a slow line still ends; a hang is an error, not a wait.
FETCH_SECONDS = 300.0


@attrs.frozen
class Suite:
    """One source distribution and the folder inside it that matters.

    ``digest`` is the SHA-256 of the archive: figures compare from run to run
    only when the vectors are the very same.
    """

    name: str
    version: str
    digest: str
    folder: str


LLHTTP = Suite(
    "aiohttp",
    "3.14.5",
    "5558a7f5a05af9ecf744af91e5baefc436f93c9333e656c27ec253f9a6bbe178",
    "vendor/llhttp/test",
)
GUNICORN = Suite(
    "gunicorn",
    "27.0.1",
    "b1514965361c8b7e8107a80aa2a92636878df1ccfac6dd204a676426e04d9e3e",
    "tests/requests",
)


def cache_dir() -> Path:
    """Return the directory that downloads live in, made if it is missing.

    ``TRIO_NODEHTTP_SUITES`` names the directory it is made in; without that it
    is made in the system's temporary one.
    """
    named = os.environ.get("TRIO_NODEHTTP_SUITES")
    path = Path(named or tempfile.gettempdir()) / "trio-nodehttp-suites"
    path.mkdir(parents=True, exist_ok=True)
    return path


def fetch(suite: Suite) -> Path:
    """Return the unpacked folder of a suite, downloading it if need be.

    Args:
        suite: Which one.

    Raises:
        RuntimeError: The archive is not the one the figures were taken with,
            or pip could not get it. Never skipped: a missing suite is an error.
    """
    root = cache_dir() / f"{suite.name}-{suite.version}"
    folder = root / suite.folder
    if not folder.is_dir():
        archive = _download(suite)
        _check(archive, suite)
        _unpack(archive, suite, root)
    return folder


def _download(suite: Suite) -> Path:
    target = cache_dir() / f"{suite.name}-{suite.version}.tar.gz"
    if target.is_file():
        return target
    with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                f"--no-binary={suite.name}",
                f"--dest={scratch}",
                f"{suite.name}=={suite.version}",
            ],
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
        found = sorted(Path(scratch).glob("*.tar.gz"))
        if done.returncode or not found:
            raise RuntimeError(f"pip could not fetch {suite.name} {suite.version}: {done.stderr}")
        found[0].replace(target)
    return target


def _check(archive: Path, suite: Suite) -> None:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != suite.digest:
        archive.unlink()
        raise RuntimeError(f"{archive.name} is not the archive the figures were taken with")


def _unpack(archive: Path, suite: Suite, root: Path) -> None:
    scratch = Path(tempfile.mkdtemp(dir=cache_dir()))
    try:
        _extract(archive, suite, scratch)
        # Renaming is atomic: a second process sees all of it or nothing.
        if not root.exists():
            scratch.rename(root)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _extract(archive: Path, suite: Suite, scratch: Path) -> None:
    prefix = PurePosixPath(f"{suite.name}-{suite.version}", suite.folder)
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            content = tar.extractfile(member) if member.isfile() else None
            if content is None or prefix not in path.parents or ".." in path.parts:
                continue
            target = scratch.joinpath(*path.parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())
