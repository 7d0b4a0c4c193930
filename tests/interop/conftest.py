"""Shows what the tests have measured behind their results."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Tell = Callable[[object], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Tell a figure, which is shown at the end of the run."""
    return lambda figure: record_property("figure", str(figure))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures of all tests that ran."""
    lines = [
        f"{report.nodeid.rpartition('/')[2]}: {figure}"
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, figure in report.user_properties
        if name == "figure"
    ]
    if lines:
        terminalreporter.section("figures")
        terminalreporter.line("\n".join(lines))
