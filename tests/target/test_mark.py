"""The target's folder: whose it is, who holds it, and its side files."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import (
    DamagedTargetError,
    DiskFullError,
    ForeignTargetError,
    LockedError,
    ResourceError,
)
from restore.proof.builder import ClosedChild, TreeState
from restore.proof.edge import TreeLeaf
from restore.proof.frontier import FrontierState
from restore.report.result import Result
from restore.target.mark import (
    BEGINNING,
    CREATED_FILE,
    LOCK_FILE,
    MARK_FILE,
    PIECES_FILE,
    PLAN_FILE,
    SIDE_FOLDER,
    FinishedMark,
    Mark,
    PieceMark,
    PiecesMark,
    PlanMark,
    SnapshotMark,
    TargetFolder,
    VoucherMark,
    load_finished,
)
from tests.structs import structs
from tests.test_limits import soft_limit

PLAN = PlanMark(
    domain="APTOS::",
    requested=None,
    history_start=None,
    target=9,
    snapshot=SnapshotMark(1, 9, "state.manifest"),
    kv_snapshot=None,
    transactions=(),
    epoch_endings=(),
    waypoints=("0:" + "ab" * 32,),
    trust_genesis=False,
)
PIECE = PieceMark(kind="state-snapshot", manifest="state.manifest", options="default", first=9, last=9)
PIECES = PiecesMark("DIEM::", (PIECE,))
FINISHED = FinishedMark(
    target=9,
    snapshot=9,
    history=9,
    first_saved=0,
    voucher=VoucherMark(b"\x00\xff", (bytes(32),), ()),
    later_endings=(b"\x00\xfe",),
    result=Result(command="bootstrap-db", trust="waypoint"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a target may go: the folder does not exist yet."""
    return tmp_path / "parent" / "db"


@contextmanager
def empty_target() -> Iterator[Path]:
    """A folder of its own for each example of hypothesis."""
    with tempfile.TemporaryDirectory() as parent:
        yield Path(parent) / "db"


def content(folder: Path) -> dict[str, bytes | None]:
    """Everything below `folder`: files with their bytes, folders with None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_a_fresh_target_is_created_and_knows_nothing(root: Path) -> None:
    with TargetFolder(root) as folder:
        assert folder.root == root
        assert (folder.load_plan(), folder.load_pieces(), folder.load_mark()) == (None, None, BEGINNING)
    assert content(root) == {SIDE_FOLDER: None, f"{SIDE_FOLDER}/{LOCK_FILE}": b""}


def test_an_empty_folder_may_become_a_target(tmp_path: Path) -> None:
    with TargetFolder(tmp_path):
        assert (tmp_path / SIDE_FOLDER / LOCK_FILE).is_file()


def test_a_database_without_its_mark_is_damaged(root: Path) -> None:
    with TargetFolder(root) as folder:
        folder.save_plan(PLAN)
        assert folder.load_mark() == BEGINNING
        (root / SIDE_FOLDER / CREATED_FILE).touch()
        with pytest.raises(DamagedTargetError, match="resume mark is missing"):
            folder.load_mark()


def test_a_pipe_or_a_folder_in_place_of_a_mark_is_damage_and_no_wait(root: Path) -> None:
    with TargetFolder(root) as folder:
        os.mkfifo(root / SIDE_FOLDER / "mark.json")
        with pytest.raises(DamagedTargetError, match="not a file"):
            folder.load_mark()
        (root / SIDE_FOLDER / "plan.json").mkdir()
        with pytest.raises(DamagedTargetError, match="not a file"):
            folder.load_plan()


@pytest.mark.parametrize("text", ["{}", "null", '{"type":"plan"}'])
def test_another_object_is_no_mark(root: Path, text: str) -> None:
    with TargetFolder(root) as folder:
        (root / SIDE_FOLDER / "mark.json").write_text(text)
        with pytest.raises(DamagedTargetError, match="does not parse"):
            folder.load_mark()


@pytest.mark.parametrize("name", ["CURRENT", ".hidden", SIDE_FOLDER])
def test_a_folder_of_something_else_is_refused_untouched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"precious")
    before = content(tmp_path)
    with pytest.raises(ForeignTargetError, match="not empty and not ours") as caught, TargetFolder(tmp_path):
        pytest.fail("entered")
    assert caught.value.exit_code == 2
    assert caught.value.file == str(tmp_path)
    assert content(tmp_path) == before


def test_a_target_that_was_never_planned_is_refused_once_something_else_is_in_it(root: Path) -> None:
    """So that a run which failed before its plan never gives a later one the right to clear the folder."""
    with TargetFolder(root):
        pass
    with TargetFolder(root):
        pass
    (root / "precious").mkdir()
    before = content(root)
    with pytest.raises(ForeignTargetError), TargetFolder(root):
        pytest.fail("entered")
    assert content(root) == before


@pytest.mark.parametrize("name", [PLAN_FILE, PIECES_FILE])
def test_a_target_with_rows_and_a_plan_or_pieces_is_ours(root: Path, name: str) -> None:
    with TargetFolder(root) as folder:
        if name == PLAN_FILE:
            folder.save_plan(PLAN)
        else:
            folder.save_pieces(PIECES)
        (root / "ledger_db").mkdir()
    with TargetFolder(root) as folder:
        assert (folder.load_plan(), folder.load_pieces()).count(None) == 1


def test_a_file_in_place_of_the_folder_is_something_else(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"precious")
    link.symlink_to(tmp_path / "nowhere")
    for path in (file, link):
        with pytest.raises(ForeignTargetError), TargetFolder(path):
            pytest.fail("entered")
    assert file.read_bytes() == b"precious"


def test_a_link_to_a_folder_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with TargetFolder(tmp_path / "link") as folder:
        folder.save_plan(PLAN)
    with TargetFolder(tmp_path / "real") as folder:
        assert folder.load_plan() == PLAN


HOLDER = """
import sys
from pathlib import Path
from restore.target.mark import TargetFolder
with TargetFolder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def held_by_another_process(root: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder


@pytest.mark.parametrize("ending", ["exit", "kill"])
def test_one_process_at_a_time_holds_the_target(root: Path, ending: str) -> None:
    with held_by_another_process(root) as holder:
        before = content(root)
        for _ in range(2):
            with pytest.raises(LockedError) as caught, TargetFolder(root):
                pytest.fail("entered")
            assert caught.value.exit_code == 11
            assert caught.value.file == str(root)
        assert content(root) == before
        if ending == "kill":
            holder.kill()
        else:
            holder.communicate("\n")
        assert (holder.wait() == 0) == (ending == "exit")
    with TargetFolder(root):
        pass


def test_the_lock_holds_inside_one_process_too_and_is_given_back_once(root: Path) -> None:
    folder = TargetFolder(root)
    with folder:
        for _ in range(2):
            with pytest.raises(LockedError), TargetFolder(root):
                pytest.fail("entered")
    folder.__exit__()
    with folder, pytest.raises(LockedError), TargetFolder(root):
        pytest.fail("entered")


def test_the_lock_is_given_back_after_an_error(root: Path) -> None:
    with pytest.raises(ZeroDivisionError), TargetFolder(root):
        raise ZeroDivisionError
    with TargetFolder(root):
        pass


def load(folder: TargetFolder, name: str) -> msgspec.Struct | None:
    loads = {MARK_FILE: folder.load_mark, PLAN_FILE: folder.load_plan, PIECES_FILE: folder.load_pieces}
    return loads[name]()


@pytest.mark.parametrize("name", [MARK_FILE, PLAN_FILE, PIECES_FILE])
@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\0" * 64,
        b"null",
        b"[]",
        b"{}{}",
        b'{"chunk": 1.5, "domain": 5}',
        b'{"voucher": {"ledger_info": "***"}, "domain": 5}',
        b'{"voucher": {"ledger_info": "\xff"}, "domain": "\xff"}',
        b'{"unknown":' + b"[" * 100_000,
    ],
)
def test_a_side_file_of_garbage_is_a_damaged_target(root: Path, name: str, garbage: bytes) -> None:
    path = root / SIDE_FOLDER / name
    with TargetFolder(root) as folder:
        path.write_bytes(garbage)
        with pytest.raises(DamagedTargetError, match="does not parse") as caught:
            load(folder, name)
        assert caught.value.exit_code == 20
        assert caught.value.file == str(path)
        assert "delete the target folder" in (caught.value.hint or "")
        assert path.read_bytes() == garbage


def test_a_torn_side_file_is_a_damaged_target_wherever_it_is_torn(root: Path) -> None:
    with TargetFolder(root) as folder:
        folder.save_mark(Mark(step=3, tree=TreeState(TreeLeaf(b"k", b"v", b"s")), finished=FINISHED))
        folder.save_plan(PLAN)
        folder.save_pieces(PIECES)
        for name in (MARK_FILE, PLAN_FILE, PIECES_FILE):
            path = root / SIDE_FOLDER / name
            whole = path.read_bytes()
            for size in range(len(whole)):
                path.write_bytes(whole[:size])
                with pytest.raises(DamagedTargetError):
                    load(folder, name)


@given(structs(Mark))
@settings(max_examples=60)
def test_every_field_of_a_mark_comes_back(mark: Mark) -> None:
    with empty_target() as root:
        with TargetFolder(root) as folder:
            folder.save_mark(mark)
        with TargetFolder(root) as folder:
            found = folder.load_mark()
    # Types too: a named tuple is equal to a plain one, and True to 1.
    assert repr(found) == repr(mark)
    assert found == mark


@given(structs(PlanMark), structs(PiecesMark))
@settings(max_examples=40)
def test_every_field_of_plan_and_pieces_comes_back(plan: PlanMark, pieces: PiecesMark) -> None:
    with empty_target() as root:
        with TargetFolder(root) as folder:
            folder.save_plan(plan)
            folder.save_pieces(pieces)
        with TargetFolder(root) as folder:
            assert repr((folder.load_plan(), folder.load_pieces())) == repr((plan, pieces))


def test_open_nodes_and_frontier_come_back_as_what_they_were(root: Path) -> None:
    children = ClosedChild(0, b"\xff" * 32, 3, is_leaf=False), ClosedChild(15, bytes(32), 1, is_leaf=True)
    tree = TreeState(TreeLeaf(b"\x00" * 32, b"\x01" * 32, b"\x02"), (children, (), children[1:]))
    frontier = FrontierState(b"\x80" * 32, b"\x7f" * 32, ((1, b"a" * 32), (255, b"b" * 32)))
    with TargetFolder(root) as folder:
        folder.save_mark(Mark(step=0, tree=tree, frontier=frontier))
        found = folder.load_mark()
    assert found.tree is not None
    assert isinstance(found.tree.last, TreeLeaf)
    assert isinstance(found.tree.open_nodes[0][0], ClosedChild)
    assert (found.tree, found.frontier) == (tree, frontier)


@pytest.mark.parametrize("marked", [True, False])
def test_clearing_leaves_the_lock_and_what_is_not_ours(root: Path, marked: bool) -> None:
    with TargetFolder(root) as folder:
        folder.save_plan(PLAN)
        if marked:
            folder.save_mark(Mark(step=1))
        (root / "ledger_db" / "shard").mkdir(parents=True)
        (root / "ledger_db" / "shard" / "000001.sst").write_bytes(b"rows")
        (root / "file").write_bytes(b"")
        (root / SIDE_FOLDER / "tables").mkdir()
        (root / SIDE_FOLDER / "tables" / "1.sst").write_bytes(b"rows")
        (root / SIDE_FOLDER / ".tmp-1-0-mark.json").write_bytes(b"{")
        folder.clear()
        assert content(root) == {SIDE_FOLDER: None, f"{SIDE_FOLDER}/{LOCK_FILE}": b"", "file": b""}
        assert (folder.load_plan(), folder.load_mark()) == (None, BEGINNING)
        (root / "file").unlink()
        with pytest.raises(LockedError), TargetFolder(root):
            pytest.fail("entered")


def test_pieces_of_oneoff_commands_are_not_cleared(root: Path) -> None:
    with TargetFolder(root) as folder:
        folder.save_pieces(PIECES)
        (root / "state_kv_db").mkdir()
        before = content(root)
        with pytest.raises(ForeignTargetError, match="oneoff commands"):
            folder.clear()
        assert content(root) == before


def test_a_mark_is_replaced_and_never_written_over(root: Path) -> None:
    path = root / SIDE_FOLDER / MARK_FILE
    with TargetFolder(root) as folder:
        folder.save_mark(Mark(step=0, chunk=1))
        old = path.read_bytes()
        with path.open("rb") as reader:
            folder.save_mark(Mark(step=0, chunk=2, ledger_infos=5))
            assert reader.read() == old  # whoever opened the old one reads it whole
        assert folder.load_mark() == Mark(step=0, chunk=2, ledger_infos=5)
    assert sorted(content(root)) == [
        SIDE_FOLDER,
        *(f"{SIDE_FOLDER}/{name}" for name in (LOCK_FILE, MARK_FILE)),
    ]


def test_a_mark_that_cannot_be_written_leaves_the_one_before(root: Path) -> None:
    with TargetFolder(root) as folder:
        folder.save_mark(Mark(step=0, chunk=1))
        before = content(root)
        large = Mark(step=0, chunk=2, frontier=FrontierState(bytes(32), bytes(32), ((1, bytes(4096)),)))
        with soft_limit(resource.RLIMIT_FSIZE, 1000), pytest.raises(DiskFullError) as caught:
            folder.save_mark(large)
        assert caught.value.file == str(root / SIDE_FOLDER / MARK_FILE)
        assert content(root) == before
        assert folder.load_mark() == Mark(step=0, chunk=1)
        folder.save_mark(large)
        assert folder.load_mark() == large


def test_a_mark_begins_at_nothing() -> None:
    mark = BEGINNING
    assert (mark.step, mark.chunk, mark.items, mark.size, mark.later_endings) == (0, 0, 0, 0, ())
    others = set(Mark.__struct_fields__) - {"step", "chunk", "items", "size", "later_endings"}
    assert all(getattr(mark, name) is None for name in others)


def test_fields_that_later_versions_add_have_their_defaults(root: Path) -> None:
    with TargetFolder(root) as folder:
        (root / SIDE_FOLDER / MARK_FILE).write_bytes(b'{"step":2}')
        assert folder.load_mark() == Mark(step=2)


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_a_plan_holds_no_database(tmp_path: Path, exists: bool) -> None:
    root = tmp_path if exists else tmp_path / "missing"
    with pytest.raises(ForeignTargetError, match="no database of ours") as caught:
        load_finished(root)
    assert caught.value.exit_code == 2
    assert content(tmp_path) == {}


def test_a_folder_that_cannot_be_looked_into_is_not_called_empty(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / SIDE_FOLDER).symlink_to(SIDE_FOLDER)
    with pytest.raises(ResourceError, match="Too many levels of symbolic links"):
        load_finished(root)


@pytest.mark.parametrize("mark", [None, BEGINNING, Mark(step=9, ledger_infos=1)])
def test_a_database_that_is_not_finished_says_so(root: Path, mark: Mark | None) -> None:
    with TargetFolder(root) as folder:
        folder.save_plan(PLAN)
        if mark is not None:
            folder.save_mark(mark)
    with pytest.raises(ForeignTargetError, match="not finished") as caught:
        load_finished(root)
    assert "the command that began it again" in (caught.value.hint or "")


@pytest.mark.parametrize("begun", [PLAN, PIECES])
def test_a_finished_database_says_what_it_holds_and_of_which_network(
    root: Path, begun: PlanMark | PiecesMark
) -> None:
    with TargetFolder(root) as folder:
        if isinstance(begun, PlanMark):
            folder.save_plan(begun)
        else:
            folder.save_pieces(begun)
        folder.save_mark(Mark(step=0, finished=FINISHED))
        before = content(root)
        assert load_finished(root) == (FINISHED, begun.domain)
    assert content(root) == before


@pytest.mark.parametrize("name", [PLAN_FILE, MARK_FILE])
def test_a_finished_database_with_a_damaged_side_file_is_damaged(root: Path, name: str) -> None:
    with TargetFolder(root) as folder:
        folder.save_plan(PLAN)
        folder.save_mark(Mark(step=0, finished=FINISHED))
    (root / SIDE_FOLDER / name).write_bytes(b"{")
    with pytest.raises(DamagedTargetError):
        load_finished(root)


@given(st.sampled_from([MARK_FILE, PLAN_FILE, PIECES_FILE]), st.binary(max_size=60))
def test_bytes_at_random_never_raise_anything_else(name: str, data: bytes) -> None:
    with empty_target() as root, TargetFolder(root) as folder:
        (root / SIDE_FOLDER / name).write_bytes(data)
        try:
            load(folder, name)
        except DamagedTargetError:
            return
