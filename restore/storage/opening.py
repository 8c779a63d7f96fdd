"""Opens the storage that a command line names."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from restore.errors import UsageError
from restore.flow.rate import Rate
from restore.flow.threads import Workers
from restore.limits import available_cpus
from restore.report.events import Report
from restore.storage.adapter_config import AdapterConfig, parse_adapter_config
from restore.storage.base import Storage
from restore.storage.buffers import Buffers
from restore.storage.gzipped import Gzipped
from restore.storage.local import LocalFs
from restore.storage.origin import Origin
from restore.storage.place import BUCKETS, Place, check_endpoint, parse_place

Source: TypeAlias = Place | AdapterConfig
"""What a storage is opened from."""

MAX_CONFIG_BYTES = 1 << 20
"""Six commands for bash have no more; a device, or a database named by mistake, has no end."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a bucket is reached; None for what its settings and credentials say.

    Attributes:
        endpoint: URL of the service.
        region: of the bucket.
        path_style: whether the bucket is named in the path.
        anonymous: whether requests are unsigned.
    """

    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None
    anonymous: bool | None = None

    def apply(self, place: Place) -> Place:
        """`place` as wished.

        Raises:
            UsageError: what is wished has no meaning there, or the endpoint is no URL.
        """
        if self == Wishes():
            return place
        if self.endpoint is not None:
            check_endpoint(self.endpoint)  # an empty one too: it would mean the cloud
        buckets_only = place.scheme not in BUCKETS
        s3_only = place.scheme != "s3" and (self.region is not None or self.path_style is not None)
        if buckets_only or s3_only:
            raise UsageError(
                "storage has no endpoint, region, path style or credentials to choose",
                found=place.url,
                hint="--endpoint-url and --anonymous go with s3:// and gs://, --region and --path-style with s3://",
            )
        return replace(
            place,
            endpoint=self.endpoint or place.endpoint,
            region=self.region or place.region,
            path_style=place.path_style if self.path_style is None else self.path_style,
            anonymous=place.anonymous if self.anonymous is None else self.anonymous,
        )


@dataclass(frozen=True, slots=True)
class Reach:
    """What an open storage may hold, and whom it tells.

    Attributes:
        report: takes events.
        children: child processes at once.
        idle_seconds: a command without a byte in or out for so long is given up.
        rate: the bandwidth limit, where there is one.
    """

    report: Report
    children: int
    idle_seconds: float
    rate: Rate | None = None


def source_of_folder(folder: Path) -> Place:
    """The backup in a local folder."""
    return Place("file", "", str(folder))


def source_of_url(url: str, wishes: Wishes) -> Place:
    """The backup at a URL.

    Raises:
        UsageError: it is no URL of a place, or the wishes have no meaning there.
    """
    return wishes.apply(parse_place(url))


def source_of_config(
    file: Path, wishes: Wishes, *, native: bool, environment: Mapping[str, str] = os.environ
) -> Source:
    """The backup behind an adapter's commands; a place, if the commands are known to lead to one.

    Args:
        file: the configuration.
        wishes: how a bucket is reached.
        native: whether commands that are known may be replaced by requests of our own.
        environment: the variables of this process.

    Raises:
        UsageError: it cannot be read, or the wishes have no meaning for commands.
    """
    text = _read_config(file)
    from restore.storage.recognise import recognise

    config = parse_adapter_config(text, file=str(file))
    place = recognise(config, environment) if native else None
    if place is not None:
        return wishes.apply(place)
    if wishes != Wishes():
        raise UsageError(
            "commands of an adapter reach their storage in their own way",
            file=str(file),
            hint="name the place with --storage, or set what its programs read",
        )
    return config


def _read_config(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_CONFIG_BYTES + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        found = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError("adapter configuration cannot be read", file=str(file), found=found) from error
    if len(data) > MAX_CONFIG_BYTES:
        raise UsageError(
            "adapter configuration is too long", file=str(file), expected=f"{MAX_CONFIG_BYTES} bytes at most"
        )
    return text


@asynccontextmanager
async def open_storage(source: Source, reach: Reach) -> AsyncIterator[Storage]:
    """Opens a storage for the length of a block.

    Raises:
        UsageError: it cannot be opened as it is configured.

    Cancellation: connections are closed, and children are gone, when the block is left.
    Bounds: `reach.children`; connections as the readers need them.
    """
    async with AsyncExitStack() as stack:
        if isinstance(source, AdapterConfig):
            yield await _open_commands(source, reach, stack)
        elif source.scheme == "file":
            buffers = Buffers()
            yield Gzipped(LocalFs(Path(source.prefix), buffers=buffers), packs=False, buffers=buffers)
        else:
            yield await _open_remote(source, reach, stack)


async def _open_commands(config: AdapterConfig, reach: Reach, stack: AsyncExitStack) -> Storage:
    from restore.flow.children import Children
    from restore.storage.command import CommandStorage

    children = await stack.enter_async_context(Children(reach.children, report=reach.report))
    return CommandStorage(
        config, children, report=reach.report, idle_seconds=reach.idle_seconds, rate=reach.rate
    )


async def _open_remote(place: Place, reach: Reach, stack: AsyncExitStack) -> Storage:
    from restore.storage.http import HttpClient
    from restore.storage.remote import RemoteStorage

    client = await stack.enter_async_context(HttpClient(report=reach.report))
    if place.scheme == "s3":
        from restore.storage.s3 import open_s3

        origin: Origin = await open_s3(
            place.bucket,
            place.prefix,
            client,
            endpoint=place.endpoint,
            region=place.region,
            path_style=place.path_style,
            anonymous=place.anonymous,
        )
    elif place.scheme == "gs":
        from restore.storage.gcs import open_gcs

        origin = await open_gcs(
            place.bucket, place.prefix, client, endpoint=place.endpoint, anonymous=place.anonymous
        )
    else:
        from restore.storage.http_origin import HttpOrigin

        origin = HttpOrigin(place.url, client)
    buffers = Buffers()
    storage = RemoteStorage(origin, report=reach.report, rate=reach.rate, buffers=buffers)
    workers = await stack.enter_async_context(Workers(available_cpus()))
    return Gzipped(storage, packs=place.scheme in BUCKETS, workers=workers, buffers=buffers)
