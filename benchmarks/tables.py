"""Table files: `write_table` of the C extension against RocksDB's own writer, as rocksdict calls it.

    python -m benchmarks.tables

Rows of 40-byte keys and 200-byte values, in one and in two threads, each with a file of its own. RocksDB's
writer is called once for each row, holding the interpreter's lock; the extension lets go of it for a whole
file. Both end in the file system's cache: with `TMPDIR` on another file system the figures differ.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeAlias

from rocksdict import Options, SstFileWriter

from benchmarks.figures import Results, Row, machine
from benchmarks.showing import table
from restore.kernel import _native
from restore.target.instance import Resources

Rows: TypeAlias = list[tuple[bytes, bytes]]

VALUES: dict[str, Callable[[random.Random], bytes]] = {
    "random": lambda source: source.randbytes(200),
    "compressible": lambda source: source.randbytes(40) + bytes(60) + b"0x1::coin::CoinStore" * 5,
}


def main() -> None:
    """Measures and prints one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000, help="rows of each file")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = tuple(measure(options.rows, rounds=options.rounds))
    print(table(Results(schema=1, machine=machine(), mode="full", rows=rows)))


def measure(count: int, *, rounds: int) -> list[Row]:
    """Writes files of `count` rows in both ways, in turn."""
    theirs = partial(_write_with_rocksdb, Resources(1).options)
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, value in VALUES.items():
            rows = _rows(count, value)
            for threads in (1, 2):
                pairs = [
                    (
                        _rate(_native.write_table, Path(folder), rows, threads=threads),
                        _rate(theirs, Path(folder), rows, threads=threads),
                    )
                    for _ in range(rounds)
                ]
                ours, rivals = zip(*pairs, strict=True)
                measured.append(
                    Row(
                        part="table files",
                        work=f"{count:,} rows a file, {kind}, threads: {threads}",
                        unit="million rows/s",
                        ours=ours,
                        rival="SstFileWriter",
                        rivals=rivals,
                    )
                )
    return measured


def _rows(count: int, value: Callable[[random.Random], bytes]) -> Rows:
    """Rows in the order of their keys, which is also that of their places in memory."""
    source = random.Random(1)
    keys = sorted(source.randbytes(40) for _ in range(count))
    return [(bytes(bytearray(key)), value(source)) for key in keys]


def _rate(write: Callable[[Path, Rows], object], folder: Path, rows: Rows, *, threads: int) -> float:
    """Million rows a second, of all threads together."""
    files = [folder / f"{thread}.sst" for thread in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        began = time.monotonic()
        list(pool.map(lambda file: write(file, rows), files))
        seconds = time.monotonic() - began
    for file in files:
        file.unlink()
    return threads * len(rows) / seconds / 1e6


def _write_with_rocksdb(options: Options, file: Path, rows: Rows) -> None:
    writer = SstFileWriter(options)
    writer.open(str(file))
    for key, value in rows:
        writer[key] = value
    writer.finish()


if __name__ == "__main__":
    main()
