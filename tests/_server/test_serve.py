from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests._server.kit import Client, ask, dialled, hello, settle

CHILD = """
import logging, sys, trio, trio_nodehttp as http
logging.basicConfig(level=logging.WARNING)
async def handler(request, response):
    await trio.sleep(float(request.url[1:] or 0))
    await response.end("done")
async def main():
    async with trio.open_nursery() as nursery:
        async def serve(task_status):
            print(await http.serve(handler, task_status=task_status, drain_timeout=DRAIN))
        server = await nursery.start(serve)
        print(server.address[1], flush=True)
trio.run(main)
"""


class Child:
    """A server in a process of its own."""

    def __init__(self, drain: float = 5) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CHILD.replace("DRAIN", str(drain))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    async def ask(self, path: str) -> Client:
        client = Client(await trio.open_tcp_stream("127.0.0.1", self.port))
        await client.send(ask(path))
        return client

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> str:
        """Wait for its end; what it said."""
        try:
            told, complaints = self.process.communicate(timeout=10)
        finally:
            self.process.kill()
        assert (self.process.returncode, complaints) == (0, "")
        return told.strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_drains(number: int) -> None:
    child = Child()
    client = await child.ask("/0.3")
    await trio.sleep(0.1)
    child.signal(number)
    answer = await client.answer()
    assert (answer.body, answer.headers["connection"]) == (b"done", "close")
    await client.stream.aclose()
    assert child.end().startswith("DrainReport(finished=1, cancelled=0,")


async def test_a_second_signal_cuts() -> None:
    child = Child()
    begun = time.monotonic()
    client = await child.ask("/60")
    await trio.sleep(0.1)
    child.signal(signal.SIGINT)
    await trio.sleep(0.1)
    child.signal(signal.SIGINT)
    assert await client.until_end() == b""
    await client.stream.aclose()
    assert "finished=0" in child.end()
    assert time.monotonic() - begun < 5


async def test_serve_reports_its_drain() -> None:
    reports: list[Any] = []

    async def serve(task_status: Any) -> None:
        reports.append(await http.serve(hello, host="127.0.0.1", task_status=task_status))

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve)
        async with dialled(server) as client:
            assert (await client.get()).body == b"hello"
            os.kill(os.getpid(), signal.SIGTERM)
            assert await client.until_end() == b""
    assert (reports[0].finished, reports[0].cancelled) == (1, 0)


async def test_the_second_signal_cuts_a_drain() -> None:
    reports: list[Any] = []

    async def forever(request: Any, response: Any) -> None:
        await trio.sleep_forever()

    async def serve(task_status: Any) -> None:
        report = await http.serve(
            forever, host="127.0.0.1", drain_timeout=None, task_status=task_status
        )
        reports.append(report)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve)
        async with dialled(server) as client:
            await client.send(ask())
            while not server.connections:
                await trio.lowlevel.checkpoint()
            os.kill(os.getpid(), signal.SIGINT)
            await server.draining.wait()
            os.kill(os.getpid(), signal.SIGINT)
            assert await client.until_end() == b""
    assert len(reports) == 1


async def test_serve_ends_with_its_server() -> None:
    reports: list[Any] = []

    async def serve(task_status: Any) -> None:
        reports.append(await http.serve(hello, host="127.0.0.1", task_status=task_status))

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve)
        await server.close()
    assert reports == [None]


async def test_errors_of_serve_arrive_alone() -> None:
    with pytest.raises(
        TypeError, match=r"^serve\(\) .* 'drain_time'; did you mean 'drain_timeout'\?$"
    ):
        await http.serve(hello, drain_time=1)  # type: ignore[call-arg]
    with pytest.raises(http.OutOfRangeError, match="port"):
        await http.serve(hello, 70000)
    with pytest.raises(http.InvalidArgValueError, match="path"):
        await http.serve(hello, 80, path="x")
    await settle()


async def test_a_cancelled_serve_closes_everything() -> None:
    async with trio.open_nursery() as nursery:
        server = await nursery.start(http.serve, hello)
        client = Client(await trio.open_tcp_stream("127.0.0.1", server.address[1]))
        await client.get()
        nursery.cancel_scope.cancel()
    assert await client.until_end() == b""
    await client.stream.aclose()
    assert not server.listening
