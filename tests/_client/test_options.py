"""What connections and agents may be told, and the keys of the pool."""

from __future__ import annotations

import math
import ssl
from typing import Any

import attrs
import pytest
import trio

import trio_nodehttp as http
from trio_nodehttp._client.options import (
    AgentSettings,
    check_context,
    check_port,
    check_protocol,
    tls_identity,
)
from trio_nodehttp._client.overrides import Overrides
from trio_nodehttp._memory import memory_pipe


@pytest.mark.parametrize("value", [None, 0, 80, 65535, "0", "65535"])
def test_good_ports(value: object) -> None:
    check_port("port", value)


@pytest.mark.parametrize("value", [True, 1.5, "", "http", "-1", "٣", b"80", [80]])
def test_ports_of_the_wrong_type(value: object) -> None:
    with pytest.raises(http.InvalidArgTypeError, match="default_port must be a whole number"):
        check_port("default_port", value)


@pytest.mark.parametrize("value", [-1, 65536, "65536"])
def test_ports_out_of_range(value: object) -> None:
    with pytest.raises(http.OutOfRangeError, match="port must be within 0 and 65535"):
        check_port("port", value)


def test_protocols() -> None:
    for good in (None, "http:", "https:"):
        check_protocol("protocol", good)
    with pytest.raises(http.InvalidProtocolError, match=r'protocol: Protocol "ftp:"'):
        check_protocol("protocol", "ftp:")
    with pytest.raises(http.InvalidArgTypeError, match="protocol must be a string"):
        check_protocol("protocol", 80)


def test_contexts() -> None:
    check_context("ssl_context", None)
    check_context("ssl_context", ssl.create_default_context())
    with pytest.raises(http.InvalidArgTypeError, match=r"ssl_context must be an ssl\.SSLContext"):
        check_context("ssl_context", True)


def test_the_margin_falls_back_to_a_second() -> None:
    for value in (0, 0.5, 3):
        assert AgentSettings(keep_alive_timeout_buffer=value).keep_alive_timeout_buffer == value
    for bad in (-1, math.inf, math.nan, None, "2", True):
        assert AgentSettings(keep_alive_timeout_buffer=bad).keep_alive_timeout_buffer == 1.0


# --- the keys ---------------------------------------------------------------------------------


def test_the_key_of_an_origin() -> None:
    assert http.ConnectOptions().name == "localhost:80:"
    options = http.ConnectOptions(
        host="a.test", port=81, local_address="10.0.0.1", family=6, socket_path="/s"
    )
    assert options.name == "a.test:81:10.0.0.1:6:/s"
    # How it is connected is no part of where.
    assert attrs.evolve(options, local_port=5, timeout=3, no_delay=False).name == options.name


def test_whoever_trusts_differently_has_another_key() -> None:
    ours, theirs = ssl.create_default_context(), ssl.create_default_context()
    plain = http.ConnectOptions(host="a.test", port=443)
    secure = attrs.evolve(plain, protocol="https:")
    names = {
        plain.name,
        secure.name,
        attrs.evolve(secure, ssl_context=ours).name,
        attrs.evolve(secure, ssl_context=theirs).name,
        attrs.evolve(secure, ssl_context=ours, server_hostname="b.test").name,
    }
    assert len(names) == 5
    assert attrs.evolve(plain, ssl_context=ours).name == plain.name
    assert tls_identity("http:", ours, "b.test") == tls_identity(None, None, None) == ""
    assert tls_identity("https:", None, None) == "::"


def test_get_name_tells_the_same_of_a_mapping_and_a_record() -> None:
    agent = http.Agent()
    context = ssl.create_default_context()
    given: dict[str, Any] = {
        "protocol": "https:",
        "host": "a.test",
        "port": 443,
        "family": 4,
        "ssl_context": context,
        "server_hostname": "b.test",
    }
    options = http.ConnectOptions(**given)
    assert agent.get_name(given) == agent.get_name(options) == options.name
    assert agent.get_name(object()) == "localhost::"


# --- the override points -----------------------------------------------------------------------


async def test_the_factory_of_the_agent() -> None:
    stream, _ = memory_pipe()
    seen: list[http.ConnectOptions] = []

    async def connect(options: http.ConnectOptions) -> trio.abc.Stream:
        seen.append(options)
        return stream

    options = http.ConnectOptions(host="a.test")
    assert await Overrides(create_connection=connect).create_connection(options) is stream
    assert seen == [options]


async def test_without_a_factory_it_dials() -> None:
    async def nowhere(host: str, options: http.ConnectOptions) -> list[str]:
        return []

    with pytest.raises(http.ConnectionFailedError, match="ENOTFOUND"):
        await Overrides().create_connection(http.ConnectOptions(lookup=nowhere))


def test_the_hooks_do_nothing_by_themselves() -> None:
    agent = Overrides()
    socket = http.Socket(memory_pipe()[0])
    assert agent.keep_socket_alive(socket) is True
    agent.reuse_socket(socket, None)
    assert not socket.destroyed
