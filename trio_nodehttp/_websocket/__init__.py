"""WebSocket (RFC 6455) on streams that an upgrade has handed over.

Bytes and messages meet in `deflate`, `protocol` and `handshake`, which do no I/O;
`session` moves them with two tasks per connection; `websocket` is the object that a
browser's script would know, and `accept` its server side.
"""
