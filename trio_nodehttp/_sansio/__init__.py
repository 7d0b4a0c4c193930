"""Bytes to events and back, and decisions: pure code, no waiting and no I/O."""
