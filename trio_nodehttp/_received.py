"""The head of a message that arrives, as Node shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._connection import Connection
from ._observers import Observable
from ._sansio.events import RequestHead, ResponseHead
from ._sansio.headers import Headers, Pairs, distinct_pairs
from ._transport import Socket


class ReceivedHead(Observable):
    """The part of an ``IncomingMessage`` that was there first."""

    __slots__ = ("_connection", "_head", "_headers", "_join")

    __dict__: dict[str, Any]
    _connection: Connection | None
    _head: RequestHead | ResponseHead
    _headers: Headers | None
    _join: bool

    @property
    def method(self) -> str:
        """The request's method; as in Node, None for a response."""
        # Typed for the side on which it is asked: a caller knows which one it has.
        head = self._head
        return head.method if isinstance(head, RequestHead) else None  # type: ignore[return-value]

    @property
    def status_code(self) -> int:
        """The response's status code; as in Node, None for a request."""
        head = self._head
        return head.status if isinstance(head, ResponseHead) else None  # type: ignore[return-value]

    @property
    def status_message(self) -> str:
        """The response's reason phrase as it came, perhaps empty; None for a request."""
        head = self._head
        return head.reason if isinstance(head, ResponseHead) else None  # type: ignore[return-value]

    @property
    def http_version(self) -> str:
        """Such as ``"1.1"``."""
        head = self._head
        return head.version if isinstance(head, ResponseHead) else f"1.{head.minor}"

    @property
    def http_version_major(self) -> int:
        """The first digit of the version."""
        return int(self.http_version[0])

    @property
    def http_version_minor(self) -> int:
        """The last digit of the version."""
        return int(self.http_version[2])

    @property
    def headers(self) -> Headers:
        """The header fields, joined as Node joins them."""
        if self._headers is None:
            self._headers = Headers._received(self._head.pairs, join_all=self._join)
        return self._headers

    @property
    def headers_distinct(self) -> dict[str, list[str]]:
        """Every value of each header field, in a list."""
        return distinct_pairs(self._head.pairs)

    @property
    def raw_headers(self) -> Pairs:
        """Names and values as they came: case, order and repeats kept."""
        return list(self._head.pairs)

    @property
    def trailers(self) -> Headers:
        """The trailer fields; empty until the body was read to its end."""
        return Headers._received(self.raw_trailers, join_all=self._join)

    @property
    def trailers_distinct(self) -> Mapping[str, list[str]]:
        """Every value of each trailer field, in a list."""
        return distinct_pairs(self.raw_trailers)

    @property
    def raw_trailers(self) -> Pairs:
        """Trailers as they came; empty until the body was read to its end."""
        return list(self._trailers)

    @property
    def _trailers(self) -> Pairs:
        kept: Pairs = self.__dict__.get("_kept_trailers", [])
        return kept

    @property
    def socket(self) -> Socket:
        """The socket that it came on; None for a message made by hand without one."""
        assigned: Socket | None = self.__dict__.get("_socket")
        if assigned is None and self._connection is not None:
            return self._connection.socket
        return assigned  # type: ignore[return-value]  # whoever made it knows

    @socket.setter
    def socket(self, socket: Socket) -> None:
        self.__dict__["_socket"] = socket

    connection = socket
    """The older name of ``socket``."""
