"""A source in a folder, which processes share; and what all of them together fetched from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from cache.errors import VanishedError
from cache.threads import in_thread
from tests.cache.sources import tag_of


class FolderSource:
    """The files of a folder.

    Args:
        folder: holds a folder of the files, and a log of what was fetched.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = folder / "files"
        self._log = folder / "fetched.log"

    @property
    def identity(self) -> str:
        return f"folder:{self._files}"

    async def list_files(self) -> Mapping[str, str]:
        files = await in_thread(self.read_all)
        return {name: tag_of(content) for name, content in files.items()}

    @asynccontextmanager
    async def fetch(self, name: str) -> AsyncIterator[bytes]:
        yield await in_thread(self._fetch, name)

    def read_all(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self._files.iterdir()}

    def put(self, **files: str) -> None:
        """Makes these the files, and no others."""
        self._files.mkdir(parents=True, exist_ok=True)
        for name in self.read_all().keys() - files.keys():
            (self._files / name).unlink()
        for name, content in files.items():
            (self._files / name).write_text(content)

    def take_fetched(self) -> list[str]:
        """What anybody fetched since the last call, sorted."""
        fetched = sorted(self._log.read_text().split()) if self._log.exists() else []
        self._log.unlink(missing_ok=True)
        return fetched

    def _fetch(self, name: str) -> bytes:
        with self._log.open("a") as log:  # one write to its end: processes do not disturb each other
            log.write(f"{name}\n")
        try:
            return (self._files / name).read_bytes()
        except FileNotFoundError as error:
            raise VanishedError("file is there no more", file=name) from error
