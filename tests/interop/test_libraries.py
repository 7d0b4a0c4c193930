"""aiohttp and httpx on the other side of the wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import trio

import trio_nodehttp as http
from tests.interop import peers

SECONDS = 30.0


@pytest.fixture(scope="module")
def aiohttp_server() -> Iterator[peers.Peer]:
    with peers.run_peer(peers.ours("aiohttp_peer", {"serve": True})) as peer:
        yield peer


@pytest.fixture(scope="module")
def server() -> Iterator[peers.Peer]:
    with peers.run_peer(peers.ours("our_server")) as peer:
        yield peer


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b"piece"


async def test_httpx_keeps_connections_to_us(server: peers.Peer) -> None:
    limits = httpx.Limits(max_connections=2)
    with trio.fail_after(SECONDS):
        async with httpx.AsyncClient(base_url=server.url, limits=limits) as client:

            async def fetch() -> None:
                reply = await client.get("/chunks")
                assert (reply.status_code, reply.text) == (200, "onethree")

            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(fetch)


async def test_httpx_sends_bodies_to_us(server: peers.Peer) -> None:
    with trio.fail_after(SECONDS):
        async with httpx.AsyncClient(base_url=server.url) as client:
            assert (await client.post("/body", content=b"sized")).text == "sized"
            streamed = await client.post("/body", content=pieces())
            assert streamed.text == "piecepiecepiece"
            assert (await client.post("/hello", content=b"unread")).text == "hello"
            assert (await client.head("/hello")).content == b""
            assert (await client.get("/status/204")).status_code == 204
            async with client.stream("GET", "/stream/16") as reply:
                sizes = [len(chunk) async for chunk in reply.aiter_raw()]
            assert sum(sizes) == 16 * 65536


def test_aiohttp_talks_to_us(server: peers.Peer) -> None:
    command = peers.ours("aiohttp_peer", {"ask": server.url})
    told = json.loads(peers.run_program(command))
    assert told == {
        "together": ["onethree"] * 50,
        "posted": "sized",
        "streamed": "piecepiecepiece",
        "head": [200, ""],
        "none": [204, ""],
        "size": 16 * 65536,
    }


async def test_we_keep_connections_to_aiohttp(aiohttp_server: peers.Peer) -> None:
    ports = set()

    async def fetch(agent: http.Agent) -> None:
        async with http.get(f"{aiohttp_server.url}/hello", agent=agent) as response:
            ports.add(response.socket.local_port)
            assert await response.text() == "hello"

    with trio.fail_after(SECONDS):
        async with (
            http.Agent(keep_alive=True, max_sockets=2) as agent,
            trio.open_nursery() as nursery,
        ):
            for _ in range(50):
                nursery.start_soon(fetch, agent)
    assert len(ports) == 2


async def test_we_send_bodies_to_aiohttp(aiohttp_server: peers.Peer) -> None:
    url = f"{aiohttp_server.url}/body"
    with trio.fail_after(SECONDS):
        async with http.Agent(keep_alive=True, max_sockets=1) as agent:
            for body, wanted in ((b"sized", "sized"), (pieces(), "piecepiecepiece")):
                async with http.request(url, method="POST", body=body, agent=agent) as request:
                    response = await request.get_response()
                    assert await response.text() == wanted
            async with http.get(f"{aiohttp_server.url}/many", agent=agent) as response:
                assert len(await response.read()) == 16 * 65536
