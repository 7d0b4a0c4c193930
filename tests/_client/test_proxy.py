"""Which requests go by a proxy."""

from __future__ import annotations

import base64

import pytest

from trio_nodehttp import (
    Agent,
    InvalidArgTypeError,
    InvalidProtocolError,
    InvalidURLError,
    UnescapedCharactersError,
)
from trio_nodehttp._client.proxy import (
    Proxy,
    choose_proxy,
    is_excepted,
    read_environment,
    read_proxy,
)


def basic(auth: str) -> str:
    return "Basic " + base64.b64encode(auth.encode()).decode()


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://p.test", Proxy("http:", "p.test", 80)),
        ("https://p.test", Proxy("https:", "p.test", 443)),
        ("p.test:3128", Proxy("http:", "p.test", 3128)),
        ("http://[::1]:3128/path?query", Proxy("http:", "::1", 3128)),
        ("http://[fe80::1%25a]:3128", Proxy("http:", "fe80::1%a", 3128)),
        ("http://u:p@p.test:1", Proxy("http:", "p.test", 1, basic("u:p"))),
        ("u@p.test:1", Proxy("http:", "p.test", 1, basic("u:"))),
        ("http://a%40b:c%3Ad%0D%0A@p.test:1", Proxy("http:", "p.test", 1, basic("a@b:c:d\r\n"))),
    ],
)
def test_a_url_is_read(url: str, proxy: Proxy) -> None:
    assert read_proxy(url) == proxy


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("", InvalidURLError),
        ("http://", InvalidURLError),
        ("http://p.test:port", InvalidURLError),
        ("http://p.test:70000", InvalidURLError),
        ("http://[::1", InvalidURLError),
        ("socks5://p.test", InvalidProtocolError),
        ("http://p test", UnescapedCharactersError),
    ],
)
def test_a_wrong_url_is_refused_by_the_agent(url: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        Agent(proxy=url)


def test_an_error_names_the_option_and_not_the_requests_url() -> None:
    with pytest.raises(InvalidProtocolError, match=r'^proxy: Protocol "socks5:" not'):
        Agent(proxy="socks5://a.test")


def test_a_proxy_is_text() -> None:
    with pytest.raises(InvalidArgTypeError, match="proxy must be a string"):
        Agent(proxy=8080)  # type: ignore[arg-type]


def test_credentials_tell_proxies_apart_and_are_not_shown() -> None:
    proxies = [read_proxy(f"http://{who}p.test:1") for who in ("", "u:p@", "u:q@", "v:p@")]
    assert len({proxy.name for proxy in proxies}) == 4
    assert proxies[0].name == "http://p.test:1"
    for proxy in proxies[1:]:
        shown = f"{proxy!r} {proxy.name}"
        assert str(proxy.authorization) not in shown
        assert "u:" not in shown
    assert read_proxy("https://p.test:1").name != proxies[0].name
    assert read_proxy("http://[::1]:1").name == "http://[::1]:1"
    assert read_proxy("http://[fe80::1%25a]:1").name != read_proxy("http://[fe80::1%25b]:1").name


# --- the environment ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "protocol", "host"),
    [
        ({}, "http:", None),
        ({"http_proxy": "http://a:1"}, "http:", "a"),
        ({"http_proxy": "http://a:1"}, "https:", None),
        ({"HTTP_PROXY": "http://a:1"}, "http:", "a"),
        ({"HTTP_PROXY": "http://a:1"}, "https:", None),
        ({"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:1"}, "http:", "b"),
        ({"HTTP_PROXY": "http://a:1", "http_proxy": ""}, "http:", "a"),
        ({"HTTP_PROXY": "http://a:1", "all_proxy": "http://b:1"}, "http:", "a"),
        # A CGI script's client sets it with a header `Proxy`.
        ({"HTTP_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}, "http:", None),
        ({"HTTP_PROXY": "http://a:1", "REQUEST_METHOD": ""}, "http:", None),
        ({"http_proxy": "http://a:1", "REQUEST_METHOD": "GET"}, "http:", "a"),
        (
            {"HTTP_PROXY": "http://a:1", "REQUEST_METHOD": "GET", "ALL_PROXY": "http://b:1"},
            "http:",
            "b",
        ),
        ({"HTTPS_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}, "https:", "a"),
        ({"https_proxy": "http://a:1"}, "https:", "a"),
        ({"HTTPS_PROXY": "http://a:1"}, "https:", "a"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1"}, "https:", "b"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": ""}, "https:", "a"),
        ({"https_proxy": "http://a:1"}, "http:", None),
        ({"all_proxy": "http://a:1"}, "http:", "a"),
        ({"ALL_PROXY": "http://a:1"}, "https:", "a"),
        ({"ALL_PROXY": "http://a:1", "all_proxy": "http://b:1"}, "https:", "b"),
        ({"ALL_PROXY": "http://a:1", "http_proxy": "http://b:1"}, "http:", "b"),
        ({"http_proxy": "http://a:1", "no_proxy": "o.test"}, "http:", None),
        ({"http_proxy": "http://a:1", "NO_PROXY": "o.test"}, "http:", None),
        ({"http_proxy": "http://a:1", "no_proxy": "", "NO_PROXY": "o.test"}, "http:", None),
        ({"http_proxy": "http://a:1", "no_proxy": "x", "NO_PROXY": "o.test"}, "http:", "a"),
        ({"http_proxy": "http://a:1", "no_proxy": "*"}, "http:", None),
    ],
)
def test_the_variable_that_counts(environ: dict[str, str], protocol: str, host: str | None) -> None:
    proxy = choose_proxy(read_environment(environ), protocol, "o.test", 80)
    assert (proxy and proxy.host) == host


@pytest.mark.parametrize(
    "value",
    ["http://s3cret@p:port", "socks5://u:s3cret@p", "a b", "\udcff://", "http://s3cret\ud800@p"],
)
def test_a_wrong_variable_is_named_when_it_counts(value: str) -> None:
    environment = read_environment({"HTTPS_PROXY": value, "no_proxy": "else.test"})
    assert choose_proxy(environment, "http:", "o.test", 80) is None
    assert choose_proxy(environment, "https:", "else.test", 443) is None
    with pytest.raises(InvalidURLError, match="variable HTTPS_PROXY") as caught:
        choose_proxy(environment, "https:", "o.test", 443)
    assert "s3cret" not in f"{caught.value} {environment!r}"


# --- NO_PROXY ------------------------------------------------------------------------------

DOMAINS = [
    ("example.com", "example.com", True),
    ("example.com", "www.example.com", True),
    ("example.com", "a.b.EXAMPLE.com", True),
    ("EXAMPLE.com", "www.example.COM", True),
    ("example.com", "nonexample.com", False),
    ("example.com", "example.com.evil", False),
    ("example.com", "com", False),
    (".example.com", "example.com", True),
    (".example.com", "www.example.com", True),
    (".example.com", "nonexample.com", False),
    ("example.com.", "www.example.com", True),
    ("example.com", "www.example.com.", True),
    ("com", "example.com", True),
    ("localhost", "localhost", True),
    ("*.example.com", "www.example.com", False),
    (".", "example.com", False),
    ("..", "example.com", False),
]
LISTS = [
    ("*", "anything", True),
    ("*", "127.0.0.1", True),
    ("*", "::1", True),
    ("*,a", "anything", False),
    ("", "anything", False),
    ("a.test,b.test", "b.test", True),
    ("a.test, b.test", "b.test", True),
    ("a.test b.test", "b.test", True),
    (",,a.test,,\tb.test,", "b.test", True),
    (" a.test ", "a.test", True),
    ("a.test,b.test", "c.test", False),
]
ADDRESSES = [
    ("127.0.0.1", "127.0.0.1", True),
    ("127.0.0.1", "127.0.0.2", False),
    ("192.168.0.0/16", "192.168.77.1", True),
    ("192.168.0.0/16", "192.169.0.1", False),
    ("192.168.99.99/16", "192.168.0.1", True),
    ("10.0.0.0/8", "10.255.255.255", True),
    ("192.168.0.1/31", "192.168.0.0", True),
    ("192.168.0.1/32", "192.168.0.1", True),
    ("192.168.0.1/32", "192.168.0.0", False),
    ("192.168.0.0/33", "192.168.0.0", False),
    ("192.168.0.0/-1", "192.168.0.0", False),
    ("192.168.0.1/0", "192.168.0.1", True),
    ("192.168.0.1/0", "192.168.0.2", False),
    ("192.168.0.1/", "192.168.0.1", True),
    ("192.168.0.0/16x", "192.168.3.4", True),
    ("192.168.0.0/0016", "192.168.3.4", True),
    ("192.168.0.0/+16", "192.168.3.4", True),
    (".0.0.1", "127.0.0.1", False),
    ("0.0.1", "127.0.0.1", False),
    ("localhost", "127.0.0.1", False),
    ("127.0.0.1", "localhost", False),
    ("::1", "::1", True),
    ("::1", "0:0:0:0:0:0:0:1", True),
    ("::1", "::2", False),
    ("fe80::/10", "fe80::1234", True),
    ("fe80::/10", "febf::1", True),
    ("fe80::/10", "fec0::1", False),
    ("2001:db8::/32", "2001:db8:1::", True),
    ("2001:db8::/129", "2001:db8::", False),
    ("2001:db8::1/128", "2001:db8::1", True),
    ("fe80::1", "fe80::1%eth0", True),
    ("0.0.0.0/1", "::1", False),
    ("::/1", "127.0.0.1", False),
]
# What curl does not read: it takes these for names that no host has.
PORTS = [
    ("example.com:8080", "example.com", 8080, True),
    ("example.com:8080", "www.example.com", 8080, True),
    ("example.com:8080", "example.com", 80, False),
    ("example.com:08080", "example.com", 8080, True),
    ("example.com:", "example.com", 80, False),
    ("example.com:http", "example.com", 80, False),
    ("example.com:99999999999999999999", "example.com", 80, False),
    ("127.0.0.1:8080", "127.0.0.1", 8080, True),
    ("127.0.0.1:8080", "127.0.0.1", 80, False),
    ("10.0.0.0/8:8080", "10.1.2.3", 8080, True),
    ("[::1]:8080", "::1", 8080, True),
    ("[::1]:8080", "::1", 80, False),
    ("[::1]", "::1", 80, True),
    ("[fe80::]/10", "fe80::1", 80, True),
    ("[::1", "::1", 80, True),
    ("[", "::1", 80, False),
    ("[]", "a", 80, False),
]


@pytest.mark.parametrize(("exceptions", "host", "expected"), [*DOMAINS, *LISTS, *ADDRESSES])
def test_no_proxy_as_curl_reads_it(exceptions: str, host: str, expected: bool) -> None:
    assert is_excepted(exceptions, host, 80) is expected


@pytest.mark.parametrize(("exceptions", "host", "port", "expected"), PORTS)
def test_no_proxy_with_a_port(exceptions: str, host: str, port: int, expected: bool) -> None:
    assert is_excepted(exceptions, host, port) is expected


def test_the_environment_is_read_when_the_agent_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://before:1")
    agent = Agent(proxy="env")
    later = Agent()
    monkeypatch.setenv("http_proxy", "http://after:1")
    assert agent._find_proxy("http:", "o.test", 80) == Proxy("http:", "before", 1)
    assert agent._find_proxy("https:", "o.test", 443) is None
    assert later._find_proxy("http:", "o.test", 80) is None
    later.proxy = "env"
    assert later._find_proxy("http:", "o.test", 80) == Proxy("http:", "after", 1)
    later.proxy = "http://given:1"
    assert later._find_proxy("http:", "o.test", 80) == Proxy("http:", "given", 1)
