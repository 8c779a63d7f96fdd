"""The races of a shared folder, each in both orders: read after delete, double delete, partial read.

Two parties follow a script, in one process and in two. Each script is played again by parties that lack one
of the things that keep them safe, and then it ends badly: so it does lead through the race.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cache.errors import DamagedFileError
from cache.folder import mirror_path
from cache.index import decode_index
from tests.cache.folder_source import FolderSource
from tests.cache.halts import leave_without
from tests.cache.mirror_parties import Driver, party_here, party_there

ONE_PROCESS = "in one process"
FIRST_ELSEWHERE = "the first in another process"
SECOND_ELSEWHERE = "the second in another process"


@dataclass(frozen=True)
class Stage:
    """Where a race takes place.

    Attributes:
        root: the folder of mirrors.
        source: what is mirrored.
        place: who is where.
        without: what all parties lack.
    """

    root: Path
    source: FolderSource
    place: str
    without: frozenset[str]
    monkeypatch: pytest.MonkeyPatch

    @property
    def is_safe(self) -> bool:
        return not self.without

    @property
    def index(self) -> Path:
        return mirror_path(self.root, self.source.identity) / "index"

    @asynccontextmanager
    async def parties(self) -> AsyncIterator[list[Driver]]:
        """The first party and the second one."""
        leave_without(sorted(self.without), self.monkeypatch.setattr)
        async with AsyncExitStack() as stack:
            yield [await self._enter(place, stack) for place in (FIRST_ELSEWHERE, SECOND_ELSEWHERE)]

    async def _enter(self, elsewhere: str, stack: AsyncExitStack) -> Driver:
        if self.place == elsewhere:
            return stack.enter_context(party_there(self.root, self.source))
        return await stack.enter_async_context(party_here(self.root, self.source, self.monkeypatch.setattr))


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    place, without = request.param
    source = FolderSource(tmp_path)
    source.put(a="old", b="old")
    return Stage(tmp_path / "mirrors", source, place, frozenset(without), monkeypatch)


def staged(*unsafe: Sequence[str]) -> pytest.MarkDecorator:
    """Plays a script at all places; and in one process without each of `unsafe`."""
    params = [
        pytest.param((place, ()), id=place) for place in (ONE_PROCESS, FIRST_ELSEWHERE, SECOND_ELSEWHERE)
    ]
    params += [
        pytest.param((ONE_PROCESS, without), id=f"without {' and '.join(without)}") for without in unsafe
    ]
    return pytest.mark.parametrize("stage", params, indirect=True)


async def retire(stage: Stage, party: Driver) -> None:
    """Has a pack of old files retired, and all other packs live."""
    stage.source.put(a="new", b="new")
    assert await party.ask("open") == "opened, 2 fetched, 0 discarded"
    assert await party.ask("close") == "closed"


async def sync(party: Driver) -> None:
    """Brings the mirror up to date."""
    assert (await party.ask("open")).startswith("opened")
    assert await party.ask("close") == "closed"


# Read after delete.


@staged(["leases"], ["a look at leases"])
async def test_read_after_delete_where_the_reader_leases_before_the_pruner_comes(stage: Stage) -> None:
    async with stage.parties() as (reader, pruner):
        assert await reader.ask("open") == "opened, 2 fetched, 0 discarded"
        await retire(stage, pruner)
        pruned, read = await pruner.ask("prune"), await reader.ask("read")
        if stage.is_safe:
            assert (pruned, read) == ("0 removed, 1 leased, 0 leftovers", "a=old b=old")
            assert await reader.ask("close") == "closed"
            assert await pruner.ask("prune") == "1 removed, 0 leased, 0 leftovers"
        else:
            assert (pruned, read) == ("1 removed, 0 leased, 0 leftovers", "LeaseLostError")


@staged(["locks"])
async def test_read_after_delete_where_the_pruner_comes_before_the_reader_leases(stage: Stage) -> None:
    async with stage.parties() as (reader, pruner):
        assert await reader.ask("before leasing: open") == "halted"
        await retire(stage, pruner)
        pruned = await pruner.ask("prune")
        opened = await reader.ask("go on")
        if stage.is_safe:
            assert (pruned, opened) == ("busy", "opened, 2 fetched, 0 discarded")
            assert await pruner.ask("prune") == "0 removed, 1 leased, 0 leftovers"
            assert await reader.ask("read") == "a=old b=old"
        else:
            assert (pruned, opened) == ("1 removed, 0 leased, 0 leftovers", "LeaseLostError")


@staged(["locks"])
async def test_read_after_delete_where_the_pruner_looks_at_leases_before_the_reader_leases(
    stage: Stage,
) -> None:
    async with stage.parties() as (reader, pruner):
        assert await reader.ask("before leasing: open") == "halted"
        await retire(stage, pruner)
        pruned = await pruner.ask("before removing: prune")
        assert pruned == ("busy" if stage.is_safe else "halted")
        assert await reader.ask("go on") == "opened, 2 fetched, 0 discarded"
        if not stage.is_safe:
            assert await pruner.ask("go on") == "1 removed, 0 leased, 0 leftovers"
        assert await reader.ask("read") == ("a=old b=old" if stage.is_safe else "LeaseLostError")


@staged(["locks"])
async def test_read_after_delete_where_the_reader_comes_while_the_pruner_removes(stage: Stage) -> None:
    async with stage.parties() as (reader, pruner):
        await sync(reader)
        stage.source.put(c="new")
        await sync(reader)
        assert await pruner.ask("before removing: prune") == "halted"
        # What it is about to remove is listed again, and looks as if a killed sync had left it.
        stage.source.put(a="old", b="old")
        stage.index.unlink()
        opened = await reader.ask("open")
        assert await pruner.ask("go on") == "1 removed, 0 leased, 0 leftovers"
        if stage.is_safe:
            assert opened == "waiting"
            assert await reader.answer() == "opened, 2 fetched, 0 discarded"
            assert await reader.ask("read") == "a=old b=old"
        else:
            assert opened == "opened, 0 fetched, 0 discarded"
            assert await reader.ask("read") == "LeaseLostError"


# Double delete.


@staged(["locks"], ["locks", "leniency"])
async def test_double_delete_where_the_second_comes_while_the_first_removes(stage: Stage) -> None:
    async with stage.parties() as (first, second):
        await sync(first)
        await retire(stage, first)
        assert await first.ask("before removing: prune") == "halted"
        removed = [await second.ask("prune"), await first.ask("go on")]
        once = "1 removed, 0 leased, 0 leftovers"
        if stage.is_safe:
            assert removed == ["busy", once]
        elif "leniency" in stage.without:
            assert removed == [once, "FileNotFoundError"]
        else:
            assert removed == [once, once], "what was one pack"
        assert await second.ask("prune") == "0 removed, 0 leased, 0 leftovers"


@staged(["leniency"])
async def test_double_delete_where_the_first_ended_before_it_said_so(stage: Stage) -> None:
    async with stage.parties() as (first, second):
        await sync(first)
        await retire(stage, first)
        before = stage.index.read_bytes()
        assert await first.ask("prune") == "1 removed, 0 leased, 0 leftovers"
        stage.index.write_bytes(before)
        removed = await second.ask("prune")
        assert removed == ("1 removed, 0 leased, 0 leftovers" if stage.is_safe else "FileNotFoundError")


@staged(["locks"])
async def test_delete_while_writing_where_the_pruner_comes_while_the_writer_writes(stage: Stage) -> None:
    async with stage.parties() as (writer, pruner):
        assert await writer.ask("halfway in a pack: open") == "halted"
        pruned = await pruner.ask("prune")
        opened = await writer.ask("go on")
        if stage.is_safe:
            assert (pruned, opened) == ("busy", "opened, 2 fetched, 0 discarded")
            assert await writer.ask("read") == "a=old b=old"
        else:
            assert (pruned, opened) == ("0 removed, 0 leased, 1 leftovers", "FileNotFoundError")


@staged(["locks"])
async def test_delete_while_writing_where_the_writer_comes_while_the_pruner_tidies(stage: Stage) -> None:
    async with stage.parties() as (writer, pruner):
        await sync(writer)
        stage.source.put(a="new", b="old")
        assert await pruner.ask("before tidying: prune") == "halted"
        opened = await writer.ask("halfway in a pack: open")
        pruned = await pruner.ask("go on")
        if stage.is_safe:
            assert (opened, pruned) == ("waiting", "0 removed, 0 leased, 0 leftovers")
            assert await writer.answer() == "halted"
            assert await writer.ask("go on") == "opened, 1 fetched, 0 discarded"
            assert await writer.ask("read") == "a=new b=old"
        else:
            assert (opened, pruned) == ("halted", "0 removed, 0 leased, 1 leftovers")
            assert await writer.ask("go on") == "FileNotFoundError"


# Partial read.


@staged(["locks"], ["locks", "temporary files"])
async def test_partial_read_where_the_reader_comes_while_a_pack_is_written(stage: Stage) -> None:
    async with stage.parties() as (writer, reader):
        assert await writer.ask("halfway in a pack: open") == "halted"
        opened = await reader.ask("open")
        assert await writer.ask("go on") == "opened, 2 fetched, 0 discarded"
        if stage.is_safe:
            assert opened == "waiting"
            assert await reader.answer() == "opened, 0 fetched, 0 discarded"
        elif "temporary files" in stage.without:
            assert opened == "opened, 2 fetched, 1 discarded", "it came upon half a pack"
        else:
            assert opened == "opened, 2 fetched, 0 discarded", "both fetched"
        assert stage.source.take_fetched() == (["a", "b"] if stage.is_safe else ["a", "a", "b", "b"])
        assert await reader.ask("read") == "a=old b=old"


@staged(["temporary files"])
async def test_partial_read_where_the_reader_comes_while_the_index_is_written(stage: Stage) -> None:
    async with stage.parties() as (writer, reader):
        await sync(reader)
        stage.source.put(a="new", b="old")
        assert await writer.ask("halfway in the index: open") == "halted"
        seen = await reader.ask("survey")
        assert seen == ("sound" if stage.is_safe else "index is damaged")
        assert await writer.ask("go on") == "opened, 1 fetched, 0 discarded"
        assert await reader.ask("survey") == "sound"


@staged(["temporary files"])
async def test_partial_read_where_the_writer_comes_while_the_index_is_read(stage: Stage) -> None:
    async with stage.parties() as (writer, other):
        await sync(other)
        with stage.index.open("rb", buffering=0) as file:
            read = file.read(40)
            stage.source.put(a="new", b="old", c="new")
            assert await writer.ask("open") == "opened, 2 fetched, 0 discarded"
            read += file.read()
        if stage.is_safe:
            assert decode_index(read, identity=stage.source.identity).tags().keys() == {"a", "b"}
        else:
            with pytest.raises(DamagedFileError):
                decode_index(read, identity=stage.source.identity)


@pytest.mark.parametrize("without", [[], ["temporary files"]])
async def test_partial_read_where_the_writer_died_before_the_reader_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: list[str]
) -> None:
    source = FolderSource(tmp_path)
    source.put(a="old", b="old")
    with party_there(tmp_path / "mirrors", source, without=without) as writer:
        assert await writer.ask("halfway in a pack: open") == "halted"
        await writer.kill()
    async with party_here(tmp_path / "mirrors", source, monkeypatch.setattr) as reader:
        assert await reader.ask("open") == f"opened, 2 fetched, {len(without)} discarded"
        assert await reader.ask("read") == "a=old b=old"
        # The temporary file, and what says that the writer held READ and SYNC.
        leftovers = 2 if without else 3
        assert await reader.ask("prune") == f"{len(without)} removed, 0 leased, {leftovers} leftovers"
