"""The opening handshake as text, both sides (RFC 6455 section 4)."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import pytest

from tests._websocket.wire import upgrade_request
from trio_nodehttp._errors import (
    HTTPError,
    InvalidArgTypeError,
    InvalidArgValueError,
    InvalidURLError,
    WebSocketHandshakeError,
)
from trio_nodehttp._websocket.deflate import DeflateParameters
from trio_nodehttp._websocket.handshake import (
    Agreement,
    RefusedError,
    accept_head,
    accept_value,
    agree,
    check_headers,
    check_origin,
    check_protocols,
    check_request,
    check_response,
    make_key,
    parse_url,
    refusal,
    request_headers,
    url_of,
)

# RFC 6455 section 1.3 has this example.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


# -- arguments


@pytest.mark.parametrize(
    ("url", "ours", "http", "origin"),
    [
        ("ws://a", "ws://a/", "http://a/", "ws://a"),
        ("wss://a:443/x?y=1", "wss://a:443/x?y=1", "https://a:443/x?y=1", "wss://a"),
        ("http://A:8080/p", "ws://A:8080/p", "http://A:8080/p", "ws://a:8080"),
        (
            "https://u:p@[::1]:1/",
            "wss://u:p@[::1]:1/",
            "https://u:p@[::1]:1/",
            "wss://[::1]:1",
        ),
        ("WS://a/b", "ws://a/b", "http://a/b", "ws://a"),
        ("ws://a:0", "ws://a:0/", "http://a:0/", "ws://a:0"),
        ("ws://bücher/", "ws://bücher/", "http://bücher/", "ws://xn--bcher-kva"),
        # As in a browser's URL.
        (
            " ws://a/ä b/%zz\x01\n\t?q=€\"<>&'x ",
            "ws://a/%C3%A4%20b/%zz%01?q=%E2%82%AC%22%3C%3E&'x",
            "http://a/%C3%A4%20b/%zz%01?q=%E2%82%AC%22%3C%3E&'x",
            "ws://a",
        ),
    ],
)
def test_a_url_has_three_forms(url: str, ours: str, http: str, origin: str) -> None:
    address = parse_url(url)
    assert (address.url, address.http_url, address.origin) == (ours, http, origin)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/path",
        "ftp://a",
        "ws:///x",
        "ws://a:port",
        "ws://a:99999",
        "ws://[::1",
        "ws://a b/",
        "ws://a\\b",
        "ws://a%20b/",
        "ws://a/\ud800",
        "ws:a",
        "ws://a/#f",
        "ws://a/#",
    ],
)
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidURLError) as caught:
        parse_url(url)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("rest", ["a/#f", "a:b/", "a b/", "["])
def test_no_error_tells_a_password(rest: str) -> None:
    with pytest.raises(InvalidURLError) as caught:
        parse_url(f"ws://u:secret@{rest}")
    assert "secret" not in str(caught.value)


def test_a_url_is_a_string() -> None:
    with pytest.raises(InvalidArgTypeError):
        parse_url(b"ws://a")  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), ()),
        ("chat", ("chat",)),
        (["a", "b.1"], ("a", "b.1")),
        (iter("ab"), ("a", "b")),
    ],
)
def test_protocols_are_tokens(given: Any, expected: object) -> None:
    assert check_protocols("protocols", given) == expected


@pytest.mark.parametrize("given", ["", "a b", "a,b", ["a", "a"], ["chat", "Chat"], ["é"]])
def test_bad_protocols_are_refused(given: Any) -> None:
    with pytest.raises(InvalidArgValueError, match="protocols"):
        check_protocols("protocols", given)


@pytest.mark.parametrize("given", [[1], 1, b"chat", None])
def test_protocols_are_strings(given: Any) -> None:
    with pytest.raises(InvalidArgTypeError, match="protocols must be strings"):
        check_protocols("protocols", given)


def test_headers_of_the_caller_are_checked() -> None:
    assert check_headers(None) == []
    assert check_headers({"Origin": "x", "A": ["1", "2"]}) == [
        ("Origin", "x"),
        ("A", ["1", "2"]),
    ]
    for bad in (
        {"Upgrade": "h2c"},
        {"sec-websocket-key": "x"},
        {"a b": "x"},
        {"a": "\n"},
    ):
        with pytest.raises(HTTPError):
            check_headers(bad)


# -- the client


def test_keys_are_sixteen_fresh_bytes() -> None:
    keys = {make_key() for _ in range(20)}
    assert len(keys) == 20
    assert {len(base64.b64decode(key)) for key in keys} == {16}


def test_the_example_of_the_rfc() -> None:
    assert accept_value(KEY) == ACCEPT


def test_the_fields_of_a_request() -> None:
    plain = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ]
    assert request_headers(KEY, (), compression=False) == plain
    assert request_headers(KEY, ("a", "b"), compression=True) == [
        *plain,
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("Sec-WebSocket-Protocol", "a, b"),
    ]


def response(**headers: str | None) -> SimpleNamespace:
    fields: dict[str, str | None] = {
        "upgrade": "WebSocket",
        "connection": "keep-alive, upgrade",
        "sec-websocket-accept": ACCEPT,
    }
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    return SimpleNamespace(headers={k: v for k, v in fields.items() if v is not None})


def check(answer: SimpleNamespace, *, compression: bool = True) -> Agreement:
    return check_response(answer, KEY, ("chat", "v2"), compression=compression)


def test_a_proper_response_is_taken() -> None:
    assert check(response()) == Agreement()
    assert check(response(sec_websocket_protocol="v2")) == Agreement("v2")
    extensions = "permessage-deflate; server_max_window_bits=9"
    parameters = DeflateParameters(server_max_window_bits=9)
    expected = Agreement("", extensions, parameters)
    assert check(response(sec_websocket_extensions=extensions)) == expected


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"upgrade": None}, "Upgrade field"),
        ({"upgrade": "h2c"}, "Upgrade field"),
        ({"connection": "keep-alive"}, "Connection field"),
        ({"sec_websocket_accept": None}, "Sec-WebSocket-Accept"),
        ({"sec_websocket_accept": ACCEPT.lower()}, "Sec-WebSocket-Accept"),
        ({"sec_websocket_accept": f"{ACCEPT}, {ACCEPT}"}, "Sec-WebSocket-Accept"),
        ({"sec_websocket_protocol": "other"}, "not offered"),
        ({"sec_websocket_protocol": "chat, v2"}, "not offered"),
        ({"sec_websocket_extensions": "x-other"}, "not offered"),
        ({"sec_websocket_extensions": ";"}, "not a list"),
    ],
)
def test_an_improper_response_is_an_error(headers: Any, text: str) -> None:
    answer = response(**headers)
    with pytest.raises(WebSocketHandshakeError, match=text) as caught:
        check(answer)
    assert caught.value.response is answer


def test_compression_that_was_not_offered_is_an_error() -> None:
    with pytest.raises(WebSocketHandshakeError, match="not offered"):
        check(response(sec_websocket_extensions="permessage-deflate"), compression=False)


# -- the server


def test_a_proper_request_is_taken() -> None:
    assert check_request(upgrade_request()) == KEY
    assert check_request(upgrade_request(upgrade="h2c, WebSocket")) == KEY


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": None}, 400),
        ({"host": ""}, 400),
        ({"upgrade": None}, 400),
        ({"upgrade": "h2c"}, 400),
        ({"connection": "close"}, 400),
        ({"sec_websocket_version": None}, 400),
        ({"sec_websocket_version": "8"}, 426),
        ({"sec_websocket_version": "13, 8"}, 426),
        ({"sec_websocket_key": None}, 400),
        ({"sec_websocket_key": "short"}, 400),
        ({"sec_websocket_key": "c2hvcnQ="}, 400),
        ({"sec_websocket_key": f"{KEY}, {KEY}"}, 400),
        ({"sec_websocket_key": "é"}, 400),
    ],
)
def test_an_improper_request_is_refused(headers: Any, status: int) -> None:
    with pytest.raises(RefusedError) as caught:
        check_request(upgrade_request(**headers))
    assert caught.value.status_code == status


@pytest.mark.parametrize(("name", "value"), [("method", "POST"), ("http_version", "1.0")])
def test_only_get_and_http_1_1(name: str, value: str) -> None:
    request = upgrade_request()
    setattr(request, name, value)
    with pytest.raises(RefusedError) as caught:
        check_request(request)
    assert caught.value.status_code == 400


def test_origins() -> None:
    good = {"https://good"}
    check_origin({"origin": "https://any"}, None)
    check_origin({"origin": "https://good"}, good)
    check_origin({}, good)
    with pytest.raises(RefusedError) as caught:
        check_origin({"origin": "https://good.evil"}, good)
    assert caught.value.status_code == 403


def test_the_server_prefers_its_own_order() -> None:
    headers = {"sec-websocket-protocol": "a,b , c"}
    assert agree(headers, ("x", "c", "b"), compression=True) == Agreement("c")
    assert agree(headers, ("B",), compression=True) == Agreement()
    assert agree({}, ("",), compression=True).protocol == ""


def test_the_server_compresses_if_both_want_it() -> None:
    headers = {"sec-websocket-extensions": "permessage-deflate"}
    agreed = Agreement("", "permessage-deflate", DeflateParameters())
    assert agree(headers, (), compression=True) == agreed
    assert agree(headers, (), compression=False) == Agreement()


def test_bad_extensions_are_refused() -> None:
    with pytest.raises(RefusedError) as caught:
        agree({"sec-websocket-extensions": "a b"}, (), compression=False)
    assert caught.value.status_code == 400


def test_the_101() -> None:
    assert accept_head(KEY, Agreement()) == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"\r\n"
    )
    head = accept_head(KEY, Agreement("chat", "ext"), [("Set-Cookie", ["a=1", "b=2"])])
    assert head.endswith(
        b"\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: ext\r\n"
        b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"
    )


def test_refusals() -> None:
    assert refusal(RefusedError(400, "no")) == (
        b"HTTP/1.1 400 Bad Request\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 3\r\n"
        b"Connection: close\r\n"
        b"\r\n"
        b"no\n"
    )
    other = refusal(RefusedError(426, "no"))
    assert other.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    assert b"\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n" in other
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in other


def test_the_url_that_a_client_asked_for() -> None:
    request = upgrade_request()
    assert url_of(request) == "ws://example.com/chat"
    request.socket = SimpleNamespace(encrypted=True)
    assert url_of(request) == "wss://example.com/chat"
