"""Headless Chromium, driven by its DevTools protocol over our own client and WebSocket."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import trio

import trio_nodehttp as http
from tests.interop import peers

START_SECONDS = 30.0
STOP_SECONDS = 10.0
# Without these it looks for updates, and for Google's hosts, at every start.
QUIET = (
    "--no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --disable-quic --disable-gpu"
).split()
# As root, which containers often are, Chromium has no sandbox; the pages are our own.
FLAGS = ["--headless", "--no-sandbox", "--remote-debugging-port=0", *QUIET]


@attrs.define
class Tab:
    """One page, and the connection that commands it."""

    socket: http.WebSocket
    sent: int = 0

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result; cancelled, it runs on."""
        self.sent += 1
        call = {"id": self.sent, "method": method, "params": parameters}
        await self.socket.send(json.dumps(call))
        while True:
            answer: dict[str, Any] = json.loads(await self.socket.receive())
            if answer.get("id") == self.sent:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    async def evaluate(self, script: str) -> Any:
        """Evaluate an expression, a promise too; its value must be JSON."""
        options = {"awaitPromise": True, "returnByValue": True}
        result = await self.call("Runtime.evaluate", expression=script, **options)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def wait_for(self, condition: str) -> Any:
        """Wait until an expression is true in the page; its value."""
        look = (
            f"() => {{ const found = {condition}; found ? resolve(found) : setTimeout(look, 20) }}"
        )
        return await self.evaluate(f"new Promise(resolve => {{ const look = {look}; look() }})")

    async def go_to(self, url: str) -> None:
        """Open a URL, and wait until the page and what it names are loaded."""
        result = await self.call("Page.navigate", url=url)
        assert "errorText" not in result, result
        here = f"location.href === {json.dumps(url)}"
        await self.wait_for(f'{here} && document.readyState === "complete"')


@attrs.frozen
class Browser:
    """A running Chromium; `host` is where it takes commands."""

    host: str

    @asynccontextmanager
    async def tab(self) -> AsyncIterator[Tab]:
        """Open a tab for the length of the block."""
        new = http.request(f"http://{self.host}/json/new?about:blank", method="PUT", agent=False)
        async with new:
            page = await (await new.get_response()).json()
        async with http.WebSocket(page["webSocketDebuggerUrl"]) as socket:
            yield Tab(socket)


@asynccontextmanager
async def chromium(*flags: str) -> AsyncIterator[Browser]:
    """Run Chromium, with an empty profile, for the length of the block."""
    program = peers.find_program("chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
        run = partial(trio.run_process, command, stderr=subprocess.PIPE, check=False)
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(run)
            try:
                yield Browser(await _listening(process, nursery))
            finally:
                process.terminate()
                with trio.move_on_after(STOP_SECONDS, shield=True):
                    await process.wait()
                nursery.cancel_scope.cancel()  # kills what is left


async def _listening(process: trio.Process, nursery: trio.Nursery) -> str:
    assert process.stderr is not None
    told = b""
    with trio.fail_after(START_SECONDS):
        while not (found := re.search(rb"DevTools listening on ws://([^/]+)/", told)):
            more = await process.stderr.receive_some()
            assert more, told
            told += more
    nursery.start_soon(_drain, process.stderr)
    return found[1].decode()


async def _drain(stream: trio.abc.ReceiveStream) -> None:
    async for _ in stream:
        pass
