"""The server: accepts, and serves each connection in a task of its own."""
