"""Connections by way of a proxy: absolute-form requests, and tunnels by CONNECT."""

from __future__ import annotations

from typing import Final, NoReturn

import attrs
import trio

from .._connection import Connection
from .._errors import HTTPError, ProxyError, SocketTimeoutError
from .._incoming import IncomingMessage
from .._sansio.codec_h11 import H11Codec
from .._sansio.destination import host_header
from .._sansio.events import ResponseHead
from .._transport import Socket
from .dial import open_stream, start_tls
from .options import ConnectOptions, Connector
from .proxy import Proxy
from .refusal import read_beginning

_MAX_INFORMATIONAL: Final = 100


async def open_connection(connector: Connector, options: ConnectOptions) -> trio.abc.Stream:
    """Have a connection made, by way of ``options.proxy`` if there is one.

    Args:
        connector: ``async connector(options)``, such as ``dial``; with a proxy it is
            asked for a connection to that.
        options: Where and how.

    Raises:
        ProxyError: The proxy did not open the tunnel.
        ConnectionFailedError: Nobody answers, or TLS failed.
        SocketTimeoutError: ``options.timeout`` passed.

    Raises what else the connector does, as it is. Cancelled, nothing is left open.
    """
    if options.proxy is None:
        return await open_stream(connector, options)
    stream, early = await open_for_any(connector, options)
    if early:
        await _refuse_early(stream, options)
    return stream


async def open_for_any(
    connector: Connector, options: ConnectOptions
) -> tuple[trio.abc.Stream, bytes]:
    """Have a connection made for any protocol, also one in which the far end speaks first.

    Returns:
        The stream, and what the far end of a tunnel said together with the proxy's
        answer.

    Takes, raises and leaves behind, also when cancelled, what ``open_connection`` does.
    """
    proxy = options.proxy
    if proxy is None:
        return await open_stream(connector, options), b""
    if not options.timeout:
        return await _open_through(proxy, connector, options)
    with trio.move_on_after(options.timeout):
        return await _open_through(proxy, connector, options)
    raise SocketTimeoutError(f"connecting by a proxy took longer than {options.timeout} s")


async def _refuse_early(stream: trio.abc.Stream, options: ConnectOptions) -> NoReturn:
    # In HTTP and TLS the client speaks first, so these bytes are not the origin's own.
    await trio.aclose_forcefully(stream)
    authority = host_header(options.host, options.port, None)
    raise ProxyError(f"the proxy sent bytes ahead of the tunnel to {authority}")


async def _open_through(
    proxy: Proxy, connector: Connector, options: ConnectOptions
) -> tuple[trio.abc.Stream, bytes]:
    leg = attrs.evolve(
        options,
        protocol=proxy.protocol,
        host=proxy.host,
        port=proxy.port,
        server_hostname=None,
        proxy=None,
        tunnel=False,
    )
    stream = await open_stream(connector, leg)
    if not options.tunnel:
        return stream, b""
    try:
        early = await _ask_for_tunnel(stream, proxy, options)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    if options.protocol != "https:":
        return stream, early
    if early:
        await _refuse_early(stream, options)
    return await start_tls(stream, options), b""


async def _ask_for_tunnel(stream: trio.abc.Stream, proxy: Proxy, options: ConnectOptions) -> bytes:
    """Send CONNECT and read the answer (RFC 9110 section 9.3.6); gives what came behind it."""
    authority = host_header(options.host, options.port, None)
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    codec = H11Codec(is_server=False)
    connection = Connection(Socket(stream), codec)
    try:
        await connection.socket.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
        head = await _read_answer(connection)
    except HTTPError as error:
        raise ProxyError(f"the proxy opened no tunnel to {authority}: {error}") from error
    if not 200 <= head.status < 300:
        response = IncomingMessage(connection, head)
        raise ProxyError(
            f"the proxy opened no tunnel to {authority}: it answered {head.status} {head.reason}",
            response,
            await read_beginning(response),
        )
    return codec.take_rest()


async def _read_answer(connection: Connection) -> ResponseHead:
    for _ in range(_MAX_INFORMATIONAL):
        head = await connection.read_response("CONNECT")
        if head.status >= 200:
            return head
    raise ProxyError("too many informational responses")
