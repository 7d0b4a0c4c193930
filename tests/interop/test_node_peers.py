"""Node 20's client against our server, our client against Node 20's server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.interop import handlers, peers

SECONDS = 30.0


@pytest.fixture(scope="module")
def node_server() -> Iterator[peers.Peer]:
    with peers.run_peer(peers.node("server.js")) as peer:
        yield peer


@pytest.fixture
async def bounded() -> AsyncIterator[None]:
    with trio.fail_after(SECONDS):
        yield


async def ask_node(
    requests: list[dict[str, Any]], **settings: Any
) -> tuple[list[dict[str, Any]], int]:
    """Let Node's client run requests against our server in this process.

    Returns:
        What came of each request, and how many connections were opened.
    """
    connections: list[http.Socket] = []
    server = http.create_server(handlers.route)
    server.on("connection", connections.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.listen, 0, "127.0.0.1")
        assert isinstance(server.address, tuple)
        told = {"port": server.address[1], "requests": requests, **settings}
        with trio.fail_after(SECONDS):
            done = await trio.run_process(peers.node("agent.js", told), capture_stdout=True)
        await server.close()
    return json.loads(done.stdout), len(connections)


async def test_node_keeps_one_connection_to_us() -> None:
    told, connections = await ask_node([{"path": "/hello", "times": 20}])
    assert [one["status"] for one in told] == [200] * 20
    assert {one["body"] for one in told} == {"hello"}
    assert [one["reused"] for one in told] == [False] + [True] * 19
    assert connections == 1


async def test_node_shares_two_connections_to_us() -> None:
    told, connections = await ask_node(
        [{"path": "/chunks", "times": 30}], together=True, agent={"maxSockets": 2}
    )
    assert {one["body"] for one in told} == {"onethree"}
    assert connections == 2


async def test_node_reads_every_kind_of_answer_from_us() -> None:
    told, connections = await ask_node(
        [
            {"path": "/hints"},
            {"path": "/processing"},
            {"path": "/trailers"},
            {"path": "/status/204"},
            {"path": "/not_modified"},
            {"path": "/sized", "method": "HEAD"},
            {"path": "/status/404"},
            {"path": "/explicit"},
            {"path": "/closing"},
            {"path": "/hello"},
        ]
    )
    assert [one.get("status") for one in told] == [
        *(200, 200, 200, 204, 304, 200, 404, 200, 200, 200),
    ]
    assert told[0]["informational"] == [103]
    assert told[1]["informational"] == [102, 102]
    assert told[2]["trailers"] == {"x-foo": "bar"}
    assert [one["body"] for one in told[3:6]] == ["", "", ""]
    # Only the answer that said so ended a connection.
    assert connections == 2


async def test_node_sends_every_kind_of_body_to_us() -> None:
    told, connections = await ask_node(
        [
            {"path": "/body", "method": "POST", "body": "sized"},
            {"path": "/body", "method": "POST", "body": "piece", "pieces": 3},
            {"path": "/body", "method": "POST", "body": "waited", "expect": True},
            {"path": "/hello", "method": "POST", "body": "unread " * 1000},
            {"path": "/hello", "method": "POST", "headers": {"Expect": "tea"}},
            {"path": "/sink", "method": "PUT", "body": "x" * 50_000},
        ]
    )
    bodies = [one["body"] for one in told]
    assert bodies == ["sized", "piecepiecepiece", "waited", "hello", "", "50000"]
    assert told[2]["informational"] == [100]
    assert told[4]["status"] == 417
    assert connections == 1


@pytest.mark.usefixtures("bounded")
async def test_we_keep_one_connection_to_node(node_server: peers.Peer) -> None:
    async with http.Agent(keep_alive=True) as agent:
        for turn in range(20):
            async with http.request(f"{node_server.url}/hello", agent=agent) as request:
                await request.end()
                response = await request.get_response()
                assert await response.text() == "hello"
                assert request.reused_socket is (turn > 0)


@pytest.mark.usefixtures("bounded")
async def test_we_share_two_connections_to_node(node_server: peers.Peer) -> None:
    ports = set()

    async def fetch(agent: http.Agent) -> None:
        async with http.get(f"{node_server.url}/chunks", agent=agent) as response:
            ports.add(response.socket.local_port)
            assert await response.text() == "onethree"

    async with http.Agent(keep_alive=True, max_sockets=2) as agent:
        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(fetch, agent)
        assert len(ports) == 2
        assert not agent.sockets
        assert sum(map(len, agent.free_sockets.values())) == 2


@pytest.mark.usefixtures("bounded")
async def test_we_read_every_kind_of_answer_from_node(node_server: peers.Peer) -> None:
    ports: set[object] = set()
    informational: list[list[int]] = []

    async def fetch(path: str, method: str = "GET") -> tuple[int, str, dict[str, Any]]:
        url = node_server.url + path
        async with http.request(url, method=method, agent=agent) as request:
            await request.end()
            response = await request.get_response()
            ports.add(response.socket.local_port)
            informational.append([one.status_code for one in request.informational])
            body = await response.text()
            return response.status_code, body, dict(response.trailers)

    async with http.Agent(keep_alive=True, max_sockets=1) as agent:
        assert await fetch("/hints") == (200, "hello", {})
        assert await fetch("/processing") == (200, "hello", {})
        assert await fetch("/trailers") == (200, "hello", {"x-foo": "bar"})
        assert await fetch("/status/204") == (204, "", {})
        assert await fetch("/not_modified") == (304, "", {})
        assert await fetch("/hello", "HEAD") == (200, "", {})
        assert await fetch("/status/404") == (404, "text", {})
        assert await fetch("/explicit") == (200, "", {})
        assert len(ports) == 1
        assert await fetch("/closing") == (200, "hello", {})
        assert await fetch("/removed") == (200, "beep boop\n", {})
        assert await fetch("/hello") == (200, "hello", {})
    assert len(ports) == 3
    assert informational[:3] == [[103], [102, 102], []]


@pytest.mark.usefixtures("bounded")
async def test_we_send_every_kind_of_body_to_node(node_server: peers.Peer) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"piece"

    async def post(path: str, **options: Any) -> tuple[int, str]:
        url = node_server.url + path
        async with http.request(url, method="POST", agent=agent, **options) as request:
            if "body" not in options:
                await request.end()
            response = await request.get_response()
            return response.status_code, await response.text()

    async with http.Agent(keep_alive=True, max_sockets=1) as agent:
        assert await post("/body", body=b"sized") == (200, "sized")
        assert await post("/body", body="gr\u00fcn") == (200, "gr\u00fcn")
        assert await post("/body", body=pieces()) == (200, "piecepiecepiece")
        assert await post("/body") == (200, "")
        assert await post("/sink", body=b"x" * 3_000_000) == (200, "3000000")
        refused = {"Expect": "tea"}
        assert await post("/hello", headers=refused) == (417, "")


@pytest.mark.usefixtures("bounded")
async def test_we_wait_for_nodes_continue(node_server: peers.Peer) -> None:
    async with (
        http.Agent(keep_alive=True) as agent,
        http.request(
            f"{node_server.url}/body",
            method="POST",
            agent=agent,
            headers={"Expect": "100-continue"},
        ) as request,
    ):
        await request.flush_headers()
        await request.wait_continue()
        await request.end("waited")
        response = await request.get_response()
        assert await response.text() == "waited"
