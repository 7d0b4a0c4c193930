"""What an intermediary changes in a head that it passes on (RFC 9110 section 7.6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from .events import CHUNKED, UNTIL_CLOSE
from .headers import TOKEN, HeaderValue, Pairs

# RFC 9110 section 7.6.1, the two fields of section 11.7 that end at the next proxy,
# and what frames a message, which is said anew for every hop.
_ONE_HOP: Final = frozenset(
    (
        "connection proxy-connection keep-alive te transfer-encoding upgrade trailer "
        "proxy-authenticate proxy-authorization proxy-authentication-info content-length"
    ).split()
)
# So many intermediaries of one name may stand in a row before it is taken for a loop.
_MOST_OF_ONE_NAME: Final = 10
Overrides = Mapping[str, HeaderValue | None]
"""Fields to set in place of those that came; None leaves one out."""

_is_token = re.compile(TOKEN).fullmatch


@attrs.frozen
class Hop:
    """The connection that a message came on.

    Attributes:
        client: The IP address of the client, or None where it has none.
        protocol: ``"http"`` or ``"https"``.
        host: The host that the client asked for, with its port; or None.
    """

    client: str | None
    protocol: str
    host: str | None


def values_of(pairs: Pairs, name: str) -> list[str]:
    """Give the members of a field that is a list, less empty ones (RFC 9110 section 5.6.1)."""
    found = [value for key, value in pairs if key.lower() == name]
    members = [member.strip(" \t") for value in found for member in value.split(",")]
    return [member for member in members if member]


def end_to_end(pairs: Pairs) -> Pairs:
    """Leave out what concerns one connection, and what frames the message.

    Those are the fields that RFC 9110 section 7.6.1 names, and whatever Connection
    names besides.
    """
    named = {option.lower() for option in values_of(pairs, "connection")}
    dropped = _ONE_HOP | named
    return [pair for pair in pairs if pair[0].lower() not in dropped]


def request_framing(pairs: Pairs, body: int) -> Pairs:
    """Frame a request as it was framed on the hop before.

    Args:
        pairs: The fields as they came.
        body: The length of the body, or ``CHUNKED``.
    """
    if body == CHUNKED:
        return [*_chunked(()), *_trailer(pairs)]
    if body or any(name.lower() == "content-length" for name, _ in pairs):
        return [("Content-Length", str(body))]
    return []


def response_framing(pairs: Pairs, body: int, *, status: int, is_head: bool, chunks: bool) -> Pairs:
    """Frame a response as it was framed on the hop before, as far as the client can read it.

    Args:
        pairs: The fields as they came.
        body: The length of the body, or ``CHUNKED``, or ``UNTIL_CLOSE``.
        status: The status code.
        is_head: The request was HEAD.
        chunks: The client reads chunks, as HTTP/1.1 does.

    Raises:
        ValueError: The body is coded in a way that cannot be told to an HTTP/1.0 client,
            or chunks are not its last coding, or more than once one.
    """
    if status < 200 or status == 204:
        return []
    if is_head or status == 304:
        # It tells of the body that is not sent (RFC 9110 section 8.6).
        return [(name, value) for name, value in pairs if name.lower() == "content-length"]
    if body not in (CHUNKED, UNTIL_CLOSE):
        return [("Content-Length", str(body))]
    codings = [x for x in values_of(pairs, "transfer-encoding") if x.lower() != "identity"]
    if body == CHUNKED:
        codings.pop()
    if "chunked" in (coding.lower() for coding in codings):
        # RFC 9112 section 6.3: nobody has read those chunks, and nobody would.
        raise ValueError(f"Transfer-Encoding {', '.join(codings)}")
    if chunks:
        return [*_chunked(codings), *_trailer(pairs)]
    if codings:
        raise ValueError(f"Transfer-Encoding {', '.join(codings)} for an HTTP/1.0 client")
    return []


def _chunked(codings: Iterable[str]) -> Pairs:
    # Codings below the chunks are for the last recipient: nobody took them off here.
    return [("Transfer-Encoding", ", ".join([*codings, "chunked"]))]


def _trailer(pairs: Pairs) -> Pairs:
    return [pair for pair in pairs if pair[0].lower() == "trailer"]


def wants_trailers(pairs: Pairs) -> bool:
    """Say whether the sender reads trailers (RFC 9110 section 10.1.4)."""
    return "trailers" in (member.lower() for member in values_of(pairs, "te"))


def split_target(method: str, target: str) -> tuple[str | None, str]:
    """Take a request target apart.

    Args:
        method: The method.
        target: In origin-form, absolute-form or asterisk-form (RFC 9112 section 3.2).

    Returns:
        The authority of an absolute-form, less its userinfo, or None; and the target
        for the origin.
    """
    if target.startswith(("/", "*")):
        return None, target
    rest = target.partition("://")[2].partition("#")[0]
    path_at = next((at for at, char in enumerate(rest) if char in "/?"), len(rest))
    authority = rest[:path_at].rpartition("@")[2]
    path = rest[path_at:]
    if not path:
        # RFC 9112 section 3.2.4: the last proxy must ask the server itself.
        return authority, "*" if method == "OPTIONS" else "/"
    return authority, path if path.startswith("/") else f"/{path}"


def split_authority(authority: str) -> tuple[str, int]:
    """Take ``host:port`` apart, as a CONNECT names it (RFC 9112 section 3.2.3)."""
    host, _, port = authority.rpartition(":")
    # Zeros of any number may stand before the port, more than `int` takes.
    return host.removeprefix("[").removesuffix("]"), int(port[-5:])


def count_hop(method: str, pairs: Pairs) -> tuple[int | None, Pairs]:
    """Count Max-Forwards down, where it counts (RFC 9110 section 7.6.2).

    Returns:
        What came, or None; and the fields with one less.
    """
    if method not in ("OPTIONS", "TRACE"):
        return None, pairs
    found = [value for name, value in pairs if name.lower() == "max-forwards"]
    if not found or not found[0].isdecimal():
        return None, pairs
    left = int(found[0][:9])
    fewer = [
        (name, str(max(left - 1, 0)) if name.lower() == "max-forwards" else value)
        for name, value in pairs
    ]
    return left, fewer


def add_via(pairs: Pairs, version: str, pseudonym: str | None) -> Pairs:
    """Add this hop to Via (RFC 9110 section 7.6.3).

    Args:
        pairs: The fields.
        version: Of HTTP, in which the message came.
        pseudonym: How this intermediary calls itself; None adds nothing.
    """
    return pairs if pseudonym is None else [*pairs, ("Via", f"{version} {pseudonym}")]


def goes_in_circles(pairs: Pairs, pseudonym: str | None) -> bool:
    """Say whether Via names an intermediary so often that it must be a loop."""
    received_by = [member.split()[1:2] for member in values_of(pairs, "via")]
    return received_by.count([pseudonym or ""]) >= _MOST_OF_ONE_NAME


_FORWARDED: Final = frozenset(
    "forwarded x-forwarded-for x-forwarded-proto x-forwarded-host".split()
)


def fold(name: str) -> str:
    """Write a field's name as an origin may take it: CGI and WSGI make ``-`` to ``_``."""
    return name.lower().replace("_", "-")


def override(
    pairs: Sequence[tuple[str, HeaderValue]], overrides: Overrides
) -> list[tuple[str, HeaderValue]]:
    """Set fields in place of those that came under their names; None leaves one out."""
    names = {fold(name) for name in overrides}
    kept = [pair for pair in pairs if fold(pair[0]) not in names]
    return kept + [(name, value) for name, value in overrides.items() if value is not None]


def add_forwarded(pairs: Pairs, hop: Hop, *, replace: bool) -> Pairs:
    """Tell for whom a request is forwarded (RFC 7239, and the X-Forwarded fields).

    ``Forwarded`` and ``X-Forwarded-For`` list every hop: this one goes to the end.
    ``X-Forwarded-Proto`` and ``X-Forwarded-Host`` tell what the first client used, so
    what came stays.

    Args:
        pairs: The fields.
        hop: Where the request came from.
        replace: Forget what the client said of earlier hops, in these or other fields
            ``X-Forwarded-…``, and under names that an origin may take for theirs.
    """
    if replace:
        kept = [pair for pair in pairs if not _tells_of_hops(fold(pair[0]))]
        came: Pairs = []
    else:
        kept = [pair for pair in pairs if pair[0].lower() not in _FORWARDED]
        came = pairs
    client = [] if hop.client is None else [hop.client]
    passed = [*values_of(came, "x-forwarded-for"), *client]
    protocol = values_of(came, "x-forwarded-proto") or [hop.protocol]
    host = values_of(came, "x-forwarded-host") or ([] if hop.host is None else [hop.host])
    earlier = [value for name, value in came if name.lower() == "forwarded"]
    for name, members in (
        ("X-Forwarded-For", passed),
        ("X-Forwarded-Proto", protocol),
        ("X-Forwarded-Host", host),
        ("Forwarded", [*earlier, _element(hop)]),
    ):
        if members:
            kept.append((name, ", ".join(members)))
    return kept


def _tells_of_hops(folded: str) -> bool:
    return folded == "forwarded" or folded.startswith("x-forwarded-")


def _element(hop: Hop) -> str:
    """Write this hop as RFC 7239 section 4 has it."""
    client = hop.client or "unknown"
    parts = [f"for={_quoted(f'[{client}]' if ':' in client else client)}"]
    if hop.host is not None:
        parts.append(f"host={_quoted(hop.host)}")
    return ";".join([*parts, f"proto={hop.protocol}"])


def _quoted(text: str) -> str:
    return text if _is_token(text) else f'"{text}"'
