"""The header fields and trailers of a message that leaves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from ._errors import HeadersSentError, InvalidArgTypeError
from ._observers import Observable
from ._sansio.framing import REMOVABLE, Shape, StoredHeaders
from ._sansio.headers import (
    HeadersLike,
    HeaderValue,
    clean_value,
    pairs_of,
    validate_header_name,
)

Self = TypeVar("Self", bound="OutgoingFields")


class OutgoingFields(Observable):
    """The part of an ``OutgoingMessage`` that holds its fields."""

    __slots__ = ("_headers", "_rendered", "_shape", "_trailers")

    unique_headers: Collection[str] | None = None

    _headers: StoredHeaders | None
    _rendered: bool
    _shape: Shape
    _trailers: list[tuple[str, str]] | None

    @property
    def headers_sent(self) -> bool:
        """The head is settled: it left, or leaves with the next bytes."""
        return self._rendered

    def _changeable(self, verb: str) -> StoredHeaders:
        if self._rendered:
            raise HeadersSentError(f"Cannot {verb} headers after they are sent to the client")
        if self._headers is None:
            self._headers = {}
        return self._headers

    def set_header(self: Self, name: str, value: HeaderValue) -> Self:
        """Set a header, replacing one of that name.

        Args:
            name: Sent in this case.
            value: A text or number; a list or tuple of texts gives a line each.

        Returns:
            This message.

        Raises:
            HeadersSentError: The head has left.
            InvalidHTTPTokenError: ``name`` is not a token (RFC 9110 section 5.6.2).
            InvalidHeaderValueError: ``value`` is None.
            InvalidCharError: ``value`` holds a character that may not be sent.
        """
        headers = self._changeable("set")
        validate_header_name(name)
        key = name.lower()
        headers[key] = (name, clean_value(name, value))
        if key in REMOVABLE:
            self._shape.removed &= ~REMOVABLE[key]
        return self

    def append_header(self: Self, name: str, value: HeaderValue) -> Self:
        """Add a value to a header; each is a line of its own (Node: ``appendHeader``).

        Args:
            name: Of the header; the case of its first value is sent.
            value: A text or number; a list or tuple of texts gives a line each.

        Returns:
            This message.

        Raises what ``set_header`` does.
        """
        headers = self._changeable("append")
        validate_header_name(name)
        key = name.lower()
        added = clean_value(name, value)
        if key not in headers:
            headers[key] = (name, added)
        else:
            first_name, old = headers[key]
            headers[key] = (first_name, _as_list(old) + _as_list(added))
        if key in REMOVABLE:
            self._shape.removed &= ~REMOVABLE[key]
        return self

    def set_headers(self: Self, headers: Mapping[str, HeaderValue]) -> Self:
        """Set every header of a mapping; values of ``Set-Cookie`` stay separate lines.

        Args:
            headers: Names and values, such as the ``headers`` of a received message.

        Returns:
            This message.

        Raises:
            InvalidArgTypeError: ``headers`` is not a mapping.

        Otherwise raises what ``set_header`` does; nothing is set if anything is wrong.
        """
        self._changeable("set")
        if not isinstance(headers, Mapping):
            raise InvalidArgTypeError(
                f"headers must be a mapping or Headers, not {type(headers).__name__}"
            )
        items: list[tuple[str, HeaderValue]] = list(headers.items())
        for name, value in items:
            validate_header_name(name)
            clean_value(name, value)
        for name, value in items:
            self.set_header(name, value)
        return self

    def get_header(self, name: str) -> str | list[str] | None:
        """Give a header that was set, in any case of its name; None if there is none.

        Raises:
            InvalidArgTypeError: ``name`` is no string.
        """
        value = self._stored(name)[1]
        return [*value] if isinstance(value, list) else value

    def _stored(self, name: str) -> tuple[str, str | list[str] | None]:
        if not isinstance(name, str):
            raise InvalidArgTypeError(f"name must be a string, not {type(name).__name__}")
        return (self._headers or {}).get(name.lower(), (name, None))

    def get_headers(self) -> dict[str, str | list[str]]:
        """Give the headers that were set: lower-case names to values, a copy."""
        stored = (self._headers or {}).items()
        return {key: [*value] if isinstance(value, list) else value for key, (_, value) in stored}

    def get_header_names(self) -> list[str]:
        """Give the names that were set, in lower case and in order."""
        return list(self._headers or ())

    def get_raw_header_names(self) -> list[str]:
        """Give the names that were set, as given and in order."""
        return [name for name, _ in (self._headers or {}).values()]

    def has_header(self, name: str) -> bool:
        """Say whether a header was set, in any case of its name; errors as ``get_header``."""
        return self._stored(name)[1] is not None

    def remove_header(self, name: str) -> None:
        """Remove a header, also one that would be added automatically.

        Raises:
            HeadersSentError: The head has left.
            InvalidArgTypeError: ``name`` is no string.
        """
        if not isinstance(name, str):
            raise InvalidArgTypeError(f"name must be a string, not {type(name).__name__}")
        headers = self._changeable("remove")
        key = name.lower()
        headers.pop(key, None)
        if key in REMOVABLE:
            self._shape.removed |= REMOVABLE[key]

    def add_trailers(self, headers: HeadersLike) -> None:
        """Give the trailers that follow a chunked body (RFC 9112 section 7.1.2).

        They are left out where the body is not chunked, as for HTTP/1.0.

        Args:
            headers: A mapping, a list of pairs or Node's flat list. A second call takes
                the place of the first.

        Raises:
            InvalidHTTPTokenError: A name is not a token.
            InvalidCharError: A value holds a character that may not be sent.
        """
        trailers: list[tuple[str, str]] = []
        for name, value in pairs_of(headers):
            validate_header_name(name, "Trailer name")
            cleaned = clean_value(name, value)
            if isinstance(cleaned, list) and self._is_unique(name):
                cleaned = "; ".join(cleaned)
            trailers.extend((name, item) for item in _as_list(cleaned))
        self._trailers = trailers

    def _is_unique(self, name: str) -> bool:
        return self.unique_headers is not None and name.lower() in self.unique_headers

    def _merge(self, headers: HeadersLike) -> None:
        """Take headers given with the start line: they override, repeats are kept."""
        stored = self._headers
        if stored is None:
            stored = self._headers = {}
        given: StoredHeaders = {}
        for name, value in pairs_of(headers):
            validate_header_name(name)
            key = name.lower()
            cleaned = clean_value(name, value)
            if key in given:
                cleaned = _as_list(given[key][1]) + _as_list(cleaned)
            given[key] = (name, cleaned)
        for key in given:
            if key in REMOVABLE:
                self._shape.removed &= ~REMOVABLE[key]
        stored.update(given)


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
