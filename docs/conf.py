"""Settings of the documentation, built by `nox -s docs`."""

import inspect
from typing import Any

from sphinx.ext.napoleon import GoogleDocstring

project = "trio_nodehttp"
author = "trio_nodehttp contributors"
copyright = author  # noqa: A001
html_title = project
html_theme = "furo"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
default_role = "py:obj"

# A class shows what it has from bases of its own, and not what a documented one brings.
_DOCUMENTED = "BaseException Exception HTTPError Mapping OSError OutgoingMessage WebSocket tuple"
autodoc_default_options = {
    "members": True,
    "undoc-members": False,
    "inherited-members": ",".join(_DOCUMENTED.split()),
}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Own public names must resolve; foreign ones would need the network to be looked up.
nitpick_ignore_regex = [
    ("py:.*", r"(?!trio_nodehttp\.).*"),
    ("py:.*", r"trio_nodehttp\.(\w+\.)*_.*"),
]


def leave_out(
    _: object, __: str, name: str, member: object, ___: bool, ____: object
) -> bool | None:
    """Leave out the bare names of attributes: the description of their class has them."""
    shown = inspect.isroutine(member) or isinstance(member, property) or name.isupper()
    return None if shown else True


def setup(app: Any) -> None:
    """Read properties like methods: napoleon takes what precedes a colon for their type."""
    texts: dict[str, list[str]] = {}

    def take(_: object, what: str, name: str, *rest: Any) -> None:
        if what == "property":
            texts[name] = rest[-1][:]
            rest[-1].clear()

    def give(_: object, what: str, name: str, *rest: Any) -> None:
        if what == "property":
            described, options, lines = rest
            text = GoogleDocstring(
                texts.pop(name), app.config, app, "method", name, described, options
            )
            lines[:] = text.lines()

    app.connect("autodoc-process-docstring", take, priority=400)
    app.connect("autodoc-process-docstring", give, priority=600)
    app.connect("autodoc-skip-member", leave_out)
