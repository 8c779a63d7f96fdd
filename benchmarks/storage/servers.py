"""The servers, in processes of their own: nginx, plain and with TLS, and `rclone serve s3`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.storage.objects import BUCKET

KEY = "benchmark"
SECRET = "benchmark-secret"

START_SECONDS = 20.0
"""A server that does not listen after this time never will."""

NGINX = """
daemon off;
{user}
worker_processes auto;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    autoindex on;
    autoindex_format json;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{plain};
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        root {root};
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the objects are served; None where the server is not installed.

    Attributes:
        root: the folder with the bucket.
        http: the bucket's URL.
        https: the same with TLS.
        certificate: the file to trust for it.
        s3: the endpoint.
    """

    root: Path
    http: str | None
    https: str | None
    certificate: Path
    s3: str | None


@contextmanager
def serving(root: Path, scratch: Path) -> Iterator[Servers]:
    """Serves `root` during the block.

    Args:
        root: the folder with the bucket.
        scratch: for the servers' own files.
    """
    plain, tls, s3 = _free_ports(3)
    certificate = scratch / "certificate.pem"
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    rclone = shutil.which("rclone")
    commands: list[tuple[list[str], int]] = []
    if nginx is not None:
        _make_certificate(scratch)
        user = f"user {Path.home().owner()};" if os.geteuid() == 0 else ""
        config = scratch / "nginx.conf"
        config.write_text(NGINX.format(user=user, folder=scratch, plain=plain, tls=tls, root=root))
        commands.append(([nginx, "-p", str(scratch), "-c", str(config), "-e", "stderr"], plain))
    if rclone is not None:
        listen = ["--addr", f"127.0.0.1:{s3}", "--auth-key", f"{KEY},{SECRET}"]
        commands.append(
            ([rclone, "serve", "s3", *listen, "--config", "", "--log-level", "ERROR", str(root)], s3)
        )
    running = [subprocess.Popen(command) for command, _ in commands]
    try:
        for process, (_, port) in zip(running, commands, strict=True):
            _wait_for(process, port)
        yield Servers(
            root,
            None if nginx is None else f"http://127.0.0.1:{plain}/{BUCKET}",
            None if nginx is None else f"https://127.0.0.1:{tls}/{BUCKET}",
            certificate,
            None if rclone is None else f"http://127.0.0.1:{s3}",
        )
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def _make_certificate(folder: Path) -> None:
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")),
        ],
        check=True,
        capture_output=True,
    )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit(f"{process.args!r} does not listen")
