"""A request and its socket: acquire it, and give it back once and only once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import attrs
import trio

from .._errors import (
    AbortedError,
    SocketHangUpError,
    StateError,
    StreamDestroyedError,
)
from .._observers import Observer
from .._sansio.events import ResponseHead
from .._transport import Socket
from .agent import Agent
from .lease import PooledConnection
from .options import ConnectOptions
from .outset import Outset
from .through import open_connection
from .timings import Timings

Self = TypeVar("Self", bound="Holding")


class Holding(Outset):
    """The part of a ``ClientRequest`` that holds a socket. Giving it back never awaits."""

    __slots__ = ()

    # --- the scope -----------------------------------------------------------------------

    def _enter_fast(self) -> bool:
        """Take an idle socket, if there is one.

        Raises:
            StateError: The request was entered before.
        """
        if self.timings is not None:
            raise StateError("a request can be sent once: make another")
        self.timings = Timings()
        if self.destroyed:
            return False
        connection = self._agent._take_idle(self._origin, self)
        if connection is not None:
            self._assign(connection)
        return connection is not None

    async def _enter(self, *, fresh: bool = False) -> None:
        """Acquire a socket. Cancelled or failed, the request is over."""
        assert self.timings is not None
        try:
            if self.destroyed:
                await trio.lowlevel.checkpoint()
                raise self._gone()  # noqa: TRY301  # told below
            with trio.CancelScope() as self._scope:
                self._assign(
                    await self._agent._acquire(self._options, self, self.timings, fresh=fresh)
                )
            if self._connection is None or self.destroyed:
                raise self._gone()  # noqa: TRY301  # told below
        except BaseException as error:
            self._fail(error)
            if isinstance(error, Exception):
                self.errored = error  # also where `destroy` came first
            raise
        finally:
            self._scope = None

    async def _connect(self, agent: Agent, options: ConnectOptions) -> Socket:
        """Open a connection for this request; called by the agent.

        Raises:
            ConnectionFailedError: Nobody answers, or the factory raised an OSError.
            SocketTimeoutError: ``timeout`` passed, and nobody observes it.

        Cancelled, nothing is left open.
        """
        timings = self.timings
        assert timings is not None
        timings.mark("queued")
        socket = self._socket = Socket()
        if self._timeout:
            socket.watchers.append(self._notice_silence)
            socket.set_timeout(self._timeout)
        elif agent.timeout and self._observed("timeout"):
            socket.watchers.append(self._only_notify)
            socket.set_timeout(agent.timeout)
        if self._observers is not None:
            self._emit("socket", socket)
        noticed = self._observed("timeout") or socket._observed("timeout")
        options = attrs.evolve(
            options,
            timings=timings,
            timeout=None if noticed else self._timeout,
            keep_alive=agent.keep_alive,
            keep_alive_initial_delay=agent.keep_alive_initial_delay,
        )
        try:
            with trio.CancelScope() as scope:
                socket.on_destroy = scope.cancel
                connector = self._connector or agent.create_connection
                socket.attach(await open_connection(connector, options))
        except BaseException:
            socket.destroy()
            raise
        finally:
            socket.on_destroy = None
        if socket.destroyed:
            raise socket.errored or self._gone()
        return socket

    def _assign(self, connection: PooledConnection) -> None:
        self._connection = connection
        socket = connection.socket
        announced = self._socket is socket
        self._socket = socket
        self.reused_socket = connection.served > 0
        self._seen = socket.bytes_read
        assert self.timings is not None
        self.timings.reused = self.reused_socket
        timeout = self.__dict__.get("_early_timeout", self._timeout)
        if timeout:
            if self._notice_silence not in socket.watchers:
                socket.watchers.append(self._notice_silence)
            socket.set_timeout(timeout)
        elif self._agent.timeout:
            if self._only_notify not in socket.watchers:
                socket.watchers.append(self._only_notify)
            if self._observed("timeout"):
                socket.set_timeout(self._agent.timeout)
        for setting in self._deferred:
            setting(socket)
        if self._observers is not None and not announced:
            self._emit("socket", socket)

    def set_timeout(
        self: Self, seconds: float | None, callback: Callable[[], object] | None = None
    ) -> Self:
        """Watch the socket for silence; tells once, see ``OutgoingMessage.set_timeout``."""
        self.__dict__.pop("_silence_told", None)
        return Outset.set_timeout(self, seconds, callback)

    def _add(self, name: str, given: Observer, called: Observer) -> None:
        Outset._add(self, name, given, called)
        limit, connection = self._agent.timeout, self._connection
        if name != "timeout" or not limit or connection is None:
            return
        # Without an observer the watch was left out, for it costs.
        socket = connection.socket
        socket.set_timeout(limit if socket.timeout == math.inf else socket.timeout)

    def _notice_silence(self) -> bool:
        # As in Node, the second silence of a request is not told, and ends nothing.
        told = "_silence_told" in self.__dict__ or self._emit("timeout")
        if told:
            self.__dict__["_silence_told"] = True
        return told

    def _only_notify(self) -> bool:
        # The agent's timeout is for idle sockets; one in use is only told about.
        self._notice_silence()
        return True

    def _leave(self) -> None:
        """Give back whatever is held. Never awaits."""
        response, connection = self.response, self._connection
        if connection is not None:
            if response is not None and connection.codec.complete and not response.destroyed:
                response._end()  # every byte was read, though not yet seen to be the last
            elif response is not None:
                response.destroy()
            self._part(reusable=False)
        if self._stream is not None:
            self._stream.destroy()
        self._close()
        if response is not None:
            response._close()

    def _gone(self) -> BaseException:
        return self.errored or SocketHangUpError("socket hang up")

    def _check_entered(self) -> None:
        if self.destroyed:
            raise self._gone()
        if self._connection is None:
            raise StreamDestroyedError("enter the request's scope first: async with request(...)")

    # --- giving it back -------------------------------------------------------------------

    def _response_ended(self) -> None:
        response = self.response
        assert response is not None
        assert self.timings is not None
        self.timings.mark("done")
        if self._connection is not None:
            self._settle(response._head)  # type: ignore[arg-type]
        self._close()
        response._close()

    def _response_aborted(self) -> None:
        """The connection ended before the response did."""
        self._part(reusable=False)
        self._close()

    def _settle(self, head: ResponseHead) -> None:
        """The response was received whole: keep the socket if that is safe."""
        codec = self._connection.codec  # type: ignore[union-attr]
        self._part(
            reusable=self.writable_finished
            and head.keep_alive
            and not self._closes
            and not codec.buffered
            and not codec.eof,
            hint=head.keep_alive_timeout,
        )

    def _close(self) -> None:
        self.destroyed = True  # as Node has it, however it ended
        Outset._close(self)

    def _part(self, *, reusable: bool, hint: int | None = None) -> None:
        """Give the connection back. Never awaits."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        socket = connection.socket
        if self.response is not None:
            self.response.socket = socket
            self.response._connection = None
        if socket.watchers:
            socket.watchers.clear()
            if not socket.destroyed:
                socket.set_timeout(None)
        self._agent._release(connection, reusable=reusable, hint=hint)

    def _response_destroyed(self, error: BaseException | None) -> None:
        """The caller gave the response up."""
        response, connection = self.response, self._connection
        assert response is not None
        if connection is None:
            return
        connection.socket.destroy(error)
        if self.aborted:
            response.on_aborted = None  # Node closes such a request after the error
        if not response.complete:
            response._abort(error or AbortedError("aborted"))
        self._part(reusable=False)
        self._close()
        response._close()

    def _fail(self, error: BaseException) -> None:
        """The request came to nothing: its socket goes. Never awaits."""
        if self.destroyed or self.closed:
            return
        self.destroyed = True
        told = isinstance(error, Exception)
        if told:
            self.errored = error
        if self.response is not None and self._connection is not None:
            self._response_destroyed(error if told else None)
            return
        self._part(reusable=False)
        if self._socket is not None and self._socket.connecting:
            self._socket.destroy()
        # Node tells of no error where `abort` came before there was a socket.
        if told and not (self.aborted and self._socket is None):
            self._emit("error", error)
        self._close()
