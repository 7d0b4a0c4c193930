"""Upload a file and show how far it is.

python examples/upload.py FILE URL
"""

import os
import sys
from collections.abc import AsyncIterator

import trio

import trio_nodehttp as http

PIECE = 65536
WIDTH = 30


def show(done: int, size: int) -> None:
    """Draw the bar over itself."""
    part = done / size if size else 1.0
    bar = ("#" * round(part * WIDTH)).ljust(WIDTH)
    print(f"\r[{bar}] {part:4.0%} {done:,} of {size:,} bytes", end="", file=sys.stderr, flush=True)


async def pieces(path: str, size: int) -> AsyncIterator[bytes]:
    """Read the file as fast as the server takes it."""
    done = 0
    show(done, size)
    async with await trio.open_file(path, "rb") as file:
        while piece := await file.read(PIECE):
            yield piece
            # The next piece is asked for when this one was sent.
            done += len(piece)
            show(done, size)


async def upload(path: str, url: str) -> int:
    """Send the file, and tell the exit code."""
    size = os.stat(path).st_size  # noqa: PTH116  # once, before anything runs
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    try:
        async with http.request(
            url, method="PUT", headers=headers, body=pieces(path, size)
        ) as request:
            # A server that refuses is heard while the file is still being sent.
            response = await request.get_response()
            print(file=sys.stderr)
            print(f"{response.status_code} {response.status_message}")
            print((await response.text()).rstrip())
    except http.HTTPError as error:
        print(f"\n{url}: {error.code}: {error}", file=sys.stderr)
        return 1
    return 0 if response.status_code < 400 else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(trio.run(upload, sys.argv[1], sys.argv[2]))
