from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

import trio_nodehttp as http
from tests._server.kit import ask, echo, serving
from trio_nodehttp._server.options import ServerSettings

TIMES = [
    "headers_timeout",
    "request_timeout",
    "keep_alive_timeout",
    "keep_alive_timeout_buffer",
    "timeout",
    "connections_checking_interval",
    "keep_alive_initial_delay",
]
FLAGS = [
    "require_host_header",
    "join_duplicate_headers",
    "reject_non_standard_body_writes",
    "optimize_empty_requests",
    "insecure_http_parser",
    "no_delay",
    "keep_alive",
]
COUNTS = [
    "min_body_progress",
    "max_headers_count",
    "max_requests_per_socket",
    "max_connections",
]
SIZES = ["max_header_size", "high_water_mark"]
CHOICES = ["on_disconnect", "on_error", "parser"]
CLASSES = ["incoming_message_class", "server_response_class"]
OTHERS = [*CLASSES, "unique_headers", "should_upgrade_callback"]


def test_every_option_is_checked_below() -> None:
    names = [field.name for field in attrs.fields(ServerSettings)]
    assert sorted(names) == sorted([*TIMES, *FLAGS, *COUNTS, *SIZES, *CHOICES, *OTHERS])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in TIMES for value in ("5", True, [1])],
        *[(name, 1) for name in FLAGS],
        *[(name, value) for name in COUNTS for value in ("5", 1.5)],
        *[(name, value) for name in SIZES for value in ("5", 1.5, None)],
        ("unique_headers", "cookie"),
        ("unique_headers", [1]),
        ("unique_headers", 5),
        ("incoming_message_class", http.ServerResponse),
        ("server_response_class", "ServerResponse"),
        ("should_upgrade_callback", True),
    ],
)
def test_wrong_types_name_the_option(name: str, value: object) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(http.InvalidArgTypeError, match=name) as caught:
        http.create_server(**options)
    assert isinstance(caught.value, TypeError)
    server = http.create_server()
    with pytest.raises(http.InvalidArgTypeError, match=name):
        setattr(server, name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in TIMES for value in (-1, math.nan)],
        *[(name, -1) for name in (*COUNTS, *SIZES)],
    ],
)
def test_wrong_ranges_name_the_option(name: str, value: float) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(http.OutOfRangeError, match=name) as caught:
        http.create_server(**options)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", CHOICES)
def test_wrong_choices_name_the_option(name: str) -> None:
    options: dict[str, Any] = {name: "nonsense"}
    with pytest.raises(http.InvalidArgValueError, match=name):
        http.create_server(**options)


def test_there_is_no_other_option() -> None:
    told = (
        r"^create_server\(\) got an unexpected option 'keepalive_timeout'; "
        r"did you mean 'keep_alive_timeout'\?$"
    )
    with pytest.raises(TypeError, match=told):
        http.create_server(keepalive_timeout=5)  # type: ignore[call-arg]


@pytest.mark.node_api("http.createServer|insecureHTTPParser")
def test_the_insecure_parser_is_named() -> None:
    assert http.create_server(insecure_http_parser=False).insecure_http_parser is False
    with pytest.raises(http.ParserUnavailableError, match="llhttp") as caught:
        http.create_server(insecure_http_parser=True)
    assert caught.value.code == "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM"


@pytest.mark.node_api("Server|server.maxHeadersCount", "http.createServer|maxHeaderSize")
@pytest.mark.node_api("http.createServer|requireHostHeader")
async def test_limits_of_a_head(autojump_clock: Any) -> None:
    counts: list[int] = []

    async def count(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        counts.append(len(request.raw_headers))
        await response.end()

    fields = [f"X-{number}: 1" for number in range(99)]
    async with serving(count, max_header_size=1000, require_host_header=False) as served:
        client = await served.connect()
        await client.send(ask("/", *fields))
        await client.answer()
        served.server.max_headers_count = 40
        await client.send(ask("/", *fields))
        await client.answer()
        served.server.max_headers_count = 0
        await client.send(b"GET / HTTP/1.1\r\n\r\n")  # no Host
        await client.answer()
        assert counts == [100, 40, 0]
        await client.send(ask("/", "X: " + "y" * 1000))
        assert (await client.answer()).status == 431


@pytest.mark.node_api("http.createServer|joinDuplicateHeaders", "http.createServer|uniqueHeaders")
async def test_how_repeated_headers_are_joined(autojump_clock: Any) -> None:
    async def repeat(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        response.set_header("X-Id", ["1", "2"])
        response.set_header("X-Other", ["1", "2"])
        await response.end(request.headers["from"])

    for joins in (False, True):
        async with serving(repeat, join_duplicate_headers=joins, unique_headers=["X-ID"]) as served:
            client = await served.connect()
            await client.send(ask("/", "From: a", "From: b", "Connection: close"))
            reply = await client.until_end()
            assert reply.endswith(b"a, b" if joins else b"\r\n\r\na")
            assert b"X-Id: 1; 2\r\nX-Other: 1\r\nX-Other: 2\r\n" in reply


async def test_no_limit_may_be_said_in_three_ways(autojump_clock: Any) -> None:
    for none in (0, None, math.inf):
        limits = {
            "headers_timeout": none,
            "request_timeout": none,
            "keep_alive_timeout": none,
            "timeout": none,
        }
        async with serving(echo, **limits) as served:  # type: ignore[arg-type]
            client = await served.connect()
            answer = await client.get()
            assert "keep-alive" not in answer.headers
            assert answer.headers["connection"] == "keep-alive"
            assert await client.is_open()
