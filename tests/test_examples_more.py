"""The larger examples, each as a program over loopback, and the sources as they are."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.test_examples import EXAMPLES, command, first_url, free_port, running
from tests.wires import read_all
from trio_nodehttp.testing import MemoryNetwork

sys.path.insert(0, str(EXAMPLES))

import forward_proxy
import load_balancer
import server_sent_events

sys.path.remove(str(EXAMPLES))

NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


async def output(process: trio.Process, pattern: bytes) -> bytes:
    """Read what a program prints, up to a pattern."""
    assert process.stdout is not None
    text = b""
    while re.search(pattern, text) is None:
        data = await process.stdout.receive_some()
        assert data, text
        text += data
    return text


async def echo(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    response.set_header("X-Seen-Via", request.headers.get("via", ""))
    response.set_header("X-Seen-For", request.headers.get("x-forwarded-for", ""))
    await response.end(await request.read())


async def join_upper(_: http.IncomingMessage, stream: http.UpgradedStream) -> None:
    await stream.send_all(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    async for data in stream:
        await stream.send_all(data.upper())


async def say_upgraded(url: str) -> bytes:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    async with http.request(url, headers=headers, agent=False) as request:
        await request.end()
        _, stream = await request.upgrade()
        await stream.send_all(b"hello")
        return bytes(await stream.receive_some())


@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_short_and_says_what_it_is(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    assert len(text.splitlines()) < 150
    assert text.startswith('"""')
    assert f"python examples/{name}.py" in text.split('"""')[1]


# --- reverse proxy -----------------------------------------------------------------------------


async def test_the_reverse_proxy(http_server: Any) -> None:
    origin = await http_server(echo)
    origin.on("upgrade", join_upper, protocol="websocket")
    arguments = (origin.url, str(await free_port()))
    async with running(*command("reverse_proxy", *arguments)) as process:
        url = await first_url(process)
        headers = {"X-Forwarded-For": "liar"}
        async with http.request(url, method="POST", body=b"x" * 99999, headers=headers) as request:
            response = await request.get_response()
            assert await response.read() == b"x" * 99999
            assert response.headers["x-seen-via"] == "1.1 trio_nodehttp"
            assert response.headers["x-seen-for"] == "127.0.0.1"
        assert await say_upgraded(url) == b"HELLO"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


# --- forward proxy -----------------------------------------------------------------------------


@asynccontextmanager
async def forwarding(*arguments: str) -> AsyncIterator[str]:
    async with running(*command("forward_proxy", *arguments)) as process:
        yield await first_url(process)


async def test_the_forward_proxy_reaches_what_is_allowed(http_server: Any) -> None:
    origin, other = await http_server(echo), await http_server(echo)
    origin.on("upgrade", join_upper, protocol="websocket")
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    allowed = f"127.0.0.1:{origin.address[1]}"
    async with forwarding("--user", "ada:secret", str(await free_port()), allowed) as proxy:
        async with http.Agent(proxy=proxy.replace("//", "//ada:secret@")) as agent:
            async with http.get(origin.url, agent=agent) as response:
                assert response.status_code == 200
                assert response.headers["x-seen-via"] == "1.1 trio_nodehttp"
                assert response.headers["x-seen-for"] == ""
            async with http.get(other.url, agent=agent) as response:
                assert (response.status_code, await response.text()) == (403, "Forbidden\n")
            async with http.request(origin.url, headers=headers, agent=agent) as request:
                await request.end()
                _, stream = await request.upgrade()
                await stream.send_all(b"hello")
                assert await stream.receive_some() == b"HELLO"
            with pytest.raises(http.ProxyError, match="it answered 403 Forbidden"):
                async with http.request(other.url, headers=headers, agent=agent):
                    pass
        async with http.Agent(proxy=proxy.replace("//", "//eve:guess@")) as agent:
            async with http.get(origin.url, agent=agent) as response:
                assert response.status_code == 407
                assert response.headers["proxy-authenticate"] == 'Basic realm="proxy"'
            with pytest.raises(http.ProxyError, match="it answered 407") as caught:
                async with http.request(origin.url, headers=headers, agent=agent):
                    pass
            refusal: Any = caught.value.response
            assert refusal.headers["proxy-authenticate"] == 'Basic realm="proxy"'
        # It is no server of its own.
        async with http.get(proxy) as response:
            assert response.status_code == 400


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("a.test:80", 0),
        ("A.TEST.:80", 0),
        ("a.test:81", 403),
        ("b.a.test:80", 403),
        ("notb.test:443", 403),
        ("b.test:443", 403),
        ("x.b.test:443", 0),
        ("y.x.b.test:443", 0),
        ("x.b.test:80", 403),
        ("x.b.test.evil:443", 403),
        ("[::1]:8080", 0),
        ("[0:0:0:0:0:0:0:1]:8080", 0),
        ("[::2]:8080", 403),
        ("10.0.0.7:80", 0),
        ("10.0.0.70:80", 403),
        ("1.10.0.0.7:80", 403),
        ("0x7f.1:80", 403),
        ("localhost:80", 403),
        ("c.test:", 403),
        ("a.test:" + "0" * 5000 + "80", 400),
        ("a%2f.b.test:443", 403),
        ("[::g]:443", 403),
    ],
)
def test_the_list_of_the_forward_proxy(authority: str, expected: int) -> None:
    allowed = ["a.test:80", ".b.test:443", "[::1]:8080", "10.0.0.7:80", ".7:80"]
    proxy = forward_proxy.ForwardProxy(allowed, http.Agent())

    request: Any = SimpleNamespace(headers={})
    assert proxy.refusal(request, authority) == expected


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC "])
def test_who_the_forward_proxy_knows(scheme: str) -> None:
    proxy = forward_proxy.ForwardProxy(["a.test:80"], http.Agent(), "ada:secret")
    for given, expected in (("YWRhOnNlY3JldA==", 0), ("ZXZlOmd1ZXNz", 407), ("", 407)):
        request: Any = SimpleNamespace(headers={"proxy-authorization": f"{scheme} {given}"})
        assert proxy.refusal(request, "a.test:80") == expected
    request = SimpleNamespace(headers={"proxy-authorization": "Bearer YWRhOnNlY3JldA=="})
    assert proxy.refusal(request, "a.test:80") == 407


async def test_targets_that_the_forward_proxy_refuses(
    memory_network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    agent = memory_network.agent()
    proxy = forward_proxy.ForwardProxy(["a.test:80"], agent)
    server = http.create_server(proxy.request)
    server.on("connect", proxy.connect)
    memory_network.listen("proxy.test", 3128, server.serve_stream)
    for target, status in {
        b"GET /": 400,
        b"OPTIONS *": 400,
        b"GET https://a.test/": 400,
        b"GET ftp://a.test/": 400,
        b"GET http://a.test:443/": 403,
        b"GET http://a.test@b.test/": 403,
        b"GET http://b.test/#http://a.test/": 403,
        b"GET http://b.test?http://a.test/": 403,
        b"GET http://[::g]/": 403,
        b"GET http://a.test:" + b"0" * 5000 + b"80/": 400,
        b"GET http://[a.test]/": 502,
        b"GET http://A.test.:080#@b.test": 502,
        b"GET http://a.test/": 502,
        b"GET http://a.test:/": 502,
        b"GET http://x:y@a.test/": 502,
        b"CONNECT a.test:80": 502,
        b"CONNECT a.test:443": 403,
    }.items():
        stream = await memory_network.connect("proxy.test", 3128)
        await stream.send_all(target + b" HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        assert (await read_all(stream)).startswith(b"HTTP/1.1 %d " % status), target
    assert not [each for each in caplog.records if each.levelname == "ERROR"]
    assert agent.stats().opened == 0


# --- load balancer -------------------------------------------------------------------------------


class Backend:
    """An origin that says who it is, how it is, and that can be held up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.health = 200
        self.served = 0
        self.held = 0
        self.reached = trio.Event()
        self.release = trio.Event()

    async def handle(self, request: http.IncomingMessage, response: http.ServerResponse) -> None:
        if request.url == "/health":
            await response.write_head(self.health).end()
            return
        self.served += 1
        if request.url == "/held":
            self.held += 1
            self.reached.set()
            await self.release.wait()
        await response.end(self.name)


async def balanced(
    nursery: trio.Nursery, network: MemoryNetwork, names: str
) -> tuple[load_balancer.Balancer, list[Backend]]:
    backends = [Backend(name) for name in names]
    for backend in backends:
        await nursery.start(
            network.serve, http.create_server(backend.handle), f"{backend.name}.test"
        )
    agent = network.agent(keep_alive=True)
    balancer = load_balancer.Balancer([f"http://{name}.test" for name in names], agent)
    server = http.create_server(balancer.request)
    server.on("upgrade", balancer.upgrade, protocol="websocket")
    await nursery.start(network.serve, server, "front.test")
    return balancer, backends


async def test_the_balancer_picks_the_one_with_least_to_do(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    balancer, backends = await balanced(nursery, memory_network, "abc")
    for origin in balancer.origins:
        origin.mark(is_up=True)
    client = memory_network.agent()

    async def ask(path: str) -> str:
        async with http.get(f"http://front.test{path}", agent=client) as response:
            assert response.status_code == 200
            return await response.text()

    for _ in range(6):
        nursery.start_soon(ask, "/held")
        await trio.testing.wait_all_tasks_blocked()
    assert [backend.held for backend in backends] == [2, 2, 2]
    backends[1].release.set()
    await trio.testing.wait_all_tasks_blocked()
    # Now `b` has nothing to do, so everything goes there.
    assert [await ask("/") for _ in range(4)] == ["b"] * 4
    # One that drains finishes what it has, and gets no more.
    balancer.origins[0].mark(is_up=False)
    for backend in backends:
        backend.release.set()
    await trio.testing.wait_all_tasks_blocked()
    assert all(origin.load == 0 for origin in balancer.origins)


async def test_the_balancer_passes_over_who_cannot_be_reached(
    nursery: trio.Nursery, memory_network: MemoryNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    balancer, _ = await balanced(nursery, memory_network, "ab")
    for origin in balancer.origins:
        origin.mark(is_up=True)
    client = memory_network.agent()
    memory_network.unserve("a.test")
    for _ in range(4):
        async with http.request(
            "http://front.test/", method="POST", body=b"x", agent=client
        ) as request:
            response = await request.get_response()
            assert (response.status_code, await response.text()) == (200, "b")
    assert "http://a.test is down" in capsys.readouterr().out
    memory_network.unserve("b.test")
    balancer.agent.destroy()
    for _ in range(2):
        async with http.get("http://front.test/", agent=client) as response:
            assert response.status_code == 503
            assert response.headers["retry-after"] == "1"
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    async with http.get("http://front.test/", agent=client, headers=headers) as response:
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"


async def test_requests_that_come_at_once_are_spread(
    nursery: trio.Nursery, memory_network: MemoryNetwork
) -> None:
    balancer, backends = await balanced(nursery, memory_network, "ab")
    balancer.origins[0].mark(is_up=True)
    streams = [await memory_network.connect("front.test") for _ in range(10)]
    request = b"GET /held HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: liar\r\n\r\n"
    for stream in streams[:4]:
        await stream.send_all(request)
    await trio.testing.wait_all_tasks_blocked()
    balancer.origins[0].mark(is_up=True)
    balancer.origins[1].mark(is_up=True)
    for stream in streams[4:]:
        nursery.start_soon(stream.send_all, request)
    await trio.testing.wait_all_tasks_blocked()
    assert [backend.held for backend in backends] == [5, 5]
    assert sorted(origin.load for origin in balancer.origins) == [5, 5]


async def test_the_balancer_passes_over_who_does_not_connect(
    nursery: trio.Nursery, memory_network: MemoryNetwork, autojump_clock: trio.testing.MockClock
) -> None:
    balancer, _ = await balanced(nursery, memory_network, "ab")
    for origin in balancer.origins:
        origin.mark(is_up=True)
    usual = memory_network.create_connection

    async def connect(options: Any) -> trio.abc.Stream:
        if options.host == "a.test":
            await trio.sleep_forever()
        return await usual(options)

    balancer.agent._connector = connect
    for _ in range(2):
        async with http.get("http://front.test/", agent=memory_network.agent()) as response:
            assert (response.status_code, await response.text()) == (200, "b")
    assert [origin.is_up for origin in balancer.origins] != [True, True]


def test_the_load_of_an_origin_by_https_is_found() -> None:
    for url in ("http://a.test", "https://a.test:8443", "https://A.test/base"):
        agent = http.Agent()
        origin = load_balancer.Origin(url, agent)
        assert origin.name == http.request(url, agent=agent)._origin


async def test_the_balancer_checks_and_drains(http_server: Any) -> None:
    backends = [Backend("a"), Backend("b")]
    servers = [await http_server(backend.handle) for backend in backends]
    servers[0].on("upgrade", join_upper, protocol="websocket")
    servers[1].on("upgrade", join_upper, protocol="websocket")
    urls = [server.url for server in servers]
    backends[1].health = 503
    async with running(*command("load_balancer", str(await free_port()), *urls)) as process:
        url = await first_url(process)
        assert await say_upgraded(url) == b"HELLO"
        for _ in range(3):
            async with http.get(url) as response:
                assert await response.text() == "a"
        backends[0].health, backends[1].health = 503, 200
        await output(process, rb"is up")
        async with trio.open_nursery() as nursery:

            async def hold() -> None:
                async with http.get(url + "/held", agent=False) as response:
                    assert await response.text() == "b"

            nursery.start_soon(hold)
            with trio.fail_after(5):
                await backends[1].reached.wait()
            process.send_signal(signal.SIGTERM)
            with trio.move_on_after(0.05):
                await process.wait()
            assert process.returncode is None
            backends[1].release.set()
        assert await process.wait() == 0


# --- the rest --------------------------------------------------------------------------------


async def test_events_are_taken_up_again() -> None:
    async with running(*command("server_sent_events", str(await free_port()))) as process:
        url = await first_url(process)
        async with http.get(url) as response:
            assert "new EventSource" in await response.text()
        async with http.get(url + "/none") as response:
            assert response.status_code == 404
        async with http.get(url + "/events", headers={"Last-Event-ID": "41"}, agent=False) as res:
            assert res.headers["content-type"] == "text/event-stream"
            text = b""
            while b"\n\ndata" not in text and text.count(b"\n\n") < 2:
                text += await res.receive_some()
            assert re.fullmatch(rb"retry: 1000\n\nid: 42\ndata: \d\d:\d\d:\d\d\n\n", text)
        assert b"ended at" in await output(process, rb"ended at 4\d\n")
        async with http.get(url + "/events", agent=False) as res:
            assert (await res.receive_some()).startswith(b"retry")
            process.send_signal(signal.SIGTERM)
            await res.read()  # to its end: nobody is cut off
        assert await process.wait() == 0


def test_an_event_has_a_line_for_each_line() -> None:
    assert server_sent_events.event(7, "a\nb") == "id: 7\ndata: a\ndata: b\n\n"


async def test_an_upload_shows_how_far_it_is(http_server: Any, tmp_path: Path) -> None:
    seen = []

    async def receive(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        if request.url == "/full":
            await response.write_head(413).end("too much")
            return
        seen.append((request.method, request.headers["content-length"], len(await request.read())))
        await response.end("thanks")

    server = await http_server(receive)
    file = tmp_path / "file"
    file.write_bytes(bytes(300_000))
    for path, code in (("/", 0), ("/full", 1)):
        done = await trio.run_process(
            command("upload", str(file), server.url + path),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        assert done.returncode == code
        if not code:
            assert done.stdout == b"200 OK\nthanks\n"
            bars = done.stderr.decode().strip().split("\r")
            assert bars[0] == f"[{' ' * 30}]   0% 0 of 300,000 bytes"
            assert bars[-1] == f"[{'#' * 30}] 100% 300,000 of 300,000 bytes"
            assert len(bars) == 1 + 5
        else:
            assert done.stdout == b"413 Payload Too Large\ntoo much\n"
    assert seen == [("PUT", "300000", 300_000)]


async def test_hints_come_early() -> None:
    async with running(*command("early_hints", str(await free_port()))) as process:
        text = await output(process, rb"200: \d+ bytes\n")
        assert b"103: </style.css>; rel=preload; as=style\n200: 85 bytes\n" in text
        found = re.search(rb"http://\S+", text)
        assert found is not None
        async with http.get(found[0].decode() + "/style.css") as response:
            assert await response.text() == "p { color: teal }\n"
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


async def test_a_shutdown_loses_no_request() -> None:
    ends: dict[str, str] = {}

    async def fetch(url: str, path: str) -> None:
        try:
            async with http.get(url + path, agent=False) as response:
                ends[path] = (await response.text()).splitlines()[-1]
        except http.SocketHangUpError:
            ends[path] = "cut"

    arguments = (str(await free_port()), "1")
    async with running(*command("graceful_shutdown", *arguments)) as process:
        url = await first_url(process)
        await fetch(url, "/short")
        async with trio.open_nursery() as nursery:
            for path in ("/work", "/long", "/stubborn"):
                nursery.start_soon(fetch, url, path)
            await trio.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            text = await output(process, rb"cancelled\n.*cancelled\n")
        assert await process.wait() == 0
    assert text == b"stubborn: cancelled\n2 finished, 1 cancelled\n"
    assert ends == {
        "/short": "done",
        "/work": "worked",
        "/long": "the server is going down, come back later",
        "/stubborn": "cut",
    }
