"""Rows of Node's page: what arrives, on a live server and a live client."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import trio
import trustme

import trio_nodehttp as http
from tests._server.kit import hello, listening, settle
from tests.node.sides import Side, both, incoming

HEADERS = ("X-A: 1", "x-a: 2", "Set-Cookie: a=1", "Set-Cookie: b=2", "Age: 1", "age: 2")
CHUNKED = "Transfer-Encoding: chunked"


@both
@pytest.mark.node_api(
    "IncomingMessage|IncomingMessage", "v0.4|http.ServerRequest", "v0.4|http.ClientResponse"
)
async def test_an_incoming_message_is_a_receive_stream(side: Side) -> None:
    async with incoming(side, "Content-Length: 6", body=b"abcdef") as live:
        assert isinstance(live.message, http.IncomingMessage)
        assert isinstance(live.message, trio.abc.ReceiveStream)
        assert await live.message.receive_some(4) == b"abcd"
        assert await live.message.receive_some() == b"ef"
        assert await live.message.receive_some() == b""


@pytest.mark.node_api(
    "IncomingMessage|message.method",
    "IncomingMessage|message.url",
    "IncomingMessage|message.statusCode",
    "IncomingMessage|message.statusMessage",
    "IncomingMessage|message.httpVersion",
)
async def test_the_start_line_of_either_side() -> None:
    async with incoming("server") as live:
        request = live.message
        assert (request.method, request.url, request.http_version) == ("PUT", "/a?b=c", "1.1")
        nothing: Any = None
        assert (request.status_code, request.status_message) == (nothing, nothing)
        assert (request.http_version_major, request.http_version_minor) == (1, 1)
        request.url = "/rewritten"
        assert request.url == "/rewritten"
    async with incoming("client", "Content-Length: 0") as live:
        response = live.message
        assert (response.status_code, response.status_message) == (201, "Made so")
        assert (response.url, response.http_version) == ("", "1.1")
        assert response.method is nothing


@both
@pytest.mark.node_api(
    "IncomingMessage|message.headers",
    "IncomingMessage|message.headersDistinct",
    "IncomingMessage|message.rawHeaders",
    "IncomingMessage|joining of duplicate headers",
)
async def test_header_fields_in_three_forms(side: Side) -> None:
    async with incoming(side, *HEADERS, "Cookie: c", "cookie: d", "Content-Length: 0") as live:
        message = live.message
        assert message.headers["x-a"] == message.headers["X-A"] == "1, 2"
        assert message.headers["set-cookie"] == ["a=1", "b=2"]
        assert message.headers["cookie"] == "c; d"
        assert message.headers["age"] == "1"
        assert message.headers_distinct["age"] == ["1", "2"]
        assert message.headers_distinct["x-a"] == ["1", "2"]
        mine = [pair for pair in message.raw_headers if pair[0] != "Host"]
        assert mine == [
            ("X-A", "1"),
            ("x-a", "2"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("Age", "1"),
            ("age", "2"),
            ("Cookie", "c"),
            ("cookie", "d"),
            ("Content-Length", "0"),
        ]


@both
@pytest.mark.node_api(
    "IncomingMessage|message.trailers",
    "IncomingMessage|message.trailersDistinct",
    "IncomingMessage|message.rawTrailers",
    "IncomingMessage|message.complete",
)
async def test_trailers_are_there_once_the_message_is_complete(side: Side) -> None:
    body = b"2\r\nab\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n"
    async with incoming(side, CHUNKED, body=body) as live:
        message = live.message
        assert (message.complete, message.raw_trailers, dict(message.trailers)) == (False, [], {})
        assert await message.read() == b"ab"
        assert message.complete
        assert message.trailers["X-Sum"] == "1, 2"
        assert message.trailers_distinct == {"x-sum": ["1", "2"]}
        assert message.raw_trailers == [("X-Sum", "1"), ("x-sum", "2")]


@both
@pytest.mark.node_api("IncomingMessage|message.socket", "IncomingMessage|message.connection")
async def test_a_message_knows_its_socket(side: Side) -> None:
    async with incoming(side, "Content-Length: 1") as live:
        assert isinstance(live.message.socket, http.Socket)
        assert live.message.connection is live.message.socket
        assert not live.message.socket.destroyed
        live.peer.stream.close_now()
        with pytest.raises(http.AbortedError):
            await live.message.read()


@both
@pytest.mark.node_api("IncomingMessage|aborted", "IncomingMessage|message.aborted")
async def test_a_message_that_is_cut_short_is_aborted(side: Side) -> None:
    async with incoming(side, "Content-Length: 9", body=b"half") as live:
        told: list[str] = []
        live.message.on("aborted", lambda: told.append("aborted"))
        assert live.message.aborted is False
        assert await live.message.receive_some() == b"half"
        live.peer.stream.close_now()
        with pytest.raises(http.AbortedError) as caught:
            await live.message.receive_some()
        assert caught.value.code == "ECONNRESET"
        assert live.message.aborted is True
        assert live.message.complete is False
        assert told == ["aborted"]


@both
@pytest.mark.node_api("IncomingMessage|message.destroy([error])")
async def test_destroying_a_message_closes_its_socket(side: Side) -> None:
    async with incoming(side, "Content-Length: 9", body=b"half") as live:
        error = LookupError("enough")
        assert live.message.destroy(error) is live.message
        assert live.message.destroyed
        assert live.message.errored is error
        assert live.message.socket.destroyed
        with pytest.raises(LookupError, match="enough"):
            await live.message.receive_some()
        await settle()
        assert live.peer.stream.peer_closed


@both
@pytest.mark.node_api("IncomingMessage|close")
async def test_a_message_closes_once_at_its_end(side: Side) -> None:
    told: list[str] = []
    async with incoming(side, "Content-Length: 2", body=b"ab") as live:
        for event in ("close", "end"):
            live.message.on(event, lambda event=event: told.append(event))
        assert not live.message.closed
        await live.message.read()
    assert told == ["end", "close"]
    assert live.message.closed


@both
@pytest.mark.node_api("IncomingMessage|message.setTimeout(msecs[, callback])")
async def test_silence_within_a_message_is_told(side: Side, autojump_clock: Any) -> None:
    async with incoming(side, "Content-Length: 2", body=b"a") as live:
        told: list[float] = []
        begun = trio.current_time()
        message = live.message
        assert message.set_timeout(4, lambda: told.append(trio.current_time() - begun)) is message
        await trio.sleep(9)
        assert told == [4]
        assert not message.socket.destroyed
        message.set_timeout(4)
        await trio.sleep(9)
        assert isinstance(message.socket.errored, http.SocketTimeoutError)


# --- the older names ------------------------------------------------------------------------


@both
@pytest.mark.node_api("v0.4|request/response data", "v0.4|request/response end")
async def test_data_and_the_end_of_it(side: Side) -> None:
    async with incoming(side, CHUNKED, body=b"1\r\na\r\n") as live:
        told: list[Any] = []
        live.message.on("data", told.append)
        live.message.on("end", lambda: told.append("end"))
        assert await live.message.receive_some() == b"a"
        await live.peer.stream.send_all(b"2\r\nbc\r\n0\r\n\r\n")
        assert [chunk async for chunk in live.message] == [b"bc"]
        assert told == [b"a", b"bc", "end"]


@both
@pytest.mark.node_api("v0.4|message.setEncoding(encoding)")
async def test_iteration_gives_text_whatever_the_pieces(side: Side) -> None:
    async with incoming(side, CHUNKED, body=b"1\r\n\xc3\r\n") as live:
        assert live.message.set_encoding("utf-8") is live.message
        await live.peer.stream.send_all(b"2\r\n\xa9!\r\n0\r\n\r\n")
        pieces = [piece async for piece in live.message]
        assert all(isinstance(piece, str) for piece in pieces)
        assert "".join(pieces) == "é!"


@both
@pytest.mark.node_api("v0.4|message.pause() / resume()")
async def test_not_reading_is_pausing_and_resume_discards(side: Side) -> None:
    body = b"x" * 5_000_000
    async with incoming(side, f"Content-Length: {len(body)}") as live:
        sent = trio.Event()

        async def send() -> None:
            await live.peer.stream.send_all(body)
            sent.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await settle()
            assert not sent.is_set()  # nobody reads: the sender is held back
            await live.message.resume()
            assert sent.is_set()
        assert live.message.complete


@pytest.mark.node_api("v0.4|clientError (exception)", "Server|clientError")
async def test_a_bad_request_is_shown_to_whoever_asked() -> None:
    server = http.create_server(hello)
    told: list[Any] = []

    @server.on("client_error")
    async def answer(error: http.ParseError, stream: trio.abc.Stream) -> None:
        told.append((error.code, error.raw_packet))
        await stream.send_all(b"HTTP/1.1 400 No\r\n\r\n")

    async with listening(server):
        assert isinstance(server.address, tuple)
        async with await trio.open_tcp_stream(*server.address) as stream:
            await stream.send_all(b"Oops!\r\n\r\n")
            assert await stream.receive_some() == b"HTTP/1.1 400 No\r\n\r\n"
            assert await stream.receive_some() == b""
    assert told == [("HPE_INVALID_METHOD", b"Oops!\r\n\r\n")]


# --- the socket -------------------------------------------------------------------------------


@pytest.mark.node_api("net.Socket|message.socket")
async def test_the_socket_below_both_sides() -> None:
    ends: list[http.Socket] = []

    async def handler(request: http.IncomingMessage, response: http.ServerResponse) -> None:
        ends.append(request.socket)
        await response.end("hello")

    server = http.create_server(handler)
    async with (
        listening(server),
        http.Agent(keep_alive=True) as agent,
        http.get(server.url, agent=agent) as response,
    ):
        await response.read()
        near, (far,) = response.socket, ends
        assert isinstance(near, http.Socket)
        assert near.remote_address == far.local_address == "127.0.0.1"
        assert isinstance(server.address, tuple)
        assert near.remote_port == far.local_port == server.address[1]
        assert near.local_port == far.remote_port
        assert (near.family, near.encrypted, near.get_peer_certificate()) == ("IPv4", False, None)
        assert near.bytes_read == far.bytes_written > len("hello")
        assert near.bytes_written == far.bytes_read
        assert isinstance(near.stream, trio.SocketStream)
        near.set_no_delay(True).set_keep_alive(True, 60).set_timeout(30)
        assert near.timeout == 30
        assert not near.destroyed
        near.destroy()
        assert near.destroyed


@pytest.mark.node_api("v0.4|request.connection.verifyPeer() / getPeerCertificate()")
async def test_tls_verifies_and_shows_the_certificate() -> None:
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    server = http.create_server(hello)
    async with listening(server, ssl_context=server_context):
        assert server.url.startswith("https://127.0.0.1:")
        async with http.get(server.url, ssl_context=context, agent=False) as response:
            certificate = response.socket.get_peer_certificate()
            assert isinstance(certificate, dict)
            assert certificate["subjectAltName"] == (("IP Address", "127.0.0.1"),)
            assert response.socket.encrypted
        with pytest.raises(http.ConnectionFailedError) as caught:
            async with http.get(server.url, agent=False):
                pass
        assert caught.value.code == "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"
