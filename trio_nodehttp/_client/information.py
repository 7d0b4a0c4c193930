"""The informational responses that precede a final one."""

from __future__ import annotations

import attrs

from .._sansio.events import ResponseHead
from .._sansio.headers import Headers, Pairs


@attrs.frozen
class Information:
    """An informational response (RFC 9110 section 15.2).

    Attributes:
        status_code: 100, 102, 103 or another below 200.
        status_message: The reason phrase.
        http_version: Such as ``"1.1"``.
        headers: The header fields.
        raw_headers: Names and values as they came.
    """

    status_code: int
    status_message: str
    http_version: str
    headers: Headers
    raw_headers: Pairs

    @property
    def http_version_major(self) -> int:
        """The first digit of the version."""
        return int(self.http_version[0])

    @property
    def http_version_minor(self) -> int:
        """The last digit of the version."""
        return int(self.http_version[-1])

    @classmethod
    def _of(cls, head: ResponseHead) -> Information:
        return cls(
            status_code=head.status,
            status_message=head.reason,
            http_version=head.version,
            headers=Headers._received(head.pairs, join_all=False),
            raw_headers=head.pairs,
        )
