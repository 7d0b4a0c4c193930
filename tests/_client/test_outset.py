"""A request before it has a socket."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_nodehttp as http
from tests.wires import wire
from trio_nodehttp.testing import Expect, ExpectEnd, FaultyServer, Send, Stall

OK = b"HTTP/1.1 200 OK\r\nX: 1\r\nX: 2\r\nAge: 3\r\nAge: 4\r\nContent-Length: 0\r\n\r\n"


async def exchange(nursery: Any, body: Any = None, **options: Any) -> tuple[bytes, Any]:
    server = FaultyServer([Expect(b"\r\n\r\n"), Send(OK), ExpectEnd()])
    agent = options.pop("agent", {})
    wired = await wire(nursery, "memory", server, **agent)
    async with http.request(wired.url, agent=wired.agent, **options) as request:
        await request.end(body)
        response = await request.get_response()
        await response.read()
    wired.agent.destroy()
    await wired.all_ended()
    return bytes(server.received[0]), response


@pytest.mark.parametrize(
    ("method", "body", "framing"),
    [
        ("GET", None, b""),
        ("HEAD", None, b""),
        ("DELETE", None, b""),
        ("POST", None, b"Content-Length: 0\r\n"),
        ("PUT", b"", b"Content-Length: 0\r\n"),
        ("PATCH", "é", b"Content-Length: 2\r\n"),
        ("GET", b"body", b"Content-Length: 4\r\n"),
        ("CONNECT", None, b""),
    ],
)
async def test_framing(
    nursery: Any, autojump_clock: Any, method: str, body: Any, framing: bytes
) -> None:
    if method == "CONNECT":
        request = http.request("http://origin.test/", method="CONNECT", path="a:1")
        request._settle_head()
        assert (
            request._head
            == b"CONNECT a:1 HTTP/1.1\r\nHost: origin.test\r\nConnection: keep-alive\r\n\r\n"
        )
        return
    data, _ = await exchange(nursery, body, method=method)
    head = b"%b / HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n%b\r\n"
    content = body.encode() if isinstance(body, str) else body or b""
    assert data == head % (method.encode(), framing) + content


async def test_given_length(nursery: Any, autojump_clock: Any) -> None:
    headers = {"Content-Length": "4"}
    data, _ = await exchange(nursery, b"body", method="GET", headers=headers)
    assert b"Transfer-Encoding" not in data
    assert data.endswith(b"\r\n\r\nbody")


async def test_persistence_follows_the_agent(nursery: Any, autojump_clock: Any) -> None:
    for options in ({"keep_alive": True}, {"max_sockets": 2}):
        data, _ = await exchange(nursery, agent=options)
        assert b"Connection: keep-alive\r\n" in data
    data, _ = await exchange(nursery)
    assert b"Connection: close\r\n" in data


async def test_unique_headers(nursery: Any, autojump_clock: Any) -> None:
    headers = {"X-Ids": ["1", "2"], "X-Other": ["1", "2"]}
    data, _ = await exchange(nursery, headers=headers, unique_headers=["X-IDS"])
    assert b"X-Ids: 1; 2\r\n" in data
    assert b"X-Other: 1\r\nX-Other: 2\r\n" in data


@pytest.mark.parametrize(("join", "age"), [(False, "3"), (True, "3, 4")])
async def test_joining_duplicates(nursery: Any, autojump_clock: Any, join: bool, age: str) -> None:
    _, response = await exchange(nursery, join_duplicate_headers=join)
    assert response.headers["x"] == "1, 2"
    assert response.headers["age"] == age


def test_host_may_not_be_a_list() -> None:
    with pytest.raises(TypeError, match="host"):
        http.request("http://origin.test/", headers={"Host": ["a", "b"]})


@pytest.mark.parametrize("path", ["/a b", "/\n", "/\u2713", 5])
def test_path_is_checked_when_assigned(path: Any) -> None:
    request = http.request("http://origin.test/old")
    with pytest.raises(TypeError, match=r"path|Request path"):
        request.path = path
    assert request.path == "/old"


async def test_description(nursery: Any, autojump_clock: Any) -> None:
    wired = await wire(nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(OK), Stall()]))
    request = http.request(wired.url, method="PUT", agent=wired.agent)
    assert request._describe(0) == "PUT http://origin.test:80/ (0.000 s, connecting)"
    assert repr(request) == "<ClientRequest PUT http://origin.test/ open>"
    async with request:
        await trio.sleep(1.5)
        now = trio.current_time()
        assert request._describe(now).endswith(" (1.500 s, sending)")
        await request.end()
        assert request._describe(now).endswith(" (1.500 s, waiting for a response)")
        request.method = "GET"  # so that a body is believed
    assert repr(request).endswith(" closed>")


async def test_description_while_reading(nursery: Any, autojump_clock: Any) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    wired = await wire(nursery, "memory", FaultyServer([Expect(b"\r\n\r\n"), Send(half), Stall()]))
    async with http.request(wired.url, agent=wired.agent) as request:
        await request.get_response()
        assert request._describe(trio.current_time()).endswith("reading)")


@pytest.mark.parametrize(
    ("path", "own", "line"),
    [
        (
            "/a?b",
            None,
            b"GET http://origin.test/a?b HTTP/1.1\r\nProxy-Authorization: Basic dTpw\r\n",
        ),
        ("*", None, b"OPTIONS http://origin.test HTTP/1.1\r\nProxy-Authorization: Basic dTpw\r\n"),
        (
            "http://other/",
            None,
            b"GET http://other/ HTTP/1.1\r\nProxy-Authorization: Basic dTpw\r\n",
        ),
        ("/", "mine", b"GET http://origin.test/ HTTP/1.1\r\nProxy-Authorization: mine\r\nHost"),
    ],
)
def test_head_for_a_proxy(path: str, own: str | None, line: bytes) -> None:
    agent = http.Agent(proxy="http://u:p@proxy.test:3128")
    headers = {} if own is None else {"Proxy-Authorization": own}
    method = "OPTIONS" if path == "*" else "GET"
    request = http.request(
        "http://origin.test/", agent=agent, path=path, headers=headers, method=method
    )
    request._settle_head()
    assert request._head.startswith(line)
