"""The counting of Node's rows is itself tested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.node import report
from tests.node.rows import load_api, load_behaviours

pytest_plugins = ["pytester"]

AGENT_ROW = "test-http-agent-abort-controller.js"
PASSING = f"""
import pytest

class Agent:
    max_sockets = 2
    def destroy(self): pass

@pytest.mark.node("test-http-1.0.js")
@pytest.mark.node("{AGENT_ROW}", decided="ours is simpler")
@pytest.mark.node_api("Agent|agent.destroy()")
@pytest.mark.parametrize("name", ["max_sockets"])
@pytest.mark.node_api("Agent|agent.maxSockets")
def test_both(name):
    Agent().destroy()
    assert getattr(Agent, name) == 2
"""


def run(pytester: pytest.Pytester, source: str) -> tuple[int, dict[str, Any]]:
    pytester.makeini("[pytest]\nmarkers =\n    node\n    node_api\n")
    pytester.makepyfile(test_rows=source)
    options = (
        "-p",
        "tests.node.plugin",
        "--node-json=out/run.json",
        "--strict-markers",
    )
    result = pytester.runpytest_inprocess(*options)
    path = pytester.path / "out/run.json"
    return result.ret, json.loads(path.read_text()) if path.exists() else {}


def test_the_tables_are_whole() -> None:
    assert len(load_behaviours()) == 304
    assert len(load_api()) == 242


def test_words_are_our_names() -> None:
    rows = load_api()
    assert rows["Agent|agent.destroy()"].words == {"destroy"}
    assert rows["new Agent|maxSockets"].words == {"max_sockets"}
    assert rows["ServerResponse|finish"].words == {"finish"}
    assert rows["http|http.createServer([options][, requestListener])"].words == {"create_server"}
    # `async with` has no name that a test could write.
    assert rows["Server|server[Symbol.asyncDispose]()"].words == set()


def test_a_passing_test_shows_its_rows(pytester: pytest.Pytester) -> None:
    code, rows = run(pytester, PASSING)
    assert code == 0
    test = "test_rows.py::test_both"
    passed = {"status": "passed", "tests": [test], "reason": ""}
    assert rows["behaviours"]["test-http-1.0.js"] == passed
    assert rows["behaviours"][AGENT_ROW] == {
        "status": "decided",
        "tests": [test],
        "reason": "ours is simpler",
    }
    assert rows["api"]["Agent|agent.destroy()"] == passed
    assert rows["api"]["Agent|agent.maxSockets"] == passed
    assert len(rows["behaviours"]) == 304
    assert rows["behaviours"]["test-http-abort-client.js"]["status"] == "missing"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("assert False", "failed"),
        ("pytest.skip('no')", "failed"),
        ("pytest.xfail('not yet')", "failed"),
        ("pass", "passed"),
    ],
)
def test_only_a_passed_test_counts(pytester: pytest.Pytester, body: str, status: str) -> None:
    mark = "import pytest\n@pytest.mark.node('test-http-1.0.js')\n"
    source = f"{mark}def test_it():\n    {body}\n{mark}def test_other(): pass\n"
    _, rows = run(pytester, source)
    assert rows["behaviours"]["test-http-1.0.js"]["status"] == status


def test_a_failing_fixture_fails_the_row(pytester: pytest.Pytester) -> None:
    source = """
import pytest

@pytest.fixture
def late():
    yield
    raise RuntimeError

@pytest.mark.node("test-http-1.0.js")
def test_it(late): pass
"""
    _, rows = run(pytester, source)
    assert rows["behaviours"]["test-http-1.0.js"]["status"] == "failed"


@pytest.mark.parametrize(
    "mark",
    [
        "node('test-http-no-such-thing.js')",
        "node('test-http-1.0.js', decide='misspelt')",
        "node()",
        "node_api('Agent|destroy')",
        # The test below never writes `destroy`.
        "node_api('Agent|agent.destroy()')",
    ],
)
def test_a_wrong_mark_stops_the_run(pytester: pytest.Pytester, mark: str) -> None:
    source = f"import pytest\n@pytest.mark.{mark}\ndef test_it(): pass\n"
    code, _ = run(pytester, source)
    assert code == pytest.ExitCode.USAGE_ERROR


def outcome(**statuses: str) -> dict[str, Any]:
    empty = {"status": "missing", "tests": [], "reason": ""}
    behaviours = {key: dict(empty) for key in load_behaviours()}
    api = {key: dict(empty) for key in load_api()}
    for key, status in statuses.items():
        behaviours[key] = {"status": status, "tests": ["tests/x.py::t"], "reason": ""}
    return {"behaviours": behaviours, "api": api}


def write_run(tmp_path: Path, **statuses: str) -> str:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(outcome(**statuses)))
    return str(path)


def test_missing_rows_fail_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_file = write_run(tmp_path, **{"test-http-1.0.js": "passed"})
    assert report.main([run_file]) == 1
    assert report.main([run_file, "--allow-missing"]) == 0
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last == [
        "behaviours: 1 passed / 0 decided differently / 303 missing out of 304",
        "API rows: 0 present / 2 absent on purpose / 240 missing out of 242",
    ]


def test_a_failed_row_always_fails_the_report(tmp_path: Path) -> None:
    run_file = write_run(tmp_path, **{"test-http-1.0.js": "failed"})
    assert report.main([run_file, "--allow-missing"]) == 1


def test_a_full_run_passes_and_is_written(tmp_path: Path) -> None:
    rows = outcome()
    for part in rows.values():
        for row in part.values():
            row.update(status="passed", tests=["tests/x.py::test_it", "b"])
    rows["behaviours"]["test-http-1.0.js"].update(status="decided", reason="so *there*")
    (tmp_path / "run.json").write_text(json.dumps(rows))
    page, out = tmp_path / "node.md", tmp_path / "node.json"
    options = [str(tmp_path / "run.json"), f"--page={page}", f"--json={out}"]
    assert report.main(options) == 0
    written = page.read_text()
    assert "| `agent.destroy()` | method |  | `Agent.destroy()` |" in written
    assert "`x.py::test_it` and 1 more" in written
    assert "- `test-http-1.0.js`: so \\*there\\*" in written
    assert json.loads(out.read_text())["counts"] == {
        "behaviours": {"passed": 303, "decided": 1},
        "api": {"passed": 242},
    }
