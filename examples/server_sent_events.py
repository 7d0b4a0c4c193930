"""Server-sent events: a clock that a browser follows, and takes up again where it lost it.

python examples/server_sent_events.py [port]     then open http://127.0.0.1:8000/
"""

import sys
import time

import trio

import trio_nodehttp as http

EVERY = 1.0  # seconds between events
PAGE = """<!doctype html><meta charset="utf-8"><title>Clock</title><ol id="log"></ol>
<script>
  new EventSource("/events").onmessage = ({ data, lastEventId }) => {
    const line = document.createElement("li");
    line.textContent = `${lastEventId}: ${data}`;
    document.getElementById("log").append(line);
  };
</script>
"""


def event(number: int, text: str) -> str:
    """Write an event (WHATWG HTML, section 9.2.6); the browser sends its id back."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"id: {number}\n{lines}\n"


class Clock:
    """Serves the page, and the events that it shows."""

    server: http.Server

    async def handle(self, request: http.IncomingMessage, response: http.ServerResponse) -> None:
        """Answer a request."""
        if request.url == "/":
            await response.write_head(200, {"Content-Type": "text/html"}).end(PAGE)
        elif request.url == "/events":
            await self.follow(request, response)
        else:
            await response.write_head(404).end("not found\n")

    async def follow(self, request: http.IncomingMessage, response: http.ServerResponse) -> None:
        """Send an event every second, until the client leaves or the server stops."""
        last = request.headers.get("last-event-id", "0")
        number = int(last) if last.isascii() and last.isdigit() else 0
        response.write_head(200, {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.write("retry: 1000\n\n")  # and the client knows that the stream is open
        draining = self.server.draining
        async with request.cancel_on_disconnect():
            while not draining.is_set():
                number += 1
                await response.write(event(number, time.strftime("%H:%M:%S")))
                with trio.move_on_after(EVERY):
                    await draining.wait()
        print(f"the stream of {request.socket.remote_address} ended at {number}", flush=True)


async def main(port: int) -> None:
    """Serve until a signal comes."""
    clock = Clock()
    async with trio.open_nursery() as nursery:
        clock.server = await nursery.start(http.serve, clock.handle, port, "127.0.0.1")
        print(f"listening on {clock.server.url}", flush=True)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
