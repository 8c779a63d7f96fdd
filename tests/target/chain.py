"""A chain of two dozen transactions, and the way a restore takes it into a database.

Every hash and signature is real; the state is kept as plain dicts, version by version, so that what a
database must say can be told without any code of `restore.target`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from restore.crypto.digest import sha3_256
from restore.flow.threads import Workers
from restore.ledger.hashes import APTOS
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.state import StateItem, Usage, hash_keys, hash_values, key_size, value_size
from restore.ledger.transaction import TransactionRecord, parse_transaction_record
from restore.proof.accumulator import Accumulator, frozen_subtrees
from restore.proof.batch import prove_transactions
from restore.proof.builder import NodeRow, TreeBuilder, build_chunk_tree
from restore.proof.edge import TreeLeaf
from restore.proof.items import ParsedItems
from restore.proof.ranges import AccumulatorRangeProof
from restore.report.events import Event, Report, silent
from restore.report.result import Result
from restore.sample.encode import option, raw_key, resource_key, sequence, struct, table_key, u32
from restore.sample.encode import u64 as le64
from restore.sample.history import History
from restore.sample.infos import transaction_info
from restore.sample.validators import GENESIS, BlockEnd, Validators
from restore.target.base import Outcome, SnapshotRows, TransactionRows
from restore.target.mark import SIDE_FOLDER, FinishedMark, VoucherMark
from restore.target.rocks import RocksTarget
from restore.wire.bcs import encode_bytes
from restore.wire.records import FramedRecords, frame
from tests.proof.naive import NaiveTree, joined

LAST = 23
EPOCH_ENDS = (0, 7, 15)
CHECKPOINTS = (0, 2, 5, 7, 10, 13, 15, 18, 21)

SENDER = b"\x5e" * 32
NEW_BLOCK = le64(3) + (1).to_bytes(32, "big")
"""Key of the handle of new-block events."""

CHUNK_ITEMS = 17


def value_of(data: bytes, *, metadata: bool = False) -> bytes:
    """BCS StateValue."""
    if metadata:
        return b"\x01" + encode_bytes(data) + b"\x00" + le64(7) + le64(1_700_000_000_000_000)
    return b"\x00" + encode_bytes(data)


def key_of(index: int) -> bytes:
    """BCS StateKey: all three kinds."""
    if index % 3 == 0:
        return resource_key(index.to_bytes(32, "big"), struct("coin", "Store"))
    if index % 3 == 1:
        return table_key(b"\x70" * 32, b"k%d" % index)
    return raw_key(b"raw%d" % index)


def write_set_of(changes: dict[bytes, bytes | None]) -> bytes:
    """BCS WriteSet; every write is a modification."""
    operations = []
    for key, value in sorted(changes.items()):
        if value is None:
            operations.append(key + b"\x02")
        else:
            operations.append(key + (b"\x01" if value[0] == 0 else b"\x04") + value[1:])
    return b"\x00" + sequence(operations)


def user_transaction_of(*, sequence_number: int, nonce: int | None = None) -> bytes:
    """BCS Transaction of a user: an empty script, with a sequence number or as an orderless one."""
    script = b"\x00\x00\x00"
    if nonce is None:
        payload = b"\x00" + script
    else:
        payload = b"\x04\x00\x00" + script + b"\x00\x00" + option(le64(nonce))
    raw = SENDER + le64(sequence_number) + payload + le64(100) + le64(1) + le64(2**40) + b"\x04"
    return b"\x00" + raw + b"\x00" + encode_bytes(b"\x01" * 32) + encode_bytes(b"\x02" * 64)


def block_event(height: int, *, epoch: int) -> bytes:
    """BCS ContractEvent V1 of a new block."""
    data = b"".join(
        (
            b"\xb1" * 31,
            bytes((height,)),
            le64(epoch),
            le64(height + 100),
            le64(height),
            encode_bytes(b"\x0f"),
            b"\xee" * 32,
            sequence([le64(2)]),
            le64(1_700_000_000_000_000 + height),
        )
    )
    return b"\x00" + NEW_BLOCK + le64(height) + b"\x02" + encode_bytes(data)


@dataclass
class TinyChain:
    """Versions 0 to LAST.

    Attributes:
        records: of every version.
        states: BCS value by BCS key, after each version.
        endings: ledger infos that end epochs.
        head: a ledger info of LAST, which ends no epoch.
    """

    records: list[TransactionRecord] = field(default_factory=list)
    states: list[dict[bytes, bytes]] = field(default_factory=list)
    endings: list[SignedLedgerInfo] = field(default_factory=list)
    history: History = field(default_factory=lambda: History(APTOS.transaction_accumulator))

    def leaves(self, version: int) -> list[TreeLeaf]:
        """The state tree's leaves at `version`, in key order."""
        return leaves_of(self.states[version])

    def usage(self, version: int) -> Usage:
        """Usage after `version`."""
        return usage_of(self.states[version])

    def root(self, version: int) -> bytes:
        """State root after `version`, by the naive tree."""
        return NaiveTree(version, self.leaves(version)).root()

    @property
    def head(self) -> SignedLedgerInfo:
        """The newest ledger info."""
        end = BlockEnd(epoch=3, round=9, id=b"\x99" * 32, version=LAST, timestamp_usecs=9)
        return Validators(1, 4, APTOS).sign(end, self.history.root(LAST + 1), ends_epoch=False)

    def ledger_info_for(self, version: int) -> SignedLedgerInfo:
        """What vouches for `version`: the ending of its epoch, or the head."""
        return next(signed for signed in (*self.endings, self.head) if signed.info.version >= version)


def leaves_of(state: dict[bytes, bytes]) -> list[TreeLeaf]:
    """The leaves of a state tree, in key order."""
    keys = list(state)
    hashes = zip(hash_keys(APTOS, keys), hash_values(APTOS, list(state.values())), keys, strict=True)
    return sorted(TreeLeaf(*leaf) for leaf in hashes)


def usage_of(state: dict[bytes, bytes]) -> Usage:
    """The usage of a state."""
    return Usage(len(state), sum(key_size(key) + value_size(value) for key, value in state.items()))


def build_chain() -> TinyChain:
    """The same chain each time."""
    chain, chance = TinyChain(), random.Random(7)
    validators = Validators(1, 4, APTOS)
    height = 0
    for version in range(LAST + 1):
        state = dict(chain.states[-1]) if version else {}
        changes = _changes(version, state, chance)
        for key, value in changes.items():
            if value is None:
                del state[key]
            else:
                state[key] = value
        chain.states.append(state)
        epoch = sum(end < version for end in EPOCH_ENDS)
        events: list[bytes] = []
        if version % 4 == 0:
            events.append(block_event(height, epoch=epoch))
            height += 1
        # Zero to four more, with and without a handle.
        events += [b"\x01\x02" + encode_bytes(le64(version))] * (version % 3)
        events += [b"\x00" + le64(9) + SENDER + le64(version) + b"\x02" + encode_bytes(b"")] * (version % 2)
        _append(chain, version, events, write_set_of(changes))
        if version in EPOCH_ENDS:
            end = BlockEnd(epoch, 3, b"\x33" * 32, version, version) if version else GENESIS
            root = chain.history.root(version + 1)
            chain.endings.append(validators.sign(end, root, ends_epoch=True))
    return chain


def _changes(version: int, state: dict[bytes, bytes], chance: random.Random) -> dict[bytes, bytes | None]:
    """Genesis makes sixty items; later each version touches a few: new ones, old ones, deleted ones."""
    if version == 0:
        return {key_of(index): value_of(b"genesis%d" % index, metadata=index % 5 == 0) for index in range(60)}
    changes: dict[bytes, bytes | None] = {}
    for index in chance.sample(range(80), version % 6):
        key = key_of(index)
        if key in state and chance.random() < 0.4:
            changes[key] = None
        else:
            changes[key] = value_of(chance.randbytes(chance.randrange(300)), metadata=chance.random() < 0.3)
    return changes


def _append(chain: TinyChain, version: int, events: list[bytes], write_set: bytes) -> None:
    kind = version % 3
    if kind == 0:
        transaction = b"\x03" + sha3_256(b"block%d" % version)
    else:
        nonce = 1000 + version if kind == 2 else None
        transaction = user_transaction_of(sequence_number=version, nonce=nonce)
    auxiliary = b"\x01" + u32(version) if version % 2 else b"\x00"
    info = transaction_info(
        APTOS,
        hashed_transaction=transaction,
        events=events,
        write_set=write_set,
        auxiliary=auxiliary,
        status=b"\x00",
        gas=version,
        state_root=chain.root(version) if version in CHECKPOINTS else None,
        hot_state_root=None,
    )
    record = transaction + auxiliary + info + sequence(events) + write_set
    chain.records.append(parse_transaction_record(record, "V1"))
    chain.history.append(sha3_256(APTOS.transaction_info + info))


@asynccontextmanager
async def open_rocks(root: Path, report: Report = silent) -> Any:
    """The target in `root`, made ready as `TargetFolder` does, and its workers."""
    (root / SIDE_FOLDER).mkdir(parents=True, exist_ok=True)
    async with Workers(2) as workers:
        target = await RocksTarget.open(root, workers, writers=workers, report=report, domain=APTOS)
        try:
            yield target
        finally:
            await target.close()


def snapshot_rows(
    target: RocksTarget, chain: TinyChain, version: int, *, values: bool, nodes: bool
) -> Iterator[SnapshotRows]:
    """The chunks of a snapshot; the rows of the tree's end come from `last_nodes`."""
    state, leaves = chain.states[version], chain.leaves(version)
    builder = TreeBuilder(APTOS, version)
    for start in range(0, len(leaves), CHUNK_ITEMS):
        stop = start + CHUNK_ITEMS
        chunk = leaves[start:stop]
        items = ParsedItems(APTOS, [StateItem(leaf.state_key, state[leaf.state_key]) for leaf in chunk])
        tree = build_chunk_tree(APTOS, version, chunk)
        edge_rows = builder.join(tree.edge)
        yield SnapshotRows(
            version,
            target.stage_chunk(version, items if values else None, tree.rows if nodes else []),
            edge_rows if nodes else [],
            chunk[-1].key_hash,
            usage_of({leaf.state_key: state[leaf.state_key] for leaf in leaves[:stop]}),
        )


def last_nodes(chain: TinyChain, version: int) -> list[NodeRow]:
    """What finishing a snapshot's tree gives, the root last."""
    builder, leaves = TreeBuilder(APTOS, version), chain.leaves(version)
    for start in range(0, len(leaves), CHUNK_ITEMS):
        joined(builder, build_chunk_tree(APTOS, version, leaves[start : start + CHUNK_ITEMS]))
    return builder.finish()[1]


async def save_snapshot(
    target: RocksTarget, chain: TinyChain, version: int, *, values: bool = True, nodes: bool = True
) -> None:
    """Takes a whole snapshot in."""
    for rows in snapshot_rows(target, chain, version, values=values, nodes=nodes):
        await target.save_snapshot_rows(rows)
    rest = last_nodes(chain, version) if nodes else []
    await target.finish_snapshot(version, chain.usage(version), nodes=rest)


async def save_transactions(
    target: RocksTarget, chain: TinyChain, first: int, last: int, *, replay_from: int | None, size: int = 5
) -> Usage | None:
    """Takes versions in, `size` at a time; before the first one of all, what lies left of it."""
    usage = None
    for begin in range(first, last + 1, size):
        end = min(begin + size, last + 1)
        roots = _frozen_roots(chain, begin)
        if begin == first:
            await target.save_frozen_subtrees(frozen_subtrees(first, roots))
        frames = [frame(encoded_record(record)) for record in chain.records[begin:end]]
        chunk = FramedRecords(b"".join(frames), len(frames))
        proven = prove_transactions(APTOS, chunk, "V1", first_version=begin)
        nodes = Accumulator(APTOS.transaction_accumulator, begin, roots).extend(proven.leaves)
        staged = target.stage_transactions(proven, range(len(proven)), replay_from=replay_from)
        usage = await target.save_transactions(TransactionRows(begin, staged, nodes)) or usage
    return usage


def encoded_record(record: TransactionRecord) -> bytes:
    """A record of format V1."""
    start = record.transaction + record.auxiliary_info + record.info.raw
    return start + sequence(record.events) + record.write_set


def _frozen_roots(chain: TinyChain, count: int) -> tuple[bytes, ...]:
    if count == 0:
        return ()
    # Of a proof of the leaf after them, or of the last one where there is none after.
    return tuple(reversed(chain.history.range_proof(count, count, LAST + 1).left)) if count <= LAST else ()


@dataclass(frozen=True)
class Wanted:
    """What a test restores."""

    target: int
    snapshot: int
    history: int
    first: int

    @property
    def outcome(self) -> Outcome:
        """The same for `finish`."""
        return Outcome(self.target, self.snapshot, self.history)


async def restore_chain(
    root: Path, chain: TinyChain, wanted: Wanted, report: Report = silent
) -> FinishedMark:
    """Restores as `bootstrap-db` does."""
    async with open_rocks(root, report) as target:
        await restore_into(target, chain, wanted)
    return mark_of(chain, wanted)


async def restore_into(target: RocksTarget, chain: TinyChain, wanted: Wanted) -> None:
    """All calls of a restore."""
    await fill(target, chain, wanted)
    await target.finish(wanted.outcome)


async def fill(target: RocksTarget, chain: TinyChain, wanted: Wanted) -> None:
    """Everything but the progress rows."""
    await target.save_ledger_infos([end for end in chain.endings if end.info.version <= wanted.target])
    begin = wanted.first
    if wanted.history < wanted.snapshot:
        await save_snapshot(target, chain, wanted.history, nodes=False)
        await save_transactions(target, chain, begin, wanted.snapshot, replay_from=wanted.history + 1)
        begin = wanted.snapshot + 1
    await save_snapshot(target, chain, wanted.snapshot, values=wanted.history == wanted.snapshot)
    if begin <= wanted.target:
        replay_from = wanted.snapshot + 1 if wanted.target > wanted.snapshot else None
        await save_transactions(target, chain, begin, wanted.target, replay_from=replay_from)
    await target.verify_state(wanted.outcome)


def mark_of(chain: TinyChain, wanted: Wanted) -> FinishedMark:
    """What the coordinator notes when all is done."""
    signed = chain.ledger_info_for(wanted.target)
    proof: AccumulatorRangeProof = chain.history.range_proof(
        wanted.target, wanted.target, signed.info.version + 1
    )
    return FinishedMark(
        target=wanted.target,
        snapshot=wanted.snapshot,
        history=wanted.history,
        first_saved=wanted.first,
        voucher=VoucherMark(signed.raw, proof.left, proof.right),
        later_endings=(),
        result=Result(
            command="bootstrap-db",
            trust="genesis",
            epochs=sum(end <= wanted.target for end in EPOCH_ENDS),
            state_items=len(chain.states[wanted.snapshot]),
        ),
    )


class Log:
    """A report that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)
