"""Every Python block on a page is a program: it runs, and prints what the page says.

A block that is not meant to run stands below a comment that says why::

    <!-- not run: serves until it is stopped -->

What a block prints may stand in an ``output`` block directly below it.
"""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^(?:<!--\ not\ run:\ (?P<reason>[^>]+)-->\n)?"
    r"```python\n(?P<code>.*?)^```$"
    r"(?:\n\n```output\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)


@attrs.frozen
class Example:
    """One block that runs."""

    page: str
    line: int
    code: str
    output: str | None

    def run(self) -> None:
        """Run the block as a program of its own, with the page's line numbers."""
        source = "\n" * (self.line - 1) + self.code
        exec(compile(source, self.page, "exec"), {"__name__": "__main__"})  # noqa: S102


def examples(page: str, text: str) -> list[Example]:
    """The blocks of a page that are to be run."""
    return [
        Example(
            page=page,
            line=text.count("\n", 0, match.start("code")) + 1,
            code=match["code"],
            output=match["output"],
        )
        for match in BLOCK.finditer(text)
        if match["reason"] is None
    ]


EXAMPLES = [
    pytest.param(example, id=f"{example.page}:{example.line}")
    for path in PAGES
    for example in examples(path.name, path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_does_what_the_page_says(
    example: Example, capsys: pytest.CaptureFixture[str]
) -> None:
    example.run()
    if example.output is not None:
        assert capsys.readouterr().out == example.output


def test_blocks_are_found() -> None:
    text = """\
one
```python
print(1)
```

```output
1
```
<!-- not run: it would never end -->
```python
while True: pass
```
```console
$ python
```
```python
raise LookupError
```
"""
    first, second = examples("page.md", text)
    assert (first.line, first.code, first.output) == (3, "print(1)\n", "1\n")
    assert (second.line, second.output) == (17, None)
    with pytest.raises(LookupError) as caught:
        second.run()
    assert caught.traceback[-1].path == "page.md"
    assert caught.traceback[-1].lineno + 1 == second.line
