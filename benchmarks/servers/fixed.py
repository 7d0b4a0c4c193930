"""The server that clients are measured against: canned answers, no parser.

Clients are charged for their own CPU alone, but a slow server would let them
fall asleep between requests and pay for waking, so this one does nothing else.
"""

from __future__ import annotations

import selectors
import socket

from benchmarks.servers import CANNED, announce, listening_socket


def answer(sock: socket.socket) -> bool:
    """Answer what has arrived; False once the client is gone."""
    try:
        data = sock.recv(65536)
        if data:
            sock.send(CANNED * data.count(b"\r\n\r\n"))
    except OSError:
        return False
    return bool(data)


def main() -> None:
    """Serve until killed."""
    listener = listening_socket()
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    announce(listener)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                sock, _ = listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
                selector.register(sock, selectors.EVENT_READ, sock)
            elif not answer(key.data):
                selector.unregister(key.data)
                key.data.close()


main()
