"""One request on its way to an origin, and its response on the way back."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from ._client.request import ClientRequest
from ._errors import AbortedError, HTTPError, ParseError, QueueTimeoutError, SocketTimeoutError
from ._incoming import IncomingMessage
from ._pipe import tunnel
from ._sansio.headers import HeaderValue
from ._sansio.hops import Overrides, add_via, end_to_end, override, response_framing
from ._sansio.status import STATUS_CODES
from ._server.options import logger
from ._server.response import ServerResponse
from ._upgraded import UpgradedStream

# Seconds for an origin to ask for a body; RFC 9110 section 10.1.1 lets us go on without.
_CONTINUE: Final = 1.0
# So much a socket takes at once; more is sent while the response is awaited.
_SURE_TO_FIT: Final = 16384


class Passage:
    """One request on its way to an origin, and its response on the way back.

    Two scopes: the nursery's, where bodies go both ways, and ``_patience``, whose
    deadline is set while the origin keeps us waiting: while its response is awaited,
    and the client has done its part. Each step forward restarts it.
    """

    __slots__ = (
        "_asked",
        "_failure",
        "_idle",
        "_informed",
        "_limit",
        "_onward",
        "_overrides",
        "_patience",
        "_request",
        "_response",
        "_speaking",
        "_uploading",
        "_via",
        "_waiting",
        "reached",
    )

    def __init__(
        self,
        request: IncomingMessage,
        response: ServerResponse,
        onward: ClientRequest,
        *,
        via: str | None,
        limit: float,
        overrides: Overrides | None = None,
    ) -> None:
        self._request = request
        self._response = response
        self._onward = onward
        self._overrides = overrides or {}
        self._via = via
        self._limit = limit
        self._patience = trio.CancelScope()
        self._failure: Exception | None = None
        self._informed = 0
        self.reached = False  # there was a connection to the origin
        self._waiting = False  # for the origin's response, or more of it
        self._idle = False  # the upload waits for the client, and so may the origin
        self._uploading = False
        self._asked = trio.Event()  # the origin asks for the body
        self._speaking = trio.Lock()  # one task at a time writes an informational response

    # --- waiting for the origin --------------------------------------------------------

    def _wait(self) -> None:
        self._waiting = True
        self._set_deadline()

    def _go_on(self) -> None:
        self._waiting = False
        self._set_deadline()

    def _set_idle(self, idle: bool) -> None:
        self._idle = idle
        self._set_deadline()

    def _set_deadline(self) -> None:
        late = trio.current_time() + self._limit
        self._patience.deadline = late if self._waiting and not self._idle else math.inf

    def _too_slow(self) -> SocketTimeoutError:
        return SocketTimeoutError(f"the origin kept us waiting for {self._limit} s")

    async def run(self) -> None:
        """Pass everything on. Raises whatever either side fails with."""
        with self._patience:
            self._wait()
            async with self._onward:
                self.reached = True
                await self._exchange()
        if self._patience.cancelled_caught:
            raise self._too_slow()

    async def run_upgrade(self, stream: UpgradedStream) -> bool:
        """Pass an upgrade on; False if an ordinary response was passed back instead."""
        onward = self._onward
        with self._patience:
            self._wait()
            try:
                await unless_left(self._request, stream, self._ask_to_switch)
                if onward._stream is None:
                    await self._bring_back()
                    return False
                self._go_on()
                await stream.send_all(self._switching())
                await tunnel(stream, onward._stream)
            finally:
                onward._leave()
        if self._patience.cancelled_caught:
            raise self._too_slow()
        return True

    async def _ask_to_switch(self) -> None:
        """Send the request, and read the head that answers it."""
        onward = self._onward
        await onward.__aenter__()
        onward._wanted = True
        await onward.end()
        await self._hear()

    def _switching(self) -> bytes:
        """Write the 101 that the origin sent."""
        answer = self._onward._answer()
        upgrade = answer.headers.get("upgrade", "")
        pairs = add_via(end_to_end(answer.raw_headers), answer.http_version, self._via)
        pairs += [("Connection", "Upgrade"), ("Upgrade", upgrade)]
        lines = "".join(f"{name}: {value}\r\n" for name, value in pairs)
        return f"HTTP/1.1 101 {STATUS_CODES[101]}\r\n{lines}\r\n".encode("latin-1")

    async def _exchange(self) -> None:
        self._onward._duplex = True
        data, whole = await self._read_early()
        if not whole:
            await self._both_ways(data)
            return
        await self._end_upload(data)
        await self._hear()
        await self._bring_back()

    # --- up ------------------------------------------------------------------------------

    async def _read_early(self) -> tuple[bytes, bool]:
        """Read the body that came with its head; and say whether that is all, and small."""
        request, data = self._request, b""
        if not request._head.body:
            return data, True
        codec = request._connection.codec  # type: ignore[union-attr]
        if codec.buffered:
            self._go_on()
            data = await request.receive_some()
            self._wait()
        if not codec.complete or len(data) > _SURE_TO_FIT:
            return data, False
        await request.receive_some()  # its end
        return data, True

    async def _end_upload(self, data: bytes) -> None:
        trailers = self._request.raw_trailers
        if trailers:
            self._onward.add_trailers(end_to_end(trailers))
        await self._onward.end(data)

    async def _both_ways(self, data: bytes) -> None:
        """Read the response while the body is sent. Raises nothing inside the nursery."""
        self._uploading = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._upload, data, nursery.cancel_scope)
            try:
                await self._hear()
                await self._bring_back()
            except Exception as error:  # noqa: BLE001  # raised below, without a group
                self._failure = self._failure or error
            nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def _upload(self, data: bytes, scope: trio.CancelScope) -> None:
        try:
            await self._send_up(data)
            self._uploading = False
        except Exception as error:  # noqa: BLE001  # raised outside the nursery
            self._failure = error
            scope.cancel()

    async def _send_up(self, data: bytes) -> None:
        request, onward = self._request, self._onward
        if not data:
            await onward.flush_headers()
            self._set_idle(True)
            if request._head.expect is not None:  # type: ignore[union-attr]
                with trio.move_on_after(_CONTINUE):
                    await self._asked.wait()
                await self._ask_client()
            data = await request.receive_some()
        codec = request._connection.codec  # type: ignore[union-attr]
        while data and not codec.complete:
            self._set_idle(False)
            if not await onward.write(data):
                return
            self._set_idle(True)
            data = await request.receive_some()
        if data:
            await request.receive_some()  # its end
        self._set_idle(False)
        await self._end_upload(data)

    async def _ask_client(self) -> None:
        """Send 100, unless something was sent, or the client did not wait."""
        response, codec = self._response, self._request._connection.codec  # type: ignore[union-attr]
        async with self._speaking:
            if not (response._sent_continue or response.headers_sent or codec.buffered):
                await response.write_continue()
        response._sent_continue = True

    # --- and back --------------------------------------------------------------------------

    async def _hear(self) -> None:
        """Read heads up to the final one; those before it are passed on as they come."""
        onward, response = self._onward, self._response
        while onward.response is None:
            await onward._hear()
            for information in onward.informational[self._informed :]:
                self._informed += 1
                fields = end_to_end(information.raw_headers)
                async with self._speaking:
                    await response._write_information(information.status_code, fields)
                if information.status_code == 100:
                    response._sent_continue = True
                    self._asked.set()

    async def _bring_back(self) -> None:
        answer, response = self._onward._answer(), self._response
        fields = self._back_fields(answer)
        if self._uploading:
            async with self._speaking:
                pass  # a 100 that is being written comes first
        response.write_head(answer.status_code, answer.status_message, fields)
        connection = answer._connection
        data = b""
        if connection is not None and answer._head.body:
            codec = connection.codec
            if not (codec.buffered or codec.complete):
                self._go_on()
                await response.flush_headers()
            while data := await self._receive(answer):
                if codec.complete:
                    await answer.receive_some()  # its end: the socket is free again
                    break
                self._go_on()
                await response.write(data)
        else:
            await answer.receive_some()
        self._go_on()
        trailers = answer.raw_trailers
        if trailers:
            response.add_trailers(end_to_end(trailers))
        await response.end(data)

    async def _receive(self, answer: IncomingMessage) -> bytes:
        self._wait()
        return await answer.receive_some()

    def _back_fields(self, answer: IncomingMessage) -> list[tuple[str, HeaderValue]]:
        head, asked = answer._head, self._request._head
        try:
            framing = response_framing(
                head.pairs,
                head.body,
                status=answer.status_code,
                is_head=self._request.method == "HEAD",
                chunks=asked.minor == 1,
            )
        except ValueError as error:
            raise ParseError("HPE_INVALID_TRANSFER_ENCODING", str(error)) from error
        fields = add_via(end_to_end(head.pairs), answer.http_version, self._via)
        return [*override(fields, self._overrides), *framing]


async def unless_left(
    request: IncomingMessage, stream: UpgradedStream, work: Callable[[], Awaitable[None]]
) -> None:
    """Do some work for a client, and give it up when the client leaves meanwhile.

    What the client sends is kept for whoever reads the stream next.

    Args:
        request: The client's request; it is aborted when the client leaves.
        stream: Its connection.
        work: What to do.

    Raises:
        AbortedError: The client left, or ended its side having sent nothing.

    Raises unchanged what the work raises. Cancelled, the work is cancelled.
    """
    failure: Exception | None = AbortedError("aborted")

    async def watch(scope: trio.CancelScope) -> None:
        with suppress(HTTPError):
            await stream._departure()
        request._abort(AbortedError("aborted"))
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, nursery.cancel_scope)
        try:
            await work()
            failure = None
        except Exception as error:  # noqa: BLE001  # raised below, without a group
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def answer_failure(
    error: HTTPError, request: IncomingMessage, response: ServerResponse, origin: str
) -> None:
    """Tell the client that the origin failed; cut it off where it has half a response.

    A cancelled call may have sent a part.
    """
    status = 502
    if isinstance(error, QueueTimeoutError):
        status = 503
    elif isinstance(error, SocketTimeoutError) or error.code == "ETIMEDOUT":
        status = 504
    told = "cut off" if response.headers_sent else str(status)
    method, url = request.method, request.url
    logger.warning("%s %s is not passed on to %s: %s (%s)", method, url, origin, error, told)
    if response.headers_sent:
        response.destroy()
    else:
        await answer(response, status)


async def answer(response: ServerResponse, status: int) -> None:
    """Answer with a status and its phrase. Cancelled, a part may have been sent."""
    response.status_code = status
    text = ""
    if status >= 400:
        text = f"{STATUS_CODES[status]}\n"
        response.set_header("Content-Type", "text/plain")
    await response.end(text)
