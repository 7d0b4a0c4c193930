"""Headless Chromium loads our pages, straight and by our proxy, and chats in two tabs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

import trio_nodehttp as http
from tests._server.kit import listening
from tests.interop.chromium import chromium
from tests.test_examples import command, first_url, free_port, running
from tests.wires import contexts

SECONDS = 60.0
IMAGES = 24
PAGE = """\
<!doctype html><meta charset="utf-8"><title>Assets</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/style.css">
<p>é</p>
<script src="/1.js"></script><script src="/2.js"></script>
""" + "".join(f'<img src="/{n}.svg">' for n in range(IMAGES))
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>'
FILES = {
    "/": ("text/html; charset=utf-8", PAGE),
    "/style.css": ("text/css", "p { color: rgb(1, 2, 3) }"),
    "/1.js": ("text/javascript", "window.ran = 1;"),
    "/2.js": ("text/javascript", f"window.ran += 1; /* {'x' * 200_000} */"),
    **{f"/{n}.svg": ("image/svg+xml", PICTURE) for n in range(IMAGES)},
}
# What a page that is whole says of itself.
LOOK = """({
  text: document.querySelector("p").textContent,
  color: getComputedStyle(document.querySelector("p")).color,
  ran: window.ran,
  widths: [...document.images].map((image) => image.naturalWidth),
})"""
WHOLE = {"text": "é", "color": "rgb(1, 2, 3)", "ran": 2, "widths": [7] * IMAGES}
STATUS = 'performance.getEntriesByType("navigation")[0].responseStatus'
POST = """fetch("/echo", {method: "POST", body: "é".repeat(100000)})
  .then((response) => response.text())
  .then((text) => text === "é".repeat(100000))"""


@attrs.define
class Site:
    """A server with a page and its assets, and what it was asked for."""

    server: http.Server = attrs.field(init=False)
    asked: Counter[str] = attrs.field(factory=Counter)
    ways: set[str | None] = attrs.field(factory=set)
    connections: int = 0

    def __attrs_post_init__(self) -> None:
        self.server = http.create_server(self.answer)
        self.server.on("connection", self.count)

    def count(self, _: http.Socket) -> None:
        self.connections += 1

    async def answer(self, request: http.IncomingMessage, response: http.ServerResponse) -> None:
        self.asked[request.url] += 1
        self.ways.add(request.headers.get("via"))
        if request.url == "/echo":
            async for chunk in request:
                await response.write(chunk)
            return
        kind, text = FILES[request.url]
        await response.write_head(200, {"Content-Type": kind}).end(text)


async def test_it_loads_a_page_with_assets_on_few_connections() -> None:
    with trio.fail_after(SECONDS):
        site = Site()
        async with listening(site.server), chromium() as browser, browser.tab() as tab:
            await tab.go_to(f"{site.server.url}/")
            assert await tab.evaluate(LOOK) == WHOLE
            assert await tab.evaluate(POST) is True
        assert site.asked == Counter([*FILES, "/echo"])
        assert site.ways == {None}
        assert site.connections <= 8  # six for each host, and one or two on suspicion


@asynccontextmanager
async def proxy(*allowed: str) -> AsyncIterator[str]:
    port = await free_port()
    async with running(*command("forward_proxy", str(port), *allowed)) as process:
        assert process.stdout is not None
        assert b"reaching" in await process.stdout.receive_some()
        yield f"http://127.0.0.1:{port}"


def by(url: str) -> list[str]:
    """Chromium's flags for a proxy, which for loopback it would not use."""
    return [f"--proxy-server={url}", "--proxy-bypass-list=<-loopback>"]


async def test_it_loads_a_page_by_the_forward_proxy() -> None:
    with trio.fail_after(SECONDS):
        site = Site()
        async with listening(site.server):
            origin = site.server.url
            async with (
                proxy(origin.removeprefix("http://")) as url,
                chromium(*by(url)) as browser,
                browser.tab() as tab,
            ):
                await tab.go_to(f"{origin}/")
                assert await tab.evaluate(LOOK) == WHOLE
                assert await tab.evaluate(POST) is True
                await tab.go_to(f"http://127.0.0.1:{await free_port()}/")
                assert await tab.evaluate(STATUS) == 403
            assert site.asked == Counter([*FILES, "/echo"])
            assert site.ways == {"1.1 trio_nodehttp"}


async def test_it_opens_tunnels_through_the_forward_proxy() -> None:
    server_context, _ = contexts()
    with trio.fail_after(SECONDS):
        site = Site()
        async with listening(site.server, ssl_context=server_context):
            host = site.server.url.removeprefix("https://")
            async with (
                proxy(host) as url,
                chromium(*by(url), "--ignore-certificate-errors") as browser,
                browser.tab() as tab,
            ):
                await tab.go_to(f"https://{host}/")
                assert await tab.evaluate(LOOK) == WHOLE
                assert await tab.evaluate(POST) is True
                refused = await tab.call("Page.navigate", url="https://other.test/")
                assert refused["errorText"] == "net::ERR_TUNNEL_CONNECTION_FAILED"
            assert site.asked == Counter([*FILES, "/echo"])
            assert site.ways == {None}  # a tunnel shows the proxy nothing


@asynccontextmanager
async def chat() -> AsyncIterator[str]:
    async with running(*command("websocket_chat", str(await free_port()))) as process:
        yield await first_url(process)


def says(text: str) -> str:
    return f"""
        document.getElementById("text").value = {json.dumps(text)};
        document.getElementById("form").requestSubmit();
    """


LOG = """[...document.querySelectorAll("#log li")].map((line) => line.textContent)"""
HERE = """document.getElementById("here").textContent"""


async def test_two_tabs_chat() -> None:
    with trio.fail_after(SECONDS):
        async with (
            chat() as url,
            chromium() as browser,
            browser.tab() as ada,
            browser.tab() as bob,
        ):
            await ada.go_to(f"{url}/?name=Ada")
            await bob.go_to(f"{url}/?name=Bob")
            for tab in (ada, bob):
                await tab.wait_for(f'{HERE} === "here: Ada, Bob"')
            await ada.evaluate(says("hello <b>Bob</b>"))
            await bob.wait_for(f"{LOG}.length === 1")
            await bob.evaluate(says("grüß dich"))
            for tab in (ada, bob):
                await tab.wait_for(f"{LOG}.length === 2")
                assert await tab.evaluate(LOG) == ["Ada: hello <b>Bob</b>", "Bob: grüß dich"]
            # Ours is one more in the room.
            async with http.WebSocket(f"{url.replace('http', 'ws')}/chat?name=Eve") as eve:
                await eve.send("and I")
                await ada.wait_for(f"{LOG}.length === 3")
                await bob.call("Page.close")
                await ada.wait_for(f'{HERE} === "here: Ada, Eve"')
