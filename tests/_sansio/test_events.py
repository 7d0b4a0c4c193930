"""Heads: pairs are decoded when they are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from trio_nodehttp._sansio.events import Head, RequestHead, ResponseHead


def head_with(block: bytes, most: int = 0) -> Head:
    head = Head()
    head._block, head._pairs, head.max_pairs = block, None, most
    return head


@pytest.mark.parametrize(
    ("block", "pairs"),
    [
        (b"", []),
        (b"\nA:b\r", [("A", "b")]),
        (b"\nA: b:c \t\r\na:\r", [("A", "b:c"), ("a", "")]),
        # Only CRLF ends a line: a Latin-1 value may hold what str.splitlines would split at.
        (b"\nA: \x85b\xa0\r", [("A", "\x85b\xa0")]),
    ],
)
def test_pairs(block: bytes, pairs: list[tuple[str, str]]) -> None:
    assert head_with(block).pairs == pairs


def test_pairs_beyond_the_count_are_dropped() -> None:
    block = b"\nA:1\r\nB:2\r\nC:3\r"
    assert head_with(block, 2).pairs == [("A", "1"), ("B", "2")]
    assert len(head_with(block, 3).pairs) == len(head_with(block, 9).pairs) == 3


def test_heads_take_no_other_attributes() -> None:
    heads: list[Any] = [RequestHead(), ResponseHead()]
    for head in heads:
        with pytest.raises(AttributeError):
            head.url = "/"
