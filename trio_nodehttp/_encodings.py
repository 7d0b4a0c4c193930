"""Text to bytes and back, by Python's names of encodings and by Node's."""

from __future__ import annotations

import base64
import codecs
from typing import Final, Protocol

from ._errors import InvalidArgTypeError, InvalidArgValueError

# What Node calls otherwise than Python.
_NODE_NAMES: Final = {
    "binary": "latin-1",
    "ucs2": "utf-16-le",
    "ucs-2": "utf-16-le",
    "utf16le": "utf-16-le",
}
_URL_SAFE: Final = b"-_"


class Decoder(Protocol):
    """Bytes to text, piece by piece."""

    def decode(self, data: bytes, final: bool = False, /) -> str:
        """Decode what can be decoded, and at the end the rest."""


class _HexDecoder:
    """Bytes shown as hexadecimal digits."""

    def decode(self, data: bytes, final: bool = False, /) -> str:
        del final
        return data.hex()


class _Base64Decoder:
    """Bytes shown in base64; the padding comes at the end (RFC 4648)."""

    def __init__(self, *, url_safe: bool) -> None:
        self._rest = b""
        self._url_safe = url_safe

    def decode(self, data: bytes, final: bool = False, /) -> str:
        data = self._rest + data
        cut = len(data) if final else len(data) - len(data) % 3
        self._rest = data[cut:]
        if self._url_safe:
            return base64.urlsafe_b64encode(data[:cut]).decode().rstrip("=")
        return base64.b64encode(data[:cut]).decode()


def find_decoder(encoding: str, errors: str = "strict") -> Decoder:
    """Make a decoder.

    Args:
        encoding: Such as ``utf-8``; or ``hex``, ``base64`` or ``base64url``, in which
            the bytes are shown (Node: ``buffer.toString``).
        errors: What is done with bytes that do not fit; see ``codecs``.

    Raises:
        InvalidArgValueError: There is no such encoding of text.
    """
    name = _python_name(encoding)
    if name == "hex":
        return _HexDecoder()
    if name in ("base64", "base64url"):
        return _Base64Decoder(url_safe=name == "base64url")
    try:
        "".encode(name)  # finds out whether it is one of text
        return codecs.getincrementaldecoder(name)(errors)
    except (LookupError, ValueError) as error:
        raise InvalidArgValueError(f"encoding is not known: {encoding!r}") from error


def to_bytes(name: str, chunk: object, encoding: str = "utf-8") -> bytes:
    """Turn a caller's chunk into bytes.

    Args:
        name: What the error calls it.
        chunk: Bytes, or text.
        encoding: How text is encoded; ``hex``, ``base64`` and ``base64url`` say that
            the text shows the bytes so (Node: ``Buffer.from``).

    Raises:
        InvalidArgTypeError: It is neither bytes nor text.
        InvalidArgValueError: The encoding is not known, or does not fit the text.
    """
    if type(chunk) is bytes:
        return chunk
    if isinstance(chunk, str):
        try:
            if encoding == "utf-8":
                return chunk.encode()
            return _encode(chunk, _python_name(encoding))
        except (LookupError, ValueError) as error:
            raise InvalidArgValueError(f"encoding {encoding!r} does not fit: {error}") from error
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        return bytes(chunk)
    raise InvalidArgTypeError(f"{name} must be bytes or str, not {type(chunk).__name__}")


def _python_name(encoding: object) -> str:
    if not isinstance(encoding, str):
        raise InvalidArgValueError(f"encoding must be a name, not {encoding!r}")
    name = encoding.lower()
    return _NODE_NAMES.get(name, name)


def _encode(text: str, name: str) -> bytes:
    if name == "hex":
        return bytes.fromhex(text)
    if name in ("base64", "base64url"):
        # Either alphabet, and with or without padding, as Node reads it.
        plain = text.encode("ascii").translate(bytes.maketrans(_URL_SAFE, b"+/")).rstrip(b"=")
        return base64.b64decode(plain + b"=" * (-len(plain) % 4))
    return text.encode(name)
