"""nginx and haproxy as children, in front of a server or serving by themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.interop import peers

_NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    keepalive_timeout 60;
    upstream behind {{
        server 127.0.0.1:{behind};
        keepalive 4;
    }}
    server {{
        listen 127.0.0.1:{port};
        location /static/ {{
            root {folder};
        }}
        location / {{
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
        }}
    }}
}}
"""

_HAPROXY = """\
defaults
    mode http
    timeout client 20s
    timeout server 20s
    timeout connect 5s
frontend front
    bind 127.0.0.1:{port}
    default_backend behind
backend behind
    http-reuse always
    server only 127.0.0.1:{behind}
"""


@contextlib.contextmanager
def run_nginx(folder: Path, behind: int) -> Iterator[peers.Peer]:
    """Run nginx in front of a port; it also serves the files in ``static``.

    Args:
        folder: A directory of its own, for settings and temporary files.
        behind: The port of the server behind it, kept alive by a pool of four.
    """
    port = peers.free_port()
    settings = folder / "nginx.conf"
    text = _NGINX.format(folder=folder, port=port, behind=behind)
    settings.write_text(text, encoding="utf-8")
    program = peers.find_program("nginx")
    command = [program, "-p", str(folder), "-e", "stderr", "-c", str(settings)]
    with peers.run_peer(command, port=port) as peer:
        yield peer


@contextlib.contextmanager
def run_haproxy(folder: Path, behind: int) -> Iterator[peers.Peer]:
    """Run haproxy in front of a port, with connections to it reused."""
    port = peers.free_port()
    settings = folder / "haproxy.cfg"
    settings.write_text(_HAPROXY.format(port=port, behind=behind), encoding="utf-8")
    command = [peers.find_program("haproxy"), "-db", "-f", str(settings)]
    with peers.run_peer(command, port=port) as peer:
        yield peer
