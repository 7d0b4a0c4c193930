"""What a proxy changes in a head."""

from __future__ import annotations

from typing import Any

import pytest

from trio_nodehttp._sansio.events import CHUNKED, UNTIL_CLOSE
from trio_nodehttp._sansio.hops import (
    Hop,
    add_forwarded,
    add_via,
    count_hop,
    end_to_end,
    request_framing,
    response_framing,
    split_authority,
    split_target,
    values_of,
    wants_trailers,
)

HOP = Hop("192.0.2.7", "http", "example.com")


def test_members_of_a_list_are_found_on_every_line() -> None:
    pairs = [("Via", "1.1 a, 1.0 b"), ("x", "y"), ("VIA", "1.1 c")]
    assert values_of(pairs, "via") == ["1.1 a", "1.0 b", "1.1 c"]


def test_what_concerns_one_connection_is_left_out() -> None:
    dropped = (
        "Connection Proxy-Connection Keep-Alive TE Transfer-Encoding Upgrade Trailer "
        "Proxy-Authenticate Proxy-Authorization Proxy-Authentication-Info Content-Length"
    ).split()
    kept = [("Host", "a"), ("Cookie", "b"), ("cookie", "c"), ("Authorization", "d")]
    assert end_to_end([*((name, "x") for name in dropped), *kept]) == kept


def test_what_connection_names_is_left_out_too() -> None:
    pairs = [
        ("Connection", "close, X-One"),
        ("connection", "x-TWO"),
        ("X-One", "1"),
        ("x-two", "2"),
        ("X-Three", "3"),
    ]
    assert end_to_end(pairs) == [("X-Three", "3")]


@pytest.mark.parametrize(
    ("pairs", "body", "framing"),
    [
        ([], 0, []),
        ([("content-length", "0")], 0, [("Content-Length", "0")]),
        ([("Content-Length", "007")], 7, [("Content-Length", "7")]),
        # Named in Connection, it still frames the message.
        ([("Connection", "content-length"), ("Content-Length", "7")], 7, [("Content-Length", "7")]),
        ([("Transfer-Encoding", "chunked")], CHUNKED, [("Transfer-Encoding", "chunked")]),
        (
            [("Transfer-Encoding", "chunked"), ("trailer", "x-a")],
            CHUNKED,
            [("Transfer-Encoding", "chunked"), ("trailer", "x-a")],
        ),
        # Without chunks there are no trailers to announce.
        ([("Content-Length", "7"), ("Trailer", "x-a")], 7, [("Content-Length", "7")]),
    ],
)
def test_a_request_is_framed_as_it_came(
    pairs: list[tuple[str, str]], body: int, framing: list[tuple[str, str]]
) -> None:
    assert request_framing(pairs, body) == framing


LENGTH = [("Content-Length", "9")]
CHUNKS = [("Transfer-Encoding", "chunked")]
GZIP = [("Transfer-Encoding", "gzip, chunked")]
TRAILER = [("Trailer", "x-a")]


@pytest.mark.parametrize(
    ("pairs", "body", "options", "framing"),
    [
        (LENGTH, 9, {"status": 200}, LENGTH),
        (LENGTH, 9, {"status": 200, "chunks": False}, LENGTH),
        ([*LENGTH, *TRAILER], 9, {"status": 200}, LENGTH),
        ([("Content-Length", "0")], 0, {"status": 200}, [("Content-Length", "0")]),
        # A length that speaks of a body which does not follow.
        (LENGTH, 0, {"status": 200, "is_head": True}, LENGTH),
        (LENGTH, 0, {"status": 304}, LENGTH),
        (CHUNKS, 0, {"status": 200, "is_head": True}, []),
        # RFC 9110 section 8.6 forbids one in these.
        (LENGTH, 0, {"status": 204}, []),
        (LENGTH, 0, {"status": 103}, []),
        (CHUNKS, CHUNKED, {"status": 200}, CHUNKS),
        ([*CHUNKS, *TRAILER], CHUNKED, {"status": 200}, [*CHUNKS, *TRAILER]),
        ([*CHUNKS, *TRAILER], CHUNKED, {"status": 200, "chunks": False}, []),
        ([], UNTIL_CLOSE, {"status": 200}, CHUNKS),
        ([], UNTIL_CLOSE, {"status": 200, "chunks": False}, []),
        # What is coded below the chunks stays coded, and says so.
        (GZIP, CHUNKED, {"status": 200}, GZIP),
        ([("Transfer-Encoding", "gzip")], UNTIL_CLOSE, {"status": 200}, GZIP),
        ([("Transfer-Encoding", "Identity")], UNTIL_CLOSE, {"status": 200}, CHUNKS),
        ([("Transfer-Encoding", "identity")], UNTIL_CLOSE, {"status": 200, "chunks": False}, []),
    ],
)
def test_a_response_is_framed_as_it_came(
    pairs: list[tuple[str, str]],
    body: int,
    options: dict[str, Any],
    framing: list[tuple[str, str]],
) -> None:
    told = response_framing(pairs, body, **({"is_head": False, "chunks": True} | options))
    assert told == framing


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ("chunked, chunked", UNTIL_CLOSE),
        ("Chunked, gzip", UNTIL_CLOSE),
        ("chunked, gzip, chunked", UNTIL_CLOSE),
    ],
)
@pytest.mark.parametrize("chunks", [True, False])
def test_chunks_in_a_coding_are_passed_on_to_nobody(value: str, body: int, chunks: bool) -> None:
    pairs = [("Transfer-Encoding", value)]
    with pytest.raises(ValueError, match="Transfer-Encoding "):
        response_framing(pairs, body, status=200, is_head=False, chunks=chunks)


def test_a_coding_cannot_be_told_to_http_1_0() -> None:
    with pytest.raises(ValueError, match=r"gzip for an HTTP/1\.0 client"):
        response_framing(GZIP, CHUNKED, status=200, is_head=False, chunks=False)


@pytest.mark.parametrize(
    ("value", "wanted"), [("trailers", True), ("deflate, Trailers", True), ("deflate", False)]
)
def test_who_reads_trailers_says_so(value: str, wanted: bool) -> None:
    assert wants_trailers([("TE", value)]) is wanted


@pytest.mark.parametrize(
    ("method", "target", "parts"),
    [
        ("GET", "/a?b", (None, "/a?b")),
        ("OPTIONS", "*", (None, "*")),
        ("GET", "http://a.test/b?c#d", ("a.test", "/b?c")),
        ("GET", "http://a.test:81", ("a.test:81", "/")),
        ("GET", "http://a.test?q=/", ("a.test", "/?q=/")),
        ("GET", "http://user:pass@[::1]:81/x@y", ("[::1]:81", "/x@y")),
        ("OPTIONS", "http://a.test", ("a.test", "*")),
        ("OPTIONS", "http://a.test/", ("a.test", "/")),
    ],
)
def test_a_target_is_taken_apart(method: str, target: str, parts: tuple[str | None, str]) -> None:
    assert split_target(method, target) == parts


@pytest.mark.parametrize(
    ("authority", "parts"),
    [
        ("a.test:443", ("a.test", 443)),
        ("[::1]:8080", ("::1", 8080)),
        ("a.test:" + "0" * 5000 + "80", ("a.test", 80)),
    ],
)
def test_an_authority_is_taken_apart(authority: str, parts: tuple[str, int]) -> None:
    assert split_authority(authority) == parts


@pytest.mark.parametrize(
    ("method", "came", "left", "goes"),
    [
        ("OPTIONS", "2", 2, "1"),
        ("TRACE", "1", 1, "0"),
        ("TRACE", "0", 0, "0"),
        ("TRACE", "99999999999999999999", 999999999, "999999998"),
        # Elsewhere it means nothing, and what is no number neither.
        ("GET", "2", None, "2"),
        ("TRACE", "two", None, "two"),
    ],
)
def test_hops_are_counted_down(method: str, came: str, left: int | None, goes: str) -> None:
    fields = [("Accept", "*/*"), ("Max-Forwards", came)]
    assert count_hop(method, fields) == (left, [("Accept", "*/*"), ("Max-Forwards", goes)])


def test_without_a_limit_nothing_is_counted() -> None:
    assert count_hop("TRACE", [("a", "b")]) == (None, [("a", "b")])


def test_via_grows_by_a_line() -> None:
    assert add_via([("Via", "1.0 a")], "1.1", "b") == [("Via", "1.0 a"), ("Via", "1.1 b")]
    assert add_via([("Via", "1.0 a")], "1.1", None) == [("Via", "1.0 a")]


def test_the_first_hop_is_told() -> None:
    assert add_forwarded([("Host", "a")], HOP, replace=False) == [
        ("Host", "a"),
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "example.com"),
        ("Forwarded", "for=192.0.2.7;host=example.com;proto=http"),
    ]


CAME = [
    ("X-Forwarded-For", "203.0.113.1, 203.0.113.2"),
    ("Host", "a"),
    ("x-forwarded-for", "203.0.113.3"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "shop.example"),
    ("Forwarded", "for=203.0.113.1"),
    ("Forwarded", 'for="_x,y"'),
]


def test_a_further_hop_is_appended() -> None:
    assert add_forwarded(CAME, HOP, replace=False) == [
        ("Host", "a"),
        ("X-Forwarded-For", "203.0.113.1, 203.0.113.2, 203.0.113.3, 192.0.2.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "shop.example"),
        ("Forwarded", 'for=203.0.113.1, for="_x,y", for=192.0.2.7;host=example.com;proto=http'),
    ]


@pytest.mark.parametrize(
    "name",
    ["x-forwarded-for", "X_Forwarded_For", "X-Forwarded_proto", "FORWARDED", "X-Forwarded-Port"],
)
def test_no_field_is_taken_for_a_replaced_one(name: str) -> None:
    pairs = [("X_Forwarded", "1"), (name, "192.0.2.1")]
    assert add_forwarded(pairs, HOP, replace=True) == add_forwarded(pairs[:1], HOP, replace=True)


def test_empty_fields_say_nothing() -> None:
    came = [("X-Forwarded-For", " , "), ("X-Forwarded-Proto", ""), ("X-Forwarded-Host", ",")]
    assert add_forwarded(came, HOP, replace=False) == add_forwarded([], HOP, replace=False)


def test_what_a_client_said_can_be_replaced() -> None:
    assert add_forwarded(CAME, HOP, replace=True) == add_forwarded(
        [("Host", "a")], HOP, replace=True
    )


def test_ipv6_and_ports_are_quoted() -> None:
    told = dict(add_forwarded([], Hop("2001:db8::1", "https", "a.test:81"), replace=False))
    assert told["X-Forwarded-For"] == "2001:db8::1"
    assert told["Forwarded"] == 'for="[2001:db8::1]";host="a.test:81";proto=https'


def test_what_is_not_known_is_not_told() -> None:
    assert add_forwarded([], Hop(None, "http", None), replace=False) == [
        ("X-Forwarded-Proto", "http"),
        ("Forwarded", "for=unknown;proto=http"),
    ]
