"""A chat over WebSocket, and the page that takes part in it, from one server.

python examples/websocket_chat.py [port]     then open http://127.0.0.1:8000/?name=Ada
"""

import json
import sys
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import trio

import trio_nodehttp as http

BACKLOG = 100  # messages that may wait for a slow member before it is shown out

HTML = """\
<!doctype html>
<meta charset="utf-8"><title>Chat</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/chat.css">
<p id="here">connecting</p>
<ul id="log"></ul>
<form id="form"><input id="text" autocomplete="off" autofocus> <button>Send</button></form>
<script src="/chat.js"></script>
"""
CSS = "body { font: 1rem sans-serif; margin: 2rem auto; max-width: 40rem }\n"
JS = """\
const byId = (id) => document.getElementById(id);
const name = new URLSearchParams(location.search).get("name") || "guest";
const scheme = location.protocol === "https:" ? "wss" : "ws";
const socket = new WebSocket(`${scheme}://${location.host}/chat?name=${encodeURIComponent(name)}`);

socket.onmessage = ({ data }) => {
  const { here, from, text } = JSON.parse(data);
  if (here) {
    byId("here").textContent = `here: ${here.join(", ")}`;
    return;
  }
  const line = document.createElement("li");
  line.textContent = `${from}: ${text}`; // as text, so nobody can send a script
  byId("log").append(line);
};
socket.onclose = ({ code, reason }) => {
  byId("here").textContent = `closed: ${code} ${reason}`;
};
byId("form").onsubmit = (event) => {
  event.preventDefault();
  socket.send(byId("text").value);
  byId("text").value = "";
};
"""
FILES = {
    "/": ("text/html", HTML),
    "/chat.css": ("text/css", CSS),
    "/chat.js": ("text/javascript", JS),
}


async def page(request: http.IncomingMessage, response: http.ServerResponse) -> None:
    """Serve the page and its files."""
    kind, text = FILES.get(urlsplit(request.url).path, ("", ""))
    if not kind:
        await response.write_head(404, {"Content-Type": "text/plain"}).end("not found\n")
        return
    response.set_header("Content-Type", f"{kind}; charset=utf-8")
    response.set_header("Content-Security-Policy", "default-src 'self'; img-src data:")
    await response.end(text)


class Room:
    """Everybody who is here: names, and the channel to each."""

    def __init__(self) -> None:
        self.members: dict[trio.MemorySendChannel[str], str] = {}

    def say(self, message: dict[str, object]) -> None:
        """Tell everybody, without waiting for anybody."""
        text = json.dumps(message)
        for channel in [*self.members]:
            try:
                channel.send_nowait(text)
            except trio.WouldBlock:
                self.leave(channel)

    def join(self, channel: trio.MemorySendChannel[str], name: str) -> None:
        """Let somebody in."""
        self.members[channel] = name
        self.say({"here": [*self.members.values()]})

    def leave(self, channel: trio.MemorySendChannel[str]) -> None:
        """Let somebody go; to leave twice is no error."""
        channel.close()
        if self.members.pop(channel, None) is not None:
            self.say({"here": [*self.members.values()]})


async def deliver(
    socket: http.WebSocket, messages: trio.MemoryReceiveChannel[str], scope: trio.CancelScope
) -> None:
    """Send what is said in the room; whose channel is closed is shown out."""
    with suppress(http.WebSocketClosedError):
        async for text in messages:
            await socket.send(text)
        await socket.close(1008, "too slow for this room")
    scope.cancel()


async def chat(request: http.IncomingMessage, stream: http.UpgradedStream, room: Room) -> None:
    """Serve one member: what it says goes to everybody."""
    (name,) = parse_qs(urlsplit(request.url).query).get("name", ["guest"])[:1]
    send, receive = trio.open_memory_channel[str](BACKLOG)
    # Behind a proxy the browser knows another host. No page can set this field.
    hosts = {request.headers["host"], request.headers.get("x-forwarded-host", "")}
    own = [f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts]
    async with (
        # A page of another site may not speak for its visitor.
        http.accept_websocket(
            request, stream, origins=own, max_message_size=4096, ping_interval=20
        ) as socket,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(deliver, socket, receive, nursery.cancel_scope)
        room.join(send, name[:40])
        try:
            with suppress(http.WebSocketClosedError):
                async for text in socket:
                    if isinstance(text, str):
                        room.say({"from": name[:40], "text": text})
        finally:
            room.leave(send)


async def main(port: int) -> None:
    """Serve until a signal comes, which closes all the sockets with code 1001."""
    room = Room()
    async with trio.open_nursery() as nursery:
        server: http.Server = await nursery.start(http.serve, page, port, "127.0.0.1")
        server.on("upgrade", lambda req, up: chat(req, up, room), protocol="websocket")
        print(f"listening on {server.url}", flush=True)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
