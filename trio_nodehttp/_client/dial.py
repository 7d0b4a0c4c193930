"""From "where" to a stream: TCP by happy eyeballs, Unix sockets, TLS."""

from __future__ import annotations

import errno
import socket as stdlib_socket
import ssl
from collections.abc import Sequence
from typing import Any, Final

import trio

from .._errors import ConnectionFailedError, SocketTimeoutError
from .options import ConnectOptions

# RFC 8305 section 5; trio waits as long.
_STAGGER: Final = 0.25
_FAMILIES: Final = {4: stdlib_socket.AF_INET, 6: stdlib_socket.AF_INET6}
# OpenSSL's verdicts under the names that Node gives them.
_VERDICTS: Final = {
    10: "CERT_HAS_EXPIRED",
    18: "DEPTH_ZERO_SELF_SIGNED_CERT",
    19: "SELF_SIGNED_CERT_IN_CHAIN",
    20: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    21: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    62: "ERR_TLS_CERT_ALTNAME_INVALID",
    64: "ERR_TLS_CERT_ALTNAME_INVALID",
}
_contexts: dict[str, ssl.SSLContext] = {}


async def dial(options: ConnectOptions) -> trio.abc.Stream:
    """Connect.

    Args:
        options: Where and how.

    Raises:
        ConnectionFailedError: Nobody answers, the name is unknown, TLS fails.
        SocketTimeoutError: ``options.timeout`` passed.

    A cancelled call leaves nothing open.
    """
    if not options.timeout:
        return await _dial(options)
    with trio.move_on_after(options.timeout):
        return await _dial(options)
    raise SocketTimeoutError(f"connecting took longer than {options.timeout} s")


async def _dial(options: ConnectOptions) -> trio.abc.Stream:
    stream: trio.abc.Stream
    if options.socket_path is not None:
        stream = await _dial_unix(options)
    else:
        stream = await _dial_tcp(options)
    if options.protocol == "https:":
        return await start_tls(stream, options)
    return stream


async def _dial_unix(options: ConnectOptions) -> trio.SocketStream:
    try:
        return await trio.open_unix_socket(options.socket_path or "")
    except OSError as error:
        raise _failed(error, f"connect {{}} {options.socket_path}") from error


async def _dial_tcp(options: ConnectOptions) -> trio.SocketStream:
    timings = options.timings
    addresses = await _resolve(options)
    if timings is not None:
        timings.mark("dns")
    try:
        stream = await _connect_first(addresses, options)
    except OSError as error:
        raise _failed(error, f"connect {{}} {options.host}:{options.port}") from error
    if not options.no_delay:
        stream.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 0)
    if timings is not None:
        timings.mark("connect")
    return stream


async def _resolve(options: ConnectOptions) -> list[tuple[Any, ...]]:
    """Find the addresses, as ``getaddrinfo`` answers."""
    names: Sequence[str] = [options.host]
    if options.lookup is not None:
        names = await options.lookup(options.host, options)
        names = [names] if isinstance(names, str) else names
    found = []
    try:
        for name in names:
            found += await trio.socket.getaddrinfo(
                name,
                options.port,
                family=_FAMILIES.get(options.family or 0, stdlib_socket.AF_UNSPEC),
                type=stdlib_socket.SOCK_STREAM,
                flags=options.hints,
            )
    except (OSError, UnicodeError) as error:
        raise _failed(error, f"getaddrinfo {{}} {options.host}", "ENOTFOUND") from error
    return found


async def _connect_first(
    addresses: list[tuple[Any, ...]], options: ConnectOptions
) -> trio.SocketStream:
    """Connect to the first that answers, starting the next after a while (RFC 8305)."""
    if len(addresses) == 1:
        return await _connect(addresses[0], options)
    errors: list[OSError] = []
    winners: list[trio.SocketStream] = []
    async with trio.open_nursery() as nursery:
        for address in addresses:
            failed = trio.Event()
            nursery.start_soon(
                _attempt, address, options, errors, winners, failed, nursery.cancel_scope
            )
            with trio.move_on_after(_STAGGER):
                await failed.wait()
    if not winners:
        raise errors[0] if errors else OSError(errno.EHOSTUNREACH, "no address")
    for loser in winners[1:]:
        await trio.aclose_forcefully(loser)
    return winners[0]


async def _attempt(
    address: tuple[Any, ...],
    options: ConnectOptions,
    errors: list[OSError],
    winners: list[trio.SocketStream],
    failed: trio.Event,
    race: trio.CancelScope,
) -> None:
    try:
        winners.append(await _connect(address, options))
        race.cancel()
    except OSError as error:
        errors.append(error)
        failed.set()


async def _connect(address: tuple[Any, ...], options: ConnectOptions) -> trio.SocketStream:
    family, kind, protocol, _, target = address
    sock = trio.socket.socket(family, kind, protocol)
    try:
        if options.local_address or options.local_port:
            host = options.local_address or ("::" if family == stdlib_socket.AF_INET6 else "")
            await sock.bind((host, options.local_port or 0))
        await sock.connect(target)
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


async def start_tls(stream: trio.abc.Stream, options: ConnectOptions) -> trio.abc.Stream:
    """Begin TLS as the client.

    Args:
        stream: The connected stream; closed if the handshake fails.
        options: The context and the name to verify.

    Raises:
        ConnectionFailedError: The handshake failed.

    A cancelled call closes the stream.
    """
    try:
        context = options.ssl_context or await _default_context()
        name = options.server_hostname or options.host
        secure = trio.SSLStream(stream, context, server_hostname=name, https_compatible=True)
        await secure.do_handshake()
    except (OSError, trio.BrokenResourceError) as error:
        await trio.aclose_forcefully(stream)
        raise _tls_failed(error, options) from error
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    if options.timings is not None:
        options.timings.mark("tls")
    return secure


async def _default_context() -> ssl.SSLContext:
    """Build the default context once, where its 20 ms block nobody."""
    if "default" not in _contexts:
        context = await trio.to_thread.run_sync(ssl.create_default_context)
        _contexts.setdefault("default", context)
    return _contexts["default"]


def _failed(error: Exception, text: str, code: str = "ECONNREFUSED") -> ConnectionFailedError:
    number = getattr(error, "errno", None)
    if isinstance(error, stdlib_socket.gaierror):
        code = "EAI_AGAIN" if number == stdlib_socket.EAI_AGAIN else "ENOTFOUND"
    else:
        code = errno.errorcode.get(number or 0, code)
    failed = ConnectionFailedError(text.format(code))
    failed.code = code
    return failed


def _tls_failed(error: Exception, options: ConnectOptions) -> ConnectionFailedError:
    cause = error.__cause__ if isinstance(error, trio.BrokenResourceError) else error
    code, why = "EPROTO", str(cause or error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        code, why = _VERDICTS.get(cause.verify_code, "CERT_REJECTED"), cause.verify_message
    failed = ConnectionFailedError(f"TLS with {options.host}:{options.port} failed: {why}")
    failed.code = code
    return failed
