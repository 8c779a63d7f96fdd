"""The ways to read objects: ours and the rivals', each as the command of one process.

| program                                 | what it does with the bytes                     |
| --------------------------------------- | ----------------------------------------------- |
| ours, sockets, aiohttp, curl, s5cmd     | reads and discards them                         |
| aria2c, rclone                          | writes them to files in memory: they cannot else |
| adapter                                 | unpacks them, and discards what a pipe brings   |
| libdeflate                              | unpacks local files, and discards               |
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.storage.objects import BUCKET, Kind, Objects
from benchmarks.storage.servers import KEY, SECRET, Servers


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done.

    Attributes:
        text: says it in a table.
        kind: the objects.
        at_once: how many of them are read at the same time.
        unpack: whether they are unpacked.
        tls: whether they come encrypted.
        repeats: how often each is read.
    """

    text: str
    kind: Kind
    at_once: int
    unpack: bool = False
    tls: bool = False
    repeats: int = 1


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a command is made for: the servers, and a folder for files of one run."""

    servers: Servers
    scratch: Path

    def environment(self) -> dict[str, str]:
        """All variables of a measured process: credentials for our server, and none of the user's."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.scratch),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "SSL_CERT_FILE": str(self.servers.certificate),
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.servers.s3 or "",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_GCE_CHECK": "true",
        }

    def base(self, work: Work) -> str:
        """The URL of the bucket at the web server."""
        return str(self.servers.https if work.tls else self.servers.http)

    def write(self, name: str, text: str) -> str:
        """Writes a file for a command; its path."""
        path = self.scratch / name
        path.write_text(text)
        return str(path)

    def names(self, objects: Objects) -> str:
        """The path of a file with one name a line."""
        return self.write("names", "".join(f"{name}\n" for name in objects.names))

    def empty_folder(self) -> str:
        """The path of a folder in memory with nothing in it."""
        path = self.scratch / "files"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return str(path)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to read objects.

    Attributes:
        name: in tables.
        command: makes the command of one run.
        needs: the programs that have to be there.
        s3: whether it reads from the bucket; from the web server else.
        tells: whether it is one of our programs, and prints a `Reading`.
        most: objects that are enough; more would take all day.
    """

    name: str
    command: Callable[[Scene, Work, Objects], list[str]]
    needs: tuple[str, ...] = ()
    s3: bool = False
    tells: bool = True
    most: int | None = None

    def missing(self, servers: Servers) -> str | None:
        """Which program is missing; None if all are there."""
        server = ("rclone", servers.s3) if self.s3 else ("nginx", servers.http)
        needed = (
            [server[0]] if server[1] is None else [name for name in self.needs if shutil.which(name) is None]
        )
        return needed[0] if needed else None


def _ours_http(scene: Scene, work: Work, objects: Objects) -> list[str]:
    return _ours(["--http", scene.base(work)], scene, work, objects)


def _ours_s3(scene: Scene, work: Work, objects: Objects) -> list[str]:
    return _ours(["--s3", str(scene.servers.s3), "--bucket", BUCKET], scene, work, objects)


def _ours(origin: list[str], scene: Scene, work: Work, objects: Objects) -> list[str]:
    # A pipeline fetches while it unpacks: so do ours, of which as many are fetched as are unpacked.
    unpack, at_once = (["--unpack"], 2 * work.at_once) if work.unpack else ([], work.at_once)
    return _program("ours", *origin, *unpack, "--at-once", str(at_once), scene.names(objects))


def _sockets(scene: Scene, work: Work, objects: Objects) -> list[str]:
    return _library("sockets", scene.base(work), scene, work, objects)


def _aiohttp(scene: Scene, work: Work, objects: Objects) -> list[str]:
    return _library("aiohttp", scene.base(work), scene, work, objects)


def _libdeflate(scene: Scene, work: Work, objects: Objects) -> list[str]:
    return _library("libdeflate", str(scene.servers.root / BUCKET), scene, work, objects)


def _library(way: str, base: str, scene: Scene, work: Work, objects: Objects) -> list[str]:
    return _program("libraries", way, base, "--at-once", str(work.at_once), scene.names(objects))


def _adapter(fetch: str, unpack: str) -> Callable[[Scene, Work, Objects], list[str]]:
    def command(scene: Scene, work: Work, objects: Objects) -> list[str]:
        pipeline = f"{fetch.format(base=scene.base(work), bucket=BUCKET)} | {unpack}"
        return _program("adapter", pipeline, "--at-once", str(work.at_once), scene.names(objects))

    return command


def _curl(scene: Scene, work: Work, objects: Objects) -> list[str]:
    base = scene.base(work)
    wanted = "".join(f'url = "{base}/{name}"\noutput = "/dev/null"\n' for name in objects.names)
    trusted = ["--cacert", str(scene.servers.certificate)] if work.tls else []
    at_once = ["--parallel", "--parallel-max", str(work.at_once)]
    return ["curl", "-q", "--fail", "-sS", *at_once, *trusted, "--config", scene.write("curl", wanted)]


def _aria2c(scene: Scene, work: Work, objects: Objects) -> list[str]:
    base = scene.base(work)
    wanted = scene.write("aria2", "".join(f"{base}/{name}\n" for name in objects.names))
    plain = ["--no-conf", "--quiet", "--file-allocation=none", "--max-connection-per-server=8", "--split=1"]
    return ["aria2c", *plain, "-j", str(work.at_once), "--dir", scene.empty_folder(), "--input-file", wanted]


def _s5cmd(scene: Scene, work: Work, objects: Objects) -> list[str]:
    wanted = scene.write("s5cmd", "".join(f"cat s3://{BUCKET}/{name}\n" for name in objects.names))
    return [
        "s5cmd",
        "--endpoint-url",
        str(scene.servers.s3),
        "--numworkers",
        str(work.at_once),
        "run",
        wanted,
    ]


def _rclone_http(scene: Scene, work: Work, objects: Objects) -> list[str]:
    return _rclone(["--http-url", scene.base(work), ":http:"], scene, work, objects)


def _rclone_s3(scene: Scene, work: Work, objects: Objects) -> list[str]:
    keys = ["--s3-access-key-id", KEY, "--s3-secret-access-key", SECRET]
    server = ["--s3-provider", "Rclone", "--s3-endpoint", str(scene.servers.s3)]
    return _rclone([*server, *keys, f":s3:{BUCKET}"], scene, work, objects)


def _rclone(source: list[str], scene: Scene, work: Work, objects: Objects) -> list[str]:
    at_once = ["--transfers", str(work.at_once), "--checkers", str(work.at_once)]
    chosen = ["--files-from-raw", scene.names(objects), "--no-traverse", "--no-check-dest"]
    return ["rclone", "copy", "--config", "", *at_once, *chosen, *source, scene.empty_folder()]


def _program(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.storage.{module}", *arguments]


CURL = 'curl -q -fsS "{base}/$FILE_HANDLE"'
AWS = 'aws s3 cp --only-show-errors "s3://{bucket}/$FILE_HANDLE" -'

OURS = Way("ours", _ours_http)
OURS_S3 = Way("ours, S3", _ours_s3, s3=True)
CURL_GZIP = Way("adapter: curl | gzip -cd", _adapter(CURL, "gzip -cd"), ("curl", "gzip"))
CURL_IGZIP = Way("adapter: curl | igzip -cd", _adapter(CURL, "igzip -cd"), ("curl", "igzip"))
AWS_GZIP = Way("adapter: aws | gzip -cd", _adapter(AWS, "gzip -cd"), ("aws", "gzip"), s3=True, most=16)
LIBDEFLATE = Way("libdeflate, local files", _libdeflate)
SOCKETS = Way("recv_into threads", _sockets)
AIOHTTP = Way("aiohttp", _aiohttp)
CURL_PARALLEL = Way("curl --parallel", _curl, ("curl",), tells=False)
ARIA2C = Way("aria2c, to files", _aria2c, ("aria2c",), tells=False)
S5CMD = Way("s5cmd cat, S3", _s5cmd, ("s5cmd",), s3=True, tells=False)
RCLONE_HTTP = Way("rclone copy, to files", _rclone_http, ("rclone",), tells=False)
RCLONE_S3 = Way("rclone copy, S3, to files", _rclone_s3, ("rclone",), s3=True, tells=False)
