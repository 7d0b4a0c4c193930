"""Text to bytes and back, by Python's names and by Node's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trio_nodehttp as http
from trio_nodehttp._encodings import find_decoder, to_bytes


@pytest.mark.parametrize(
    ("chunk", "encoding", "data"),
    [
        (b"ab", "utf-8", b"ab"),
        (bytearray(b"ab"), "utf-8", b"ab"),
        (memoryview(b"abc")[1:], "no such", b"bc"),
        ("\u20ac", "utf-8", b"\xe2\x82\xac"),
        ("\u20ac", "UTF8", b"\xe2\x82\xac"),
        ("\xe9", "latin1", b"\xe9"),
        ("\xe9", "binary", b"\xe9"),
        ("ab", "ucs2", b"a\0b\0"),
        ("ab", "UCS-2", b"a\0b\0"),
        ("ab", "utf16le", b"a\0b\0"),
        ("6869 0a", "hex", b"hi\n"),
        ("aGk=", "base64", b"hi"),
        ("aGk", "base64", b"hi"),
        ("_-8=", "base64", b"\xff\xef"),
        ("_-8", "base64url", b"\xff\xef"),
        ("", "base64", b""),
    ],
)
def test_to_bytes(chunk: object, encoding: str, data: bytes) -> None:
    made = to_bytes("chunk", chunk, encoding)
    assert made == data
    assert type(made) is bytes


@pytest.mark.parametrize(
    ("chunk", "encoding"),
    [
        ("x", "no such"),
        ("x", "zip"),
        ("x", "rot13"),
        ("x", "a\0b"),
        ("x", None),
        ("\u20ac", "ascii"),
        ("\ud800", "utf-8"),
        ("6", "hex"),
        ("zz", "hex"),
        ("a", "base64"),
        ("\u20ac", "base64"),
    ],
)
def test_what_does_not_fit_is_refused(chunk: str, encoding: str) -> None:
    with pytest.raises(http.InvalidArgValueError) as caught:
        to_bytes("chunk", chunk, encoding)
    assert repr(encoding) in str(caught.value)


@pytest.mark.parametrize("chunk", [None, 3, ["a"], {}])
def test_neither_bytes_nor_text(chunk: object) -> None:
    with pytest.raises(http.InvalidArgTypeError, match=r"^chunk must be bytes or str, not "):
        to_bytes("chunk", chunk)


@given(st.binary(), st.integers(1, 7))
@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url", "latin-1", "binary"])
def test_pieces_decode_as_the_whole(encoding: str, data: bytes, step: int) -> None:
    decoder = find_decoder(encoding)
    pieces = [decoder.decode(data[at : at + step]) for at in range(0, len(data), step)]
    text = "".join([*pieces, decoder.decode(b"", True)])
    assert text == find_decoder(encoding).decode(data, True)
    assert to_bytes("chunk", text, encoding) == data


def test_a_character_may_be_cut_in_two() -> None:
    decoder = find_decoder("UTF8")
    assert [decoder.decode(b"\xe2\x82"), decoder.decode(b"\xacx")] == ["", "\u20acx"]
    with pytest.raises(UnicodeDecodeError):
        decoder.decode(b"\xe2", True)
    assert find_decoder("utf-8", "replace").decode(b"\xe2", True) == "\ufffd"


@pytest.mark.parametrize("encoding", ["no such", "zip", "rot13", "undefined", "a\0b", None, 3])
def test_an_unknown_encoding(encoding: str) -> None:
    with pytest.raises(http.InvalidArgValueError, match="encoding"):
        find_decoder(encoding)
