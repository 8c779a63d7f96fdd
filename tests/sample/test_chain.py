"""The chain, checked by the code that checks real ones, and replayed by the rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain as joined
from itertools import pairwise
from pathlib import Path

import pytest

from restore.errors import UsageError
from restore.ledger.event import EVENT_KEY_BYTES, NewBlock, new_block, parse_event
from restore.ledger.hashes import APTOS
from restore.ledger.ledger_info import EpochState
from restore.ledger.signatures import verify_signatures
from restore.ledger.state import StateItem, Usage, hash_keys, hash_values, item_usage, split_state_record
from restore.ledger.transaction import TransactionRecord, parse_transaction_record, user_transaction
from restore.ledger.waypoint import Waypoint
from restore.ledger.write_set import parse_write_set
from restore.proof.accumulator import root_of
from restore.proof.frontier import Frontier
from restore.proof.transactions import check_transactions
from restore.proof.trust import TrustedHistory, TrustPolicy
from restore.sample.chain import Chain, build_chain
from restore.sample.framework import USAGE_KEY, usage_data
from restore.sample.spec import SampleSpec
from restore.wire.bcs import Reader
from restore.wire.layouts import skipper

SPEC = SampleSpec(state_items=500, validators=5)

METADATA = (2, 5)
CHECKPOINTS = (3, 6)
"""Variants of Transaction: what a block begins with, and what it ends with."""


@dataclass(frozen=True)
class Made:
    chain: Chain
    records: list[TransactionRecord]
    hashes: list[bytes]
    genesis: dict[bytes, bytes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    chain = build_chain(SPEC, APTOS, tmp_path_factory.mktemp("chain"))
    formats = [SPEC.format_of(last) for first, last in SPEC.backup_ranges() for _ in range(first, last + 1)]
    records = [
        parse_transaction_record(record, chunk_format)
        for record, chunk_format in zip(chain.records, formats, strict=True)
    ]
    # Every part is compared with its info here.
    hashes = check_transactions(APTOS, records, first_version=0)
    items = [
        split_state_record(entry.record) for bucket in chain.bases[0].state.buckets() for entry in bucket
    ]
    return Made(chain, records, hashes, dict(items))


def test_every_version_has_a_record(made: Made) -> None:
    assert len(made.records) == SPEC.transactions
    assert len(made.chain.usages) == SPEC.transactions


def test_the_state_and_its_usage_follow_from_the_write_sets(made: Made) -> None:
    state = dict(made.genesis)
    usage = item_usage(StateItem(*item) for item in state.items())
    assert usage.items == SPEC.state_items
    checkpoints = {}
    for version, record in enumerate(made.records):
        for key, value in parse_write_set(record.write_set):
            old = state.pop(key, None)
            usage -= item_usage([StateItem(key, old)]) if old is not None else Usage()
            if value is not None:
                state[key] = value
                usage += item_usage([StateItem(key, value)])
        assert made.chain.usages[version] == usage
        if record.info.state_checkpoint_hash is not None:
            checkpoints[version] = record.info.state_checkpoint_hash
            assert root_of_state(state) == record.info.state_checkpoint_hash
    assert made.chain.state_roots == checkpoints


def root_of_state(state: dict[bytes, bytes]) -> bytes:
    hashes = zip(hash_keys(APTOS, list(state)), hash_values(APTOS, list(state.values())), strict=True)
    frontier = Frontier(APTOS)
    frontier.add(sorted(hashes))
    return frontier.root()


def test_operations_are_what_their_names_say(made: Made) -> None:
    """Nothing is created that is there, nothing modified or deleted that is not, and all six kinds occur."""
    there = set(made.genesis)
    skip_key, skip_operation = skipper("StateKey"), skipper("WriteOp")
    kinds: Counter[int] = Counter()
    returned = set()
    deleted = set()
    for record in made.records[1:]:
        reader = Reader(record.write_set, 1)
        for _ in range(reader.count()):
            key, operation = reader.verbatim(skip_key), reader.verbatim(skip_operation)
            kinds[operation[0]] += 1
            is_creation, is_deletion = operation[0] % 3 == 0, operation[0] % 3 == 2
            assert (key in there) is not is_creation
            if is_deletion:
                there.remove(key)
                deleted.add(key)
            else:
                there.add(key)
                if is_creation and key in deleted:
                    returned.add(key)
    assert set(kinds) == set(range(6))
    assert returned


def test_ledger_infos_are_vouched_for_by_the_chain_of_validators(made: Made) -> None:
    endings = made.chain.endings
    history = TrustedHistory(TrustPolicy((Waypoint.of(endings[0].info, APTOS),)), APTOS, keep_from=0)
    for signed in endings:
        history.extend(signed)
    for signed in made.chain.head:
        assert signed.info.next_epoch_state is None
        history.verify(signed)
    assert [signed.info.version for signed in endings] == list(SPEC.epoch_ends())
    assert made.chain.head[-1].info.version == SPEC.last_version
    for signed in (*endings, *made.chain.head):
        leaves = made.hashes[: signed.info.version + 1]
        assert signed.info.executed_state_id == root_of(APTOS.transaction_accumulator, leaves)


def test_validators_rotate_and_no_signer_is_superfluous(made: Made) -> None:
    states = [signed.info.next_epoch_state for signed in made.chain.endings]
    for before, after in pairwise(states):
        assert before is not None
        assert after is not None
        left = {validator.address for validator in before.validators}
        right = {validator.address for validator in after.validators}
        assert len(left & right) == SPEC.validators - 1
    for state, signed in zip(states, made.chain.endings[1:], strict=False):
        assert isinstance(state, EpochState)
        verify_signatures(signed, state, APTOS)
        assert sum(byte.bit_count() for byte in signed.bitmask) < SPEC.validators


def test_blocks_are_as_on_a_real_chain(made: Made) -> None:
    """Each begins with its metadata and a new-block event, and ends with a checkpoint."""
    blocks: list[NewBlock] = []
    previous_is_end = True
    epoch_starts = {end + 1: epoch + 1 for epoch, end in enumerate(SPEC.epoch_ends())}
    for version, record in enumerate(made.records):
        new = [block for block in map(new_block, record.events) if block is not None]
        begins = version == 0 or record.transaction[0] in METADATA
        assert len(new) == begins
        assert begins is previous_is_end
        blocks += new
        previous_is_end = record.info.state_checkpoint_hash is not None
        if record.transaction[0] in CHECKPOINTS:
            assert previous_is_end
        if version in epoch_starts:
            assert blocks[-1].epoch == epoch_starts[version]
    assert previous_is_end
    assert [block.height for block in blocks] == list(range(len(blocks)))
    assert all(a.timestamp_usecs < b.timestamp_usecs for a, b in pairwise(blocks))
    assert all(a.epoch < b.epoch or (a.epoch == b.epoch and a.round < b.round) for a, b in pairwise(blocks))


def test_the_first_transaction_of_an_epoch_writes_the_usage_before_it(made: Made) -> None:
    for epoch, end in enumerate(SPEC.epoch_ends()):
        written = dict(parse_write_set(made.records[end + 1].write_set))[USAGE_KEY]
        data = usage_data(epoch + 1, made.chain.usages[end])
        assert written == b"\x00" + bytes((len(data),)) + data


def test_event_handles_count_without_gaps(made: Made) -> None:
    counts: Counter[bytes] = Counter()
    versions = Counter[bool]()
    for raw in joined.from_iterable(record.events for record in made.records):
        event = parse_event(raw)
        versions[event.key is None] += 1
        if event.key is not None:
            assert len(event.key) == EVENT_KEY_BYTES
            assert event.sequence_number == counts[event.key]
            counts[event.key] += 1
    assert versions[True]
    assert versions[False]


def test_senders_count_without_gaps_and_orderless_ones_have_nonces(made: Made) -> None:
    counts: Counter[bytes] = Counter()
    nonces = []
    for record in made.records:
        user = user_transaction(record.transaction)
        if user is None:
            continue
        if user.nonce is not None:
            nonces.append(user.nonce)
        else:
            assert user.sequence_number == counts[user.sender]
            counts[user.sender] += 1
    assert len(set(nonces)) == len(nonces) > 0
    assert max(counts.values()) > 2


def test_every_kind_of_transaction_occurs(tmp_path: Path) -> None:
    spec = SampleSpec(state_items=200, transactions=3000, transactions_per_backup=3000)
    chain = build_chain(spec, APTOS, tmp_path)
    records = [
        parse_transaction_record(record, "V1" if version else "V0")
        for version, record in enumerate(chain.records)
    ]
    kinds = {record.transaction[:2] for record in records if record.transaction[0] != 0}
    assert kinds >= {b"\x01\x00", b"\x04\x00", b"\x04\x01", b"\x05\x00", b"\x05\x01", b"\x05\x02"}
    assert kinds >= {b"\x06\x00", b"\x06\x01", b"\x06\x02"}
    assert {record.transaction[0] for record in records} == {0, 1, 2, 3, 4, 5, 6}
    payloads = {record.transaction[41] for record in records if record.transaction[0] == 0}
    assert payloads == {0, 2, 3, 4, 5}
    encrypted = [
        record.transaction
        for record in records
        if record.transaction[:1] + record.transaction[41:42] == b"\x00\x05"
    ]
    assert {transaction[42] for transaction in encrypted} == {0, 1, 2}
    assert {record.info.raw[0] for record in records} == {0, 1}
    assert {record.info.raw[9] for record in records} == {0, 1, 2, 3, 4}
    assert {record.auxiliary_info[0] for record in records} == {0, 1, 2}
    check_transactions(APTOS, records, first_version=0)


def test_older_records_have_no_auxiliary_info(made: Made) -> None:
    newer = SPEC.epoch_ends()[SPEC.newer_epoch - 1] + 1
    assert all(record.info.auxiliary_info_hash is None for record in made.records[:newer])
    assert any(record.info.auxiliary_info_hash is not None for record in made.records[newer:])


@pytest.mark.parametrize(
    "changed",
    [
        {"state_items": 99},
        {"epochs": 0},
        {"transactions": 54},
        {"validators": 0},
        {"tail_epochs": 5},
        {"head_transactions": 1},
        {"snapshot_chunks": 0},
        {"transactions_per_backup": 0},
    ],
)
def test_an_impossible_spec_is_refused(changed: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(changed))):
        SampleSpec(**changed).check()


@pytest.mark.parametrize(
    "spec",
    [
        SampleSpec(state_items=100, epochs=1, transactions=7, head_transactions=0, tail_epochs=0),
        SampleSpec(
            state_items=100, epochs=1, transactions=9, head_transactions=2, tail_epochs=1, validators=1
        ),
        SampleSpec(
            state_items=100, epochs=9, transactions=57, head_transactions=2, transactions_per_backup=1
        ),
    ],
)
def test_the_smallest_chains_hold_together(tmp_path: Path, spec: SampleSpec) -> None:
    spec.check()
    chain = build_chain(spec, APTOS, tmp_path)
    assert len(list(chain.records)) == spec.transactions
    assert chain.ledger_info_for(spec.last_version).info.version == spec.last_version
