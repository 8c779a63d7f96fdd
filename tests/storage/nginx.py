"""A real nginx on loopback, over a folder of its own."""

from __future__ import annotations

import datetime as dt
import ipaddress
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.storage.serving import free_ports, serving

CONFIG = """
daemon off;
master_process off;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    root {folder};
    autoindex on;
    server {{ listen 127.0.0.1:{json}; autoindex_format json; }}
    server {{ listen 127.0.0.1:{html}; autoindex_format html; }}
    server {{
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {prefix}/certificate.pem;
        ssl_certificate_key {prefix}/key.pem;
        autoindex_format json;
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A running server: the same folder at three URLs."""

    folder: Path
    json_url: str
    html_url: str
    tls_url: str
    certificate: Path
    """It signs itself."""


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed (Debian: apt install nginx-light)")
    prefix, folder = tmp_path_factory.mktemp("nginx"), tmp_path_factory.mktemp("served")
    make_certificate(prefix / "certificate.pem", prefix / "key.pem")
    json, html, tls = free_ports(3)
    config = prefix / "nginx.conf"
    config.write_text(CONFIG.format(prefix=prefix, folder=folder, json=json, html=html, tls=tls))
    with serving([program, "-p", str(prefix), "-c", str(config), "-e", str(prefix / "error.log")], json):
        yield Nginx(
            folder,
            f"http://127.0.0.1:{json}",
            f"http://127.0.0.1:{html}",
            f"https://127.0.0.1:{tls}",
            prefix / "certificate.pem",
        )


def make_certificate(certificate: Path, key: Path) -> None:
    """Writes a certificate for 127.0.0.1 that signs itself, good for a day."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(secret, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
