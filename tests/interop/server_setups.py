"""How the servers beside each other are set up, and the bytes of simple requests."""

from __future__ import annotations

from tests.interop.beside_node import Setup

SETUPS = {
    "plain": Setup(),
    "one": Setup({"max_requests_per_socket": 1}, {}, {"maxRequestsPerSocket": 1}),
    "three": Setup({"max_requests_per_socket": 3}, {}, {"maxRequestsPerSocket": 3}),
    "long": Setup({"keep_alive_timeout": 12.01}, {"keepAliveTimeout": 12010}),
    "brief": Setup({"keep_alive_timeout": 0.3}, {"keepAliveTimeout": 300}),
    "hostless": Setup({"require_host_header": False}, {"requireHostHeader": False}),
    "joining": Setup({"join_duplicate_headers": True}, {"joinDuplicateHeaders": True}),
    "few": Setup({"max_headers_count": 3}, {}, {"maxHeadersCount": 3}),
    "small": Setup({"max_header_size": 1000}, {"maxHeaderSize": 1000}),
    "heads": Setup(
        {"headers_timeout": 0.5, "request_timeout": 0},
        {
            "headersTimeout": 500,
            "requestTimeout": 0,
            "connectionsCheckingInterval": 100,
        },
    ),
    "whole": Setup(
        {"headers_timeout": 0, "request_timeout": 0.5, "min_body_progress": None},
        {
            "headersTimeout": 0,
            "requestTimeout": 500,
            "connectionsCheckingInterval": 100,
        },
    ),
    "unique": Setup({"unique_headers": ["x-more"]}, {"uniqueHeaders": ["x-more"]}),
}


def get(path: str, *lines: str, version: str = "1.1", method: str = "GET") -> bytes:
    """Build a request without a body; HTTP/1.1 gets a Host."""
    host = ["Host: a"] if version == "1.1" else []
    first = f"{method} {path} HTTP/{version}"
    return "\r\n".join([first, *host, *lines, "", ""]).encode("latin-1")


def post(path: str, *lines: str, body: bytes = b"") -> bytes:
    """Build a request with a body as it stands."""
    return get(path, *lines, method="POST") + body


def sized(path: str, body: bytes, *lines: str) -> bytes:
    """Build a request with Content-Length."""
    return post(path, f"Content-Length: {len(body)}", *lines, body=body)


def chunked(path: str, body: bytes, *lines: str) -> bytes:
    """Build a request whose body is meant to be chunked."""
    return post(path, "Transfer-Encoding: chunked", *lines, body=body)
