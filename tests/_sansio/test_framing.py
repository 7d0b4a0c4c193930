"""Node's framing as a plan: what is added, how the body goes, who may follow."""

from __future__ import annotations

from typing import Any

import pytest

from trio_nodehttp._sansio import framing
from trio_nodehttp._sansio.framing import Shape, encode_chunk, encode_last_chunk, write_lines

Given = dict[str, "str | list[str]"]
CLOSE = "Connection: close"
KEEP = "Connection: keep-alive"
CHUNKS = "Transfer-Encoding: chunked"


def plan(shape: Shape, given: Given | None = None, **options: Any) -> list[str]:
    """Plan with these headers; give all lines of the head."""
    options = {
        "date": None,
        "always_persistent": False,
        "keep_alive_hint": None,
        "unique": None,
    } | options
    lines: list[str] = []
    stored = {name.lower(): (name, value) for name, value in (given or {}).items()}
    noted = write_lines(lines, stored, options.pop("unique"))
    shape.plan(lines, noted, **options)
    assert all(line.endswith("\r\n") for line in lines)
    return [line[:-2] for line in lines]


def make(*, chunks: bool = True, keep: bool = True, **known: Any) -> Shape:
    shape = Shape(default_chunked=chunks, keep_alive=keep)
    for name, value in known.items():
        setattr(shape, name, value)
    return shape


# --- length, chunks or the end --------------------------------------------------------


def test_without_a_length_the_body_goes_in_chunks() -> None:
    shape = make()
    assert plan(shape) == [KEEP, CHUNKS]
    assert (shape.chunked, shape.last, shape.declared) == (True, False, False)


@pytest.mark.parametrize("coding", ["chunked", "gzip, chunked"])
def test_a_length_beside_chunks_is_left_out(coding: str) -> None:
    shape = make()
    given: Given = {"Content-Length": ["5", "5"], "X": "1", "Transfer-Encoding": coding}
    assert plan(shape, given) == ["X: 1", f"Transfer-Encoding: {coding}", KEEP]
    assert (shape.chunked, shape.declared, shape.length) == (True, False, None)


def test_a_known_length_is_declared() -> None:
    shape = make(length=0)
    assert plan(shape) == [KEEP, "Content-Length: 0"]
    assert (shape.chunked, shape.last, shape.declared) == (False, False, False)


def test_a_peer_that_knows_no_chunks_reads_to_the_end() -> None:
    shape = make(chunks=False, length=5)
    assert plan(shape) == [CLOSE]
    assert (shape.chunked, shape.last) == (False, True)


@pytest.mark.parametrize("given", [{"Content-Length": "5"}, {"content-length": " 5 "}])
def test_a_length_that_was_given(given: Given) -> None:
    shape = make(chunks=False)
    assert plan(shape, given)[-1] == KEEP
    assert (shape.length, shape.declared, shape.chunked, shape.last) == (5, True, False, False)


@pytest.mark.parametrize("text", ["x", "-5", "", "5, 5", "\xb2", "9" * 20, "9" * 5000])
def test_a_length_that_is_none(text: str) -> None:
    shape = make()
    assert plan(shape, {"Content-Length": text}) == [f"Content-Length: {text}", KEEP]
    assert (shape.length, shape.declared, shape.chunked) == (None, True, False)


def test_two_lengths_are_sent_as_given() -> None:
    shape = make()
    lines = plan(shape, {"Content-Length": ["1", "2"]})
    assert lines == ["Content-Length: 1", "Content-Length: 2", KEEP]
    assert (shape.length, shape.declared) == (None, True)


def test_an_empty_list_is_no_header() -> None:
    shape = make()
    given: Given = {"Content-Length": [], "Transfer-Encoding": [], "Connection": []}
    assert plan(shape, given) == [KEEP, CHUNKS]
    assert (shape.declared, shape.chunked) == (False, True)


@pytest.mark.parametrize("value", ["chunked", "CHUNKED", "gzip, chunked"])
def test_a_coding_that_was_given(value: str) -> None:
    shape = make(length=5)
    assert plan(shape, {"transfer-ENCODING": value}) == [f"transfer-ENCODING: {value}", KEEP]
    assert (shape.chunked, shape.last) == (True, False)


@pytest.mark.parametrize("value", ["gzip", "chunkedx", "unchunked"])
def test_a_coding_that_is_not_chunked(value: str) -> None:
    shape = make()
    assert plan(shape, {"Transfer-Encoding": value}) == [f"Transfer-Encoding: {value}", KEEP]
    assert not shape.chunked


def test_a_trailer_header_makes_chunks() -> None:
    shape = make(length=5)
    assert plan(shape, {"Trailer": "X"}) == ["Trailer: X", KEEP, CHUNKS]
    assert shape.chunked


# --- no body --------------------------------------------------------------------------


def test_no_body_no_framing() -> None:
    shape = make(has_body=False, length=5)
    assert plan(shape) == [KEEP]
    assert (shape.chunked, shape.last) == (False, False)


def test_a_coding_without_a_body_closes() -> None:
    shape = make(has_body=False)
    assert plan(shape, {"Transfer-Encoding": "chunked"}) == [CHUNKS, CLOSE]
    assert (shape.chunked, shape.last) == (False, True)


def test_an_answer_to_head_may_tell_its_coding() -> None:
    shape = make(has_body=False, to_head=True)
    assert plan(shape, {"Transfer-Encoding": "chunked"}) == [CHUNKS, KEEP]
    assert (shape.chunked, shape.last) == (False, False)
    shape = make(has_body=False, to_head=True, keep=False)
    assert plan(shape, {"Transfer-Encoding": "chunked"}) == [CHUNKS, CLOSE]


# --- the connection -------------------------------------------------------------------


@pytest.mark.parametrize("value", ["close", "Close", "foo, close", "close,foo"])
def test_a_caller_may_close(value: str) -> None:
    shape = make(length=1)
    assert plan(shape, {"Connection": value}) == [f"Connection: {value}", "Content-Length: 1"]
    assert shape.last


@pytest.mark.parametrize("value", ["keep-alive", "upgrade", "closed"])
def test_a_caller_may_keep(value: str) -> None:
    shape = make(keep=False, length=1)
    assert plan(shape, {"Connection": value}) == [f"Connection: {value}", "Content-Length: 1"]
    assert (shape.last, shape.keep_alive) == (False, True)


def test_who_may_not_persist_closes() -> None:
    shape = make(keep=False, length=1)
    assert plan(shape) == [CLOSE, "Content-Length: 1"]
    assert shape.last


def test_a_request_persists_without_a_marked_end() -> None:
    shape = make(chunks=False, has_body=False)
    assert plan(shape, always_persistent=True) == [KEEP]
    assert not shape.last


def test_the_hint_follows_keep_alive() -> None:
    assert plan(make(length=0), keep_alive_hint="timeout=5") == [
        KEEP,
        "Keep-Alive: timeout=5",
        "Content-Length: 0",
    ]
    given: Given = {"Keep-Alive": "timeout=9"}
    assert plan(make(length=0), given, keep_alive_hint="timeout=5") == [
        "Keep-Alive: timeout=9",
        KEEP,
        "Content-Length: 0",
    ]
    assert plan(make(keep=False, length=0), keep_alive_hint="timeout=5")[0] == CLOSE


def test_the_last_request_of_a_connection_closes() -> None:
    shape = make(length=0)
    assert plan(shape, keep_alive_hint="") == [CLOSE, "Content-Length: 0"]
    assert shape.last


# --- date, expect, removed ------------------------------------------------------------


def test_date() -> None:
    now = "Thu, 20 Nov 2025 17:00:00 GMT"
    assert plan(make(length=0), date=now)[0] == f"Date: {now}"
    assert plan(make(length=0), {"date": "x"}, date=now)[:2] == ["date: x", KEEP]
    assert plan(make(length=0, removed=framing.REMOVED_DATE), date=now)[0] == KEEP


def test_expect() -> None:
    shape = make()
    plan(shape, {"Expect": "100-continue"})
    assert shape.expect
    shape = make()
    plan(shape, {"X": "y"})
    assert not shape.expect


def test_a_removed_connection_stays_removed() -> None:
    shape = make(length=1, removed=framing.REMOVED_CONNECTION)
    assert plan(shape, keep_alive_hint="timeout=5") == ["Content-Length: 1"]
    assert not shape.last
    shape = make(length=1, keep=False, removed=framing.REMOVED_CONNECTION)
    assert plan(shape) == ["Content-Length: 1"]
    assert shape.last


def test_a_removed_length_leaves_chunks() -> None:
    shape = make(length=1, removed=framing.REMOVED_LENGTH)
    assert plan(shape) == [KEEP, CHUNKS]


def test_a_removed_coding_leaves_the_length_or_the_end() -> None:
    shape = make(length=1, removed=framing.REMOVED_CODING)
    assert plan(shape) == [KEEP, "Content-Length: 1"]
    shape = make(removed=framing.REMOVED_CODING)
    plan(shape)
    assert (shape.chunked, shape.last) == (False, True)


def test_every_removable_header_has_its_bit() -> None:
    bits = list(framing.REMOVABLE.values())
    assert sum(bits) == 2 ** len(bits) - 1


# --- lines and chunks -----------------------------------------------------------------


def test_lines_keep_case_order_and_repeats() -> None:
    given: Given = {"X-a": ["1", "2"], "B": "3", "Cookie": ["a=b", "c=d"], "cookie2": ["e"]}
    assert plan(make(length=0), given)[:5] == [
        "X-a: 1",
        "X-a: 2",
        "B: 3",
        "Cookie: a=b; c=d",
        "cookie2: e",
    ]


def test_unique_names_share_a_line() -> None:
    given: Given = {"X-a": ["1", "2"], "Cookie": ["a=b"]}
    assert plan(make(length=0), given, unique={"x-a", "z"})[:2] == ["X-a: 1; 2", "Cookie: a=b"]


def test_chunks() -> None:
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert encode_last_chunk([]) == b"0\r\n\r\n"
    assert encode_last_chunk([("A", "1"), ("a", "\xe9")]) == b"0\r\nA: 1\r\na: \xe9\r\n\r\n"
