"""The state root above V, recomputed from stored write sets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from restore.errors import DamagedTargetError, ProofError
from restore.flow.threads import Workers
from restore.ledger.hashes import APTOS
from restore.ledger.state import Usage
from restore.ledger.transaction_info import TransactionInfo
from restore.report.events import silent
from restore.target import checkpoint
from restore.target.checkpoint import recompute
from restore.target.mark import SIDE_FOLDER
from restore.target.schema import TRANSACTION_INFO, VERSION_DATA, WRITE_SET, Table, u64, usage_value
from restore.target.store import RocksStore
from tests.target.chain import (
    CHECKPOINTS,
    LAST,
    TinyChain,
    key_of,
    value_of,
    write_set_of,
)
from tests.target.conftest import Finished

V = 15


@pytest.fixture
def store(finished: Finished) -> Iterator[RocksStore]:
    """A database with V and LAST for T."""
    opened = RocksStore.open(finished.folder)
    try:
        yield opened
    finally:
        opened.close()


async def recomputed(store: RocksStore, last: int) -> checkpoint.Checkpoint | None:
    async with Workers(1) as workers:
        return await recompute(
            store, APTOS, workers=workers, snapshot_version=V, target_version=last, report=silent
        )


def replace(store: RocksStore, table: Table, version: int, value: bytes) -> None:
    store.write(table.instance, {table: [(u64(version), value)]})


def last_checkpoint(version: int) -> int:
    return max(at for at in CHECKPOINTS if at <= version)


@pytest.mark.parametrize("batch_keys", [1, 8, 4096])
async def test_the_root_at_the_last_checkpoint_is_recomputed(
    store: RocksStore, chain: TinyChain, monkeypatch: pytest.MonkeyPatch, batch_keys: int
) -> None:
    monkeypatch.setattr(checkpoint, "BATCH_KEYS", batch_keys)
    for last in (18, 20, 21, LAST):
        at = last_checkpoint(last)
        expected = checkpoint.Checkpoint(at, chain.root(at), len(chain.states[at]))
        assert await recomputed(store, last) == expected
    assert not (store.root / SIDE_FOLDER / "scratch").exists()


async def test_without_a_checkpoint_above_the_snapshot_there_is_nothing_to_compare(store: RocksStore) -> None:
    assert await recomputed(store, 17) is None


async def test_a_write_set_that_changes_something_else_is_noticed(
    store: RocksStore, chain: TinyChain
) -> None:
    replace(store, WRITE_SET, 17, write_set_of({key_of(3): value_of(b"forged")}))
    with pytest.raises(ProofError, match="another root than its checkpoint") as caught:
        await recomputed(store, LAST)
    assert caught.value.version == last_checkpoint(LAST)
    assert caught.value.expected == chain.root(last_checkpoint(LAST)).hex()
    assert caught.value.found != caught.value.expected


async def test_the_first_wrong_batch_is_named(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "BATCH_KEYS", 1)
    replace(store, WRITE_SET, 17, write_set_of({key_of(3): value_of(b"forged")}))
    with pytest.raises(ProofError) as caught:
        await recomputed(store, LAST)
    assert caught.value.version == 18


async def test_usage_that_counts_other_items_is_noticed(store: RocksStore, chain: TinyChain) -> None:
    at = last_checkpoint(LAST)
    usage = chain.usage(at) + Usage(1, 0)
    replace(store, VERSION_DATA, at, usage_value(usage))
    with pytest.raises(DamagedTargetError, match="usage counts other items") as caught:
        await recomputed(store, LAST)
    assert (caught.value.version, caught.value.found) == (at, str(usage.items))


async def test_a_missing_row_is_noticed(store: RocksStore) -> None:
    with pytest.raises(DamagedTargetError, match="write set is missing") as caught:
        await recomputed(store, LAST + 1)
    assert caught.value.version == LAST + 1
    replace(store, WRITE_SET, LAST + 1, write_set_of({}))
    with pytest.raises(DamagedTargetError, match="transaction info is missing"):
        await recomputed(store, LAST + 1)


async def test_a_forged_checkpoint_is_noticed(store: RocksStore, chain: TinyChain) -> None:
    info = chain.records[18].info
    assert info.state_checkpoint_hash is not None
    forged = info.raw.replace(info.state_checkpoint_hash, b"\x13" * 32)
    assert TransactionInfo.parse(forged).state_checkpoint_hash == b"\x13" * 32
    replace(store, TRANSACTION_INFO, 18, forged)
    with pytest.raises(ProofError):
        await recomputed(store, 19)
