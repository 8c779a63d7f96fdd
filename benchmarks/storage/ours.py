"""Our reading path in a process of its own: `python -m benchmarks.storage.ours ORIGIN FILE`.

Objects are read as a restore reads them: opened with a lease of the memory budget, whose bytes are given back
piece by piece. Nothing is done with the pieces.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path

import uvloop

from benchmarks.storage.measuring import Reading
from restore.flow.budget import Budget
from restore.flow.threads import Workers
from restore.limits import available_cpus
from restore.report.events import silent
from restore.storage.base import Storage
from restore.storage.gzipped import Gzipped
from restore.storage.http import HttpClient
from restore.storage.http_origin import HttpOrigin
from restore.storage.origin import Origin
from restore.storage.remote import RemoteStorage
from restore.storage.s3 import open_s3

MEMORY_BYTES = 1 << 30
"""The memory budget: enough that it never makes a reader wait."""


def main() -> None:
    """Reads the objects, and prints a `Reading`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--http", metavar="URL", help="read from a web server")
    parser.add_argument("--s3", metavar="ENDPOINT", help="read from a bucket")
    parser.add_argument("--bucket")
    parser.add_argument("--unpack", action="store_true")
    parser.add_argument("--at-once", type=int, required=True)
    parser.add_argument("names", type=Path, help="file with one name a line")
    uvloop.run(_read_all(parser.parse_args()))


async def _read_all(options: argparse.Namespace) -> None:
    names = iter(options.names.read_text().splitlines())
    async with HttpClient(report=silent) as client, Workers(available_cpus()) as workers:
        remote = RemoteStorage(await _origin(options, client), report=silent)
        storage = Gzipped(remote, packs=False, workers=workers) if options.unpack else remote
        memory = Budget("memory", MEMORY_BYTES)
        with Reading() as reading:
            async with asyncio.TaskGroup() as group:
                for _ in range(options.at_once):
                    group.create_task(_read_some(storage, names, memory, reading))


async def _origin(options: argparse.Namespace, client: HttpClient) -> Origin:
    if options.http:
        return HttpOrigin(options.http, client)
    return await open_s3(
        options.bucket, "", client, endpoint=options.s3, region=None, path_style=True, anonymous=False
    )


async def _read_some(storage: Storage, names: Iterator[str], memory: Budget, reading: Reading) -> None:
    for name in names:
        async with memory.lease() as lease, storage.open_for_read(name, payer=lease) as reader:
            while piece := await reader.read_piece():
                reading.size += len(piece)
                lease.give_back(len(piece))


if __name__ == "__main__":
    main()
