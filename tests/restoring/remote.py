"""A small backup as it is published, and the ways to it: a folder, a web server, a bucket, commands."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.faults import FaultPlan, serve_in_process
from benchmarks.packing import pack
from restore.ledger.waypoint import Waypoint
from restore.sample.backup import write_sample
from restore.sample.spec import SampleSpec
from restore.storage.opening import Source, Wishes, source_of_config, source_of_folder, source_of_url

BUCKET = "bucket"
"""The folder above all that is published."""

TINY = SampleSpec(
    state_items=100,
    epochs=1,
    transactions=12,
    tail_epochs=0,
    head_transactions=2,
    snapshot_chunks=1,
    snapshot_interval_epochs=0,
    transactions_per_backup=100,
)
"""A run of it has some hundred waits, and may be cancelled at each."""

READ = 'cat "$FOLDER/$FILE_HANDLE" | gzip -cd'
"""As the published configurations read, but for where the bytes come from."""

KEEP_A_FILE = """KEPT="$TMPDIR/kept.$$"; trap 'rm -f "$KEPT"' EXIT; : > "$KEPT\""""
"""What makes a command have a temporary file as long as it runs, as some published ones have. The shell makes
it itself: another program might make it after the shell was told to end, and had removed it."""


class Way(StrEnum):
    """How a backup is reached."""

    LOCAL = "local"
    HTTP = "http"
    S3 = "s3"
    COMMAND = "command"


@dataclass(frozen=True)
class Published:
    """A packed backup in a folder of the served bucket.

    Attributes:
        folder: its files.
        waypoint: what is trusted of it.
    """

    folder: Path
    waypoint: Waypoint


@dataclass(frozen=True)
class Reached:
    """A published backup that is served.

    Attributes:
        backup: the backup.
        url: of the bucket on a web server.
        s3_endpoint: of the service that has the bucket.
        config: of commands that read it.
    """

    backup: Published
    url: str
    s3_endpoint: str
    config: Path

    def flags(self, way: Way) -> list[str]:
        """What names it on a command line, and whom to trust."""
        name = self.backup.folder.name
        named = {
            Way.LOCAL: ["--local-fs-dir", str(self.backup.folder)],
            Way.HTTP: ["--storage", f"{self.url}/{name}"],
            Way.S3: ["--storage", f"s3://{BUCKET}/{name}", "--endpoint-url", self.s3_endpoint, "--anonymous"],
            Way.COMMAND: ["--command-adapter-config", str(self.config)],
        }
        return [*named[way], "--trust-waypoint", str(self.backup.waypoint)]

    def source(self, way: Way) -> Source:
        """What its storage is opened from."""
        if way is Way.LOCAL:
            return source_of_folder(self.backup.folder)
        if way is Way.COMMAND:
            return source_of_config(self.config, Wishes(), native=True)
        if way is Way.HTTP:
            return source_of_url(f"{self.url}/{self.backup.folder.name}", Wishes())
        wishes = Wishes(endpoint=self.s3_endpoint, anonymous=True)
        return source_of_url(f"s3://{BUCKET}/{self.backup.folder.name}", wishes)


def publish(spec: SampleSpec, root: Path, name: str) -> Published:
    """Makes a backup, and packs it as `name` in the bucket below `root`."""
    backup = asyncio.run(write_sample(spec, root / "plain" / name))
    folder = root / BUCKET / name
    pack(backup.root, folder)
    return Published(folder, backup.genesis_waypoint)


@contextmanager
def reached(backup: Published, config: Path, faults: FaultPlan | None = None) -> Iterator[Reached]:
    """Serves a published backup from another process during the block."""
    with serve_in_process(backup.folder.parents[1], faults or FaultPlan()) as server:
        yield Reached(backup, f"{server.url}/{BUCKET}", server.s3_endpoint, config)


def write_config(file: Path, folder: Path, *, at_chunks: str = ":", **commands: str) -> Path:
    """Writes a configuration whose commands read from `folder`.

    Args:
        file: where it goes.
        folder: a packed backup.
        at_chunks: done for each file of a state's records, before it is read.
        commands: in place of those that only read.
    """
    reading = {
        "create_backup": 'echo "$BACKUP_NAME"',
        "create_for_write": "exit 99",
        "open_for_read": f'case "$FILE_HANDLE" in state_*.chunk) {at_chunks};; esac; {READ}',
        "save_metadata_line": "exit 99",
        "list_metadata_files": 'cd "$FOLDER"; ls -1 metadata/*',
    }
    variables = [{"key": "FOLDER", "value": str(folder)}]
    file.write_text(json.dumps({"env_vars": variables, "commands": reading | commands}))
    return file


def nothing_but_the_loopback() -> dict[str, str]:
    """Variables with which no program looks for proxies, credentials or a cloud around it."""
    return {
        "no_proxy": "127.0.0.1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_GCE_CHECK": "true",
    }
