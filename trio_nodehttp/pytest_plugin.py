"""Fixtures for tests with pytest and pytest-trio.

They are loaded by name, so nobody who does not test needs pytest::

    # conftest.py
    pytest_plugins = ["trio_nodehttp.pytest_plugin"]
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from pytest_trio import trio_fixture

from .testing import MemoryNetwork


async def _memory_network() -> AsyncIterator[MemoryNetwork]:
    """A `MemoryNetwork`, entered for the length of the test."""
    async with MemoryNetwork() as network:
        yield network


memory_network = trio_fixture(_memory_network)
