"""curl, ab, wrk and h2load against our server; none of them may see a failure."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.interop import peers, wire

CURL = ["curl", "--silent", "--show-error", "--max-time", "20"]


@pytest.fixture(scope="module")
def server() -> Iterator[peers.Peer]:
    with peers.run_peer(peers.ours("our_server")) as peer:
        yield peer


def test_curl_sends_two_urls_on_one_connection(server: peers.Peer) -> None:
    told = peers.run_program([*CURL, "--verbose", f"{server.url}/hello", f"{server.url}/chunks"])
    assert told.count("Connected to") == 1
    assert re.search("Re-?using existing (http: )?connection", told)
    assert told.count("HTTP/1.1 200 OK") == 2
    assert "hello" in told
    assert "onethree" in told


def test_curl_posts_data(server: peers.Peer) -> None:
    told = peers.run_program([*CURL, "-d", "a=1&b=2", f"{server.url}/body"])
    assert told == "a=1&b=2"


def test_curl_waits_for_continue_before_a_large_body(server: peers.Peer) -> None:
    sent = b"x" * 2_000_000
    headers = ["-H", "Expect: 100-continue", "--data-binary", "@-"]
    command = [*CURL, "--verbose", *headers, f"{server.url}/sink"]
    told = peers.run_program(command, data=sent)
    assert "HTTP/1.1 100 Continue" in told
    assert told.endswith(str(len(sent)))


def test_curl_uploads_in_chunks(server: peers.Peer) -> None:
    sent = b"chunk by chunk\n" * 10_000
    told = peers.run_program([*CURL, "-T", "-", f"{server.url}/echo"], data=sent)
    echo = wire.decode_echo(told.encode())
    assert echo["method"] == "PUT"
    assert "chunked" in str(echo["headers"])
    assert echo["body"] == sent


def test_curl_speaks_http_1_0(server: peers.Peer) -> None:
    told = peers.run_program([*CURL, "--http1.0", "-i", f"{server.url}/chunks"])
    head, _, body = told.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "Connection: close" in head
    assert "Transfer-Encoding" not in head
    assert body == "onethree"


def test_curl_asks_for_the_head(server: peers.Peer) -> None:
    told = peers.run_program([*CURL, "-I", f"{server.url}/kept_sized"])
    head, _, body = told.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "Content-Length: 6" in head
    assert body == ""


def test_curl_reads_early_hints_and_trailers(server: peers.Peer) -> None:
    told = peers.run_program([*CURL, "-i", f"{server.url}/hints"])
    assert told.startswith("HTTP/1.1 103 Early Hints\r\n")
    assert "HTTP/1.1 200 OK\r\n" in told
    told = peers.run_program([*CURL, "-i", f"{server.url}/trailers"])
    assert told.endswith("hellox-foo: bar\r\n")


def test_ab_has_no_failure(server: peers.Peer) -> None:
    told = peers.run_program(
        ["ab", "-k", "-q", "-n", "3000", "-c", "20", f"{server.url}/kept_sized"]
    )
    assert _number(r"Complete requests:\s+(\d+)", told) == 3000
    assert _number(r"Failed requests:\s+(\d+)", told) == 0
    assert _number(r"Keep-Alive requests:\s+(\d+)", told) == 3000
    assert "Non-2xx" not in told


def test_wrk_has_no_failure(server: peers.Peer) -> None:
    told = peers.run_program(["wrk", "-t2", "-c32", "-d2s", f"{server.url}/hello"])
    assert _number(r"(\d+) requests in", told) > 100
    assert "Socket errors" not in told
    assert "Non-2xx" not in told


@pytest.mark.parametrize("path", ["hello", "chunks", "reason", "status/404"])
def test_h2load_has_no_failure(server: peers.Peer, path: str) -> None:
    told = peers.run_program(["h2load", "--h1", "-n2000", "-c16", "-m4", f"{server.url}/{path}"])
    requests = re.search(r"^requests: .*$", told, re.MULTILINE)
    assert requests is not None, told
    assert "2000 done" in requests[0]
    # A reply without a reason phrase would be counted as failed, a 404 is not ours.
    wanted = "2000 succeeded, 0 failed" if path != "status/404" else "2000 failed, 0 errored"
    assert wanted in requests[0]
    assert "0 timeout" in requests[0]


def _number(pattern: str, told: str) -> int:
    found = re.search(pattern, told)
    assert found is not None, told
    return int(found[1])
