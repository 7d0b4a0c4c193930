"""What a caller says of a request: checked, and made into where to connect."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlparse, urlsplit

import pytest

import trio_nodehttp as http
from trio_nodehttp._client.target import (
    CHECKS,
    check_options,
    connect_options,
    default_port,
    plain_target,
    read_mapping,
    read_url,
)


async def nothing(*args: object) -> None:
    pass


class Pieces:
    def __aiter__(self) -> Pieces:
        return self


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict.fromkeys(CHECKS),
        {"agent": False},
        {"agent": http.Agent()},
        {"body": b"x"},
        {"body": bytearray(b"x")},
        {"body": memoryview(b"x")},
        {"body": "x"},
        {"body": Pieces()},
        {"create_connection": nothing, "lookup": nothing},
        {"default_port": 8080, "port": "80", "local_port": 0},
        *({"family": family} for family in (0, 4, 6, "IPv4", "IPv6")),
        {"hints": 0, "max_headers_count": 0, "max_header_size": 1},
        {"insecure_http_parser": False, "set_host": True, "set_default_headers": False},
        {"join_duplicate_headers": True, "retry_stale": True},
        {"method": "", "path": "", "timeout": 0},
        {"method": "purge", "path": "/a?b", "protocol": "https:", "timeout": 1.5},
        {"ssl_context": ssl.create_default_context()},
        {"unique_headers": ["x"]},
    ],
)
def test_good_options(options: dict[str, Any]) -> None:
    check_options(options)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"agent": {}}, http.InvalidArgTypeError),
        ({"auth": 1}, http.InvalidArgTypeError),
        ({"body": 1}, http.InvalidArgTypeError),
        ({"body": {"json": True}}, http.InvalidArgTypeError),
        ({"create_connection": 1}, http.InvalidArgTypeError),
        ({"default_port": -1}, http.OutOfRangeError),
        ({"family": 5}, http.InvalidArgValueError),
        ({"family": True}, http.InvalidArgValueError),
        ({"family": 4.0}, http.InvalidArgValueError),
        ({"family": "4"}, http.InvalidArgValueError),
        ({"family": []}, http.InvalidArgValueError),
        ({"host": 1}, http.InvalidArgTypeError),
        ({"host": "a.test\r\nX: y"}, http.InvalidCharError),
        ({"host": "a b"}, http.InvalidCharError),
        ({"host": "a\x7f"}, http.InvalidCharError),
        ({"hostname": "\u4e2d"}, http.InvalidCharError),
        ({"hostname": "a.test/path"}, http.InvalidCharError),
        ({"hostname": b"a"}, http.InvalidArgTypeError),
        ({"insecure_http_parser": 1}, http.InvalidArgTypeError),
        ({"insecure_http_parser": True}, http.ParserUnavailableError),
        ({"join_duplicate_headers": 1}, http.InvalidArgTypeError),
        ({"local_address": 1}, http.InvalidArgTypeError),
        ({"lookup": "dns"}, http.InvalidArgTypeError),
        ({"max_header_size": 0}, http.OutOfRangeError),
        ({"max_headers_count": -1}, http.OutOfRangeError),
        ({"method": 1}, http.InvalidArgTypeError),
        ({"method": "GE T"}, http.InvalidHTTPTokenError),
        ({"path": 1}, http.InvalidArgTypeError),
        ({"path": "/a b"}, http.UnescapedCharactersError),
        ({"port": "x"}, http.InvalidArgTypeError),
        ({"protocol": "ws:"}, http.InvalidProtocolError),
        ({"retry_stale": "no"}, http.InvalidArgTypeError),
        ({"set_host": "no"}, http.InvalidArgTypeError),
        ({"socket_path": 1}, http.InvalidArgTypeError),
        ({"ssl_context": 1}, http.InvalidArgTypeError),
        ({"timeout": "1"}, http.InvalidArgTypeError),
        ({"timeout": -1}, http.OutOfRangeError),
        ({"unique_headers": "x"}, http.InvalidArgTypeError),
        ({"unique_headers": [1]}, http.InvalidArgTypeError),
        ({"unique_headers": 5}, http.InvalidArgTypeError),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], error: type[Exception]) -> None:
    (name,) = options
    with pytest.raises(error, match=name):
        check_options(options)
    # Nothing is sent or opened: the call that makes the request refuses.
    with pytest.raises(error, match=name):
        http.request("http://a.test/", **options)


def test_an_unknown_keyword_is_refused_and_an_unknown_entry_is_not() -> None:
    with pytest.raises(TypeError, match="unexpected option 'colour'"):
        http.request("http://a.test/", colour="red")  # type: ignore[call-arg]
    given = {"colour": "red", "host": "a.test", "port": 81}
    assert read_mapping(given) == {"host": "a.test", "port": 81}
    request = http.request(given)
    assert (request.host, request.port) == ("a.test", 81)
    with pytest.raises(http.InvalidArgTypeError, match="port"):
        http.request({"port": "x"})


@pytest.mark.parametrize("take_apart", [str, urlparse, urlsplit])
def test_urls(take_apart: Any) -> None:
    where = read_url(take_apart("https://me:word@A.test:8443/p?q=1#f"))
    assert (where.protocol, where.host, where.port) == ("https:", "a.test", 8443)
    assert (where.path, where.auth) == ("/p?q=1", "me:word")


@pytest.mark.parametrize("take_apart", [str, urlparse, urlsplit])
@pytest.mark.parametrize("url", ["http://a.test:x/", "http://a.test:70000/", "http:///p", "//a"])
def test_urls_that_are_none(take_apart: Any, url: str) -> None:
    with pytest.raises(http.InvalidURLError, match="url"):
        read_url(take_apart(url))


@pytest.mark.parametrize("url", [1, b"http://a.test/", ["http://a.test/"], object()])
def test_what_is_no_url_at_all(url: object) -> None:
    with pytest.raises(http.InvalidArgTypeError, match="url must be a string"):
        read_url(url)


# --- where to connect --------------------------------------------------------------------------


def test_the_usual_target_is_made_once() -> None:
    first, name = connect_options(http.Agent(), "http:", "a.test", 80, {"timeout": 3})
    second, _ = connect_options(http.Agent(), "http:", "a.test", 80, {"family": None})
    assert first is second is plain_target("http:", "a.test", 80, None)[0]
    assert name == first.name == "a.test:80:"


@pytest.mark.parametrize(("named", "family"), [("IPv4", 4), ("IPv6", 6)])
def test_a_family_may_be_named(named: Any, family: int) -> None:
    usual, number = connect_options(http.Agent(), "http:", "a.test", 80, {"family": family})
    for agent, options in ((http.Agent(), {"family": named}), (http.Agent(family=named), {})):
        assert connect_options(agent, "http:", "a.test", 80, options) == (usual, number)


def test_what_a_request_says_goes_before_what_the_agent_says() -> None:
    ours, theirs = ssl.create_default_context(), ssl.create_default_context()
    agent = http.Agent(family=6, local_address="10.0.0.1", ssl_context=ours)
    usual, name = connect_options(agent, "https:", "a.test", 443, {})
    assert (usual.family, usual.local_address, usual.ssl_context) == (6, "10.0.0.1", ours)
    assert name == usual.name
    options = {
        "family": 4,
        "local_address": "10.0.0.2",
        "ssl_context": theirs,
        "server_hostname": "b.test",
        "socket_path": "/s",
        "local_port": 5,
        "hints": 1,
        "lookup": nothing,
    }
    special, name = connect_options(agent, "https:", "a.test", 443, options)
    assert all(getattr(special, key) == value for key, value in options.items())
    assert name == special.name != usual.name


def test_the_default_port() -> None:
    assert default_port(http.Agent(), "http:", {}) == 80
    assert default_port(http.Agent(), "https:", {}) == 443
    assert default_port(http.Agent(default_port=81), "https:", {}) == 81
    assert default_port(http.Agent(default_port=81), "https:", {"default_port": "82"}) == 82


@pytest.mark.parametrize("take_apart", [str, urlparse, urlsplit])
def test_a_wrong_scheme_is_named_however_the_url_is_given(take_apart: Any) -> None:
    with pytest.raises(http.InvalidProtocolError, match="ftp:"):
        read_url(take_apart("ftp://a.test/"))
