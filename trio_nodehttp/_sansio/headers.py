"""Header fields: what may be sent, and how repeated ones are joined (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, overload

from .._errors import (
    InvalidArgTypeError,
    InvalidArgValueError,
    InvalidCharError,
    InvalidHeaderValueError,
    InvalidHTTPTokenError,
)

HeaderValue = str | int | float | Sequence[str]
"""What a caller may give as a header's value; a sequence gives one line each."""
Pairs = list[tuple[str, str]]
HeadersLike = Mapping[str, HeaderValue] | Sequence[tuple[str, HeaderValue]] | Sequence[str]
"""Headers from a caller: a mapping, a list of pairs, or Node's flat list."""

# RFC 9110 section 5.6.2.
TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - the RFC's word
_is_token = re.compile(TOKEN).fullmatch
# RFC 9110 section 5.5, widened to Latin-1 as Node does; anything above is refused,
# and with it every character whose low byte would come out as CR or LF.
_bad_in_value = re.compile(r"[^\t\x20-\x7e\x80-\xff]").search
# A name that was good once is good again; bounded, since names come from callers.
_good_names: set[str] = set()
_GOOD_NAMES_MAX: Final = 512

# Node keeps the first of these and drops the rest, unless told to join them all.
_FIRST_ONLY: Final = frozenset(
    (
        "content-type content-length user-agent referer host authorization "
        "proxy-authorization if-modified-since if-unmodified-since from location "
        "max-forwards retry-after etag last-modified server age expires"
    ).split()
)


def is_token(text: str) -> bool:
    """Say whether a text is a token (RFC 9110 section 5.6.2)."""
    return _is_token(text) is not None


def validate_header_name(name: str, label: str = "Header name") -> None:
    """Check that a header name may be sent (Node: ``http.validateHeaderName``).

    Args:
        name: The name to check.
        label: What the error calls it.

    Raises:
        InvalidHTTPTokenError: It is not a token (RFC 9110 section 5.6.2).
    """
    try:
        if name in _good_names:
            return
    except TypeError:  # unhashable, so not a string
        pass
    if not isinstance(name, str) or _is_token(name) is None:  # type: ignore[redundant-expr]
        raise InvalidHTTPTokenError(f"{label} must be a valid HTTP token [{name!r}]")
    if len(_good_names) < _GOOD_NAMES_MAX:
        _good_names.add(name)


def validate_header_value(name: str, value: HeaderValue) -> None:
    """Check that a header value may be sent (Node: ``http.validateHeaderValue``).

    Args:
        name: The header's name, for the error.
        value: A string or a number. (For a list, check each member.)

    Raises:
        InvalidHeaderValueError: The value is None.
        InvalidArgTypeError: The value is no string and no number.
        InvalidCharError: It holds a control character, or one above U+00FF.
    """
    if isinstance(value, str):
        if _bad_in_value(value):
            raise InvalidCharError(f"Invalid character in header content [{name!r}]")
    elif value is None:
        raise InvalidHeaderValueError(f"Invalid value None for header {name!r}")
    elif not isinstance(value, (int, float)):
        raise InvalidArgTypeError(
            f"The value of header {name!r} must be a string, a number or a list of strings, "
            f"not {type(value).__name__}"
        )


def has_invalid_char(text: str) -> bool:
    """Say whether a text may not stand in a head (Node: ``checkInvalidHeaderChar``)."""
    return _bad_in_value(text) is not None


def clean_value(name: str, value: HeaderValue) -> str | list[str]:
    """Check a value and turn it into text; lists and tuples become lists of texts.

    Raises:
        InvalidHeaderValueError: A value is None.
        InvalidArgTypeError: A value is neither text, number nor list.
        InvalidCharError: A value holds a character that may not be sent.
    """
    if type(value) is str:
        if _bad_in_value(value):
            raise InvalidCharError(f"Invalid character in header content [{name!r}]")
        return value
    if isinstance(value, (list, tuple)):
        return [_clean_one(name, item) for item in value]
    return _clean_one(name, value)


def _clean_one(name: str, value: HeaderValue) -> str:
    validate_header_value(name, value)
    return value if isinstance(value, str) else str(value)


def pairs_of(headers: HeadersLike) -> list[tuple[str, HeaderValue]]:
    """Read headers in any of the accepted forms, as pairs in order.

    Raises:
        InvalidArgTypeError: It is none of the forms.
        InvalidArgValueError: A flat list has a name without a value.
    """
    if isinstance(headers, Headers):
        return list(headers.raw)
    if isinstance(headers, Mapping):
        return list(headers.items())
    if not isinstance(headers, (list, tuple)):
        raise InvalidArgTypeError(
            "headers must be a mapping, a list of pairs or a flat list of names and values, "
            f"not {type(headers).__name__}"
        )
    if headers and isinstance(headers[0], str):
        return _pairs_of_flat(headers)
    pairs: list[tuple[str, HeaderValue]] = []
    for item in headers:
        if not isinstance(item, (list, tuple)) or len(item) != 2:
            raise InvalidArgTypeError(f"headers must hold pairs of name and value, not {item!r}")
        pairs.append((item[0], item[1]))
    return pairs


def _pairs_of_flat(flat: Sequence[object]) -> list[tuple[str, HeaderValue]]:
    if len(flat) % 2:
        raise InvalidArgValueError("headers must have a value for every name: its length is odd")
    return list(zip(flat[::2], flat[1::2], strict=True))  # type: ignore[arg-type]  # checked when used


def join_pairs(pairs: Iterable[tuple[str, str]], *, join_all: bool) -> dict[str, str | list[str]]:
    """Join repeated fields as Node does (Node: ``message.headers``).

    ``set-cookie`` is always a list, ``cookie`` is joined by ``"; "``, a fixed
    group keeps its first value unless ``join_all``, the rest by ``", "``.
    """
    joined: dict[str, str | list[str]] = {}
    for name, value in pairs:
        key = name.lower()
        if key == "set-cookie":
            lines = joined.setdefault(key, [])
            lines.append(value)  # type: ignore[union-attr]  # always a list for this key
        elif key not in joined:
            joined[key] = value
        elif key == "cookie":
            joined[key] = f"{joined[key]}; {value}"
        elif join_all or key not in _FIRST_ONLY:
            joined[key] = f"{joined[key]}, {value}"
    return joined


def distinct_pairs(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Collect every value of each field in a list (Node: ``message.headersDistinct``)."""
    distinct: dict[str, list[str]] = {}
    for name, value in pairs:
        distinct.setdefault(name.lower(), []).append(value)
    return distinct


class Headers(Mapping[str, str]):
    """Header fields by name, in any case (Node: ``message.headers``).

    A read-only mapping with lower-case keys in order of arrival. Repeated fields
    are joined as Node joins them; ``headers["set-cookie"]`` is a list.

    Args:
        headers: A mapping, or pairs of name and value.
        join_duplicates: Join also the fields of which Node keeps the first only.

    Raises:
        InvalidArgTypeError: ``headers`` is neither a mapping nor pairs.
    """

    __slots__ = ("_joined", "raw")

    raw: Pairs
    """The pairs as they came: case, order and repeats kept."""

    def __init__(self, headers: HeadersLike = (), *, join_duplicates: bool = False) -> None:
        raw: Pairs = []
        for name, value in pairs_of(headers):
            if isinstance(value, (list, tuple)):
                raw.extend((name, str(item)) for item in value)
            else:
                raw.append((name, str(value)))
        self.raw = raw
        self._joined = join_pairs(raw, join_all=join_duplicates)

    @classmethod
    def _received(cls, pairs: Pairs, *, join_all: bool) -> Headers:
        self = cls.__new__(cls)
        self.raw = pairs
        self._joined = join_pairs(pairs, join_all=join_all)
        return self

    @overload
    def __getitem__(  # type: ignore[overload-overlap]
        self, name: Literal["set-cookie"]
    ) -> list[str]: ...
    @overload
    def __getitem__(self, name: str) -> str: ...
    def __getitem__(self, name: str) -> str | list[str]:
        return self._joined[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._joined

    def __iter__(self) -> Iterator[str]:
        return iter(self._joined)

    def __len__(self) -> int:
        return len(self._joined)

    def __repr__(self) -> str:
        return f"Headers({self._joined!r})"
