"""Where mirrored files come from, and who is told of the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias


class Source(Protocol):
    """A place with named files. Nothing here can write to it."""

    @property
    def identity(self) -> str:
        """Says which place this is, the same for the same place; two places never share one."""

    async def list_files(self) -> Mapping[str, str]:
        """The names of all files, each with a tag that changes when its content does.

        A tag is empty where the place does not tell. A listing that failed raises, and is never a shorter
        one.
        """

    def fetch(self, name: str) -> AbstractAsyncContextManager[bytes]:
        """The whole content of a file, for the length of a block: so long its memory counts as the source's.

        Raises:
            VanishedError: it is there no more.
        """


@dataclass(frozen=True, slots=True)
class Waiting:
    """A lock is waited for since `seconds`; `holders` says who has it, as far as they said so."""

    wanted: str
    folder: str
    holders: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Fetching:
    """So many `files` are listed, and `missing` of them are going to be fetched."""

    files: int
    missing: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file of `size` bytes came."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class ListedAgain:
    """So many files vanished between being listed and being fetched, so the source was listed again."""

    vanished: int


@dataclass(frozen=True, slots=True)
class Discarded:
    """A pack was not what it should be, and is not used: its files are fetched again."""

    file: str
    reason: str


Event: TypeAlias = Waiting | Fetching | Fetched | ListedAgain | Discarded
Tell: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""
