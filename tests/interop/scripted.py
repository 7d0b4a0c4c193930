"""A server that answers the request for /N with the Nth script, byte for byte."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import attrs
import trio

import trio_nodehttp as http
from tests.interop import peers, score

# How long a client may look at the bytes before the stream ends.
LOOK_SECONDS = 0.5
CLIENT_SECONDS = 30.0


@contextlib.asynccontextmanager
async def scripted_server(scripts: Sequence[bytes]) -> AsyncIterator[int]:
    """Serve the scripts on loopback for the length of the block; yields the port.

    Each connection serves one request: its script is sent, the client has a moment
    to decide, then the stream is ended.
    """

    async def serve(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await _answer(stream, scripts)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _answer(stream: trio.SocketStream, scripts: Sequence[bytes]) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = await stream.receive_some()
        if not chunk:
            return
        head += chunk
    index = int(head.split(b" ", 2)[1].lstrip(b"/"))
    await stream.send_all(scripts[index])
    with trio.move_on_after(LOOK_SECONDS):
        while await stream.receive_some():
            pass


async def ask_node(port: int, settings: dict[str, object]) -> list[score.Told]:
    """Let Node's client fetch every script and return what it reported."""
    command = peers.node("client.js", {"port": port, **settings})
    with trio.fail_after(CLIENT_SECONDS):
        done = await trio.run_process(command, capture_stdout=True)
    return [score.read_told(one) for one in json.loads(done.stdout)]


async def ask_ours(port: int, requests: Sequence[Mapping[str, Any]]) -> list[score.Told]:
    """Let our client fetch every script and return what it reported.

    Args:
        port: The scripted server's.
        requests: For each script, options of `trio_nodehttp.request`, and
            ``upgrade`` for a request that asks to leave HTTP.
    """
    told = [score.Told()] * len(requests)

    async def fetch(index: int) -> None:
        told[index] = await _fetch(port, f"/{index}", **requests[index])

    with trio.fail_after(CLIENT_SECONDS):
        async with trio.open_nursery() as nursery:
            for index in range(len(requests)):
                nursery.start_soon(fetch, index)
    return told


async def _fetch(port: int, path: str, *, upgrade: bool = False, **options: Any) -> score.Told:
    if upgrade:
        options["headers"] = {"Connection": "Upgrade", "Upgrade": "h2c"}
    options = {"host": "127.0.0.1", "port": port, "path": path, "agent": False, **options}
    told = score.Told()
    try:
        async with http.request(**options) as request:
            await request.end()
            if upgrade:
                return await _read_upgraded(await request.upgrade())
            response = await request.get_response()
            told = _describe(response)
            async for chunk in response:
                told = attrs.evolve(told, body=told.body + chunk)
            trailers = [list(pair) for pair in response.raw_trailers]
            return attrs.evolve(told, trailers=trailers)
    except http.HTTPError as error:
        return attrs.evolve(told, error=error.code)


async def _read_upgraded(upgraded: http.Upgraded) -> score.Told:
    async with upgraded.stream as stream:
        body = b"".join([chunk async for chunk in stream])
    return attrs.evolve(_describe(upgraded.response), body=body)


def _describe(response: http.IncomingMessage) -> score.Told:
    return score.Told(
        status=response.status_code,
        reason=response.status_message,
        version=response.http_version,
        headers=[list(pair) for pair in response.raw_headers],
    )
