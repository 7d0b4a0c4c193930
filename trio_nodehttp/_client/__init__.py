"""The client: requests, and the agent that pools their sockets."""
