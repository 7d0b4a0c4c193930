"""What a type checker is told of options, which is what a call takes.

The calls below are read by mypy, which `nox -s types` runs; other tests pass what it must
refuse, and say so in a comment that it would miss.
"""

from __future__ import annotations

import inspect
import math
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, get_type_hints

import pytest
import trio

import trio_nodehttp as http
from trio_nodehttp._client.options import AgentSettings
from trio_nodehttp._client.target import CHECKS
from trio_nodehttp._server.options import ServerSettings
from trio_nodehttp._typing import Unpack
from trio_nodehttp.pytest_plugin import HTTPServerFactory
from trio_nodehttp.testing import MemoryNetwork

URL = "http://a.test/"
FUNCTIONS = {
    http.RequestOptions: (http.request, http.get),
    http.AgentOptions: (http.Agent.__init__, MemoryNetwork.agent),
    http.ServerOptions: (
        http.create_server,
        http.serve,
        http.Server.__init__,
        HTTPServerFactory.__call__,
    ),
}


@pytest.mark.parametrize(
    ("options", "settings"),
    [(http.AgentOptions, AgentSettings), (http.ServerOptions, ServerSettings)],
)
def test_options_are_typed_as_their_attributes(options: type, settings: type) -> None:
    assert get_type_hints(options) == get_type_hints(settings)


def test_options_of_a_request_are_those_that_are_checked() -> None:
    assert sorted(get_type_hints(http.RequestOptions)) == sorted(CHECKS)


@pytest.mark.parametrize(
    ("options", "function"),
    [(options, function) for options, found in FUNCTIONS.items() for function in found],
)
def test_hints_can_be_looked_up(options: Any, function: Callable[..., object]) -> None:
    expected = Unpack[options]
    assert get_type_hints(function)["options"] == expected
    signature = inspect.signature(function, eval_str=True)
    assert signature.parameters["options"].annotation == expected


async def pieces() -> AsyncIterator[bytes]:
    yield b"piece"


async def lookup(host: str, options: http.ConnectOptions) -> list[str]:
    return [host]


async def connect(options: http.ConnectOptions) -> trio.SocketStream:
    return await trio.open_tcp_stream(options.host, options.port)


def pass_any_on(**options: Any) -> http.ClientRequest:
    return http.request(URL, **options)


def pass_on(**options: Unpack[http.RequestOptions]) -> http.ClientRequest:
    return http.request(URL, **options)


def test_what_a_request_takes() -> None:
    by_name: dict[str, str] = {"A": "b"}
    several: Mapping[str, str | list[str]] = {"A": ["b", "c"]}
    pairs = [("A", "b"), ("A", "c")]
    kept: http.RequestOptions = {"method": "PUT", "timeout": 5}
    requests = [
        http.request(URL, headers=by_name, body=b"bytes", timeout=5),
        http.request(URL, headers=several, body="text", timeout=0.5),
        http.request(URL, headers=pairs, body=pieces(), timeout=None),
        http.request(URL, headers=["A", "b"], agent=False),
        http.request(URL, headers=http.Headers(by_name), agent=http.Agent()),
        http.request(URL, headers={"A": 1, "B": "c", "D": ["e"]}, agent=None),
        http.request(URL, lookup=lookup, create_connection=connect, family=4),
        http.request(URL, ssl_context=ssl.create_default_context(), port="81"),
        http.request(URL, unique_headers=("a",), set_host=False, local_port=0),
        http.request(host="a.test", path="/", socket_path="/s", protocol="http:"),
        http.request(URL, **kept),
        pass_any_on(timeout=5, headers=by_name),
        pass_on(timeout=5, headers=by_name),
        http.get({"host": "a.test"}, **kept).request,
    ]
    assert {request.host for request in requests} == {"a.test"}


def test_what_an_agent_and_a_server_take() -> None:
    kept: http.AgentOptions = {"scheduling": "fifo", "max_sockets": 4, "timeout": None}
    assert http.Agent(create_connection=connect, **kept).scheduling == "fifo"
    assert MemoryNetwork().agent(**kept).max_sockets == 4
    limits: http.ServerOptions = {"keep_alive_timeout": 5, "max_connections": math.inf}
    assert http.create_server(**limits).keep_alive_timeout == 5
    assert http.Server(None, **limits).max_connections == math.inf
    server = http.create_server(None, unique_headers=["A"], on_disconnect="cancel", timeout=None)
    assert server.unique_headers == {"a"}
