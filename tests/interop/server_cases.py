"""Raw bytes for servers: one case for what one row of Node's table says on the wire."""

from __future__ import annotations

from tests.interop import (
    server_answers,
    server_dialogues,
    server_readings,
    server_refusals,
)
from tests.interop.beside_node import ServerCase

CASES: list[ServerCase] = [
    *server_answers.CASES,
    *server_dialogues.CASES,
    *server_readings.CASES,
    *server_refusals.CASES,
]
