"""A reverse proxy in front of one origin.

python examples/reverse_proxy.py http://127.0.0.1:9000 [port]
"""

import sys
from functools import partial

import trio

import trio_nodehttp as http

HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization te trailer "
    "transfer-encoding upgrade".split()
)


def end_to_end(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out what concerns one connection only (RFC 9110 section 7.6.1)."""
    return [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP]


async def proxy(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    *,
    origin: str,
    agent: http.Agent,
) -> None:
    """Pass one request on and its response back, both streamed."""
    body = None if request.complete else request
    headers = end_to_end(request.raw_headers)
    method = request.method
    path = request.url
    async with (
        request.cancel_on_disconnect(),
        http.request(
            origin, method=method, path=path, headers=headers, body=body, agent=agent
        ) as onward,
    ):
        answer = await onward.get_response()
        back = end_to_end(answer.raw_headers)
        response.write_head(answer.status_code, answer.status_message, back)
        async for chunk in answer:
            await response.write(chunk)
        response.add_trailers(answer.raw_trailers)
        await response.end()


async def main(origin: str, port: int) -> None:
    """Serve until a signal comes."""
    async with http.Agent(keep_alive=True) as agent:
        await http.serve(partial(proxy, origin=origin, agent=agent), port, "127.0.0.1")


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8000)
