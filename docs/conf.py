"""Settings of the documentation, built by `nox -s docs`."""

project = "trio_nodehttp"
author = "trio_nodehttp contributors"
copyright = author  # noqa: A001
html_title = project
html_theme = "furo"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

autodoc_default_options = {"members": True, "undoc-members": False}
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
