"""Whatever is wrong with a backup: a typed error naming the file, exit 20, nothing that looks finished."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from restore.errors import DataError, ForeignTargetError, RestoreError
from restore.ledger.hashes import SPARSE_PLACEHOLDER
from restore.sample.spec import SampleBackup
from restore.target.mark import load_finished
from restore.wire.bcs import encode_uleb
from tests.restoring.commands import request_of, restore_request
from tests.restoring.damage import Damaged, flip

CHUNK = 1
"""The state chunk that is damaged: neither the first nor the last."""


@pytest.fixture
def damaged(sample: SampleBackup, tmp_path: Path) -> Damaged:
    """A copy of the sample, of which the newest snapshot is restored."""
    root = tmp_path / "backup"
    shutil.copytree(sample.root, root)
    return Damaged(root, sample.snapshots[-1].version)


def siblings(proof: bytes) -> list[bytes]:
    count = proof[0]
    return [proof[1 + 32 * index : 33 + 32 * index] for index in range(count)]


def encoded(hashes: list[bytes]) -> bytes:
    return encode_uleb(len(hashes)) + b"".join(hashes)


def flip_value(damaged: Damaged) -> str:
    return damaged.edit_records(
        damaged.chunks[CHUNK]["blobs"], lambda records: [flip(records[0], -1), *records[1:]]
    )


def flip_key(damaged: Damaged) -> str:
    return damaged.edit_records(
        damaged.chunks[CHUNK]["blobs"],
        lambda records: [records[0], flip(records[1], 5), *records[2:]],
    )


def flip_sibling(damaged: Damaged) -> str:
    damaged.edit(damaged.chunks[CHUNK]["proof"], lambda data: flip(data, -1))
    return str(damaged.chunks[CHUNK]["blobs"])


def drop_lowest_sibling(damaged: Damaged) -> str:
    damaged.edit(damaged.chunks[CHUNK]["proof"], lambda data: encoded(siblings(data)[1:]))
    return str(damaged.chunks[CHUNK]["blobs"])


def append_placeholder_sibling(damaged: Damaged) -> str:
    damaged.edit(damaged.chunks[CHUNK]["proof"], lambda data: encoded([*siblings(data), SPARSE_PLACEHOLDER]))
    return str(damaged.chunks[CHUNK]["blobs"])


def swap_records(damaged: Damaged) -> str:
    return damaged.edit_records(
        damaged.chunks[CHUNK]["blobs"],
        lambda records: [records[0], records[2], records[1], *records[3:]],
    )


def repeat_record(damaged: Damaged) -> str:
    return damaged.edit_records(
        damaged.chunks[CHUNK]["blobs"], lambda records: [*records[:2], records[1], *records[3:]]
    )


def drop_first_record_of_the_second_chunk(damaged: Damaged) -> str:
    return damaged.edit_records(damaged.chunks[1]["blobs"], lambda records: records[1:])


def drop_a_record_and_say_so_in_the_manifest(damaged: Damaged) -> str:
    chunk = damaged.chunks[-1]
    damaged.edit_records(chunk["blobs"], lambda records: [*records[:1], *records[2:]])
    chunk["last_idx"] -= 1
    damaged.save_state()
    return str(chunk["blobs"])


def swap_chunks(damaged: Damaged) -> tuple[str, ...]:
    first, second = damaged.chunks[1], damaged.chunks[2]
    for name in ("blobs", "proof"):
        first[name], second[name] = second[name], first[name]
    damaged.save_state()
    return first["blobs"], second["blobs"]


def cut_off_the_last_chunk(damaged: Damaged) -> str | None:
    damaged.chunks.pop()
    damaged.save_state()
    return None


def change_root_in_the_manifest(damaged: Damaged) -> str:
    damaged.state["root_hash"] = "0" * 64
    damaged.save_state()
    return str(damaged.state["proof"])


def truncate_frame(damaged: Damaged) -> str:
    return damaged.edit(damaged.chunks[CHUNK]["blobs"], lambda data: data[:-1])


def append_a_byte(damaged: Damaged) -> str:
    return damaged.edit(damaged.chunks[CHUNK]["blobs"], lambda data: data + b"\0")


def announce_4_gib(damaged: Damaged) -> str:
    return damaged.edit(damaged.chunks[CHUNK]["blobs"], lambda data: b"\xff\xff\xff\xff" + data[4:])


def remove_a_chunk(damaged: Damaged) -> str:
    handle = str(damaged.chunks[CHUNK]["blobs"])
    damaged.path(handle).unlink()
    return handle


def leave_the_folder(damaged: Damaged) -> str:
    damaged.chunks[CHUNK]["blobs"] = "../../etc/passwd"
    damaged.save_state()
    return "../../etc/passwd"


def make_a_loop_of_links(damaged: Damaged) -> str:
    handle = str(damaged.chunks[CHUNK]["blobs"])
    damaged.path(handle).unlink()
    damaged.path(handle).symlink_to(damaged.path(handle).name)
    return handle


def link_out_of_the_folder(damaged: Damaged) -> str:
    handle = str(damaged.chunks[CHUNK]["blobs"])
    moved = damaged.root.parent / "elsewhere"
    damaged.path(handle).rename(moved)
    damaged.path(handle).symlink_to(moved)
    return handle


def lie_about_the_first_key(damaged: Damaged) -> str:
    chunk = damaged.chunks[CHUNK]
    chunk["first_key"] = flip(bytes.fromhex(chunk["first_key"]), -1).hex()
    damaged.save_state()
    return str(chunk["blobs"])


def lie_about_the_last_key(damaged: Damaged) -> str:
    chunk = damaged.chunks[CHUNK]
    chunk["last_key"] = flip(bytes.fromhex(chunk["last_key"]), -1).hex()
    damaged.save_state()
    return str(chunk["blobs"])


def leave_a_gap_in_the_indices(damaged: Damaged) -> str:
    damaged.chunks[CHUNK]["first_idx"] += 1
    damaged.save_state()
    return str(damaged.state_manifest.relative_to(damaged.root))


def truncate_the_manifest(damaged: Damaged) -> str:
    return damaged.edit(
        str(damaged.state_manifest.relative_to(damaged.root)), lambda data: data[: len(data) // 2]
    )


def flip_a_transaction(damaged: Damaged) -> str:
    chunk = damaged.transaction_chunks()[-1]
    return damaged.edit_records(chunk["transactions"], lambda records: [*records[:-1], flip(records[-1], 40)])


def flip_a_write_set(damaged: Damaged) -> str:
    chunk = damaged.transaction_chunks()[-2]
    return damaged.edit_records(chunk["transactions"], lambda records: [flip(records[0], -1), *records[1:]])


def flip_a_range_proof(damaged: Damaged) -> str:
    return damaged.edit(damaged.transaction_chunks()[-1]["proof"], lambda data: flip(data, 5))


def take_the_ledger_info_of_another_chunk(damaged: Damaged) -> str:
    chunks = damaged.transaction_chunks()
    damaged.path(chunks[-1]["proof"]).write_bytes(damaged.path(chunks[-2]["proof"]).read_bytes())
    return str(chunks[-1]["proof"])


def drop_a_transaction(damaged: Damaged) -> str:
    return damaged.edit_records(
        damaged.transaction_chunks()[-1]["transactions"], lambda records: records[:-1]
    )


def flip_a_signature(damaged: Damaged) -> str:
    chunk = damaged.epoch_chunks()[1]
    return damaged.edit_records(
        chunk["ledger_infos"], lambda records: [*records[:-1], flip(records[-1], -50)]
    )


def skip_an_epoch(damaged: Damaged) -> str:
    chunks = damaged.epoch_chunks()
    damaged.path(chunks[-1]["ledger_infos"]).write_bytes(
        damaged.path(chunks[-2]["ledger_infos"]).read_bytes()
    )
    return str(chunks[-1]["ledger_infos"])


@pytest.mark.parametrize(
    "damage",
    [
        flip_value,
        flip_key,
        flip_sibling,
        drop_lowest_sibling,
        append_placeholder_sibling,
        swap_records,
        repeat_record,
        drop_first_record_of_the_second_chunk,
        drop_a_record_and_say_so_in_the_manifest,
        swap_chunks,
        cut_off_the_last_chunk,
        change_root_in_the_manifest,
        truncate_frame,
        append_a_byte,
        announce_4_gib,
        remove_a_chunk,
        leave_the_folder,
        make_a_loop_of_links,
        link_out_of_the_folder,
        lie_about_the_first_key,
        lie_about_the_last_key,
        leave_a_gap_in_the_indices,
        truncate_the_manifest,
        flip_a_transaction,
        flip_a_write_set,
        flip_a_range_proof,
        take_the_ledger_info_of_another_chunk,
        drop_a_transaction,
        flip_a_signature,
        skip_an_epoch,
    ],
)
@pytest.mark.parametrize("mode", ["default", "kv_only", "dry"])
def test_damage_is_found_named_and_refused(
    sample: SampleBackup,
    damaged: Damaged,
    target: Path,
    damage: Callable[[Damaged], str | tuple[str, ...] | None],
    mode: str,
) -> None:
    """In `kv_only` the damaged snapshot is the older one, whose values alone are kept."""
    if mode == "kv_only" and len(sample.snapshots) > 1:
        damaged = Damaged(damaged.root, sample.snapshots[-2].version)
    file = damage(damaged)
    request = request_of(
        damaged.root,
        sample.genesis_waypoint,
        None if mode == "dry" else target,
        history_start=sample.snapshots[-2].version if mode == "kv_only" else None,
    )
    with pytest.raises(RestoreError) as caught:
        restore_request(request)
    error = caught.value
    assert isinstance(error, DataError)
    assert error.exit_code == 20
    assert error.hint
    if file is not None:
        assert error.file in ((file,) if isinstance(file, str) else file)
    else:
        assert error.version is not None
    if mode != "dry":
        with pytest.raises(ForeignTargetError):
            load_finished(target)
