"""A view that is kept as bytes comes back as it was, and is read in place of all files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.folder import MirrorFolder, mirror_path
from restore.catalog import mirror, mirror_source
from restore.catalog.entries import EpochEndingEntry, StateSnapshotEntry, TransactionEntry
from restore.catalog.mirror import MirrorOptions, load_view
from restore.catalog.parsing import ParsedFiles
from restore.catalog.summary import FORMAT, decode_view, encode_view
from restore.catalog.view import MetadataView
from tests.catalog.metadata import Observed, save_some

numbers = st.integers(0, 2**64 - 1)
entries = st.one_of(
    st.builds(EpochEndingEntry, numbers, numbers, numbers, numbers, st.text()),
    st.builds(StateSnapshotEntry, numbers, numbers, st.text()),
    st.builds(TransactionEntry, numbers, numbers, st.text()),
)


@given(st.lists(entries))
def test_a_view_comes_back_as_it_was(
    found: list[EpochEndingEntry | StateSnapshotEntry | TransactionEntry],
) -> None:
    view = MetadataView(found)
    again = decode_view(encode_view(view))
    assert again is not None
    assert again.epoch_endings == view.epoch_endings
    assert again.state_snapshots == view.state_snapshots
    assert again.transactions == view.transactions
    assert again.problems == ()


def test_the_bytes_are_those_that_the_module_says() -> None:
    view = MetadataView(
        [StateSnapshotEntry(1, 2, "s"), TransactionEntry(3, 4, "t"), TransactionEntry(0, 2, "u")]
    )
    assert msgspec.msgpack.decode(encode_view(view)) == [
        FORMAT,
        [[], [], [], [], []],
        [[1], [2], ["s"]],
        [[0, 3], [2, 4], ["u", "t"]],
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no summary",
        msgspec.msgpack.encode(["metadata view 2", [[]] * 5, [[]] * 3, [[]] * 3]),
        msgspec.msgpack.encode([FORMAT, [[]] * 4, [[]] * 3, [[]] * 3]),
        msgspec.msgpack.encode([FORMAT, [[]] * 5, [["1"], [2], ["s"]], [[]] * 3]),
        msgspec.msgpack.encode((FORMAT, [[0], [0], [0], [0], []], [[], [], []], [[], [], []])),
        b"\x95"
        + msgspec.msgpack.encode(FORMAT)
        + b"\x95\x90\x90\x90\x90\x90"
        + b"\x93\x90\x90\x90" * 2
        + b"\x91" * 99_999,
    ],
)
def test_another_format_is_no_summary(data: bytes) -> None:
    assert decode_view(data) is None


class TestLoading:
    """How views are loaded with it."""

    @pytest.fixture
    def options(self, tmp_path: Path) -> MirrorOptions:
        return MirrorOptions(tmp_path / "mirrors")

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Observed:
        return Observed(tmp_path / "backup")

    async def test_the_second_run_parses_nothing(
        self, storage: Observed, options: MirrorOptions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = await save_some(storage, 3)
        await load_view(storage, options, concurrency=1)

        def parse(files: object) -> ParsedFiles:
            raise AssertionError

        for module in (mirror, mirror_source):
            monkeypatch.setattr(module, "parse_files", parse)
        assert (await load_view(storage, options, concurrency=1)).transactions == tuple(found)

    async def test_what_is_new_is_in_the_view(self, storage: Observed, options: MirrorOptions) -> None:
        await save_some(storage, 3)
        await load_view(storage, options, concurrency=1)
        found = await save_some(storage, 4)
        for _ in range(2):
            assert (await load_view(storage, options, concurrency=1)).transactions == tuple(found)

    async def test_a_view_with_problems_is_not_kept(self, storage: Observed, options: MirrorOptions) -> None:
        await save_some(storage, 1)
        await storage.save_metadata("bad.meta", b"{}\n")
        for _ in range(2):
            assert len((await load_view(storage, options, concurrency=1)).problems) == 1
        assert not (mirror_path(options.folder or Path(), storage.identity) / "summary").exists()

    async def test_a_private_folder_keeps_none(
        self, storage: Observed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def write(folder: MirrorFolder, state: bytes, summary: bytes) -> None:
            raise AssertionError

        monkeypatch.setattr(MirrorFolder, "write_summary", write)
        found = await save_some(storage, 1)
        assert (await load_view(storage, concurrency=1)).transactions == tuple(found)
