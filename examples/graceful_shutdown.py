"""Stopping without losing a request: SIGTERM drains, a second one cuts.

python examples/graceful_shutdown.py [port [seconds]]     then: curl -N http://127.0.0.1:8000/long

What happens at the first signal: no new connections; idle ones are closed; whoever is
served gets `Connection: close` and may finish within so many seconds (10); then the
rest is cancelled. A handler that would go on for ever looks at `server.draining`.
"""

import sys

import trio

import trio_nodehttp as http


class Application:
    """Three ways to be busy when the signal comes."""

    server: http.Server

    async def handle(self, request: http.IncomingMessage, response: http.ServerResponse) -> None:
        """Answer a request."""
        if request.url == "/short":
            await response.end("done\n")
        elif request.url == "/work":
            await trio.sleep(0.5)
            await response.end("worked\n")
        elif request.url == "/long":
            await self.count(response)
        else:
            # Cancelled at the deadline: what must not be lost is put away here.
            try:
                await trio.sleep_forever()
            finally:
                print("stubborn: cancelled", flush=True)

    async def count(self, response: http.ServerResponse) -> None:
        """Count until the server drains, and say so to the client."""
        number = 0
        while not self.server.draining.is_set():
            number += 1
            await response.write(f"{number}\n")
            with trio.move_on_after(0.1):
                await self.server.draining.wait()
        await response.end("the server is going down, come back later\n")


async def main(port: int, drain_timeout: float) -> None:
    """Serve until a signal comes, and report how it went."""
    application = Application()

    async def serve(task_status: trio.TaskStatus[http.Server]) -> None:
        report = await http.serve(
            application.handle,
            port,
            "127.0.0.1",
            drain_timeout=drain_timeout,
            task_status=task_status,
        )
        if report is not None:
            print(f"{report.finished} finished, {report.cancelled} cancelled", flush=True)

    async with trio.open_nursery() as nursery:
        application.server = await nursery.start(serve)
        print(f"listening on {application.server.url}", flush=True)


if __name__ == "__main__":
    port, seconds = (*sys.argv[1:], *("8000", "10")[len(sys.argv) - 1 :])
    trio.run(main, int(port), float(seconds))
