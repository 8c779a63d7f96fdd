"""A mirror under every order of syncs, readers, prunes, kills and damage that hypothesis can think of."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Literal, TypeAlias

import pytest
import uvloop
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cache.errors import DamagedFileError, LeaseLostError
from cache.lock import Locks
from cache.mirror import Mirror
from cache.prune import prune
from cache.survey import survey
from cache.sync import SyncOptions
from tests.cache.kill_child import Child, Job, running
from tests.cache.model import (
    NAMES,
    NOW,
    UNTAGGED,
    ModelSource,
    check,
    files_of,
    files_of_tidy,
    is_whole,
    mirror_folder,
    pack_paths,
    read,
    saved_index,
    use_small_bounds,
)
from tests.cache.model_damage import DAMAGES, PACK_DAMAGES, Damage
from tests.cache.model_readers import Reader, make_mortal

MOST_READERS = 4

A_NAME = st.sampled_from(NAMES)
SOME_NAMES = st.sets(A_NAME, max_size=3)
ACTORS = st.integers(0, 2)
PLACES = st.integers(0, 1000)
FRACTIONS = st.floats(0, 1, exclude_max=True)
OPERATIONS = st.integers(1, 100)

Changes: TypeAlias = dict[str, int | None]
"""New versions of files; None where one goes."""

CHANGES = st.dictionaries(A_NAME, st.sampled_from([0, 1, 2, None]), max_size=6)


def content_of(name: str, version: int) -> bytes:
    """A version of a file; of those without a tag there is only one."""
    return b"%b, version %d" % (name.encode(), 0 if name.startswith(UNTAGGED) else version)


class CacheMachine(RuleBasedStateMachine):
    """Three actors, each with a mirror of its own, their readers, a process that is killed; and damage.

    Attributes:
        files: what the source has.
        damaged: names of packs that somebody from outside touched.
    """

    new_loop: Callable[[], asyncio.AbstractEventLoop]
    child: Child
    folder: Path
    numbers: count[int]

    def __init__(self) -> None:
        super().__init__()
        self.root = self.folder / f"{next(self.numbers)}"
        self.runner = asyncio.Runner(loop_factory=self.new_loop)
        self.on_uvloop = isinstance(self.runner.get_loop(), uvloop.Loop)
        self.time = NOW
        self.files: dict[str, bytes] = {}
        self.sources = [ModelSource(self.files) for _ in range(3)]
        options = SyncOptions(accept_empty=True, now=self.now)
        self.mirrors = [Mirror(self.root, source, options) for source in self.sources]
        self.mirror = mirror_folder(self.root)
        self.readers: list[Reader] = []
        self.damaged: set[str] = set()
        self.compactions = count()
        self.old_indexes: list[bytes] = []

    def teardown(self) -> None:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self.root, ignore_errors=True)
            stack.callback(self.runner.close)
            self.runner.run(self.end())

    async def end(self) -> None:
        """Whatever happened: a sync has what the source has, and a prune leaves that and nothing else."""
        while self.readers:
            await self.readers.pop().close()
        for _ in range(2):
            self.sources[0].fetches.clear()
            await self.check_sync(0)
        assert not self.sources[0].fetches
        (state,) = await survey(self.root, thorough=True)
        assert (state.problems, state.files) == ((), len(self.files))
        await self.check_prune(grace_seconds=0)
        assert files_of(self.root) == files_of_tidy(self.root)

    # What actors and readers do, after the source has changed or not.

    @rule(changes=CHANGES, actor=ACTORS, refetch=SOME_NAMES)
    def sync(self, changes: Changes, actor: int, refetch: set[str]) -> None:
        self.change(changes)
        self.runner.run(self.check_sync(actor, refetch=refetch))

    @rule(changes=CHANGES)
    def sync_all_at_once(self, changes: Changes) -> None:
        async def sync_all() -> None:
            async with asyncio.TaskGroup() as group:
                for actor in range(3):
                    group.create_task(self.check_sync(actor))

        self.change(changes)
        self.runner.run(sync_all())

    @rule(changes=CHANGES, actor=ACTORS, fetches=st.integers(1, 3), names=SOME_NAMES)
    def sync_while_the_source_compacts(
        self, changes: Changes, actor: int, fetches: int, names: set[str]
    ) -> None:
        numbers = count(1)

        def compact() -> None:
            if next(numbers) == fetches:
                self.change(dict.fromkeys(names))
                self.files[f"compacted{next(self.compactions)}"] = " ".join(sorted(names)).encode()

        self.change(changes)
        self.sources[actor].before_fetch = compact
        self.runner.run(self.check_sync(actor))
        self.sources[actor].before_fetch = lambda: None

    @precondition(lambda self: len(self.readers) < MOST_READERS)
    @rule(changes=CHANGES, actor=ACTORS)
    def open_reader(self, changes: Changes, actor: int) -> None:
        self.change(changes)
        reader = Reader(self.mirrors[actor], self.sources[actor])
        self.runner.run(reader.open())
        self.readers.append(reader)

    @precondition(lambda self: bool(self.readers))
    @rule(place=PLACES, dies=st.booleans())
    def reader_goes(self, place: int, dies: bool) -> None:
        reader = self.readers.pop(place % len(self.readers))
        self.runner.run(reader.die() if dies else reader.close())

    @precondition(lambda self: self.mirror.path.exists())
    @rule(seconds=st.sampled_from([5, 0, 20]), grace_seconds=st.sampled_from([10, 0, 30]))
    def prune(self, seconds: int, grace_seconds: int) -> None:
        self.time += seconds
        self.runner.run(self.check_prune(grace_seconds=grace_seconds))

    @rule(changes=CHANGES, operation=OPERATIONS, torn=st.booleans())
    def sync_is_killed(self, changes: Changes, operation: int, torn: bool) -> None:
        self.change(changes)
        self.child.do(self.job("sync", operation, torn=torn))

    @precondition(lambda self: self.mirror.path.exists())
    @rule(operation=OPERATIONS, torn=st.booleans())
    def prune_is_killed(self, operation: int, torn: bool) -> None:
        self.child.do(self.job("prune", operation, torn=torn))

    # What comes from outside.

    @precondition(lambda self: bool(pack_paths(self.mirror)))
    @rule(how=st.sampled_from(PACK_DAMAGES), place=PLACES, at=FRACTIONS)
    def a_pack_is_damaged(self, how: Damage, place: int, at: float) -> None:
        paths = pack_paths(self.mirror)
        path = paths[place % len(paths)]
        how(path, at)
        self.damaged |= {path.name for path in paths if not is_whole(path)}

    @precondition(lambda self: self.mirror.path.exists())
    @rule(how=st.sampled_from(DAMAGES), name=st.sampled_from(["index", "summary"]), at=FRACTIONS)
    def another_file_is_damaged(self, how: Damage, name: str, at: float) -> None:
        path = self.mirror.path / name
        if path.exists():
            how(path, at)

    @precondition(lambda self: bool(self.old_indexes))
    @rule(place=PLACES)
    def an_old_index_comes_back(self, place: int) -> None:
        self.index.write_bytes(self.old_indexes[place % len(self.old_indexes)])

    # What holds.

    @invariant()
    def what_is_leased_is_there(self) -> None:
        there = self.pack_names()
        for reader in self.readers:
            assert reader.packs <= there | self.damaged

    @invariant()
    def readers_read_what_there_was(self) -> None:
        for reader in self.readers:
            self.runner.run(self.check_reader(reader))

    @property
    def index(self) -> Path:
        return self.mirror.path / "index"

    def now(self) -> float:
        return self.time

    def job(self, action: Literal["sync", "prune"], operation: int, *, torn: bool) -> Job:
        return Job(
            root=str(self.root),
            action=action,
            files=self.files,
            now=self.time,
            on_uvloop=self.on_uvloop,
            kill_after=operation,
            torn=torn,
        )

    def change(self, changes: Changes) -> None:
        for name, version in changes.items():
            self.files.pop(name, None)
            if version is not None:
                self.files[name] = content_of(name, version)

    async def check_sync(self, actor: int, *, refetch: Set[str] = frozenset()) -> None:
        """Synchronises, and gets exactly what the source last listed."""
        async with self.mirrors[actor].synced(refetch=refetch) as snapshot:
            await check(snapshot, self.sources[actor].listed)
        self.old_indexes.append(self.index.read_bytes())

    async def check_reader(self, reader: Reader) -> None:
        """Reads exactly what there was when the reader came, unless somebody from outside took it away."""
        try:
            assert await read(reader.snapshot) == reader.expected
        except LeaseLostError:
            assert reader.packs & self.damaged

    async def check_prune(self, *, grace_seconds: float) -> None:
        """Removes exactly the packs that were retired before the grace, and that no reader leases."""
        due = {file for file, since in self.retired().items() if since <= self.time - grace_seconds}
        leased = {file for reader in self.readers for file in reader.packs}
        before = self.pack_names()
        locks = Locks(self.mirror.path)
        assert await prune(self.mirror, locks, grace_seconds=grace_seconds, now=self.now) is not None
        assert self.pack_names() == before - (due - leased)

    def retired(self) -> dict[str, float]:
        """Retired packs, and since when; none if there is no index that can be read."""
        try:
            return saved_index(self.mirror).retired
        except DamagedFileError:
            return {}

    def pack_names(self) -> set[str]:
        return {path.name for path in pack_paths(self.mirror)}


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    """A child that is forked for each kill."""
    with running() as running_child:
        yield running_child


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_readers_read_what_there_was_and_syncs_get_what_there_is(
    loop: Callable[[], asyncio.AbstractEventLoop],
    child: Child,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_small_bounds(monkeypatch.setattr)
    make_mortal(monkeypatch)

    class Machine(CacheMachine):
        new_loop = staticmethod(loop)
        folder = tmp_path
        numbers = count()

    Machine.child = child
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=40, stateful_step_count=30, deadline=None, derandomize=True),
    )
