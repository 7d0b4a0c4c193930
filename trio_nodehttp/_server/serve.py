"""Making servers, and serving until a signal says stop."""

from __future__ import annotations

import signal
import ssl
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any, Final

import trio

from .._checks import check_known
from .._typing import Unpack
from .answers import Handler
from .listeners import inherited_listeners
from .options import OPTIONS, ServerOptions
from .server import DrainReport, Server

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def create_server(
    request_listener: Handler | None = None, /, **options: Unpack[ServerOptions]
) -> Server:
    """Make a server (Node: ``http.createServer``).

    Args:
        request_listener: ``async handler(request, response)``; registered for
            ``request``.
        options: The attributes of ``Server``, keyword-only: the options of Node's
            ``createServer`` in snake_case, with times in seconds.

    Returns:
        The server; it does not listen yet.

    Raises:
        TypeError: There is no such option; the message names the closest.
        InvalidArgTypeError: An option has the wrong type; the message names it.
        OutOfRangeError: An option is out of its range; the message names it.
    """
    return Server(request_listener, **options)


async def serve(
    handler: Handler,
    port: int = 0,
    host: str | None = None,
    *,
    path: str | None = None,
    listeners: Iterable[trio.abc.Listener[Any]] | None = None,
    backlog: int | None = None,
    ssl_context: ssl.SSLContext | None = None,
    drain_timeout: float | None = 10.0,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
    **options: Unpack[ServerOptions],
) -> DrainReport | None:
    """Serve until SIGINT or SIGTERM, then drain.

    A second signal cuts what is left at once. Where a service manager hands over
    sockets (``LISTEN_FDS``) and nothing says where to listen, those are used.

    Args:
        handler: ``async handler(request, response)``.
        port: The TCP port; 0 for any that is free.
        host: The address; None for all of this machine.
        path: A Unix socket instead.
        listeners: Ready-made listeners instead; they are closed at the end.
        backlog: Connections that may wait to be accepted.
        ssl_context: Speak TLS.
        drain_timeout: Seconds that running requests may take to finish.
        task_status: For ``await nursery.start(serve, ...)``, which gives the server.
        options: Those of ``create_server``.

    Returns:
        How the drain went; None if the server was closed otherwise.

    Raises what ``create_server`` and ``Server.listen`` do, and RuntimeError outside of
    the main thread, where Python knows no signals. When it is cancelled, all
    connections are closed at once.
    """
    check_known("serve", options, {*OPTIONS, *(serve.__kwdefaults__ or ())})
    server = create_server(handler, **options)
    if port == 0 and host is None and path is None and listeners is None:
        listeners = inherited_listeners() or None
    stopper = _Stopper(server, drain_timeout)
    with trio.open_signal_receiver(*_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stopper.run, signals)
            try:
                await server.listen(
                    port,
                    host,
                    path=path,
                    listeners=listeners,
                    backlog=backlog,
                    ssl_context=ssl_context,
                    task_status=task_status,
                )
            except Exception as error:  # noqa: BLE001 - raised below
                # Raised inside the nursery it would arrive in a group.
                stopper.failure = error
            stopper.listening.cancel()
    if stopper.failure is not None:
        raise stopper.failure
    return stopper.report


class _Stopper:
    """Drains a server at the first signal, and cuts it at the second."""

    def __init__(self, server: Server, timeout: float | None) -> None:
        self.listening = trio.CancelScope()
        self.failure: Exception | None = None
        self.report: DrainReport | None = None
        self._server = server
        self._timeout = timeout

    async def run(self, signals: AsyncIterator[int]) -> None:
        async with trio.open_nursery() as nursery:
            with self.listening:
                await signals.__anext__()
                nursery.start_soon(self._drain)
                await signals.__anext__()
                nursery.start_soon(partial(self._server.drain, 0))

    async def _drain(self) -> None:
        self.report = await self._server.drain(self._timeout)
