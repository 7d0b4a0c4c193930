"""Node's ``http`` module for Trio: HTTP/1.1 server, client and socket pool.

The names are Node's, in snake_case; times are seconds. ``serve`` and ``create_server``
answer, ``get`` and ``request`` ask, by the sockets of an ``Agent``; ``WebSocket`` and
``accept_websocket`` do so on an upgraded connection, ``forward`` passes requests on.
Every error is an ``HTTPError``. ``trio_nodehttp.testing`` and
``trio_nodehttp.pytest_plugin`` are imported on their own.
"""

from __future__ import annotations

import sys as _sys
import types as _types

from ._client import functions as _functions
from ._client.agent import Agent as Agent
from ._client.functions import Get as Get
from ._client.functions import get as get
from ._client.functions import global_agent as global_agent
from ._client.functions import open_upgrade as _open_upgrade
from ._client.functions import request as request
from ._client.information import Information as Information
from ._client.lease import AgentStats as AgentStats
from ._client.lease import OriginStats as OriginStats
from ._client.options import AgentOptions as AgentOptions
from ._client.options import ConnectOptions as ConnectOptions
from ._client.request import ClientRequest as ClientRequest
from ._client.target import RequestOptions as RequestOptions
from ._client.timings import Timings as Timings
from ._client.upgraded import Upgraded as Upgraded
from ._errors import AbortedError as AbortedError
from ._errors import ArgumentError as ArgumentError
from ._errors import BodyNotAllowedError as BodyNotAllowedError
from ._errors import ConnectionFailedError as ConnectionFailedError
from ._errors import ContentLengthMismatchError as ContentLengthMismatchError
from ._errors import HeadersSentError as HeadersSentError
from ._errors import HTTPError as HTTPError
from ._errors import InvalidArgTypeError as InvalidArgTypeError
from ._errors import InvalidArgValueError as InvalidArgValueError
from ._errors import InvalidCharError as InvalidCharError
from ._errors import InvalidHeaderValueError as InvalidHeaderValueError
from ._errors import InvalidHTTPTokenError as InvalidHTTPTokenError
from ._errors import InvalidProtocolError as InvalidProtocolError
from ._errors import InvalidStatusCodeError as InvalidStatusCodeError
from ._errors import InvalidURLError as InvalidURLError
from ._errors import MethodNotImplementedError as MethodNotImplementedError
from ._errors import OutOfRangeError as OutOfRangeError
from ._errors import ParseError as ParseError
from ._errors import ParserUnavailableError as ParserUnavailableError
from ._errors import ProxyError as ProxyError
from ._errors import QueueTimeoutError as QueueTimeoutError
from ._errors import RequestTimeoutError as RequestTimeoutError
from ._errors import ServerAlreadyListenError as ServerAlreadyListenError
from ._errors import ServerNotRunningError as ServerNotRunningError
from ._errors import SocketAssignedError as SocketAssignedError
from ._errors import SocketEncodingError as SocketEncodingError
from ._errors import SocketHangUpError as SocketHangUpError
from ._errors import SocketTimeoutError as SocketTimeoutError
from ._errors import StaleConnectionError as StaleConnectionError
from ._errors import StateError as StateError
from ._errors import StreamDestroyedError as StreamDestroyedError
from ._errors import TrailerInvalidError as TrailerInvalidError
from ._errors import UnescapedCharactersError as UnescapedCharactersError
from ._errors import UpgradeRefusedError as UpgradeRefusedError
from ._errors import WebSocketError as WebSocketError
from ._errors import WebSocketHandshakeError as WebSocketHandshakeError
from ._errors import WriteAfterEndError as WriteAfterEndError
from ._forward import forward as forward
from ._forward import forward_connect as forward_connect
from ._forward import forward_upgrade as forward_upgrade
from ._incoming import IncomingMessage as IncomingMessage
from ._outgoing import OutgoingMessage as OutgoingMessage
from ._pipe import pipe as pipe
from ._pipe import tunnel as tunnel
from ._sansio.codec import MAX_HEADER_SIZE as _MAX_HEADER_SIZE
from ._sansio.headers import Headers as Headers
from ._sansio.headers import validate_header_name as validate_header_name
from ._sansio.headers import validate_header_value as validate_header_value
from ._sansio.status import METHODS as METHODS
from ._sansio.status import STATUS_CODES as STATUS_CODES
from ._server.options import ServerOptions as ServerOptions
from ._server.response import ServerResponse as ServerResponse
from ._server.serve import create_server as create_server
from ._server.serve import serve as serve
from ._server.server import DrainReport as DrainReport
from ._server.server import Server as Server
from ._transport import Socket as Socket
from ._upgraded import UpgradedStream as UpgradedStream
from ._websocket.accept import AcceptedWebSocket as AcceptedWebSocket
from ._websocket.accept import accept_websocket as accept_websocket
from ._websocket.errors import WebSocketClosedError as WebSocketClosedError
from ._websocket.errors import WebSocketStateError as WebSocketStateError
from ._websocket.events import CloseEvent as CloseEvent
from ._websocket.events import ErrorEvent as ErrorEvent
from ._websocket.events import MessageEvent as MessageEvent
from ._websocket.events import OpenEvent as OpenEvent
from ._websocket.websocket import WebSocket as WebSocket

# A browser's WebSocket takes a URL; here it goes through the agent like any request.
WebSocket.open_connection = staticmethod(_open_upgrade)


class _Package(_types.ModuleType):
    """A module of which ``global_agent`` can be assigned, as in Node."""

    @property
    def global_agent(self) -> Agent:
        """The agent of requests that name none."""
        return _functions.global_agent

    @global_agent.setter
    def global_agent(self, agent: Agent) -> None:
        _functions.set_global_agent(agent)


_sys.modules[__name__].__class__ = _Package

max_header_size = _MAX_HEADER_SIZE
"""Bytes of names and values that a head may have (Node: ``http.maxHeaderSize``)."""

__all__ = [name for name in dir() if not name.startswith("_") and name != "annotations"]

# Tracebacks and pages show the public home of each name.
for _name in __all__:
    _object = globals()[_name]
    if getattr(_object, "__module__", "").startswith(__name__) and hasattr(_object, "__qualname__"):
        _object.__module__ = __name__
del _name, _object
