"""nginx in front of several servers, as operators put it there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import httpx

from tests.faults.site import until
from tests.running import free_port

NGINX = which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/sbin")
_CONFIG = """\
daemon off;
pid {place}/nginx.pid;
error_log {place}/error.log;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    upstream polyhead {{
{servers}
        keepalive 32;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://polyhead;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_next_upstream off;
        }}
    }}
}}
"""


@contextmanager
def round_robin(addresses: Sequence[str], place: Path) -> Iterator[str]:
    """The URL of a proxy that takes turns, and hides no failure by trying another server.

    Args:
        addresses: hosts with ports.
        place: an empty folder of its own.
    """
    assert NGINX is not None, "nginx is not installed"
    port = free_port()
    servers = "\n".join(f"        server {address} max_fails=0;" for address in addresses)
    config = place / "nginx.conf"
    config.write_text(_CONFIG.format(place=place, servers=servers, port=port))
    command = [NGINX, "-p", str(place), "-e", str(place / "error.log"), "-c", str(config)]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(url), (place / "error.log").read_text)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False
