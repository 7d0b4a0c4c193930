"""The two tables."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from trio_nodehttp._sansio.status import METHODS, STATUS_CODES


def test_methods() -> None:
    assert list(METHODS) == sorted(set(METHODS))
    assert len(METHODS) == 35


def test_status_codes() -> None:
    assert list(STATUS_CODES) == sorted(STATUS_CODES)
    assert len(STATUS_CODES) == 63
    assert (STATUS_CODES[200], STATUS_CODES[413]) == ("OK", "Payload Too Large")
    assert {status.value for status in HTTPStatus} <= set(STATUS_CODES)


def test_the_table_cannot_be_changed() -> None:
    table: Any = STATUS_CODES
    with pytest.raises(TypeError):
        table[200] = "Fine"
