"""Header rules: names and values, forms of giving them, joining."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from trio_nodehttp import _errors as errors
from trio_nodehttp._sansio import headers
from trio_nodehttp._sansio.headers import (
    Headers,
    clean_value,
    distinct_pairs,
    has_invalid_char,
    is_token,
    join_pairs,
    pairs_of,
    validate_header_name,
    validate_header_value,
)

TOKEN_CHARS = "!#$%&'*+-.^_`|~0123456789ABCXYZabcxyz"


# --- names and values -----------------------------------------------------------------


def test_tokens() -> None:
    for code in range(0x180):
        good = chr(code) in TOKEN_CHARS or (code < 128 and chr(code).isalnum())
        for text in (chr(code), f"a{chr(code)}", f"{chr(code)}b"):
            assert is_token(text) is good
    assert not is_token("")


def test_names() -> None:
    for name in (*TOKEN_CHARS, "Content-Type"):
        validate_header_name(name)
        validate_header_name(name)
    wrong: Any
    for wrong in ("", " ", "a b", "a:", "a\n", "\xe9", None, 1, ["a"], {}, b"a"):
        with pytest.raises(errors.InvalidHTTPTokenError) as caught:
            validate_header_name(wrong)
        assert str(caught.value) == f"Header name must be a valid HTTP token [{wrong!r}]"
    with pytest.raises(errors.InvalidHTTPTokenError, match="Trailer name must be"):
        validate_header_name("a b", "Trailer name")


def test_remembered_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "_good_names", set())
    for number in range(2 * headers._GOOD_NAMES_MAX):
        validate_header_name(f"x-{number}")
    assert len(headers._good_names) == headers._GOOD_NAMES_MAX


def test_values() -> None:
    for code in range(0x180):
        good = code == 9 or 0x20 <= code < 0x7F or 0x80 <= code < 0x100
        text = f"a{chr(code)}b"
        assert has_invalid_char(text) is not good
        if good:
            validate_header_value("x", text)
            assert clean_value("x", text) == text
            assert clean_value("x", [text]) == [text]
        else:
            for check in (validate_header_value, clean_value):
                with pytest.raises(errors.InvalidCharError, match=r"content \['x'\]"):
                    check("x", text)
            with pytest.raises(errors.InvalidCharError):
                clean_value("x", ["good", text])


@pytest.mark.parametrize("code", [0x10A, 0x10D, 0x0D0A, 0x280A, 0x100, 0x1F600])
def test_low_bytes_that_would_be_line_ends(code: int) -> None:
    with pytest.raises(errors.InvalidCharError):
        validate_header_value("x", chr(code))


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("a", "a"),
        (5, "5"),
        (1.5, "1.5"),
        (["a", 5], ["a", "5"]),
        (("a",), ["a"]),
        ([], []),
        (type("Text", (str,), {})("a"), "a"),
    ],
)
def test_clean_values(value: Any, cleaned: str | list[str]) -> None:
    assert clean_value("x", value) == cleaned


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, errors.InvalidHeaderValueError),
        ([None], errors.InvalidHeaderValueError),
        ({}, errors.InvalidArgTypeError),
        (b"a", errors.InvalidArgTypeError),
        ([["a"]], errors.InvalidArgTypeError),
        (object(), errors.InvalidArgTypeError),
    ],
)
def test_values_of_wrong_types(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="'x'"):
        clean_value("x", value)
    if not isinstance(value, list):
        with pytest.raises(error, match="'x'"):
            validate_header_value("x", value)


# --- forms ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "pairs"),
    [
        ({"A": "1", "b": ["2", "3"]}, [("A", "1"), ("b", ["2", "3"])]),
        ([("A", "1"), ("a", 2)], [("A", "1"), ("a", 2)]),
        ([["A", "1"]], [("A", "1")]),
        (["A", "1", "a", "2"], [("A", "1"), ("a", "2")]),
        (("A", "1"), [("A", "1")]),
        ([], []),
        ((), []),
        (Headers([("A", "1"), ("a", "2")]), [("A", "1"), ("a", "2")]),
    ],
)
def test_forms(given: Any, pairs: list[tuple[str, Any]]) -> None:
    assert pairs_of(given) == pairs


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (None, errors.InvalidArgTypeError),
        ("A: 1", errors.InvalidArgTypeError),
        (5, errors.InvalidArgTypeError),
        ([("A",)], errors.InvalidArgTypeError),
        ([("A", "1"), "b"], errors.InvalidArgTypeError),
        ([5], errors.InvalidArgTypeError),
        (["A"], errors.InvalidArgValueError),
        (["A", "1", "b"], errors.InvalidArgValueError),
    ],
)
def test_what_is_no_form(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="headers must"):
        pairs_of(given)


# --- joining --------------------------------------------------------------------------

FIRST_ONLY = """content-type content-length user-agent referer host authorization
    proxy-authorization if-modified-since if-unmodified-since from location
    max-forwards retry-after etag last-modified server age expires""".split()


@pytest.mark.parametrize("join_all", [False, True])
def test_joining(join_all: bool) -> None:
    for name in FIRST_ONLY:
        joined = join_pairs([(name.title(), "1"), (name, "2")], join_all=join_all)
        assert joined == {name: "1, 2" if join_all else "1"}
    pairs = [("X-A", "1"), ("Cookie", "a"), ("Set-Cookie", "c"), ("x-a", ""), ("cookie", "b")]
    assert join_pairs([*pairs, ("set-cookie", "d")], join_all=join_all) == {
        "x-a": "1, ",
        "cookie": "a; b",
        "set-cookie": ["c", "d"],
    }


def test_distinct() -> None:
    pairs = [("A", "1"), ("Host", "x"), ("a", "2"), ("HOST", "y")]
    assert distinct_pairs(pairs) == {"a": ["1", "2"], "host": ["x", "y"]}


def test_a_lone_set_cookie_is_a_list_too() -> None:
    assert join_pairs([("Set-Cookie", "a")], join_all=False) == {"set-cookie": ["a"]}


# --- the mapping ----------------------------------------------------------------------


def test_headers_are_a_mapping_in_any_case() -> None:
    made = Headers([("X-A", "1"), ("Set-Cookie", "c"), ("x-a", "2"), ("Host", "h"), ("host", "i")])
    assert isinstance(made, Mapping)
    assert made["x-a"] == made["X-A"] == "1, 2"
    assert made["set-cookie"] == ["c"]
    assert made["host"] == "h"
    assert list(made) == ["x-a", "set-cookie", "host"]
    assert len(made) == 3
    assert "HOST" in made
    assert "date" not in made
    number: Any = 5
    assert number not in made
    assert made.get("date") is None
    with pytest.raises(KeyError):
        made["date"]
    assert made.raw[2] == ("x-a", "2")
    assert repr(made) == "Headers({'x-a': '1, 2', 'set-cookie': ['c'], 'host': 'h'})"
    assert made == {"x-a": "1, 2", "set-cookie": ["c"], "host": "h"}


def test_headers_of_a_mapping() -> None:
    made = Headers({"A": ["1", "2"], "B": 3})
    assert made.raw == [("A", "1"), ("A", "2"), ("B", "3")]
    assert Headers(made).raw == made.raw
    assert dict(Headers()) == {}
    joined = Headers([("Host", "h"), ("host", "i")], join_duplicates=True)
    assert joined["host"] == "h, i"


def test_headers_as_received_share_their_pairs() -> None:
    pairs = [("Host", "h"), ("host", "i")]
    for join_all, host in ((False, "h"), (True, "h, i")):
        made = Headers._received(pairs, join_all=join_all)
        assert made.raw is pairs
        assert made["host"] == host
