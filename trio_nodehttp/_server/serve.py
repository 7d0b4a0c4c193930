"""Making servers, and serving until a signal says stop."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from .answers import Handler
from .listeners import inherited_listeners
from .server import DrainReport, Server


def create_server(request_listener: Handler | None = None, /, **options: Any) -> Server:
    """Make a server (Node: ``http.createServer``).

    Args:
        request_listener: ``async handler(request, response)``; registered for
            ``request``.
        options: The attributes of ``Server``, keyword-only: the options of Node's
            ``createServer`` in snake_case, with times in seconds.

    Returns:
        The server; it does not listen yet.

    Raises:
        TypeError: There is no such option.
        InvalidArgTypeError: An option has the wrong type; the message names it.
        OutOfRangeError: An option is out of its range; the message names it.
    """
    return Server(request_listener, **options)


async def serve(
    handler: Handler,
    port: int = 0,
    host: str | None = None,
    *,
    drain_timeout: float | None = 10.0,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
    **options: Any,
) -> DrainReport | None:
    """Serve until SIGINT or SIGTERM, then drain.

    A second signal cuts what is left at once. Where a service manager hands over
    sockets (``LISTEN_FDS``) and no port is given, those are used.

    Args:
        handler: ``async handler(request, response)``.
        port: The TCP port; 0 for any that is free.
        host: The address; None for all of this machine.
        drain_timeout: Seconds that running requests may take to finish.
        task_status: For ``await nursery.start(serve, ...)``, which gives the server.
        options: Options of ``create_server``, and ``path``, ``listeners``,
            ``backlog`` and ``ssl_context`` of ``Server.listen``.

    Returns:
        How the drain went; None if the server was closed otherwise.

    Raises what ``create_server`` and ``Server.listen`` do. When it is cancelled, all
    connections are closed at once.
    """
    names = ("path", "listeners", "backlog", "ssl_context")
    where = {name: options.pop(name) for name in names if name in options}
    server = create_server(handler, **options)
    if not where and port == 0 and host is None:
        where = {"listeners": found} if (found := inherited_listeners()) else {}
    report: DrainReport | None = None
    with trio.open_signal_receiver(*_signals()) as signals:
        async with trio.open_nursery() as nursery:

            async def stop() -> None:
                nonlocal report
                async for _ in signals:
                    if server.draining.is_set():
                        server.close_all_connections()
                    else:
                        nursery.start_soon(drain)

            async def drain() -> None:
                nonlocal report
                report = await server.drain(drain_timeout)

            nursery.start_soon(stop)
            await _listen(server, port, host, where, task_status)
            nursery.cancel_scope.cancel()
    return report


async def _listen(
    server: Server,
    port: int,
    host: str | None,
    where: dict[str, Any],
    task_status: trio.TaskStatus[Server],
) -> None:
    listen: Callable[..., Awaitable[None]] = server.listen
    await listen(port, host, task_status=task_status, **where)


def _signals() -> list[signal.Signals]:
    return [signal.SIGINT, signal.SIGTERM]
