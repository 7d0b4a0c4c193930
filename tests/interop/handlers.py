"""Handlers with the same names and the same meaning as those in node/server.js."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Awaitable, Callable

from trio_nodehttp import IncomingMessage, ServerResponse

Handler = Callable[[IncomingMessage, ServerResponse], Awaitable[object]]

_FIRST_WORD = re.compile(r"(?:\w+://[^/]*)?/(\w*)", re.ASCII)
BIG_CHUNK = b"x" * 65536


def to_json(value: object) -> bytes:
    """Encode as JavaScript does: no spaces, nothing escaped that need not be."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


async def echo(request: IncomingMessage, response: ServerResponse) -> None:
    """Answer with what arrived."""
    body = await request.read()
    told = {
        "method": request.method,
        "url": request.url,
        "version": request.http_version,
        "headers": request.raw_headers,
        "body": base64.b64encode(body).decode(),
        "trailers": request.raw_trailers,
    }
    await response.end(to_json(told))


async def hello(_request: IncomingMessage, response: ServerResponse) -> None:
    """Answer with one piece of text."""
    await response.end("hello")


async def body(request: IncomingMessage, response: ServerResponse) -> None:
    """Answer with the request's body."""
    await response.end(await request.read())


async def joined(request: IncomingMessage, response: ServerResponse) -> None:
    """Answer with the header fields joined by Node's rules."""
    await response.end(to_json(dict(request.headers)))


async def distinct(request: IncomingMessage, response: ServerResponse) -> None:
    """Answer with the header fields as lists."""
    await response.end(to_json(dict(request.headers_distinct)))


async def empty(_request: IncomingMessage, response: ServerResponse) -> None:
    """Answer with nothing."""
    await response.end()


async def chunks(_request: IncomingMessage, response: ServerResponse) -> None:
    """Answer in pieces, an empty one among them."""
    await response.write("one")
    await response.write("")
    await response.write("three")
    await response.end()


async def explicit(_request: IncomingMessage, response: ServerResponse) -> None:
    """Commit the head, then end with nothing."""
    response.write_head(200, {"Content-Type": "text/plain"})
    await response.end()


async def explicit_body(_request: IncomingMessage, response: ServerResponse) -> None:
    """Commit the head, then end with data."""
    response.write_head(200, {"Content-Type": "text/plain"})
    await response.end("hello")


async def sized(_request: IncomingMessage, response: ServerResponse) -> None:
    """Declare the length."""
    response.set_header("Content-Length", 5)
    await response.write("he")
    await response.end("llo")


async def status(request: IncomingMessage, response: ServerResponse) -> None:
    """Answer with the status code that the path ends in."""
    response.status_code = int(request.url.rpartition("/")[2])
    await response.end("text")


async def written_status(request: IncomingMessage, response: ServerResponse) -> None:
    """Commit a head with the status code that the path ends in."""
    response.write_head(int(request.url.rpartition("/")[2]))
    await response.end("text")


async def chunked_status(request: IncomingMessage, response: ServerResponse) -> None:
    """Ask for chunks on the status code that the path ends in."""
    response.set_header("Transfer-Encoding", "chunked")
    response.status_code = int(request.url.rpartition("/")[2])
    await response.end()


async def not_modified(_request: IncomingMessage, response: ServerResponse) -> None:
    """Answer 304 with the length of what would have been sent."""
    response.write_head(304, {"Content-Length": "11"})
    await response.end()


async def trailers(_request: IncomingMessage, response: ServerResponse) -> None:
    """End with a trailer that was not announced."""
    await response.write("hello")
    response.add_trailers({"x-foo": "bar"})
    await response.end()


async def announced(_request: IncomingMessage, response: ServerResponse) -> None:
    """Announce a trailer, and end with one piece."""
    response.set_header("Trailer", "x-foo")
    response.add_trailers([("x-foo", "bar"), ("x-foo", "baz")])
    await response.end("hello")


async def reason(_request: IncomingMessage, response: ServerResponse) -> None:
    """Set the reason phrase."""
    response.status_message = "Custom Message"
    await response.end()


async def cases(_request: IncomingMessage, response: ServerResponse) -> None:
    """Send names in mixed case, and one line for each value of a list."""
    response.set_header("X-CaSe", "One")
    response.set_header("set-cookie", ["a=1", "b=2"])
    response.set_header("x-case", "Two")
    response.append_header("X-More", "1")
    response.append_header("X-More", "2")
    await response.end("hello")


async def overridden(_request: IncomingMessage, response: ServerResponse) -> None:
    """Override a header field when the head is committed."""
    response.set_header("test", "1")
    response.set_header("x-first", "kept")
    response.write_head(200, {"Test": "2"})
    await response.end("hello")


async def flat(_request: IncomingMessage, response: ServerResponse) -> None:
    """Give repeated fields when the head is committed."""
    response.set_header("x-first", "kept")
    response.write_head(200, None, [("foo", "1"), ("foo", "2")])
    await response.end("hello")


async def lookalikes(_request: IncomingMessage, response: ServerResponse) -> None:
    """Set fields whose names only look like the automatic ones."""
    response.set_header("X-Date", "foo")
    response.set_header("X-Connection", "bar")
    response.set_header("X-Content-Length", "baz")
    await response.end()


async def undated(_request: IncomingMessage, response: ServerResponse) -> None:
    """Leave the date out."""
    response.send_date = False
    await response.end("hello")


async def removed(_request: IncomingMessage, response: ServerResponse) -> None:
    """Remove every automatic field."""
    for name in ("connection", "transfer-encoding", "content-length", "date"):
        response.remove_header(name)
    response.set_header("date", "coffee o clock")
    await response.end("beep boop\n")


async def unconnected(_request: IncomingMessage, response: ServerResponse) -> None:
    """Remove the Connection field only."""
    response.remove_header("connection")
    await response.end("hello")


async def closing(_request: IncomingMessage, response: ServerResponse) -> None:
    """Ask for the connection to be closed."""
    response.set_header("Connection", "close")
    await response.end("hello")


async def kept(_request: IncomingMessage, response: ServerResponse) -> None:
    """Ask to keep the connection, and give no length."""
    response.write_head(200, {"Connection": "keep-alive"})
    await response.write("hello ")
    await response.end("world\n")


async def kept_sized(_request: IncomingMessage, response: ServerResponse) -> None:
    """Ask to keep the connection, with a length."""
    response.write_head(200, {"Connection": "keep-alive", "Content-Length": "6"})
    await response.end("hello\n")


async def kept_chunked(_request: IncomingMessage, response: ServerResponse) -> None:
    """Ask to keep the connection, with chunks."""
    head = {"Connection": "keep-alive", "Transfer-Encoding": "chunked"}
    response.write_head(200, head)
    await response.end("hello\n")


async def hinted(_request: IncomingMessage, response: ServerResponse) -> None:
    """Set Keep-Alive by hand."""
    response.set_header("Keep-Alive", "timeout=50")
    await response.end("hello")


async def own_chunks(_request: IncomingMessage, response: ServerResponse) -> None:
    """Ask for chunks in odd case."""
    response.set_header("transfer-ENCODING", "CHUNKED")
    await response.end("hello")


async def latin(_request: IncomingMessage, response: ServerResponse) -> None:
    """Send a value outside ASCII."""
    response.set_header("X-Latin", "D\xfcsseldorf")
    await response.end(b"hello")


async def processing(_request: IncomingMessage, response: ServerResponse) -> None:
    """Send 102 twice before the answer."""
    await response.write_processing()
    await response.write_processing()
    await response.end("hello")


async def hints(_request: IncomingMessage, response: ServerResponse) -> None:
    """Send 103 before the answer."""
    link = ["</a.css>; rel=preload; as=style", "</b.js>; rel=preload; as=script"]
    await response.write_early_hints({"link": link, "x-trace-id": "id"})
    await response.end("hello")


async def no_hints(_request: IncomingMessage, response: ServerResponse) -> None:
    """Give hints without a link."""
    await response.write_early_hints({})
    await response.write_early_hints({"link": []})
    await response.end("hello")


async def sink(request: IncomingMessage, response: ServerResponse) -> None:
    """Count the request's bytes and forget them."""
    size = 0
    async for chunk in request:
        size += len(chunk)
    await response.end(str(size))


async def stream(request: IncomingMessage, response: ServerResponse) -> None:
    """Send as many chunks of 64 KiB as the path ends in."""
    for _ in range(int(request.url.rpartition("/")[2])):
        await response.write(BIG_CHUNK)
    await response.end()


HANDLERS: dict[str, Handler] = {
    one.__name__: one
    for one in (
        *(announced, body, cases, chunked_status, chunks, closing, distinct, echo),
        *(empty, explicit, explicit_body, flat, hello, hinted, hints, joined, kept),
        *(kept_chunked, kept_sized, latin, lookalikes, no_hints, not_modified),
        *(overridden, own_chunks, processing, reason, removed, sink, sized, status),
        *(stream, trailers, unconnected, undated, written_status),
    )
}


async def route(request: IncomingMessage, response: ServerResponse) -> None:
    """Go by the first word of the path; without a path, say what arrived."""
    found = _FIRST_WORD.match(request.url)
    handler = HANDLERS.get(found[1]) if found else echo
    if handler is None:
        response.status_code = 404
        await response.end("no such handler")
    else:
        await handler(request, response)
