"""Where a request goes: URLs, hosts and the names of origins."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import urlsplit

import pytest

from trio_nodehttp import _errors as errors
from trio_nodehttp._sansio.destination import (
    Destination,
    basic_authorization,
    check_host,
    check_path,
    host_header,
    origin_name,
    parse_url,
    split_destination,
)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://a.test", Destination("http:", "a.test", None, "/", None)),
        (
            "HTTPS://A.Test:8443/b;c?d=e&f#g",
            Destination("https:", "a.test", 8443, "/b;c?d=e&f", None),
        ),
        ("http://a?b", Destination("http:", "a", None, "/?b", None)),
        ("http://a/?", Destination("http:", "a", None, "/", None)),
        ("http://[::1]:80/", Destination("http:", "::1", 80, "/", None)),
        ("http://[fe80::1%25en0]/", Destination("http:", "fe80::1%en0", None, "/", None)),
        ("http://a:0/", Destination("http:", "a", 0, "/", None)),
        ("http://u:p@a/", Destination("http:", "a", None, "/", "u:p")),
        ("http://us%3Aer:p%40ss@a/", Destination("http:", "a", None, "/", "us:er:p@ss")),
        ("http://u@a/", Destination("http:", "a", None, "/", "u:")),
        ("http://:p@a/", Destination("http:", "a", None, "/", ":p")),
        ("http://@a/", Destination("http:", "a", None, "/", None)),
        ("http://%61.test/", Destination("http:", "a.test", None, "/", None)),
        (
            "http://b\u00fccher.test/\u00e9%zz?{\u4e2d}",
            Destination("http:", "xn--bcher-kva.test", None, "/%C3%A9%zz?{%E4%B8%AD}", None),
        ),
        ("http://my_host-1/", Destination("http:", "my_host-1", None, "/", None)),
    ],
)
def test_good_urls(url: str, wanted: Destination) -> None:
    assert parse_url(url) == wanted
    assert split_destination(urlsplit(url)) == wanted


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("", errors.InvalidURLError),
        ("/path", errors.InvalidURLError),
        ("//a.test/", errors.InvalidURLError),
        ("a.test", errors.InvalidURLError),
        ("http://", errors.InvalidURLError),
        ("http:///path", errors.InvalidURLError),
        ("http:path", errors.InvalidURLError),
        ("http://:80/", errors.InvalidURLError),
        ("http://a:b/", errors.InvalidURLError),
        ("http://a:65536/", errors.InvalidURLError),
        ("http://[::1/", errors.InvalidURLError),
        ("http://a%20b/", errors.InvalidURLError),
        ("http://a%0d%0aX:y/", errors.InvalidURLError),
        ("http://a%2fb/", errors.InvalidURLError),
        ("http://a%40b/", errors.InvalidURLError),
        ("http://a%00/", errors.InvalidURLError),
        ("http://a%7f/", errors.InvalidURLError),
        ("http://" + "\u00fc" * 64 + "/", errors.InvalidURLError),
        ("ftp://a.test/", errors.InvalidProtocolError),
        ("mailto:a@b", errors.InvalidProtocolError),
        ("http://a.test/b c", errors.UnescapedCharactersError),
        ("http://a.test/\r\nX: y", errors.UnescapedCharactersError),
        ("http://a.test/\t", errors.UnescapedCharactersError),
        (" http://a.test/", errors.UnescapedCharactersError),
        ("http://a.test/\ud800", errors.InvalidURLError),
    ],
)
def test_bad_urls(url: str, error: type[errors.HTTPError]) -> None:
    for _ in range(2):  # an error is not remembered as an answer
        with pytest.raises(error, match=r"^(url|path): ") as caught:
            parse_url(url)
        assert type(caught.value) is error
        assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "url",
    ["http://u:secret@a:b/", "http://u:secret@h@[/?@", "ftp://u:secret@a/", "//u:secret@a/"],
)
def test_no_error_tells_a_password(url: str) -> None:
    with pytest.raises(errors.HTTPError) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


def test_urls_are_taken_apart_once() -> None:
    assert parse_url("http://once.test/") is parse_url("http://once.test/")


def test_paths() -> None:
    for code in range(0x120):
        if 0x20 < code < 0x100:
            check_path(f"/{chr(code)}")
        else:
            with pytest.raises(errors.UnescapedCharactersError, match="unescaped"):
                check_path(f"/{chr(code)}")


@pytest.mark.parametrize(
    ("host", "port", "default", "wanted"),
    [
        ("a.test", 80, 80, "a.test"),
        ("a.test", 8080, 80, "a.test:8080"),
        ("a.test", 80, 443, "a.test:80"),
        ("a.test", 80, None, "a.test:80"),
        ("::1", 80, 80, "[::1]"),
        ("::1", 81, 80, "[::1]:81"),
        ("[::1]", 81, 80, "[::1]:81"),
        ("a:b", 80, 80, "a:b"),
        ("fe80::1%en0", 80, 80, "[fe80::1]"),
        ("fe80::1%en0", 81, 80, "[fe80::1]:81"),
    ],
)
def test_host_header(host: str, port: int, default: int | None, wanted: str) -> None:
    assert host_header(host, port, default) == wanted


def test_basic_authorization() -> None:
    # RFC 7617 sections 2 and 2.1.
    assert basic_authorization("Aladdin:open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert basic_authorization("test:123\u00a3") == "Basic dGVzdDoxMjPCow=="


def test_credentials_may_be_any_bytes() -> None:
    auth = parse_url("http://%E9:%ff\udcfe@a/").auth
    assert auth is not None
    assert basic_authorization(auth) == f"Basic {b64encode(bytes.fromhex('e93afffe')).decode()}"
    with pytest.raises(errors.InvalidCharError, match="credentials"):
        basic_authorization("\ud800:")


def test_hosts() -> None:
    for code in range(0x120):
        if 0x20 < code < 0x100 and code != 0x7F and chr(code) not in "#/?@\\":
            check_host("host", f"a{chr(code)}")
        else:
            with pytest.raises(errors.InvalidCharError, match="host: Invalid character"):
                check_host("host", f"a{chr(code)}")


def test_origin_names() -> None:
    assert origin_name(None, None, None, None, None) == "localhost::"
    assert origin_name("a", 80, "192.168.1.1", None, None) == "a:80:192.168.1.1"
    assert origin_name("a", 80, None, 4, None) == "a:80::4"
    assert origin_name("a", 80, None, 6, None, ":x") == "a:80::6:x"
    assert origin_name("a", 80, None, 0, None) == "a:80:"
    assert origin_name(None, None, None, None, "/run/sock") == "localhost:::/run/sock"
