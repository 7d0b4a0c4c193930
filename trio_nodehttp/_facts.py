"""What a socket tells and takes beside its bytes: addresses, options, readiness."""

from __future__ import annotations

import errno
import select
import socket as stdlib_socket
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar

import trio

from ._errors import SocketEncodingError
from ._observers import Observable

_POLLRDHUP: Final[int] = getattr(select, "POLLRDHUP", 0)

Self = TypeVar("Self", bound="SocketFacts")


def is_half_closeable(stream: object) -> bool:
    """Say whether a stream can tell its end alone; ours may know better than their type."""
    by_type = isinstance(stream, trio.abc.HalfCloseableStream)
    return by_type and getattr(stream, "half_closeable", True)


def system_errno(error: BaseException | None) -> int | None:
    """Find the system's number for an error; what TLS errors have there is OpenSSL's."""
    if isinstance(error, ssl.SSLError):
        return errno.ECONNRESET if isinstance(error, ssl.SSLEOFError) else errno.EPROTO
    return getattr(error, "errno", None)


class SocketFacts(Observable):
    """The part of a ``Socket`` that moves no bytes."""

    __slots__ = ("_bottom", "_close_below", "_raw", "_tls", "connecting", "destroyed", "stream")

    stream: trio.abc.Stream
    connecting: bool
    destroyed: bool
    _bottom: trio.abc.Stream | None
    _close_below: Callable[[], object] | None
    _raw: trio.socket.SocketType | None
    _tls: trio.SSLStream[Any] | None

    def _look_into(self, stream: trio.abc.Stream) -> None:
        """Find the socket that the stream runs on, and what matters on the way there."""
        layers = [stream]
        while (inner := getattr(layers[-1], "transport_stream", None)) is not None:
            layers.append(inner)
        self.stream = stream
        self._bottom = bottom = layers[-1]
        self._tls = next((layer for layer in layers if isinstance(layer, trio.SSLStream)), None)
        closers = (getattr(layer, "close_now", None) for layer in layers)
        self._close_below = next(filter(None, closers), None)
        self._raw = bottom.socket if isinstance(bottom, trio.SocketStream) else None

    # --- facts ---------------------------------------------------------------------

    @property
    def encrypted(self) -> bool:
        """TLS runs on this socket."""
        return self._tls is not None

    @property
    def remote_address(self) -> str | None:
        """The peer's IP address; None where there is none."""
        return self._address("getpeername")[0]

    @property
    def remote_port(self) -> int | None:
        """The peer's port; None where there is none."""
        return self._address("getpeername")[1]

    @property
    def local_address(self) -> str | None:
        """Our IP address; None where there is none."""
        return self._address("getsockname")[0]

    @property
    def local_port(self) -> int | None:
        """Our port; None where there is none."""
        return self._address("getsockname")[1]

    @property
    def family(self) -> str | None:
        """``"IPv4"``, ``"IPv6"``, ``"unix"``; None for a stream without a socket."""
        if self._raw is None:
            return None
        names = {stdlib_socket.AF_INET: "IPv4", stdlib_socket.AF_INET6: "IPv6"}
        return names.get(self._raw.family, "unix")

    def _address(self, which: str) -> tuple[str | None, int | None]:
        try:
            address = getattr(self._raw, which)()
        except (AttributeError, OSError):
            return None, None
        return address[:2] if isinstance(address, tuple) else (None, None)

    def get_peer_certificate(self, *, binary_form: bool = False) -> dict[str, Any] | bytes | None:
        """Tell the peer's certificate as ``ssl.SSLSocket.getpeercert`` does.

        Args:
            binary_form: Give it as DER, also one that was not verified.

        Returns:
            The certificate; None without TLS, and before the handshake.
        """
        if self._tls is None:
            return None
        try:
            certificate: dict[str, Any] | bytes | None = self._tls.getpeercert(binary_form)
        except trio.NeedHandshakeError:
            return None
        return certificate

    # --- options -------------------------------------------------------------------

    def set_no_delay(self: Self, no_delay: bool = True) -> Self:
        """Send small packets at once (TCP_NODELAY); no effect without TCP.

        Args:
            no_delay: False lets the system gather them.

        Returns:
            This socket.
        """
        self._set_option(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, int(no_delay))
        return self

    def set_keep_alive(self: Self, enable: bool = False, initial_delay: float = 0) -> Self:
        """Switch TCP keep-alive probes (SO_KEEPALIVE); no effect without TCP.

        Args:
            enable: Send probes.
            initial_delay: Seconds of silence before the first; 0 leaves the default.

        Returns:
            This socket.
        """
        self._set_option(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_KEEPALIVE, int(enable))
        if enable and initial_delay >= 1 and hasattr(stdlib_socket, "TCP_KEEPIDLE"):
            idle = stdlib_socket.TCP_KEEPIDLE
            self._set_option(stdlib_socket.IPPROTO_TCP, idle, int(initial_delay))
        return self

    def _set_option(self, level: int, option: int, value: int) -> None:
        raw = self._raw
        if raw is None or self.destroyed:
            return
        if raw.family in (stdlib_socket.AF_INET, stdlib_socket.AF_INET6):
            raw.setsockopt(level, option, value)

    def set_encoding(self, encoding: str) -> None:
        """Refuse: a connection carries bytes (Node: ``ERR_HTTP_SOCKET_ENCODING``).

        Raises:
            SocketEncodingError: Always.
        """
        del encoding
        raise SocketEncodingError("Changing the socket encoding is not allowed (RFC 9112 2.2)")

    # --- readiness -----------------------------------------------------------------

    def is_readable(self) -> bool:
        """Say, without waiting, whether bytes or the end of the stream are there.

        For a socket on which nothing is expected this means that it is of no more use.
        """
        raw = self._raw
        if raw is None:
            return bool(getattr(self._bottom, "readable", False))
        try:
            poll = select.poll()
            poll.register(raw.fileno(), select.POLLIN | _POLLRDHUP)
            return bool(poll.poll(0))
        except (OSError, ValueError):
            return True

    def watch_peer(self, callback: Callable[[], object]) -> bool:
        """Have a memory stream tell when its peer leaves; False where it cannot."""
        on_peer_close = getattr(self._bottom, "on_peer_close", None)
        if on_peer_close is not None:
            on_peer_close(callback)
        return on_peer_close is not None

    def watch_descriptor(self) -> int | None:
        """Tell the file descriptor to poll for a departing peer; None without a socket."""
        if self._raw is None or self.destroyed:
            return None
        return self._raw.fileno()
