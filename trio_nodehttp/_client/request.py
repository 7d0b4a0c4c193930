"""The request as its caller sees it (Node: ``http.ClientRequest``)."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

import trio

from .._errors import HTTPError, SocketHangUpError, UpgradeRefusedError
from .._incoming import IncomingMessage
from .._transport import Socket
from .exchange import Exchange
from .upgraded import Upgraded

Self = TypeVar("Self", bound="ClientRequest")


class ClientRequest(Exchange):
    """A request to send (Node: ``http.ClientRequest``); made by ``request``.

    Entering its scope acquires a socket, leaving it gives the socket back: to the
    pool, if the request was sent and the response read to its end, else it is closed.

    Attributes:
        method: The method, in upper case.
        path: The request target; assigning checks it.
        host: The host.
        protocol: ``"http:"`` or ``"https:"``.
        reused_socket: The socket had served another request before.
        aborted: ``abort`` was called.
        informational: The 1xx responses that came.
        timings: Where the time went; None before the scope is entered.
        max_headers_count: Header pairs of the response that are kept.
        response: The response, once it is here.
    """

    __slots__ = ()

    # --- the scope -----------------------------------------------------------------------

    async def __aenter__(self: Self) -> Self:
        """Acquire a socket, waiting for one if the agent's limits say so.

        Raises:
            ConnectionFailedError: Nobody answers, the name is unknown, TLS fails.
            QueueTimeoutError: The agent's ``queue_timeout`` passed.
            SocketTimeoutError: ``timeout`` passed while connecting, and nobody observes it.
            SocketHangUpError: ``destroy`` was called meanwhile.
            StateError: The request was entered before.

        When it is cancelled, nothing is left: no socket, no place in the queue.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._enter_fast():
            # Shielded, since nobody would give the socket back.
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            await self._enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the socket back, or close it. Never blocks, and is no checkpoint."""
        self._leave()

    # --- the response ----------------------------------------------------------------------

    async def get_response(self) -> IncomingMessage:
        """Wait for the final response, sending what has not been sent of ``body``.

        Where nothing was sent yet this ends the request; to write beside it from another
        task, ``flush_headers`` first. An iterable ``body`` is sent to its end, unless the
        response says before that it wants no more: where both bodies are long and go at
        once, ``write`` in a task of its own.

        Returns:
            The response; its body is read from it. A second call gives it again.

        Raises:
            SocketHangUpError: The connection ended before a response, or the server
                switched protocols though nobody had asked for it.
            StaleConnectionError: A reused socket was dead, and the request may not
                be sent again.
            ParseError: The answer is not HTTP.
            SocketTimeoutError: The server was silent for ``timeout``.
            StreamDestroyedError: The scope was not entered.

        Raises also, unchanged, what an iterable ``body`` raises. When it is cancelled,
        the request can only be left.
        """
        if self.response is not None:
            await trio.lowlevel.checkpoint()
            return self._answer()
        self._check_entered()
        try:
            if not self.writable_ended and (self._body is not None or not self._rendered):
                await self._send_body()
            await self._wait_for_response()
        except Exception as error:
            self._fail(error)
            raise
        return self._answer()

    # --- 100-continue, upgrade, CONNECT ----------------------------------------------------------

    async def wait_continue(self) -> bool:
        """Send the head and wait for 100 Continue (RFC 9110 section 10.1.1).

        Returns:
            True when the server asks for the body; False when it has answered
            already, see ``get_response``.

        Raises what ``get_response`` does. When cancelled, the body may be sent
        anyway, or the request left.
        """
        if self.response is None:
            self._check_entered()
        if not self._rendered or self._head:
            await self.flush_headers()
        try:
            await self._wait_for_continue()
        except HTTPError as error:
            self._give_up(error)
        await trio.lowlevel.checkpoint()
        return self.response is None

    async def upgrade(self) -> Upgraded:
        """Send the request and wait for 101 Switching Protocols (RFC 9110 section 7.8).

        Returns:
            The response and the raw stream, which leaves the pool and belongs to
            this request's scope: leaving that closes it.

        Raises:
            UpgradeRefusedError: An ordinary response came; it is on the error, and can
                be read within the scope.

        Raises otherwise what ``get_response`` does. When cancelled, the request can
        only be left.
        """
        return await self._hand_over()

    async def connect(self) -> Upgraded:
        """Send a CONNECT request and wait for its tunnel (RFC 9110 section 9.3.6).

        Returns, raises and leaves behind, also when cancelled, what ``upgrade`` does.
        """
        return await self._hand_over()

    async def _hand_over(self) -> Upgraded:
        self._wanted = True
        response = await self.get_response()
        if self._stream is None:
            raise UpgradeRefusedError(
                f"the server answered {response.status_code} {response.status_message}", response
            )
        return Upgraded(response, self._stream)

    # --- the end -----------------------------------------------------------------------------

    def destroy(self: Self, error: BaseException | None = None) -> Self:
        """Give the request up (Node: ``request.destroy``); whoever waits for it fails.

        After the response was read to its end this does nothing: the socket is the
        pool's again. After an upgrade it closes the raw stream.

        Args:
            error: What those who wait get, in place of "socket hang up".

        Returns:
            This request.
        """
        if self._stream is not None:
            self._stream.destroy(error)
        elif self.response is not None:
            if not self.destroyed:
                self.destroyed = True
                self.response.destroy(error)
        else:
            self._fail(error or SocketHangUpError("socket hang up"))
            if self._scope is not None:
                self._scope.cancel()
        return self

    def abort(self) -> None:
        """Give the request up without an error (Node: ``request.abort``, deprecated)."""
        if not self.aborted:
            self.aborted = True
            self._emit("abort")
            self.destroy()

    # --- the socket --------------------------------------------------------------------------

    def set_timeout(
        self: Self, seconds: float | None, callback: Callable[[], object] | None = None
    ) -> Self:
        """Watch the socket for silence, from when it is connected; see ``Socket.set_timeout``.

        Args:
            seconds: How long; 0 or None switches the watch off.
            callback: Registered with ``once("timeout", ...)`` on this request.

        Returns:
            This request.
        """
        if self._socket is not None and not self._socket.connecting and self._connection is None:
            # The socket is no longer this request's: it may be another's by now.
            if callback is not None:
                self.once("timeout", callback)
            return self
        if self._socket is None or not self._socket.connecting:
            return Exchange.set_timeout(self, seconds, callback)
        if callback is not None:
            self.once("timeout", callback)
        self.__dict__["_early_timeout"] = seconds
        return self

    def set_no_delay(self, no_delay: bool = True) -> None:
        """Set TCP_NODELAY on the socket, once there is one; see ``Socket.set_no_delay``."""
        self._when_connected(lambda socket: socket.set_no_delay(no_delay))

    def set_socket_keep_alive(self, enable: bool = False, initial_delay: float = 0) -> None:
        """Set SO_KEEPALIVE on the socket, once there is one; see ``Socket.set_keep_alive``."""
        self._when_connected(lambda socket: socket.set_keep_alive(enable, initial_delay))

    def _when_connected(self, setting: Callable[[Socket], object]) -> None:
        if self._connection is not None:
            setting(self._connection.socket)
        elif not self.closed:
            self._deferred = (*self._deferred, setting)
