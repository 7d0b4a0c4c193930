"""``request``, ``get`` and the global agent."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any

from .._errors import InvalidArgTypeError, UpgradeRefusedError
from .._incoming import IncomingMessage
from .._sansio.headers import HeaderValue
from .._typing import Unpack
from .agent import Agent, check_agent
from .refusal import read_beginning
from .request import ClientRequest
from .target import RequestOptions, read_mapping
from .upgraded import Upgraded

global_agent = Agent(keep_alive=True, timeout=5.0)
"""The agent of requests that name none (Node: ``http.globalAgent``)."""


def set_global_agent(agent: Agent) -> None:
    """Use another agent for requests that name none.

    Raises:
        InvalidArgTypeError: It is no Agent.
    """
    global global_agent  # noqa: PLW0603 - Node's is assigned too
    if not isinstance(agent, Agent):
        raise InvalidArgTypeError(f"global_agent must be an Agent, not {agent!r}")
    global_agent = agent


def request(url: Any = None, /, **options: Unpack[RequestOptions]) -> ClientRequest:
    """Make a request; ``async with`` it to send it (Node: ``http.request``).

    Args:
        url: The URL: text, or taken apart by ``urllib.parse``; or a mapping of
            options, whose other entries count for nothing. Options override what it
            says.
        options: The options of Node's ``http.request`` in snake_case, among them
            ``agent``, ``auth``, ``headers`` (a mapping, or pairs, which then are
            sent as they are), ``host``, ``method``, ``path``, ``port``,
            ``socket_path`` and ``timeout`` (seconds); and ``body`` (bytes, text or an
            async iterable), ``ssl_context``, ``retry_stale``. With the header
            ``Expect: 100-continue`` the ``body`` is held back until the server asks for
            it, a second at most (RFC 9110 section 10.1.1).

    Returns:
        The request; nothing has been sent or opened.

    Raises:
        TypeError: There is no such option; the message names the closest.
        InvalidURLError: The URL cannot be read.
        InvalidProtocolError: Its scheme is neither http nor https.
        UnescapedCharactersError: The path holds spaces or control characters.
        InvalidCharError: The host, or a header, holds a character that may not be sent.
        InvalidArgTypeError: An option has the wrong type; the message names it.
        InvalidArgValueError: An option has a wrong value; the message names it.
    """
    given: Mapping[str, Any] = options
    if isinstance(url, Mapping):
        url, given = None, {**read_mapping(url), **options}
    agent = given.get("agent")
    if agent is None:
        agent = global_agent if given.get("create_connection") is None else Agent()
    elif agent is False:
        agent = Agent()
    else:
        check_agent(agent)
    return ClientRequest(url, agent, given)


class Get:
    """What ``get`` gives: ``async with`` it for the response."""

    __slots__ = ("request",)

    def __init__(self, request: ClientRequest) -> None:
        self.request = request

    async def __aenter__(self) -> IncomingMessage:
        """Send the request and wait for the response.

        Raises what entering a request and ``get_response`` do. When it is cancelled,
        nothing is left behind.
        """
        request = self.request
        try:
            if not request._enter_fast():
                await request._enter()
            return await request.get_response()
        except BaseException:
            request._leave()
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the socket back if the body was read to its end, else close it."""
        self.request._leave()


def get(url: Any = None, /, **options: Unpack[RequestOptions]) -> Get:
    """Make a GET request (Node: ``http.get``); enter what it gives for the response.

    Takes and raises what ``request`` does; the method is GET unless given.
    """
    return Get(request(url, **options))


@contextlib.asynccontextmanager
async def open_upgrade(
    url: str,
    *,
    headers: Mapping[str, HeaderValue],
    agent: Agent | None,
    ssl_context: ssl.SSLContext | None,
) -> AsyncIterator[Upgraded]:
    """Make an upgrade request, and keep its stream for the length of the block.

    Raises what ``ClientRequest.upgrade`` does; an `UpgradeRefusedError` has the ``body``.
    When it is cancelled, no connection is left.
    """
    async with request(url, headers=headers, agent=agent, ssl_context=ssl_context) as upgrade:
        try:
            upgraded = await upgrade.upgrade()
        except UpgradeRefusedError as error:
            error.body = await read_beginning(error.response)
            raise
        yield upgraded
