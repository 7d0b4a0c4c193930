"""The fields of a message that leaves."""

from __future__ import annotations

from typing import Any

import pytest

import trio_nodehttp as http
from trio_nodehttp._sansio.framing import REMOVED_CONNECTION, REMOVED_DATE


class Message(http.OutgoingMessage):
    def _render_head(self) -> bytes:
        return b""


def test_names_keep_their_case_and_their_order() -> None:
    message = Message()
    assert message.set_header("X-One", 1) is message
    message.set_header("x-two", "2").set_header("X-ONE", 1.5)
    assert message.get_headers() == {"x-one": "1.5", "x-two": "2"}
    assert message.get_header_names() == ["x-one", "x-two"]
    assert message.get_raw_header_names() == ["X-ONE", "x-two"]
    assert message.has_header("X-Two")
    assert message.get_header("X-TWO") == "2"
    assert message.get_header("none") is None


def test_a_message_without_headers() -> None:
    message = Message()
    assert message.get_headers() == {}
    assert message.get_header_names() == []
    assert message.get_raw_header_names() == []
    assert not message.has_header("x")
    message.remove_header("x")
    assert not message.headers_sent


def test_values_are_told_as_copies() -> None:
    message = Message().set_header("X", ["a", "b"])
    told = message.get_header("x")
    assert isinstance(told, list)
    told.append("bad\r\nheader")
    all_told: Any = message.get_headers()["x"]
    all_told.append("c")
    assert message.get_header("x") == ["a", "b"]


def test_appending() -> None:
    message = Message()
    assert message.append_header("X", "1") is message
    assert message.get_header("x") == "1"
    message.append_header("x", ["2", "3"]).append_header("X", 4)
    assert message.get_header("x") == ["1", "2", "3", "4"]
    assert message.get_raw_header_names() == ["X"]


@pytest.mark.parametrize("how", ["set_header", "append_header"])
def test_a_removed_header_may_come_back(how: str) -> None:
    message = Message()
    message.remove_header("DATE")
    message.remove_header("connection")
    assert message._shape.removed == REMOVED_DATE | REMOVED_CONNECTION
    getattr(message, how)("Date", "today")
    assert message._shape.removed == REMOVED_CONNECTION
    message._merge({"Connection": "close"})
    assert message._shape.removed == 0


def test_set_headers_is_all_or_nothing() -> None:
    message = Message()
    headers = http.Headers([("A", "1"), ("Set-Cookie", "x"), ("Set-Cookie", "y")])
    assert message.set_headers(headers) is message
    assert message.get_headers() == {"a": "1", "set-cookie": ["x", "y"]}
    with pytest.raises(http.InvalidCharError):
        message.set_headers({"B": "2", "C": "a\nb"})
    with pytest.raises(http.InvalidHTTPTokenError):
        message.set_headers({"B": "2", "C D": "3"})
    assert not message.has_header("b")
    for wrong in ([("a", "b")], "a", None, 3):
        bad: Any = wrong
        with pytest.raises(http.InvalidArgTypeError, match="headers must be a mapping"):
            message.set_headers(bad)


def test_given_with_the_start_line() -> None:
    message = Message().set_header("A", "old").set_header("B", "kept")
    message._merge([("a", "1"), ("C", "3"), ("A", "2")])
    assert message.get_headers() == {"a": ["1", "2"], "b": "kept", "c": "3"}
    assert message.get_raw_header_names() == ["A", "B", "C"]
    message._merge(["D", "4", "E", "5"])
    assert message.get_header("e") == "5"
    fresh = Message()
    fresh._merge({"X": "1"})
    assert fresh.get_headers() == {"x": "1"}
    with pytest.raises(http.InvalidCharError):
        fresh._merge({"Y": "1", "Z": "\0"})
    assert fresh.get_headers() == {"x": "1"}


@pytest.mark.parametrize(
    ("name", "value", "error", "code"),
    [
        ("", "x", http.InvalidHTTPTokenError, "ERR_INVALID_HTTP_TOKEN"),
        ("a b", "x", http.InvalidHTTPTokenError, "ERR_INVALID_HTTP_TOKEN"),
        (None, "x", http.InvalidHTTPTokenError, "ERR_INVALID_HTTP_TOKEN"),
        ("x", None, http.InvalidHeaderValueError, "ERR_HTTP_INVALID_HEADER_VALUE"),
        ("x", ["a", None], http.InvalidHeaderValueError, "ERR_HTTP_INVALID_HEADER_VALUE"),
        ("x", b"bytes", http.InvalidArgTypeError, "ERR_INVALID_ARG_TYPE"),
        ("x", "a\r\nb: c", http.InvalidCharError, "ERR_INVALID_CHAR"),
        ("x", "\u010d\u010a", http.InvalidCharError, "ERR_INVALID_CHAR"),
    ],
)
@pytest.mark.parametrize("how", ["set_header", "append_header", "set_headers", "add_trailers"])
def test_what_may_not_be_sent(
    name: Any, value: Any, error: type[http.HTTPError], code: str, how: str
) -> None:
    message = Message()
    args = ({name: value},) if how in ("set_headers", "add_trailers") else (name, value)
    with pytest.raises(error) as caught:
        getattr(message, how)(*args)
    assert caught.value.code == code
    assert message.get_headers() == {}
    assert message._trailers is None


@pytest.mark.parametrize("how", ["get_header", "has_header", "remove_header"])
def test_a_name_is_a_string(how: str) -> None:
    with pytest.raises(http.InvalidArgTypeError, match="name must be a string, not int"):
        getattr(Message(), how)(3)


async def test_settled_headers_stay() -> None:
    message = Message()
    await message.flush_headers()
    assert message.headers_sent
    changes: dict[str, Any] = {
        "set": lambda: message.set_header("a", "b"),
        "append": lambda: message.append_header("a", "b"),
        "remove": lambda: message.remove_header("a"),
    }
    for verb, change in changes.items():
        with pytest.raises(http.HeadersSentError) as caught:
            change()
        assert str(caught.value) == f"Cannot {verb} headers after they are sent to the client"
    with pytest.raises(http.HeadersSentError):
        message.set_headers({})
    assert message.get_headers() == {}


def test_trailers_in_every_form() -> None:
    message = Message()
    message.add_trailers({"A": "1", "B": ["2", "3"]})
    assert message._trailers == [("A", "1"), ("B", "2"), ("B", "3")]
    message.add_trailers(["C", "4"])
    assert message._trailers == [("C", "4")]
    message.unique_headers = frozenset({"b"})
    message.add_trailers([("B", ["2", "3"]), ("D", ["5", "6"])])
    assert message._trailers == [("B", "2; 3"), ("D", "5"), ("D", "6")]
