"""permessage-deflate: the negotiation, and the two streams (RFC 7692)."""

from __future__ import annotations

import math
import os
import zlib

import pytest

from trio_nodehttp._websocket.deflate import (
    OFFER,
    TAIL,
    BadExtensionsError,
    Deflate,
    DeflateParameters,
    TooLongError,
    accept_offers,
    check_answer,
    parse_extensions,
)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("", []),
        ("foo", [("foo", [])]),
        ("foo;a", [("foo", [("a", None)])]),
        ('foo; a=1; b="2", bar', [("foo", [("a", "1"), ("b", "2")]), ("bar", [])]),
        (" foo ;\ta = 1 , foo ", [("foo", [("a", "1")]), ("foo", [])]),
        ("foo, ", [("foo", [])]),
        (" , ,foo,,\tbar , ", [("foo", []), ("bar", [])]),
        (",", []),
    ],
)
def test_a_field_is_read_by_its_grammar(field: str, expected: object) -> None:
    assert parse_extensions(field.strip()) == expected


@pytest.mark.parametrize(
    "field",
    [
        "foo;",
        "foo bar",
        "foo=1",
        "foo; =1",
        "foo; a=",
        'foo; a="b',
        "foo;; a",
        "é",
        ";",
    ],
)
def test_a_field_that_breaks_its_grammar_is_refused(field: str) -> None:
    with pytest.raises(BadExtensionsError):
        parse_extensions(field)


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", "permessage-deflate"),
        (OFFER, "permessage-deflate; client_max_window_bits=12"),
        (
            "permessage-deflate; client_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=10",
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        (
            "permessage-deflate; server_max_window_bits=9",
            "permessage-deflate; server_max_window_bits=9",
        ),
        # The first offer that can be met is taken.
        (
            "x-webkit, permessage-deflate; odd=1, permessage-deflate",
            "permessage-deflate",
        ),
    ],
)
def test_a_server_answers_an_offer(offer: str, answer: str) -> None:
    accepted = accept_offers(offer)
    assert accepted is not None
    parameters, field = accepted
    assert field == answer
    # What a client reads in the answer is what the server will do.
    assert check_answer(field) == parameters


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "x-webkit-deflate-frame",
        "permessage-deflate; odd",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
    ],
)
def test_a_server_declines_an_offer(offer: str) -> None:
    assert accept_offers(offer) is None


def test_no_answer_is_no_compression() -> None:
    assert check_answer("") is None


def test_an_answer_is_read() -> None:
    answer = (
        "permessage-deflate; server_no_context_takeover; client_max_window_bits=11;"
        " client_no_context_takeover; server_max_window_bits=10"
    )
    assert check_answer(answer) == DeflateParameters(True, True, 10, 11)
    assert check_answer("permessage-deflate") == DeflateParameters()


@pytest.mark.parametrize(
    "answer",
    [
        "x-other",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; odd",
        "permessage-deflate;",
    ],
)
def test_a_client_refuses_what_it_did_not_offer(answer: str) -> None:
    with pytest.raises(BadExtensionsError):
        check_answer(answer)


# -- the streams


def raw_deflate(data: bytes, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush(flush)


def pair(parameters: DeflateParameters) -> tuple[Deflate, Deflate]:
    return Deflate(parameters, client=True), Deflate(parameters, client=False)


def inflate_message(deflate: Deflate, data: bytes, room: float = math.inf) -> bytes:
    whole = deflate.inflate(data, room)
    whole += deflate.inflate(TAIL, room)
    deflate.end_message()
    return whole


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_messages_go_both_ways(resets: bool, bits: int) -> None:
    client, server = pair(DeflateParameters(resets, resets, bits, bits))
    for message in (b"", b"hello", os.urandom(70000), b"hello " * 9999):
        assert inflate_message(server, client.compress(message)) == message
        assert inflate_message(client, server.compress(message)) == message


def test_the_window_lives_on_only_if_agreed() -> None:
    text = os.urandom(500)
    keeps, _ = pair(DeflateParameters())
    assert len(keeps.compress(text)) > 500
    assert len(keeps.compress(text)) < 50
    resets, _ = pair(DeflateParameters(client_no_context_takeover=True))
    assert resets.compress(text) == resets.compress(text)
    # Each side has its own setting.
    _, server = pair(DeflateParameters(client_no_context_takeover=True))
    assert server.compress(text) != server.compress(text)


def test_a_reader_without_takeover_forgets_the_window() -> None:
    text = os.urandom(500)
    keeps, _ = pair(DeflateParameters())
    _, forgets = pair(DeflateParameters(client_no_context_takeover=True))
    assert inflate_message(forgets, keeps.compress(text)) == text
    with pytest.raises(zlib.error):
        inflate_message(forgets, keeps.compress(text))


@pytest.mark.parametrize(
    ("parameters", "client", "compresses"),
    [
        (DeflateParameters(client_max_window_bits=8), True, False),
        (DeflateParameters(client_max_window_bits=8), False, True),
        (DeflateParameters(server_max_window_bits=8), False, False),
        (DeflateParameters(client_max_window_bits=9), True, True),
    ],
)
def test_the_smallest_window_is_not_written(
    parameters: DeflateParameters, client: bool, compresses: bool
) -> None:
    assert Deflate(parameters, client=client).compresses is compresses


def test_what_is_written_fits_the_window_of_its_reader() -> None:
    block = os.urandom(400)
    message = block + bytes(3000) + block
    narrow, _ = pair(DeflateParameters(client_max_window_bits=9))
    reader = zlib.decompressobj(-9)
    assert reader.decompress(narrow.compress(message) + TAIL) == message


def test_a_bomb_is_stopped_before_it_is_stored() -> None:
    bomb = raw_deflate(bytes(10**7))
    assert len(bomb) < 10**5
    deflate = Deflate(DeflateParameters(), client=True)
    with pytest.raises(TooLongError):
        deflate.inflate(bomb, 1000)
    assert Deflate(DeflateParameters(), client=True).inflate(bomb, 10**7) == bytes(10**7)


def test_final_blocks_may_be_followed_by_more() -> None:
    deflate = Deflate(DeflateParameters(), client=True)
    final = raw_deflate(b"one", zlib.Z_FINISH)
    # RFC 7692 section 7.2.3.4: a byte 0x00 stands behind the final block.
    assert inflate_message(deflate, final + b"\x00") == b"one"
    assert inflate_message(deflate, final + raw_deflate(b"two")[:-4]) == b"onetwo"
    assert inflate_message(deflate, raw_deflate(b"three")[:-4]) == b"three"


def test_a_flood_of_final_blocks_is_damage() -> None:
    deflate = Deflate(DeflateParameters(), client=True)
    with pytest.raises(zlib.error):
        deflate.inflate(b"\x03\x00" * 9, math.inf)
