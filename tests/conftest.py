"""What every test may use."""

pytest_plugins = ["tests.node.plugin", "trio_nodehttp.pytest_plugin"]
