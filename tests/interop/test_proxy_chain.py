"""Client, forward proxy (CONNECT), reverse proxy, origin: ten thousand mixed requests."""

from __future__ import annotations

import hashlib
import json
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import partial

import attrs
import pytest
import trio
import trustme

import trio_nodehttp as http
from tests.interop import peers
from tests.interop.conftest import Tell
from tests.interop.proxy_hop import MIGHTY, content, count_sockets

SECONDS = 110.0
TOGETHER = 16
SHARES = {"get": 8360, "upload": 1000, "download": 20, "websocket": 400, "abort": 220}
ABORTS = ("mid-download", "mid-upload", "mid-websocket", "unread")
MIGHTY_HASH = hashlib.sha256(content(MIGHTY)).hexdigest()
HOPS = ("forward", "reverse", "origin")


@attrs.frozen
class Chain:
    """The children by name, the URL to ask, and the agent that goes by the proxy."""

    hops: dict[str, peers.Peer]
    url: str
    context: ssl.SSLContext

    @property
    def websocket_url(self) -> str:
        return self.url.replace("https", "wss")

    def agent(self) -> http.Agent:
        return http.Agent(
            proxy=self.hops["forward"].url,
            ssl_context=self.context,
            keep_alive=True,
            max_sockets=TOGETHER,
        )

    async def admin(self, name: str, method: str = "GET") -> dict[str, int]:
        """Ask a hop what it has open."""
        url = f"http://127.0.0.1:{self.hops[name].ports['admin']}/"
        async with http.request(url, method=method, agent=False) as request:
            await request.end()
            told: dict[str, int] = await (await request.get_response()).json()
        return told


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    authority = trustme.CA()
    certificate = tmp_path_factory.mktemp("chain") / "certificate.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with ExitStack() as stack:

        def run(role: str, **settings: object) -> peers.Peer:
            told = {"role": role, **settings}
            return stack.enter_context(peers.run_peer(peers.ours("proxy_hop", told)))

        origin = run("origin")
        reverse = run("reverse", origin=origin.url, certificate=str(certificate))
        place = f"127.0.0.1:{reverse.port}"
        forward = run("forward", allowed=[place])
        hops = {"forward": forward, "reverse": reverse, "origin": origin}
        yield Chain(hops, f"https://{place}", context)


# --- one of each kind --------------------------------------------------------------------------


async def get(chain: Chain, agent: http.Agent, chance: random.Random) -> None:
    size = chance.choice((0, 1, 100, 1000, 20_000))
    async with http.get(f"{chain.url}/bytes/{size}", agent=agent) as response:
        assert response.status_code == 200
        assert await response.read() == content(size)


async def upload(chain: Chain, agent: http.Agent, chance: random.Random) -> None:
    pieces = [chance.randbytes(chance.randrange(1, 20_000)) for _ in range(chance.randrange(1, 6))]

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async with http.request(
        f"{chain.url}/upload", method="POST", body=body(), agent=agent
    ) as request:
        response = await request.get_response()
        assert await response.text() == hashlib.sha256(b"".join(pieces)).hexdigest()


async def download(chain: Chain, agent: http.Agent, chance: random.Random) -> None:
    seen = hashlib.sha256()
    async with http.get(f"{chain.url}/bytes/{MIGHTY}", agent=agent) as response:
        async for piece in response:
            seen.update(piece)
    assert seen.hexdigest() == MIGHTY_HASH


async def websocket(chain: Chain, agent: http.Agent, chance: random.Random) -> None:
    async with http.WebSocket(chain.websocket_url, agent=agent) as ws:
        for _ in range(chance.randrange(1, 5)):
            sent = chance.randbytes(chance.randrange(50_000))
            await ws.send(sent)
            got = await ws.receive()
            assert isinstance(got, bytes)
            assert hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()
        await ws.close(4000, "enough")
    assert (ws.close_code, ws.close_reason) == (4000, "enough")


async def abort(chain: Chain, agent: http.Agent, chance: random.Random) -> None:
    how = chance.choice(ABORTS)
    if how == "mid-upload":
        with trio.move_on_after(chance.random() * 0.05):
            async with http.request(f"{chain.url}/upload", method="POST", agent=agent) as request:
                while True:
                    await request.write(bytes(10_000))
    elif how == "mid-websocket":
        with trio.move_on_after(chance.random() * 0.05):
            async with http.WebSocket(chain.websocket_url, agent=agent) as ws:
                while True:
                    await ws.send(bytes(10_000))
    else:
        size = 0 if how == "unread" else chance.randrange(1, 1_000_000)
        async with http.get(f"{chain.url}/bytes/{MIGHTY}", agent=agent) as response:
            while size > 0:
                size -= len(await response.receive_some())


KINDS: dict[str, Callable[[Chain, http.Agent, random.Random], Awaitable[None]]] = {
    "get": get,
    "upload": upload,
    "download": download,
    "websocket": websocket,
    "abort": abort,
}


async def run_all(chain: Chain, agent: http.Agent, kinds: list[str]) -> Counter[str]:
    """Run them all, so many at once; answers how many of each kind went through."""
    done: Counter[str] = Counter()
    waiting = iter(enumerate(kinds))

    async def work() -> None:
        for number, kind in waiting:
            await KINDS[kind](chain, agent, random.Random(number))  # noqa: S311  # repeatable
            done[kind] += 1

    async with trio.open_nursery() as nursery:
        for _ in range(TOGETHER):
            nursery.start_soon(work)
    return done


async def settled(ask: Callable[[], Awaitable[dict[str, int]]]) -> dict[str, int]:
    """Ask until nothing is under way: a departed peer is noticed within 0.25 s."""
    with trio.move_on_after(5):
        while True:
            told = await ask()
            if not (told["active"] or told["connecting"] or told["connections"]):
                return told
            await trio.sleep(0.05)
    return await ask()


async def test_ten_thousand_mixed_requests(chain: Chain, tell: Tell) -> None:
    kinds = [kind for kind, count in SHARES.items() for _ in range(count)]
    random.Random(7).shuffle(kinds)  # noqa: S311  # repeatable
    assert len(kinds) == 10_000
    with trio.fail_after(SECONDS):
        before = {name: (await chain.admin(name))["sockets"] for name in HOPS}
        ours = count_sockets()
        started = trio.current_time()
        async with chain.agent() as agent:
            done = await run_all(chain, agent, kinds)
            stats = agent.stats()
            assert (stats.active, stats.connecting, stats.queued) == (0, 0, 0)
        seconds = trio.current_time() - started
        assert done == SHARES
        assert agent.stats().idle == 0
        told = {}
        for name in HOPS:
            told[name] = await settled(partial(chain.admin, name))
            # What is idle in the pool goes, and then there is no socket but the listeners.
            await chain.admin(name, "POST")
        for name in HOPS:
            told[name] = await settled(partial(chain.admin, name)) | {
                key: told[name][key] for key in ("opened", "reused")
            }
    tell(f"10,000 requests through two proxies in {seconds:.1f} s; the client {agent!r}")
    for name in HOPS:
        tell(f"{name}: {json.dumps(told[name])}")
        for count in ("active", "connecting", "queued", "idle", "connections"):
            assert told[name][count] == 0, (name, count)
        assert told[name]["sockets"] == before[name], name
    assert count_sockets() == ours


async def test_a_forward_proxy_reaches_nothing_else(chain: Chain) -> None:
    origin = chain.hops["origin"]
    with trio.fail_after(10):
        async with http.Agent(proxy=chain.hops["forward"].url) as agent:
            async with http.get(origin.url, agent=agent) as response:
                assert response.status_code == 403
            with pytest.raises(http.ProxyError, match="403 Forbidden"):
                async with http.get(origin.url.replace("http", "https"), agent=agent):
                    pass
        assert (await chain.admin("forward"))["active"] == 0
