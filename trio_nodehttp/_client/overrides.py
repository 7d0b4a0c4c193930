"""What a subclass of ``Agent`` may decide differently (Node: ``http.Agent``'s hooks)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import attrs
import trio

from .. import _checks
from .._sansio.destination import origin_name
from .._transport import Socket
from .._typing import Unpack
from .dial import dial
from .options import AgentOptions, AgentSettings, ConnectOptions, Connector, tls_identity
from .proxy import Environment, Proxy, choose_proxy, read_environment, read_proxy

_OPTIONS: Final = frozenset(("create_connection", *attrs.fields_dict(AgentSettings)))


class Overrides(AgentSettings):
    """The options of an agent, and the methods that are made to be overridden."""

    def __init__(
        self, *, create_connection: Connector | None = None, **options: Unpack[AgentOptions]
    ) -> None:
        _checks.check_known("Agent", options, _OPTIONS)
        _checks.check_function("create_connection", create_connection)
        AgentSettings.__init__(self, **options)
        self._connector = create_connection
        self._environment: Environment | None = None
        if self.proxy == "env":
            # Read now, so that what is set later in this process does not count.
            self._environment = read_environment(os.environ)

    def _find_proxy(self, protocol: str, host: str, port: int) -> Proxy | None:
        """Find the proxy for an origin.

        Raises:
            InvalidURLError: The environment's variable holds no proxy's URL.
        """
        if self.proxy != "env":
            return None if self.proxy is None else read_proxy(self.proxy)
        if self._environment is None:
            self._environment = read_environment(os.environ)
        return choose_proxy(self._environment, protocol, host, port)

    async def create_connection(self, options: ConnectOptions) -> trio.abc.Stream:
        """Open a connection (Node: ``agent.createConnection``); override to change how.

        For ``https:`` the agent starts TLS itself on what is returned, unless that is
        a ``trio.SSLStream`` already.

        Args:
            options: Where and how.

        Raises:
            ConnectionFailedError: Nobody answers, the name is unknown, TLS fails.
            SocketTimeoutError: ``options.timeout`` passed.

        An override may raise anything: the request gets an ``OSError`` as the cause of
        a ConnectionFailedError, and every other error as it is. Cancelled, this leaves
        nothing open, and so must an override.
        """
        if self._connector is not None:
            return await self._connector(options)
        return await dial(options)

    def keep_socket_alive(self, socket: Socket) -> bool:
        """Decide whether a socket is kept (Node: ``agent.keepSocketAlive``); override.

        It may set an idle timeout of its own, ``socket.set_timeout(seconds)``, which
        then holds in place of the agent's. Not asked where the agent would not keep it.

        Args:
            socket: It has just been freed.

        Returns:
            True to keep it, False to have it closed.
        """
        del socket
        return True

    def reuse_socket(self, socket: Socket, request: Any) -> None:
        """A kept socket is about to serve a request (Node: ``agent.reuseSocket``); override.

        Args:
            socket: The socket.
            request: The ``ClientRequest``.
        """

    def get_name(self, options: Any = None) -> str:
        """Write the key of an origin (Node: ``agent.getName``).

        Args:
            options: A mapping or record with ``host``, ``port``, ``local_address``,
                ``family`` and ``socket_path``, each of which may be absent; for
                ``protocol="https:"`` also ``ssl_context`` and ``server_hostname``.

        Returns:
            Such as ``"localhost:80:"``: the keys of ``sockets``, ``free_sockets`` and
            ``requests``.
        """
        given = options if isinstance(options, Mapping) else _Attributes(options)
        return origin_name(
            given.get("host"),
            given.get("port"),
            given.get("local_address"),
            given.get("family"),
            given.get("socket_path"),
            tls_identity(
                given.get("protocol"), given.get("ssl_context"), given.get("server_hostname")
            ),
        )


class _Attributes:
    """Reads a record as a mapping is read."""

    __slots__ = ("_record",)

    def __init__(self, record: object) -> None:
        self._record = record

    def get(self, name: str) -> Any:
        return getattr(self._record, name, None)
