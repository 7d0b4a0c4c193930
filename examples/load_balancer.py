"""A load balancer: several origins, least connections, health checks, draining.

python examples/load_balancer.py PORT ORIGIN...

An origin is asked for /health every second, and gets requests as long as it answers
200. One that answers 503 there is drained: what it works on it may finish. SIGTERM
drains the balancer itself.
"""

import sys
from functools import partial
from urllib.parse import urlsplit

import trio

import trio_nodehttp as http

CHECK_EVERY = 1.0  # seconds
CHECK_TIMEOUT = 2.0


class Origin:
    """One of the servers behind."""

    def __init__(self, url: str, agent: http.Agent) -> None:
        parts = urlsplit(url)
        place = {"protocol": f"{parts.scheme}:", "host": parts.hostname}
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        self.url = url
        self.is_up = False
        self.agent = agent
        self.name = agent.get_name({**place, "port": port})
        self.joined = 0  # upgraded connections, which an agent does not count

    @property
    def load(self) -> int:
        """Requests that it works on, or that wait for it."""
        stats = self.agent.stats().origins.get(self.name, http.OriginStats())
        return stats.active + stats.connecting + stats.queued + self.joined

    async def is_healthy(self) -> bool:
        """Ask it."""
        try:
            with trio.fail_after(CHECK_TIMEOUT):
                async with http.get(self.url + "/health", agent=False) as response:
                    return response.status_code == 200
        except (http.HTTPError, trio.TooSlowError):
            return False

    def mark(self, *, is_up: bool) -> None:
        """Keep what a check found."""
        if is_up != self.is_up:
            print(f"{self.url} is {'up' if is_up else 'down'}, load {self.load}", flush=True)
        self.is_up = is_up


class Balancer:
    """Passes each request on to the origin with the least to do."""

    def __init__(self, urls: list[str], agent: http.Agent) -> None:
        self.agent = agent
        self.origins = [Origin(url, agent) for url in urls]

    def candidates(self) -> list[Origin]:
        """Origins that are up, the least loaded first."""
        self.origins.append(self.origins.pop(0))  # equals take turns
        return sorted((each for each in self.origins if each.is_up), key=lambda each: each.load)

    async def check(self, origin: Origin) -> None:
        """Check one origin for ever."""
        while True:
            origin.mark(is_up=await origin.is_healthy())
            await trio.sleep(CHECK_EVERY)

    async def request(self, request: http.IncomingMessage, response: http.ServerResponse) -> None:
        """Pass a request on; an origin that cannot be reached is passed over."""
        for origin in self.candidates():
            try:
                await http.forward(
                    request,
                    response,
                    origin.url,
                    agent=self.agent,
                    forwarded="replace",  # what a client says of earlier hops is not believed
                    raise_unreached=True,
                )
            except (http.ConnectionFailedError, http.SocketTimeoutError):
                origin.mark(is_up=False)
            else:
                return
        await response.write_head(503, {"Retry-After": 1}).end("Nobody is there to answer.\n")

    async def upgrade(self, request: http.IncomingMessage, stream: http.UpgradedStream) -> None:
        """Pass an upgrade on."""
        for origin in self.candidates()[:1]:
            origin.joined += 1
            try:
                await http.forward_upgrade(
                    request, stream, origin.url, agent=self.agent, forwarded="replace"
                )
            finally:
                origin.joined -= 1
            return
        await stream.send_all(
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
            b"Retry-After: 1\r\nConnection: close\r\n\r\n"
        )


async def main(port: int, urls: list[str]) -> None:
    """Serve until a signal comes."""
    async with http.Agent(keep_alive=True) as agent, trio.open_nursery() as nursery:
        balancer = Balancer(urls, agent)
        for origin in balancer.origins:
            origin.mark(is_up=await origin.is_healthy())
            nursery.start_soon(balancer.check, origin)
        serving = partial(http.serve, balancer.request, port, "127.0.0.1", drain_timeout=10)
        async with trio.open_nursery() as inner:
            server: http.Server = await inner.start(serving)
            server.on("upgrade", balancer.upgrade, protocol="websocket")
            print(f"balancing {len(urls)} origins, listening on {server.url}", flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    trio.run(main, int(sys.argv[1]), sys.argv[2:])
