"""A forward proxy that reaches what it was told to allow, and nothing else.

python examples/forward_proxy.py [--user NAME:PASSWORD] PORT ALLOWED...

Each ALLOWED is `host:port`, or `.domain:port` for all below a domain. Then:

curl --proxy http://127.0.0.1:PORT http://example.com/
"""

import argparse
import base64
import hmac
import ipaddress
import re
from collections.abc import Iterable
from contextlib import suppress

import trio

import trio_nodehttp as http


def split_port(text: str) -> tuple[str, int]:
    """Take `host:port` apart, and write the host in one way.

    Raises ValueError where that is not what it is.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]").removesuffix(".").lower()
    with suppress(ValueError):
        host = str(ipaddress.ip_address(host))  # one address, however it is written
    return host, int(port or 80)


class ForwardProxy:
    """Passes requests on to hosts of a list.

    It goes by the names that are asked for: whoever runs the DNS of an allowed name
    decides where that leads.
    """

    def __init__(self, allowed: Iterable[str], agent: http.Agent, user: str | None = None) -> None:
        self.allowed = {split_port(each) for each in allowed}
        self.agent = agent
        self.password = user and base64.b64encode(user.encode()).decode()

    def knows(self, request: http.IncomingMessage) -> bool:
        """Say whether the user of a request is ours."""
        scheme, _, given = request.headers.get("proxy-authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), (self.password or "").encode())
        return not self.password or (right and scheme.lower() == "basic")

    def refusal(self, request: http.IncomingMessage, authority: str) -> int:
        """Tell the status to refuse a request with, or 0."""
        if not self.knows(request):
            return 407
        try:
            host, port = split_port(authority)
        except ValueError:
            return 400
        # Below `.example.com` are names only: an address has no domain.
        above = [host[at:] for at, char in enumerate(host) if char == "." and at]
        is_name = not host.replace(".", "").isdigit() and not set(":%") & set(host)
        names = [host, *above] if is_name else [host]
        return 0 if any((name, port) in self.allowed for name in names) else 403

    async def request(self, request: http.IncomingMessage, response: http.ServerResponse) -> None:
        """Answer a request with a whole URL (RFC 9112 section 3.2.2)."""
        scheme, _, rest = request.url.partition("://")
        if scheme.lower() != "http":
            await response.write_head(400).end("This is a proxy for http:// URLs.\n")
            return
        place = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
        if place.endswith("]") or ":" not in place:
            place += ":80"
        status = self.refusal(request, place)
        if not status:
            host, port = split_port(place)  # so that what was looked up is what is reached
            origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            # Clients are not told on, and the origin hears what it would have heard.
            await http.forward(request, response, origin, agent=self.agent, forwarded=None)
            return
        if status == 407:
            response.set_header("Proxy-Authenticate", 'Basic realm="proxy"')
        await response.write_head(status).end(f"{http.STATUS_CODES[status]}\n")

    async def connect(self, request: http.IncomingMessage, stream: http.UpgradedStream) -> None:
        """Answer a CONNECT."""
        status = self.refusal(request, request.url)
        if not status:
            await http.forward_connect(request, stream, agent=self.agent)
            return
        lines = [f"HTTP/1.1 {status} {http.STATUS_CODES[status]}", "Content-Length: 0"]
        if status == 407:
            lines.append('Proxy-Authenticate: Basic realm="proxy"')
        await stream.send_all("\r\n".join([*lines, "Connection: close", "", ""]).encode())


async def main(port: int, allowed: list[str], user: str | None) -> None:
    """Serve until a signal comes."""
    async with http.Agent(keep_alive=True) as agent, trio.open_nursery() as nursery:
        proxy = ForwardProxy(allowed, agent, user)
        server: http.Server = await nursery.start(http.serve, proxy.request, port, "127.0.0.1")
        server.on("connect", proxy.connect)
        print(f"reaching {', '.join(allowed)}, listening on {server.url}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="A forward proxy with a list of what it may reach."
    )
    parser.add_argument("--user", metavar="NAME:PASSWORD")
    parser.add_argument("port", type=int)
    parser.add_argument("allowed", nargs="+", metavar="host:port")
    options = parser.parse_args()
    trio.run(main, options.port, options.allowed, options.user)
