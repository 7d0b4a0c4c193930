"""From "where" to a stream: TCP by happy eyeballs, Unix sockets, TLS."""

from __future__ import annotations

import errno
import socket as stdlib_socket
import ssl
import threading
from collections.abc import Sequence
from typing import Any, Final

import trio

from .._errors import (
    ConnectionFailedError,
    HTTPError,
    InvalidArgTypeError,
    SocketHangUpError,
    SocketTimeoutError,
)
from .._facts import system_errno
from .options import ConnectOptions, Connector

Address = tuple[Any, ...]
"""What ``getaddrinfo`` lists: family, type, protocol, canonical name, address."""

# RFC 8305 section 5; trio waits as long.
_STAGGER: Final = 0.25
_FAMILIES: Final = {4: stdlib_socket.AF_INET, 6: stdlib_socket.AF_INET6}
_NETWORK_ERRORS: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)
# OpenSSL's verdicts under the names that Node gives them.
_VERDICTS: Final = {
    9: "CERT_NOT_YET_VALID",
    10: "CERT_HAS_EXPIRED",
    18: "DEPTH_ZERO_SELF_SIGNED_CERT",
    19: "SELF_SIGNED_CERT_IN_CHAIN",
    20: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    21: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    23: "CERT_REVOKED",
    62: "ERR_TLS_CERT_ALTNAME_INVALID",
    64: "ERR_TLS_CERT_ALTNAME_INVALID",
}


async def open_stream(connector: Connector, options: ConnectOptions) -> trio.abc.Stream:
    """Have a connection made, and TLS begun on it where its maker has not.

    Args:
        connector: ``async connector(options)``, such as ``dial``.
        options: Where and how.

    Raises:
        ConnectionFailedError: It raised an OSError, or TLS failed; that is the cause.
        InvalidArgTypeError: What it returned is no stream.

    Raises what else the connector does, as it is. Cancelled, nothing is left open.
    """
    timings = options.timings
    try:
        stream = await connector(options)
    except _NETWORK_ERRORS as error:
        if isinstance(error, HTTPError):
            raise
        raise connection_failed(error, f"connect {{}} {_place(options)}") from error
    if not isinstance(stream, trio.abc.Stream):
        raise InvalidArgTypeError(f"create_connection must give a trio.abc.Stream, not {stream!r}")
    if timings is not None:
        timings.mark("connect")
    if options.protocol == "https:" and not isinstance(stream, trio.SSLStream):
        return await start_tls(stream, options)
    return stream


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
    stream = await (_dial_tcp(options) if options.socket_path is None else _dial_unix(options))
    if options.timings is not None:
        options.timings.mark("connect")
    if options.protocol == "https:":
        return await start_tls(stream, options)
    return stream


async def _dial_unix(options: ConnectOptions) -> trio.SocketStream:
    try:
        return await trio.open_unix_socket(options.socket_path or "")
    except OSError as error:  # a path that is too long has no number
        raise connection_failed(error, f"connect {{}} {_place(options)}", "EINVAL") from error


async def _dial_tcp(options: ConnectOptions) -> trio.SocketStream:
    addresses = await _resolve(options)
    if options.timings is not None:
        options.timings.mark("dns")
    try:
        stream = await _connect_first(addresses, options)
    except OSError as error:
        raise connection_failed(error, f"connect {{}} {_place(options)}") from error
    if not options.no_delay:
        stream.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 0)
    return stream


# --- names ----------------------------------------------------------------------------


async def _resolve(options: ConnectOptions) -> list[Address]:
    """Find at least one address, in the order in which to try them."""
    found: list[Address] = []
    try:
        for name in await _look_up(options):
            found += await trio.socket.getaddrinfo(
                name,
                options.port,
                family=_FAMILIES.get(options.family or 0, stdlib_socket.AF_UNSPEC),
                type=stdlib_socket.SOCK_STREAM,
                flags=options.hints,
            )
    except (OSError, UnicodeError) as error:
        text = f"getaddrinfo {{}} {options.host}"
        raise connection_failed(error, text, "ENOTFOUND") from error
    if not found:
        raise connection_failed(None, f"getaddrinfo {{}} {options.host}", "ENOTFOUND")
    return _alternate(found)


async def _look_up(options: ConnectOptions) -> Sequence[str]:
    """Ask the caller's own resolver, if there is one."""
    if options.lookup is None:
        return [options.host]
    names = await options.lookup(options.host, options)
    names = [names] if isinstance(names, str) else names
    if not (isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)):
        raise InvalidArgTypeError(f"lookup must give addresses as text, not {names!r}")
    return names


def _alternate(found: list[Address]) -> list[Address]:
    """Put the first of another family second (RFC 8305 section 4)."""
    for index, address in enumerate(found):
        if address[0] != found[0][0]:
            return [found[0], address, *found[1:index], *found[index + 1 :]]
    return found


# --- connecting -----------------------------------------------------------------------


async def _connect_first(addresses: list[Address], options: ConnectOptions) -> trio.SocketStream:
    """Connect to the first that answers, starting the next after a while (RFC 8305)."""
    if len(addresses) == 1:
        return await _connect(addresses[0], options)
    race = _Race(options)
    try:
        async with trio.open_nursery() as nursery:
            for address in addresses:
                failed = trio.Event()
                nursery.start_soon(race.attempt, address, failed, nursery.cancel_scope)
                with trio.move_on_after(_STAGGER):
                    await failed.wait()
    except BaseException:
        race.keep(0)
        raise
    race.keep(1)
    if not race.winners:
        raise race.errors[0]
    return race.winners[0]


class _Race:
    """Attempts to connect, of which the first that succeeds ends the others."""

    def __init__(self, options: ConnectOptions) -> None:
        self.options = options
        self.errors: list[OSError] = []
        self.winners: list[trio.SocketStream] = []

    async def attempt(self, address: Address, failed: trio.Event, scope: trio.CancelScope) -> None:
        try:
            self.winners.append(await _connect(address, self.options))
        except OSError as error:
            self.errors.append(error)
            failed.set()
        else:
            scope.cancel()

    def keep(self, number: int) -> None:
        """Close all but the first so many that connected."""
        for loser in self.winners[number:]:
            loser.socket.close()


async def _connect(address: Address, options: ConnectOptions) -> trio.SocketStream:
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


# --- TLS ------------------------------------------------------------------------------


async def start_tls(stream: trio.abc.Stream, options: ConnectOptions) -> trio.abc.Stream:
    """Begin TLS as the client.

    Args:
        stream: The connected stream; closed if the handshake fails.
        options: The context and the name to verify.

    Raises:
        ConnectionFailedError: The handshake failed; ``code`` is Node's verdict.

    A cancelled call closes the stream.
    """
    try:
        context = options.ssl_context or await default_context()
        name = options.server_hostname or options.host
        secure = trio.SSLStream(stream, context, server_hostname=name, https_compatible=True)
        await secure.do_handshake()
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error, (*_NETWORK_ERRORS, ValueError)):
            raise _tls_failed(error, options) from error
        raise
    if options.timings is not None:
        options.timings.mark("tls")
    return secure


class _Default:
    """The context of requests that give none."""

    context: ssl.SSLContext | None = None
    lock: Final = threading.Lock()


def _build_context() -> ssl.SSLContext:
    with _Default.lock:
        if _Default.context is None:
            _Default.context = ssl.create_default_context()
        return _Default.context


async def default_context() -> ssl.SSLContext:
    """Tell the default TLS context: system authorities, names verified.

    It is built once for the process, at the first call, in a thread: reading the
    authorities takes 20 ms and more. A cancelled call returns at once.
    """
    if _Default.context is not None:
        return _Default.context
    return await trio.to_thread.run_sync(_build_context, abandon_on_cancel=True)


# --- errors ---------------------------------------------------------------------------


def _place(options: ConnectOptions) -> str:
    return options.socket_path or f"{options.host}:{options.port}"


def connection_failed(
    error: Exception | None, text: str, code: str = "ECONNREFUSED"
) -> ConnectionFailedError:
    """Put an error of the system under our name, with Node's code.

    Args:
        error: The error, or None.
        text: What failed, with ``{}`` where the code goes.
        code: The code of an error that has none.
    """
    number = system_errno(error)
    if isinstance(error, stdlib_socket.gaierror):
        code = "EAI_AGAIN" if number == stdlib_socket.EAI_AGAIN else "ENOTFOUND"
    elif isinstance(error, (trio.BrokenResourceError, trio.ClosedResourceError)):
        code = SocketHangUpError.code
    else:
        own = getattr(error, "code", None)  # of a caller's own kind of error
        code = own if isinstance(own, str) else errno.errorcode.get(number or 0, code)
    failed = ConnectionFailedError(text.replace("{}", code, 1))
    failed.code = code
    failed.errno = number
    return failed


def _tls_failed(error: Exception, options: ConnectOptions) -> ConnectionFailedError:
    """Say in Node's words why there is no TLS."""
    cause = error.__cause__ if isinstance(error, trio.BrokenResourceError) else error
    code, why = "ECONNRESET", str(cause or error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        code, why = _VERDICTS.get(cause.verify_code, "CERT_REJECTED"), cause.verify_message
    elif isinstance(cause, (ssl.SSLError, ValueError)):
        code = "EPROTO"
    failed = ConnectionFailedError(f"TLS with {_place(options)} failed: {code}: {why}")
    failed.code = code
    return failed
