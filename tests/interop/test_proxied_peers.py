"""curl, Node and nginx on either side of our forward proxy and our reverse proxy."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trustme

import trio_nodehttp as http
from tests.interop import handlers, peers, proxies, wire

SECONDS = 30.0
CURL = ["curl", "--silent", "--show-error", "--max-time", "20"]
# What differs from hop to hop, or from moment to moment.
HOP = frozenset("connection keep-alive date via transfer-encoding".split())


@attrs.frozen
class Stage:
    """Everybody: origins of both kinds, and our proxies in front of them."""

    ours: peers.Peer
    node: peers.Peer
    forward: peers.Peer
    before_ours: peers.Peer
    before_node: peers.Peer
    secure: peers.Peer
    authority: Path


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = str(folder / "certificate.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    with contextlib.ExitStack() as stack:

        def run(command: list[str]) -> peers.Peer:
            return stack.enter_context(peers.run_peer(command))

        def hop(role: str, **settings: object) -> peers.Peer:
            return run(peers.ours("proxy_hop", {"role": role, **settings}))

        ours, node = run(peers.ours("our_server")), run(peers.node("server.js"))
        before_ours = hop("reverse", origin=ours.url)
        before_node = hop("reverse", origin=node.url)
        secure = hop("reverse", origin=ours.url, certificate=certificate)
        open_to = (ours, node, before_node, secure)
        forward = hop("forward", allowed=[f"127.0.0.1:{each.port}" for each in open_to])
        yield Stage(ours, node, forward, before_ours, before_node, secure, folder / "ca.pem")


# --- curl --------------------------------------------------------------------------------------


def test_curl_by_the_forward_proxy(stage: Stage) -> None:
    told = peers.run_program(
        [
            *CURL,
            "-v",
            "-x",
            stage.forward.url,
            f"{stage.ours.url}/hello",
            f"{stage.node.url}/chunks",
        ]
    )
    assert told.count("HTTP/1.1 200 OK") == 2
    assert "hello" in told
    assert "onethree" in told
    # One connection to the proxy, for two origins.
    assert told.count("Connected to") == 1
    assert "< Via: 1.1 trio_nodehttp" in told


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_curl_uploads_by_the_forward_proxy(stage: Stage, version: str) -> None:
    sent = b"a piece of it\n" * 100_000
    told = peers.run_program(
        [*CURL, version, "-x", stage.forward.url, "--data-binary", "@-", f"{stage.node.url}/sink"],
        data=sent,
    )
    assert told == str(len(sent))


def test_curl_by_a_tunnel(stage: Stage) -> None:
    secure = stage.secure.url.replace("http:", "https:")
    told = peers.run_program(
        [
            *(*CURL, "-v", "--cacert", str(stage.authority), "-x", stage.forward.url),
            *(f"{secure}/hello", f"{secure}/chunks"),
        ]
    )
    assert "CONNECT tunnel established, response 200" in told
    assert told.count("< HTTP/1.1 200 OK") == 2
    assert told.count("Connected to") == 1
    plain = peers.run_program(
        [*CURL, "-p", "-x", stage.forward.url, "-T", "-", f"{stage.ours.url}/sink"], data=b"x" * 99
    )
    assert plain == "99"


def test_curl_is_told_what_is_not_allowed(stage: Stage) -> None:
    told = peers.run_program([*CURL, "-i", "-x", stage.forward.url, stage.before_ours.url])
    assert told.startswith("HTTP/1.1 403 Forbidden")
    with pytest.raises(RuntimeError, match="response 403"):
        peers.run_program([*CURL, "-p", "-x", stage.forward.url, stage.before_ours.url])


@pytest.mark.parametrize("origin", ["before_ours", "before_node"])
def test_curl_by_the_reverse_proxy(stage: Stage, origin: str) -> None:
    url = getattr(stage, origin).url
    sent = b"chunk by chunk\n" * 20_000
    told = peers.run_program([*CURL, "-T", "-", f"{url}/echo"], data=sent)
    echo = wire.decode_echo(told.encode())
    assert echo["method"] == "PUT"
    assert echo["body"] == sent
    headers = str(echo["headers"])
    assert "chunked" in headers
    assert "x-forwarded-for" in headers.lower()
    told = peers.run_program(
        [*CURL, "-v", "-H", "Expect: 100-continue", "--data-binary", "@-", f"{url}/sink"], data=sent
    )
    assert told.count("< HTTP/1.1 100 Continue") == 1
    assert told.endswith(str(len(sent)))
    told = peers.run_program([*CURL, "-I", f"{url}/sized"])
    assert "Content-Length: 5" in told
    told = peers.run_program([*CURL, "--http1.0", "-i", f"{url}/chunks"])
    assert told.endswith("\r\n\r\nonethree")
    assert "Transfer-Encoding" not in told
    told = peers.run_program([*CURL, "-v", "--raw", f"{url}/trailers"])
    assert "x-foo: bar" in told
    told = peers.run_program([*CURL, "-v", f"{url}/hints"])
    assert "< HTTP/1.1 103 Early Hints" in told
    # curl's own offer of HTTP/2 is an ordinary request.
    told = peers.run_program(
        [*CURL, "--http2", "-w", "%{http_version} %{response_code}", f"{url}/hello"]
    )
    assert told == "hello1.1 200"


NO_PROXY = [
    ("example.com", "http://example.com/", "direct"),
    ("example.com", "http://www.example.com/", "direct"),
    ("example.com", "http://notexample.com/", "proxy"),
    (".example.com", "http://example.com/", "direct"),
    (".example.com", "http://www.example.com/", "direct"),
    ("example.com.", "http://example.com/", "direct"),
    ("EXAMPLE.com", "http://www.example.com/", "direct"),
    ("*", "http://example.com/", "direct"),
    ("*,a", "http://example.com/", "proxy"),
    ("*.example.com", "http://www.example.com/", "proxy"),
    ("a.test, b.test", "http://b.test/", "direct"),
    ("a.test b.test", "http://b.test/", "direct"),
    ("192.168.0.0/16", "http://192.168.7.7/", "direct"),
    ("192.168.0.0/16", "http://192.169.7.7/", "proxy"),
    ("192.168.7.7", "http://192.168.7.7/", "direct"),
    ("192.168.7.7/0", "http://192.168.7.8/", "proxy"),
    ("192.168.7.0/33", "http://192.168.7.0/", "proxy"),
    # Networks of IPv6 are left out: curl 7.88 documents them, and takes them for names.
    ("fe80::/10", "http://[fd80::1]/", "proxy"),
    ("::1", "http://[::1]/", "direct"),
    (".0.0.1", "http://127.0.0.1/", "proxy"),
]


async def test_the_environment_means_to_us_what_it_means_to_curl(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both are told to go by a proxy, and it is seen who was connected to."""

    async def say(name: str, stream: Any) -> None:
        async with stream:
            await stream.receive_some()
            size = len(name)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(f"{head}{name}".encode())

    async with trio.open_nursery() as nursery:
        ports = {}
        for name in ("proxy", "direct"):
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            ports[name] = listener.socket.getsockname()[1]

            async def serve(listener: Any = listener, name: str = name) -> None:
                await trio.serve_listeners(lambda stream: say(name, stream), [listener])

            nursery.start_soon(serve)
        for variable in ("HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{ports['proxy']}")
        elsewhere = ["--connect-to", f"::127.0.0.1:{ports['direct']}"]
        with trio.fail_after(SECONDS):
            for value, url, expected in NO_PROXY:
                monkeypatch.setenv("no_proxy", value)
                ours = http.request(url, agent=http.Agent(proxy="env"))
                assert ("proxy" if ours._options.proxy else "direct") == expected, (value, url)
                # Where curl goes by the proxy, it asks that for a tunnel to the port given.
                done = await trio.run_process(
                    [*CURL, *elsewhere, "-v", url],
                    capture_stdout=True,
                    capture_stderr=True,
                    check=False,
                )
                found = re.search(rb"Connected to .* port (\d+)", done.stderr)
                assert found is not None, done.stderr
                assert int(found[1]) == ports[expected], (value, url)
        nursery.cancel_scope.cancel()


# --- Node -------------------------------------------------------------------------------------


def ask_node(port: int, requests: list[dict[str, Any]], **settings: Any) -> list[dict[str, Any]]:
    """Let Node's keep-alive client run requests."""
    told = {"port": port, "requests": requests, **settings}
    answers: list[dict[str, Any]] = json.loads(peers.run_program(peers.node("agent.js", told)))
    return answers


REQUESTS: list[dict[str, Any]] = [
    {"path": "/hello", "times": 5},
    {"path": "/hints"},
    {"path": "/processing"},
    {"path": "/trailers"},
    {"path": "/status/204"},
    {"path": "/not_modified"},
    {"path": "/sized", "method": "HEAD"},
    {"path": "/status/404"},
    {"path": "/body", "method": "POST", "body": "sized"},
    {"path": "/body", "method": "POST", "body": "piece", "pieces": 3},
    {"path": "/body", "method": "POST", "body": "waited", "expect": True},
    {"path": "/sink", "method": "PUT", "body": "x" * 50_000},
    {"path": "/stream/5"},
]


@pytest.mark.parametrize("origin", ["ours", "node"])
def test_nodes_client_hears_the_same_by_the_reverse_proxy(stage: Stage, origin: str) -> None:
    direct = ask_node(getattr(stage, origin).port, REQUESTS)
    proxied = ask_node(getattr(stage, f"before_{origin}").port, REQUESTS)
    assert [told.get("error") for told in proxied] == [None] * len(proxied)
    for told in (*direct, *proxied):
        told.pop("port")
        told.pop("reused")
    assert proxied == direct


@pytest.mark.parametrize("origin", ["ours", "node"])
def test_nodes_client_hears_the_same_by_the_forward_proxy(stage: Stage, origin: str) -> None:
    place = getattr(stage, origin)
    absolute = [
        {**each, "path": place.url + each["path"], "headers": {"Host": f"127.0.0.1:{place.port}"}}
        for each in REQUESTS
    ]
    direct = ask_node(place.port, REQUESTS)
    proxied = ask_node(stage.forward.port, absolute)
    keep = ("status", "body", "trailers", "informational", "error")
    assert [[told.get(key) for key in keep] for told in proxied] == [
        [told.get(key) for key in keep] for told in direct
    ]


@pytest.mark.parametrize("origin", ["ours", "node", "secure"])
def test_nodes_client_by_a_tunnel(stage: Stage, origin: str) -> None:
    settings = {
        "proxy": stage.forward.port,
        "target": f"127.0.0.1:{getattr(stage, origin).port}",
        "paths": ["/hello", "/chunks", "/sized"],
    }
    if origin == "secure":
        settings["ca"] = stage.authority.read_text()
    told = json.loads(peers.run_program(peers.node("tunnel.js", settings)))
    assert told == {
        "told": [{"status": 200, "body": body} for body in ("hello", "onethree", "hello")],
        "early": 0,
    }
    settings["target"] = f"127.0.0.1:{stage.before_ours.port}"
    told = json.loads(peers.run_program(peers.node("tunnel.js", settings)))
    assert told == {"refused": 403}


NUMBERED = ("status", "written_status", "chunked_status", "stream")
PATHS = [
    f"/{name}"
    for name in handlers.HANDLERS
    if name not in ("echo", "distinct", "joined", *NUMBERED)
]
PATHS += [f"/{name}/{number}" for name in NUMBERED[:3] for number in (200, 204, 304, 404, 599)]
PATHS += ["/stream/3", "/none"]


@pytest.mark.parametrize("origin", ["ours", "node"])
async def test_the_reverse_proxy_changes_nothing_else(stage: Stage, origin: str) -> None:
    """Every answer of a server, straight and through the proxy, is the same."""

    async def read(url: str, path: str, method: str) -> object:
        async with http.request(url + path, method=method, agent=agent) as request:
            await request.end()
            response = await request.get_response()
            body = await response.read()
        fields = [(k.lower(), v) for k, v in response.raw_headers if k.lower() not in HOP]
        informational = [(each.status_code, each.raw_headers) for each in request.informational]
        status = response.status_code, response.status_message
        # A chunked body may come with a length here, and the other way round.
        fields = [pair for pair in fields if pair[0] != "content-length" or method == "HEAD"]
        return status, sorted(fields), body, response.raw_trailers, informational

    straight, proxied = getattr(stage, origin).url, getattr(stage, f"before_{origin}").url
    with trio.fail_after(SECONDS):
        async with http.Agent(keep_alive=True) as agent:
            for path in PATHS:
                # Node's own server does not survive a HEAD for announced trailers.
                for method in ("GET", "POST", "DELETE", *(["HEAD"] * (path != "/announced"))):
                    expected = await read(straight, path, method)
                    assert await read(proxied, path, method) == expected, (method, path)


# --- nginx --------------------------------------------------------------------------------------


async def exchange(url: str, agent: http.Agent) -> None:
    """Requests of each kind, and what comes of them."""
    async with http.get(f"{url}/chunks", agent=agent) as response:
        assert await response.text() == "onethree"
    async with http.get(f"{url}/stream/50", agent=agent) as response:
        assert len(await response.read()) == 50 * len(handlers.BIG_CHUNK)
    async with http.request(f"{url}/sink", method="PUT", body=b"x" * 2_000_000, agent=agent) as put:
        assert await (await put.get_response()).text() == "2000000"

    async def pieces() -> Any:
        for _ in range(100):
            yield b"y" * 1000

    async with http.request(f"{url}/sink", method="POST", body=pieces(), agent=agent) as post:
        assert await (await post.get_response()).text() == "100000"
    async with http.get(f"{url}/status/404", agent=agent) as response:
        assert (response.status_code, await response.text()) == (404, "text")


async def test_nginx_before_the_reverse_proxy(stage: Stage, tmp_path: Path) -> None:
    with proxies.run_nginx(tmp_path, stage.before_ours.port) as nginx, trio.fail_after(SECONDS):
        async with (
            http.Agent(keep_alive=True, max_sockets=4) as agent,
            trio.open_nursery() as nursery,
        ):
            for _ in range(8):
                nursery.start_soon(exchange, nginx.url, agent)


async def test_nginx_behind_the_reverse_proxy(stage: Stage, tmp_path: Path) -> None:
    with (
        proxies.run_nginx(tmp_path, stage.ours.port) as nginx,
        peers.run_peer(peers.ours("proxy_hop", {"role": "reverse", "origin": nginx.url})) as hop,
        trio.fail_after(SECONDS),
    ):
        async with (
            http.Agent(keep_alive=True, max_sockets=4) as agent,
            trio.open_nursery() as nursery,
        ):
            for _ in range(8):
                nursery.start_soon(exchange, hop.url, agent)
        # What nginx refuses by itself is passed on as it is.
        async with http.get(f"{hop.url}/static/none", agent=False) as response:
            assert response.status_code == 404
            assert "nginx" in await response.text()
            assert response.headers["server"].startswith("nginx")
