"""Which requests go by a proxy: its URL, and what the environment says. No I/O."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import attrs

from .._errors import HTTPError, InvalidURLError
from .._sansio.destination import DEFAULT_PORTS, basic_authorization, parse_url

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_find_entries = re.compile(r"[^ \t,]+").findall
_match_bits = re.compile(r"\+?([0-9]*)").match


@attrs.frozen
class Proxy:
    """Where requests go in place of their origin.

    Attributes:
        protocol: How the proxy itself is spoken to: ``"http:"``, or ``"https:"`` for
            TLS up to the proxy.
        host: Its name or address.
        port: Its port.
        authorization: The value of Proxy-Authorization, or None.
    """

    protocol: str
    host: str
    port: int
    authorization: str | None = attrs.field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Its part of an agent's key; credentials keep apart, and are not shown."""
        secret = ""
        if self.authorization is not None:
            secret = f"#{hashlib.sha256(self.authorization.encode()).hexdigest()[:16]}"
        host = f"[{self.host}]" if ":" in self.host else self.host  # with its zone
        return f"{self.protocol}//{host}:{self.port}{secret}"


@lru_cache(maxsize=64)
def read_proxy(url: str) -> Proxy:
    """Read a proxy's URL; ``http://`` may be left out.

    Args:
        url: Such as ``"http://user:password@proxy.example:3128"``. Without a port it
            is the one of the scheme.

    Raises:
        InvalidURLError: It has no host, or a bad port.
        InvalidProtocolError: Its scheme is neither http nor https.
        UnescapedCharactersError: It holds spaces or control characters.
    """
    place = parse_url(url if "://" in url else f"http://{url}")
    authorization = None
    if place.auth is not None:
        auth = place.auth if ":" in place.auth else f"{place.auth}:"
        authorization = basic_authorization(auth)
    port = place.port or DEFAULT_PORTS[place.protocol]
    return Proxy(place.protocol, place.host, port, authorization)


@attrs.frozen
class Environment:
    """What environment variables say of proxies; read without judging it.

    Attributes:
        proxies: By protocol, the variable that counts and its value.
        exceptions: The hosts that are reached without a proxy.
    """

    proxies: tuple[tuple[str, str, str], ...] = attrs.field(repr=False)
    exceptions: str


_VARIABLES: Final = {
    "http:": ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
    "https:": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
}


def read_environment(environ: Mapping[str, str]) -> Environment:
    """Read the variables of proxies. No value is an error here.

    Args:
        environ: Such as ``os.environ``. An empty value counts as none, and lower case
            before upper case. ``HTTP_PROXY`` does not count in a CGI script, which
            ``REQUEST_METHOD`` tells.
    """
    # There a client's header `Proxy` sets HTTP_PROXY (CVE-2016-5385).
    unsafe = {"HTTP_PROXY"} if "REQUEST_METHOD" in environ else set()
    proxies = []
    for protocol, names in _VARIABLES.items():
        good = (name for name in names if name not in unsafe and environ.get(name))
        name = next(good, None)
        if name is not None:
            proxies.append((protocol, name, environ[name]))
    exceptions = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return Environment(tuple(proxies), exceptions)


@lru_cache(maxsize=512)
def choose_proxy(environment: Environment, protocol: str, host: str, port: int) -> Proxy | None:
    """Find the proxy for an origin, or None where the environment wants none.

    Args:
        environment: What was read.
        protocol: ``"http:"`` or ``"https:"``.
        host: The host, IPv6 without brackets.
        port: The port.

    Raises:
        InvalidURLError: The variable that counts holds no proxy's URL; it is named.
    """
    for wanted, variable, value in environment.proxies:
        if wanted == protocol and not is_excepted(environment.exceptions, host, port):
            try:
                return read_proxy(value)
            except HTTPError as error:
                # The value stays out of the text: it may hold a password.
                raise InvalidURLError(
                    f"the environment variable {variable} holds no URL of a proxy"
                ) from error
    return None


def is_excepted(exceptions: str, host: str, port: int) -> bool:
    """Say whether ``NO_PROXY`` names a host, by curl's rules and with ports.

    Args:
        exceptions: ``*`` alone for every host; else entries separated by commas or
            blanks: a domain, which also stands for what is below it, with or without
            a leading dot; an IPv4 or IPv6 address; a network such as ``10.0.0.0/8``
            or ``fe80::/10``. A port may follow, ``example.com:8080`` or
            ``[::1]:8080``, and then no other one is meant. Anything else matches
            nothing.
        host: The host, IPv6 without brackets.
        port: The port.
    """
    if exceptions == "*":
        return True
    address = _address(host)
    name = host.lower().removesuffix(".")
    return any(_matches(entry, name, address, port) for entry in _find_entries(exceptions))


def _matches(entry: str, name: str, address: Address | None, port: int) -> bool:
    entry, wanted = _split_port(entry)
    # Compared as text: a number of any length is no error.
    if wanted is not None and wanted.lstrip("0") != str(port):
        return False
    if address is not None:
        return _in_network(entry, address)
    domain = entry.lower().removesuffix(".").removeprefix(".")
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))


def _split_port(entry: str) -> tuple[str, str | None]:
    """Take an entry apart; IPv6 has a port only behind brackets."""
    if entry.startswith("["):
        inner, _, rest = entry[1:].partition("]")
        return (inner, rest[1:]) if rest.startswith(":") else (inner + rest, None)
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, None


def _in_network(entry: str, address: Address) -> bool:
    text, _, length = entry.partition("/")
    network = _address(text)
    if network is None or network.version != address.version:
        return False
    found = _match_bits(length)
    assert found is not None
    # curl reads digits as far as they go, and takes none, or 0, for all bits.
    whole = address.max_prefixlen
    bits = int(found[1].lstrip("0")[:4] or 0) or whole
    if length.startswith("-") or bits > whole:
        return False
    return int(network) >> (whole - bits) == int(address) >> (whole - bits)


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
