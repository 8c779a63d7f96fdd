"""What libraries can do, each in a process of its own: `python -m benchmarks.storage.libraries WAY …`.

    sockets     blocking sockets, one thread a connection: `recv_into` the same buffer again and again
    aiohttp     `iter_any` on uvloop, and nothing else
    libdeflate  unpacks local files in one go, one thread each: what fetching and unpacking cannot exceed

All discard what they read.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import deflate
import uvloop

from benchmarks.storage.measuring import Reading
from benchmarks.storage.objects import unpacked_size

BUFFER_BYTES = 256 << 10
"""Of one socket: stays in the cache of its core, and takes all that the kernel has."""

HEAD_BYTES = 4 << 10

_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n")


def main() -> None:
    """Reads the objects, and prints a `Reading`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("way", choices=["sockets", "aiohttp", "libdeflate"])
    parser.add_argument("base", help="URL, or folder")
    parser.add_argument("--at-once", type=int, required=True)
    parser.add_argument("names", type=Path, help="file with one name a line")
    options = parser.parse_args()
    names = iter(options.names.read_text().splitlines())
    if options.way == "aiohttp":
        uvloop.run(_read_by_aiohttp(options.base, names, options.at_once))
    else:
        read = _read_by_socket if options.way == "sockets" else _unpack_files
        _read_by_threads(read, options.base, names, options.at_once)


def _read_by_threads(
    read: Callable[[str, Iterator[str]], int], base: str, names: Iterator[str], at_once: int
) -> None:
    with Reading() as reading, ThreadPoolExecutor(at_once) as pool:  # `next` of one iterator is atomic
        reading.size = sum(pool.map(read, [base] * at_once, [names] * at_once))


def _read_by_socket(base: str, names: Iterator[str]) -> int:
    url = urlsplit(base)
    address = (url.hostname or "", url.port or 80)
    view = memoryview(bytearray(BUFFER_BYTES))
    total = 0
    with socket.create_connection(address) as connection:
        for name in names:
            connection.sendall(f"GET {url.path}/{name} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
            count = connection.recv_into(view[:HEAD_BYTES])
            head, _, body = bytes(view[:count]).partition(b"\r\n\r\n")
            match = _LENGTH.search(head + b"\r\n")
            if not head.startswith(b"HTTP/1.1 200 ") or match is None:
                raise ConnectionError(head)
            size = int(match[1])
            total += size
            left = size - len(body)
            while left:
                count = connection.recv_into(view[: min(left, BUFFER_BYTES)])
                if not count:
                    raise ConnectionError(f"{left} bytes are missing")
                left -= count
    return total


def _unpack_files(base: str, names: Iterator[str]) -> int:
    folder = Path(base)
    total = 0
    for name in names:
        path = folder / name
        total += len(deflate.gzip_decompress(path.read_bytes(), unpacked_size(path)))
    return total


async def _read_by_aiohttp(base: str, names: Iterator[str], at_once: int) -> None:
    async with aiohttp.ClientSession(
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        with Reading() as reading:
            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(_read_some(session, base, names, reading))


async def _read_some(
    session: aiohttp.ClientSession, base: str, names: Iterator[str], reading: Reading
) -> None:
    for name in names:
        async with session.get(f"{base}/{name}", raise_for_status=True) as response:
            async for piece in response.content.iter_any():
                reading.size += len(piece)


if __name__ == "__main__":
    main()
