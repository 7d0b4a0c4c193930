"""Early hints: a browser fetches the style sheet while the page is still being made.

python examples/early_hints.py [port]     then: curl -v http://127.0.0.1:8000/
"""

import sys

import trio

import trio_nodehttp as http

STYLE = "</style.css>; rel=preload; as=style"
PAGE = '<!doctype html><title>Hints</title><link rel="stylesheet" href="/style.css"><p>Made.\n'


async def serve_page(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    """Answer with a page that takes its time, and with what it needs."""
    if request.url == "/style.css":
        await response.write_head(200, {"Content-Type": "text/css"}).end("p { color: teal }\n")
        return
    # RFC 8297. Clients of HTTP/1.0 are spared it; others may ignore it.
    await response.write_early_hints({"link": [STYLE]})
    await trio.sleep(0.2)  # a database is slow
    response.set_headers({"Content-Type": "text/html", "Link": STYLE})
    await response.end(PAGE)


async def main(port: int) -> None:
    """Serve until a signal comes."""
    async with trio.open_nursery() as nursery:
        server: http.Server = await nursery.start(http.serve, serve_page, port, "127.0.0.1")
        print(f"listening on {server.url}", flush=True)
        hints: list[http.Information] = []
        # A client sees the hints before the response is there.
        async with http.request(server.url) as request:
            request.on("information", hints.append)
            response = await request.get_response()
            print(f"{hints[0].status_code}: {hints[0].headers['link']}", flush=True)
            print(f"{response.status_code}: {len(await response.read())} bytes", flush=True)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
