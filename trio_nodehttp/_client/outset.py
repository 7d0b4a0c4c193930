"""What a request is before it has a socket: its start line, headers and options."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import trio

from .._errors import InvalidArgTypeError
from .._incoming import IncomingMessage
from .._outgoing import OutgoingMessage
from .._sansio.codec import MAX_HEADER_SIZE
from .._sansio.destination import basic_authorization, check_path, host_header
from .._sansio.framing import (
    REMOVED_CODING,
    REMOVED_CONNECTION,
    REMOVED_LENGTH,
    Shape,
    write_lines,
)
from .._transport import Socket
from .._upgraded import UpgradedStream
from .agent import Agent
from .information import Information
from .lease import PooledConnection
from .proxy import Proxy
from .target import check_options, connect_options, default_port, read_url
from .timings import Timings

_BODYLESS: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class Outset(OutgoingMessage):
    """The part of a ``ClientRequest`` that needs no socket."""

    __slots__ = (
        "_agent",
        "_arrived",
        "_begun",
        "_body",
        "_closes",
        "_connection",
        "_connector",
        "_deferred",
        "_heard",
        "_options",
        "_origin",
        "_path",
        "_reading",
        "_replay",
        "_scope",
        "_seen",
        "_stream",
        "_timeout",
        "_torn",
        "_upload",
        "_wanted",
        "aborted",
        "attempts",
        "host",
        "informational",
        "max_header_size",
        "max_headers_count",
        "method",
        "port",
        "protocol",
        "response",
        "retry_stale",
        "reused_socket",
        "timings",
    )

    EVENTS = OutgoingMessage.EVENTS | {
        "socket",
        "response",
        "information",
        "continue",
        "connect",
        "upgrade",
        "abort",
    }
    reject_non_standard_body_writes = True

    def __init__(self, url: Any, agent: Agent, options: Mapping[str, Any]) -> None:
        check_options(options)
        target = None if url is None else read_url(url)
        bare = options.get("agent") is None and options.get("create_connection") is not None
        self._agent = agent
        self._connector = options.get("create_connection")
        protocol = options.get("protocol") or (target.protocol if target else None)
        self.protocol: str = protocol or agent.protocol or "http:"
        host = options.get("hostname") or options.get("host")
        self.host: str = host or (target.host if target else "localhost")
        usual_port = default_port(agent, self.protocol, options)
        port = options.get("port") or (target.port if target else None)
        self.port = int(port or usual_port)
        self.method = (options.get("method") or "GET").upper()
        self._path: str = options.get("path") or (target.path if target else "/")
        self._options, self._origin = connect_options(
            agent, self.protocol, self.host, self.port, options
        )
        persistent = not bare and (agent.keep_alive or agent.max_sockets not in (None, math.inf))
        shape = Shape(default_chunked=self.method not in _BODYLESS, keep_alive=persistent)
        OutgoingMessage.__init__(self, shape)
        self._body = options.get("body")
        self._reset()
        self._timeout: float | None = options.get("timeout")
        self.max_header_size: int = options.get("max_header_size") or MAX_HEADER_SIZE
        self.max_headers_count: int | None = options.get("max_headers_count", 2000)
        retry = options.get("retry_stale")
        self.retry_stale: bool = agent.retry_stale if retry is None else retry
        if options.get("unique_headers") is not None:
            self.unique_headers = {name.lower() for name in options["unique_headers"]}
        if options.get("join_duplicate_headers"):
            self.__dict__["_join"] = True
        auth = options.get("auth") or (target.auth if target else None)
        self._default_headers(options, auth, None if bare else usual_port)

    def _reset(self) -> None:
        """Nothing has been sent, nothing has come."""
        self._connection: PooledConnection | None = None
        self._arrived: trio.Event | None = None  # set when the task that reads has read
        self._scope: trio.CancelScope | None = None  # around acquiring a socket
        self._upload: trio.CancelScope | None = None  # around a send that is watched
        self._heard: BaseException | None = None  # what the watcher met
        self._deferred: tuple[Callable[[Socket], object], ...] = ()  # for the socket to come
        self._reading = False
        self._begun = False  # something was sent
        self._torn = False  # perhaps only a part of it
        self._closes = False  # nothing may follow on this connection
        self._replay: bytes | None = None  # the whole request, if it can be sent again
        self._seen = 0
        self._wanted = False  # somebody asked for the raw stream
        self._stream: UpgradedStream | None = None
        self.aborted = False
        self.attempts = 1
        self.informational: list[Information] = []
        self.response: IncomingMessage | None = None
        self.reused_socket = False
        self.timings: Timings | None = None

    def _default_headers(
        self, options: Mapping[str, Any], auth: str | None, usual_port: int | None
    ) -> None:
        headers = options.get("headers")
        defaults = options.get("set_default_headers", True) is not False
        if not defaults:
            self._shape.removed = REMOVED_CONNECTION | REMOVED_LENGTH | REMOVED_CODING
        if headers:
            self._merge(headers)
            if isinstance(self.get_header("host"), list):
                raise InvalidArgTypeError("headers: host must be a string, not a list")
        if isinstance(headers, (list, tuple)):
            return  # as in Node, a list is sent as it is
        set_host = options.get("set_host")
        stored = self._headers
        if stored is None:
            stored = self._headers = {}
        if (defaults if set_host is None else set_host) and "host" not in stored:
            stored["host"] = ("Host", host_header(self.host, self.port, usual_port))
        if auth is not None and "authorization" not in stored:
            stored["authorization"] = ("Authorization", basic_authorization(auth))

    @property
    def path(self) -> str:
        """The request target."""
        return self._path

    @path.setter
    def path(self, path: str) -> None:
        if not isinstance(path, str):
            raise InvalidArgTypeError(f"path must be a string, not {path!r}")
        check_path(path)
        self._path = path

    def _settle_head(self, *, body: bool = False) -> None:
        if self._rendered:
            return
        shape = self._shape
        if body:
            # What goes with a CONNECT belongs to the tunnel (RFC 9110 section 9.3.6).
            shape.default_chunked = self.method != "CONNECT"
        elif not shape.default_chunked:
            stored = self._headers or {}
            shape.has_body = "content-length" in stored or "transfer-encoding" in stored
        OutgoingMessage._settle_head(self)

    def _render_head(self) -> bytes:
        lines = [f"{self.method} {self._path} HTTP/1.1\r\n"]
        if self._options.proxy is not None and not self._options.tunnel:
            lines = self._lines_for(self._options.proxy)
        noted = write_lines(lines, self._headers, self.unique_headers) if self._headers else {}
        shape = self._shape
        shape.plan(lines, noted, date=None, always_persistent=True, keep_alive_hint=None)
        self._closes = not shape.keep_alive or "close" in noted.get("connection", "").lower()
        self._check_trailer(noted="trailer" in noted)
        lines.append("\r\n")
        return "".join(lines).encode("latin-1")

    def _lines_for(self, proxy: Proxy) -> list[str]:
        """Begin a head in absolute-form (RFC 9112 section 3.2.2), with the proxy's credentials."""
        target = "" if self._path == "*" else self._path  # RFC 9112 section 3.2.4
        if not target or target.startswith("/"):
            target = f"http://{host_header(self.host, self.port, 80)}{target}"
        lines = [f"{self.method} {target} HTTP/1.1\r\n"]
        if proxy.authorization is not None and not self.has_header("proxy-authorization"):
            lines.append(f"Proxy-Authorization: {proxy.authorization}\r\n")
        return lines

    def _describe(self, now: float) -> str:
        age = 0.0 if self.timings is None else now - self.timings.started
        state = "reading" if self.response is not None else "waiting for a response"
        if self._connection is None:
            state = "connecting"
        elif self.response is None and not self.writable_ended:
            state = "sending"
        url = f"{self.protocol}//{host_header(self.host, self.port, None)}{self._path}"
        return f"{self.method} {url} ({age:.3f} s, {state})"

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<ClientRequest {self.method} {self.protocol}//{self.host}{self._path} {state}>"
