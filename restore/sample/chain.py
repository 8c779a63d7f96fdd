"""The chain: genesis, epochs of blocks, and the head, with every hash and signature real.

A block is its metadata, users' transactions, and a state checkpoint (or, in newer epochs, an epilogue). An
epoch ends in one of two ways: in odd epochs the last block is a lone metadata transaction that starts the
next epoch and is a checkpoint itself, as on the real chain; in even ones an ordinary checkpoint follows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from restore.ledger.hashes import Domain
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.state import Usage
from restore.sample import framework
from restore.sample.activity import Activity
from restore.sample.blocks import block_end, block_metadata, provider_keys_update, randomness_result
from restore.sample.encode import sequence, u64
from restore.sample.events import Block, EventHandles
from restore.sample.history import History
from restore.sample.infos import auxiliary_info
from restore.sample.items import FIRST_NEW_INDEX, ItemMaker
from restore.sample.ledger import RECORD_SPILL_BYTES, Execution, Ledger
from restore.sample.seed import Source
from restore.sample.spec import SampleSpec
from restore.sample.spool import Spool
from restore.sample.state import FrozenState, LiveState, make_cold_state
from restore.sample.validators import GENESIS, ZERO_HASH, BlockEnd, Validators
from restore.sample.writes import Changes

MAX_BLOCK_TRANSACTIONS = 24

FIRST_TIMESTAMP_USECS = 1_665_609_760_000_000
"""Some time in October 2022, when mainnet started."""

FEWEST_HOT_ITEMS = 40

HOT_ITEM_PERIOD = 8
"""Transactions for each hot item that exists at version 0, and for each that does not: every item is touched
several times, so most come, go and come again."""


@dataclass(frozen=True, slots=True)
class SnapshotBase:
    """What a snapshot is made from.

    Attributes:
        epoch: that ends at its version.
        version: of the snapshot.
        info: BCS TransactionInfo of that version.
        state: at that version.
    """

    epoch: int
    version: int
    info: bytes
    state: FrozenState


@dataclass(frozen=True, slots=True)
class Chain:
    """A finished chain.

    Attributes:
        records: the backup record of every version, in order.
        history: the transaction accumulator.
        endings: ledger infos that end their epochs, by epoch.
        head: ledger infos of the blocks after the last ending.
        bases: of the snapshots.
        state_roots: by version, for every checkpoint.
        usages: by version.
    """

    records: Spool
    history: History
    endings: tuple[SignedLedgerInfo, ...]
    head: tuple[SignedLedgerInfo, ...]
    bases: tuple[SnapshotBase, ...]
    state_roots: dict[int, bytes]
    usages: tuple[Usage, ...]

    def ledger_info_for(self, version: int) -> SignedLedgerInfo:
        """What a node proves `version` with: the ending of its epoch, or in the head the next block's end."""
        return next(signed for signed in (*self.endings, *self.head) if signed.info.version >= version)


def build_chain(spec: SampleSpec, domain: Domain, folder: Path) -> Chain:
    """Makes the chain of `spec`, with what does not fit into memory in `folder`."""
    return _Builder(spec, domain, folder).build()


class _Builder:
    def __init__(self, spec: SampleSpec, domain: Domain, folder: Path) -> None:
        self._spec = spec
        self._source = Source(spec.seed, "chain")
        self._validators = Validators(spec.seed, spec.validators, domain)
        self._maker = ItemMaker(spec.seed)
        genesis_source = Source(spec.seed, "genesis")
        self._framework = framework.genesis_items(genesis_source, self._validators.state(1))
        bulk = spec.state_items - len(self._framework)
        hot = min(FEWEST_HOT_ITEMS + spec.transactions // HOT_ITEM_PERIOD, bulk // 2)
        self._existing = range(hot)
        new = range(FIRST_NEW_INDEX, FIRST_NEW_INDEX + hot)
        keys = [self._maker.parts(index)[0] for index in (*self._existing, *new)]
        cold = make_cold_state(domain, self._maker, range(hot, bulk), folder)
        self._state = LiveState(domain, cold, [key for key, _ in self._framework] + keys)
        self._activity = Activity(
            spec.seed, self._state, self._maker, [self._state.items[key] for key in keys]
        )
        ranges = spec.backup_ranges()
        records = Spool(folder / "records", spill_bytes=RECORD_SPILL_BYTES)
        self._records = records
        self._ledger = Ledger(
            domain,
            self._state,
            records,
            auxiliary_from=next(first for first, last in ranges if spec.format_of(last) == "V1"),
        )
        self._handles = EventHandles()
        self._begun_epoch = 0
        self._round = 0
        self._height = 0
        self._timestamp_usecs = FIRST_TIMESTAMP_USECS
        self._key_updates = 0

    def build(self) -> Chain:
        spec, ledger = self._spec, self._ledger
        endings: list[SignedLedgerInfo] = []
        bases: list[SnapshotBase] = []
        for epoch, last in enumerate(spec.epoch_ends()):
            end = self._epoch(epoch, last) if epoch else self._genesis()
            endings.append(self._validators.sign(end, ledger.accumulator_root, ends_epoch=True))
            if epoch in spec.snapshot_epochs:
                bases.append(SnapshotBase(epoch, last, ledger.last_info, self._state.freeze()))
        head = [
            self._validators.sign(end, ledger.history.root(end.version + 1), ends_epoch=False)
            for end in self._blocks(spec.epochs + 1, spec.last_version)
        ]
        return Chain(
            records=self._records,
            history=ledger.history,
            endings=tuple(endings),
            head=tuple(head),
            bases=tuple(bases),
            state_roots=ledger.state_roots,
            usages=tuple(ledger.usages),
        )

    def _genesis(self) -> BlockEnd:
        for index in self._existing:
            key, data, metadata = self._maker.parts(index)
            self._state.write(self._state.items[key], data, metadata)
        changes = self._changes()
        for key, data in self._framework:
            changes.put(key, data)
        block = Block(
            epoch=0,
            round=0,
            height=0,
            id=ZERO_HASH,
            proposer=ZERO_HASH,
            votes=b"",
            failed=(),
            timestamp_usecs=0,
        )
        events = self._handles.new_block(block, newer=False) + self._handles.new_epoch(1, newer=False)
        write_set = changes.encode()
        transaction = b"\x01\x00" + write_set + sequence(events)
        self._ledger.append(
            Execution(transaction, transaction, events=tuple(events), write_set=write_set, is_checkpoint=True)
        )
        return GENESIS

    def _epoch(self, epoch: int, last: int) -> BlockEnd:
        """A whole epoch, which ends at version `last`."""
        if epoch % 2:
            self._blocks(epoch, last - 1)
            block = self._begin_block(epoch, starts_next_epoch=True, is_checkpoint=True)
        elif not self._is_newer(epoch):
            self._blocks(epoch, last - 2)
            block = self._begin_block(epoch, starts_next_epoch=True)
            self._end_block(block, 1)
        else:
            self._blocks(epoch, last - 3)
            block = self._begin_block(epoch)
            changes = self._changes()
            events = self._start_epoch(epoch + 1, changes)
            self._append(block, 1, randomness_result(self._source, block), events=events, changes=changes)
            self._end_block(block, 2)
        return self._end_of(block)

    def _blocks(self, epoch: int, last: int) -> list[BlockEnd]:
        """Ordinary blocks from the next version to `last`: at least two versions, or none."""
        ends = []
        while room := last + 1 - self._ledger.count:
            size = min(room, self._source.between(2, MAX_BLOCK_TRANSACTIONS))
            size += room - size == 1  # a block of one transaction would have no end
            ends.append(self._block(epoch, size))
        return ends

    def _block(self, epoch: int, size: int) -> BlockEnd:
        block = self._begin_block(epoch)
        newer = self._is_newer(epoch)
        for index in range(1, size - 1):
            if newer and self._source.one_in(40):
                self._key_updates += 1
                self._append(block, index, provider_keys_update(self._source, self._key_updates))
                continue
            execution = self._activity.next(self._handles, block.timestamp_usecs, newer=newer)
            self._append_execution(block, index, execution)
        self._end_block(block, size - 1)
        return self._end_of(block)

    def _begin_block(
        self, epoch: int, *, starts_next_epoch: bool = False, is_checkpoint: bool = False
    ) -> Block:
        source, newer = self._source, self._is_newer(epoch)
        signers = self._validators.signers(epoch)
        failed = tuple(source.below(len(signers)) for _ in range(2 if source.one_in(10) else 0))
        is_first = epoch != self._begun_epoch
        self._begun_epoch = epoch
        self._round = 1 + len(failed) + (0 if is_first else self._round)
        self._height += 1
        self._timestamp_usecs += source.between(100_000, 400_000)
        block = Block(
            epoch=epoch,
            round=self._round,
            height=self._height,
            id=source.take(32),
            proposer=source.pick(signers).address,
            votes=source.take((len(signers) + 7) // 8),
            failed=failed,
            timestamp_usecs=self._timestamp_usecs,
        )
        changes = self._changes()
        changes.put(framework.BLOCK_KEY, framework.block_data(block))
        changes.put(framework.TIME_KEY, u64(block.timestamp_usecs))
        if is_first:
            usage = framework.usage_data(epoch, self._ledger.usages[-1])
            changes.put(framework.USAGE_KEY, usage)
        events = self._handles.new_block(block, newer=newer)
        if starts_next_epoch:
            events += self._start_epoch(epoch + 1, changes)
        transaction = block_metadata(source, block, newer=newer)
        self._append(block, 0, transaction, events=events, changes=changes, is_checkpoint=is_checkpoint)
        return block

    def _start_epoch(self, epoch: int, changes: Changes) -> list[bytes]:
        """What the transaction does that starts `epoch`; returns its events."""
        validators = self._validators.state(epoch)
        changes.put(framework.VALIDATORS_KEY, framework.validator_set_data(validators))
        changes.put(framework.PERFORMANCE_KEY, framework.performance_data(self._source, validators))
        changes.put(framework.CONFIGURATION_KEY, u64(epoch) + u64(self._timestamp_usecs))
        return self._handles.new_epoch(epoch, newer=self._is_newer(epoch - 1))

    def _end_block(self, block: Block, index: int) -> None:
        newer = self._is_newer(block.epoch)
        changes = self._changes()
        if newer and self._source.one_in(2):
            changes.put(framework.FEES_KEY, self._source.take(16))
        transaction = block_end(self._source, block, newer=newer, hot_keys=self._activity.some_keys())
        self._append(block, index, transaction, changes=changes, is_checkpoint=True)

    def _append(
        self,
        block: Block,
        index: int,
        transaction: bytes,
        *,
        events: list[bytes] | None = None,
        changes: Changes | None = None,
        is_checkpoint: bool = False,
    ) -> None:
        execution = Execution(
            transaction,
            transaction,
            events=tuple(events or ()),
            write_set=(changes or self._changes()).encode(),
            is_checkpoint=is_checkpoint,
        )
        self._append_execution(block, index, execution)

    def _append_execution(self, block: Block, index: int, execution: Execution) -> None:
        """Appends with what newer software adds to an execution."""
        source = self._source
        if self._is_newer(block.epoch):
            hot_root = source.take(32) if block.epoch > self._spec.newer_epoch and source.one_in(2) else None
            execution = replace(execution, auxiliary=auxiliary_info(source, index), hot_state_root=hot_root)
        self._ledger.append(execution)

    def _changes(self) -> Changes:
        return Changes(self._state, self._maker, self._source)

    def _is_newer(self, epoch: int) -> bool:
        return epoch >= self._spec.newer_epoch

    def _end_of(self, block: Block) -> BlockEnd:
        return BlockEnd(block.epoch, block.round, block.id, self._ledger.count - 1, block.timestamp_usecs)
