"""Certificates for the tests of TLS."""

from __future__ import annotations

import ssl

import attrs
import trustme


@attrs.frozen
class Authority:
    """A certificate authority of our own."""

    ca: trustme.CA = attrs.field(factory=trustme.CA)

    def server(self, *names: str) -> ssl.SSLContext:
        """Make the context of a server with these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        """Make the context of a client that trusts us."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context
