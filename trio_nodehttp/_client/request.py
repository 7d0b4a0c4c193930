"""The request as its caller sees it (Node: ``http.ClientRequest``)."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

import trio

from .._errors import SocketHangUpError, UpgradeRefusedError
from .._incoming import IncomingMessage
from .._upgraded import Upgraded, UpgradedStream
from .exchange import Exchange

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
            SocketHangUpError: ``destroy`` was called meanwhile.

        When it is cancelled, nothing is left: no socket, no place in the queue.
        """
        if not self._enter_fast():
            await self._enter()
        else:
            await trio.lowlevel.checkpoint()
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

        Returns:
            The response; its body is read from it. A second call gives it again.

        Raises:
            SocketHangUpError: The connection ended before a response.
            StaleConnectionError: A reused socket was dead, and the request may not
                be sent again.
            ParseError: The answer is not HTTP.
            SocketTimeoutError: The server was silent for ``timeout``.

        When it is cancelled, the request can only be left.
        """
        if self.response is not None:
            await trio.lowlevel.checkpoint()
            return self.response
        self._check_entered()
        try:
            if not self.writable_ended and not (self._rendered and self._body is None):
                self._will_read = True
                await self._send_body()
            return await self._wait_for_response()
        except Exception as error:
            self._fail(error)
            raise

    # --- 100-continue, upgrade, CONNECT ----------------------------------------------------------

    async def wait_continue(self) -> bool:
        """Send the head and wait for 100 Continue (RFC 9110 section 10.1.1).

        Returns:
            True when the server asks for the body; False when it has answered
            already, see ``get_response``.

        Raises what ``get_response`` does. When cancelled, the body may be sent
        anyway, or the request left.
        """
        self._check_entered()
        if not self._rendered or self._head:
            await self.flush_headers()
        connection = self._connection
        while self.response is None and connection is not None:
            if any(one.status_code == 100 for one in self.informational):
                await trio.lowlevel.checkpoint()
                return True
            head = await connection.read_response(self.method)
            if head.status < 200:
                self._inform(head)
            else:
                self._accept(head)
        await trio.lowlevel.checkpoint()
        return False

    async def upgrade(self) -> Upgraded:
        """Send the request and wait for 101 Switching Protocols (RFC 9110 section 7.8).

        Returns:
            The response and the raw stream, which leaves the pool and belongs to
            this request's scope.

        Raises:
            UpgradeRefusedError: An ordinary response came; it is on the error.

        Raises otherwise what ``get_response`` does. When cancelled, the request can
        only be left.
        """
        return await self._hand_over("upgrade")

    async def connect(self) -> Upgraded:
        """Send a CONNECT request and wait for its tunnel (RFC 9110 section 9.3.6).

        Returns, raises and leaves behind what ``upgrade`` does.
        """
        return await self._hand_over("connect")

    async def _hand_over(self, event: str) -> Upgraded:
        self.__dict__["_wanted"] = event
        response = await self.get_response()
        stream: UpgradedStream | None = self.__dict__.get("_stream")
        if stream is None:
            raise UpgradeRefusedError(
                f"the server answered {response.status_code} {response.status_message}", response
            )
        return Upgraded(response, stream)

    # --- the end -----------------------------------------------------------------------------

    def destroy(self: Self, error: BaseException | None = None) -> Self:
        """Give the request up (Node: ``request.destroy``); whoever waits for it fails.

        After the response was read to its end this does nothing: the socket is the
        pool's again.

        Args:
            error: What those who wait get, in place of "socket hang up".

        Returns:
            This request.
        """
        if self.destroyed or self.closed:
            return self
        self.destroyed = True
        response = self.response
        if response is not None and self._connection is not None:
            self._response_destroyed(error)
            return self
        self.errored = error or SocketHangUpError("socket hang up")
        if response is None and not self.aborted:
            self._emit("error", self.errored)
        self._part(reusable=False)
        stream: UpgradedStream | None = self.__dict__.get("_stream")
        if stream is not None:
            stream.destroy()
        if self._scope is not None:
            self._scope.cancel()
        self._close()
        return self

    def abort(self) -> None:
        """Give the request up without an error (Node: ``request.abort``, deprecated)."""
        if not self.aborted:
            self.aborted = True
            self._emit("abort")
            self.destroy()

    def set_no_delay(self, no_delay: bool = True) -> None:
        """Set TCP_NODELAY on the socket; see ``Socket.set_no_delay``."""
        if self._socket is not None:
            self._socket.set_no_delay(no_delay)

    def set_socket_keep_alive(self, enable: bool = False, initial_delay: float = 0) -> None:
        """Set SO_KEEPALIVE on the socket; see ``Socket.set_keep_alive``."""
        if self._socket is not None:
            self._socket.set_keep_alive(enable, initial_delay)
