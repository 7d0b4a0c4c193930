"""The chat runs as a user would run it, and our own client takes part in it."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.test_examples import command, first_url, free_port, running

SOURCE = Path(__file__).parent.parent / "examples" / "websocket_chat.py"


@asynccontextmanager
async def chat() -> AsyncIterator[tuple[trio.Process, str]]:
    async with running(*command("websocket_chat", str(await free_port()))) as process:
        yield process, await first_url(process)


def member(url: str, name: str, **options: Any) -> http.WebSocket:
    return http.WebSocket(f"{url.replace('http', 'ws')}/chat?name={name}", **options)


async def hear(socket: http.WebSocket) -> dict[str, Any]:
    text = await socket.receive()
    heard: dict[str, Any] = json.loads(text)
    return heard


async def test_what_one_says_everybody_hears() -> None:
    async with chat() as (process, url):
        async with member(url, "Ada") as ada:
            assert await hear(ada) == {"here": ["Ada"]}
            async with member(url, "Bob%20B") as bob:
                assert await hear(bob) == await hear(ada) == {"here": ["Ada", "Bob B"]}
                await bob.send(b"not text: ignored")
                await bob.send("<b>hi</b>")
                said = {"from": "Bob B", "text": "<b>hi</b>"}
                assert await hear(bob) == await hear(ada) == said
            assert await hear(ada) == {"here": ["Ada"]}
            process.send_signal(signal.SIGINT)
            with pytest.raises(http.WebSocketClosedError):
                await ada.receive()
            assert (ada.close_code, ada.close_reason) == (1001, "")
        assert await process.wait() == 0


async def test_a_member_that_breaks_off_is_gone() -> None:
    async with chat() as (_, url), member(url, "Ada") as ada:
        assert await hear(ada) == {"here": ["Ada"]}
        with trio.CancelScope() as scope:
            async with member(url, "Bob"):
                assert await hear(ada) == {"here": ["Ada", "Bob"]}
                scope.cancel()
        assert await hear(ada) == {"here": ["Ada"]}


async def test_the_page_and_its_files() -> None:
    async with chat() as (_, url):
        found = {}
        for path in ("/?name=Ada", "/chat.css", "/chat.js", "/nothing"):
            async with http.get(url + path) as response:
                kind = response.headers["content-type"]
                found[path] = (response.status_code, kind, await response.text())
    assert found["/?name=Ada"][:2] == (200, "text/html; charset=utf-8")
    assert '<script src="/chat.js">' in found["/?name=Ada"][2]
    assert found["/chat.css"][:2] == (200, "text/css; charset=utf-8")
    assert found["/chat.js"][:2] == (200, "text/javascript; charset=utf-8")
    assert "new WebSocket(" in found["/chat.js"][2]
    assert found["/nothing"] == (404, "text/plain", "not found\n")


async def test_a_page_of_another_site_is_refused() -> None:
    async with chat() as (_, url), member(url, "Ada", headers={"Origin": url}) as ada:
        assert await hear(ada) == {"here": ["Ada"]}
        with pytest.raises(http.WebSocketHandshakeError) as caught:
            async with member(url, "Eve", headers={"Origin": "http://evil.test"}):
                pass
        response = caught.value.response
        assert isinstance(response, http.IncomingMessage)
        assert response.status_code == 403
        await ada.send("alone")
        assert await hear(ada) == {"from": "Ada", "text": "alone"}


async def test_the_page_takes_part_through_the_reverse_proxy() -> None:
    async with chat() as (_, url):
        port = str(await free_port())
        async with running(*command("reverse_proxy", url, port)) as proxy:
            front = await first_url(proxy)
            async with member(front, "Ada", headers={"Origin": front}) as ada:
                assert await hear(ada) == {"here": ["Ada"]}
            with pytest.raises(http.WebSocketHandshakeError, match="403"):
                async with member(front, "Eve", headers={"Origin": "http://evil.example"}):
                    raise AssertionError("it may not come in")


def test_it_stays_small() -> None:
    assert len(SOURCE.read_text().splitlines()) < 150
