"""Each example runs as a user would run it: as a program, over loopback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

import trio_nodehttp as http

EXAMPLES = Path(__file__).parent.parent / "examples"


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments]


@asynccontextmanager
async def running(*words: str) -> AsyncIterator[trio.Process]:
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            partial(trio.run_process, list(words), stdout=subprocess.PIPE, check=False)
        )
        try:
            with trio.fail_after(20):
                yield process
        finally:
            if process.returncode is None:
                process.kill()


async def first_url(process: trio.Process) -> str:
    assert process.stdout is not None
    text = b""
    while not (found := re.search(rb"http://[^\s]+\n", text)):
        more = await process.stdout.receive_some()
        assert more, f"it ended, and said {text!r}"
        text += more
    return found[0].decode().strip()


async def free_port() -> int:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port: int = listener.socket.getsockname()[1]
    return port


async def say_hello(_: http.IncomingMessage, response: http.ServerResponse) -> None:
    await response.end("hello")


async def test_demo_shows_streams_reuse_and_the_pool() -> None:
    done = await trio.run_process(command("demo"), capture_stdout=True, capture_stderr=True)
    text = done.stdout.decode()
    assert "up:   200, 5,242,880 bytes, intact: True" in text
    assert "down: 200, 5,242,880 bytes, trailer x-pieces: 80" in text
    assert text.count("200 'answer to /") == 8
    assert "the client's pool: <Agent active=0 connecting=0 idle=2 queued=0 opened=2" in text
    assert done.stderr == b""


async def test_hello_server_answers_and_stops_at_ctrl_c() -> None:
    port = await free_port()
    async with running(*command("hello_server", str(port))) as process:
        url = await first_url(process)
        assert url == f"http://127.0.0.1:{port}"
        async with http.get(url + "/you") as response:
            assert await response.text() == "Hello, /you\n"
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


async def test_fetch_prints_what_came(nursery: trio.Nursery) -> None:
    server: http.Server = await nursery.start(http.create_server(say_hello).listen, 0, "127.0.0.1")
    nowhere = f"http://127.0.0.1:{await free_port()}/"
    done = await trio.run_process(command("fetch", f"{server.url}/a", nowhere), capture_stdout=True)
    assert f"{server.url}/a: 200 OK, 5 bytes" in done.stdout.decode()
    assert f"{nowhere}: ECONNREFUSED" in done.stdout.decode()
    await server.close()


@pytest.mark.parametrize("name", ["fetch", "upload", "reverse_proxy", "load_balancer"])
async def test_without_its_arguments_an_example_says_which(name: str) -> None:
    run = partial(trio.run_process, capture_stdout=True, capture_stderr=True, check=False)
    done = await run(command(name))
    assert done.returncode == 1
    assert f"\npython examples/{name}.py " in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["hello_server", "fetch", "reverse_proxy"])
def test_small_examples_stay_small(name: str) -> None:
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    assert len(lines) < 60
    assert os.linesep.join(lines).startswith('"""')
