"""Informational responses."""

from __future__ import annotations

import attrs
import pytest

from trio_nodehttp import Information
from trio_nodehttp._sansio.codec import HeadReader


def read(data: bytes) -> Information:
    head = HeadReader(is_request=False).response(data, "GET")
    assert head is not None
    return Information._of(head)


def test_what_it_tells() -> None:
    info = read(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\nlink: b\r\n\r\n")
    assert info.status_code == 103
    assert info.status_message == "Early Hints"
    assert info.http_version == "1.1"
    assert (info.http_version_major, info.http_version_minor) == (1, 1)
    assert dict(info.headers) == {"link": "a, b"}
    assert info.raw_headers == [("Link", "a"), ("link", "b")]


def test_it_cannot_be_changed() -> None:
    info = read(b"HTTP/1.1 100\r\n\r\n")
    assert info.status_message == ""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        info.status_code = 102  # type: ignore[misc]
