"""The epoch history of whole commands: what is found wrong first, and what need not be checked again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cache.folder import mirror_path
from restore.catalog.mirror import PRIVATE, MirrorOptions
from restore.catalog.mirror_remembered import RememberedFile, file_of
from restore.coordinator import bootstrap
from restore.errors import DataError, ManifestError, TrustError
from restore.flow.stop import run
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.oneoff import oneoff_epoch_ending
from restore.pieces import OneoffRequest
from restore.proof.trust import TrustPolicy
from restore.report.events import Event, Notice, silent
from restore.sample.backup import write_sample
from restore.sample.spec import SampleBackup, SampleSpec
from restore.storage.local import LocalFs
from restore.verify import VerifyRequest, verify
from restore.wire.records import cut_records
from tests.restoring.commands import LIMITS, request_of
from tests.restoring.damage import Damaged, flip

SPEC = SampleSpec(state_items=100, epochs=12, transactions=110, snapshot_interval_epochs=0, snapshot_chunks=1)
SIGNATURE_BYTES = 96
"""A signed ledger info ends with them."""

TIME_OFFSET = 1 + 8 + 8 + 32 + 32 + 8
"""After the variant, epoch, round, block id, root and version."""


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> SampleBackup:
    """A backup of many epochs."""
    return asyncio.run(write_sample(SPEC, tmp_path_factory.mktemp("long") / "backup"))


@pytest.fixture
def damaged(long: SampleBackup, tmp_path: Path) -> Damaged:
    shutil.copytree(long.root, tmp_path / "copy")
    return Damaged(tmp_path / "copy", long.snapshots[-1].version)


@pytest.fixture
def kept(tmp_path: Path) -> MirrorOptions:
    """A folder that commands share."""
    return MirrorOptions(tmp_path / "metadata")


def request(root: Path, trust: TrustPolicy, metadata: MirrorOptions = PRIVATE) -> VerifyRequest:
    """To verify the epoch endings and nothing besides."""
    return VerifyRequest(
        storage=LocalFs(root),
        start_version=None,
        end_version=None,
        state_snapshot_before_version=0,
        trust=trust,
        limits=LIMITS,
        metadata=metadata,
    )


def recalled(wanted: VerifyRequest) -> str | None:
    """Verifies; what is said of signatures that were checked before."""
    events: list[Event] = []
    assert run(lambda: verify(wanted, events.append)).epochs == SPEC.epochs + 1
    return said(events)


def said(events: Sequence[Event]) -> str | None:
    notices = [event.text for event in events if isinstance(event, Notice) and "signatures" in event.text]
    assert len(notices) <= 1
    return notices[0] if notices else None


ALL = f"the signatures of {SPEC.epochs} epoch endings were checked by an earlier run"


def refused(damaged: Damaged, trust: TrustPolicy, metadata: MirrorOptions = PRIVATE) -> DataError:
    with pytest.raises(DataError) as caught:
        recalled(request(damaged.root, trust, metadata))
    return caught.value


def record_of(damaged: Damaged, epoch: int) -> tuple[str, int, bytes]:
    """The file that an epoch's ledger info is in, its place there, and the ledger info."""
    (chunk,) = (
        chunk for chunk in damaged.epoch_chunks() if chunk["first_epoch"] <= epoch <= chunk["last_epoch"]
    )
    place = epoch - chunk["first_epoch"]
    return chunk["ledger_infos"], place, cut_records(damaged.path(chunk["ledger_infos"]).read_bytes())[place]


def replace_record(damaged: Damaged, epoch: int, record: bytes) -> tuple[str, int]:
    """Puts a record in an epoch's place; which file and version errors have to name then."""
    file, place, old = record_of(damaged, epoch)
    damaged.edit_records(file, lambda found: [*found[:place], record, *found[place + 1 :]])
    return file, SignedLedgerInfo.parse(old).info.version


def break_signature(damaged: Damaged, epoch: int) -> tuple[str, int]:
    """Gives an epoch the signature of the last one."""
    (*_, old), (*_, other) = record_of(damaged, epoch), record_of(damaged, SPEC.epochs)
    return replace_record(damaged, epoch, old[:-SIGNATURE_BYTES] + other[-SIGNATURE_BYTES:])


def break_time(damaged: Damaged, epoch: int) -> tuple[str, int]:
    """Changes what an epoch's ledger info says of its time."""
    *_, old = record_of(damaged, epoch)
    return replace_record(damaged, epoch, flip(old, TIME_OFFSET))


def test_the_lowest_epoch_that_fails_is_named_whatever_is_wrong_later(
    damaged: Damaged, long: SampleBackup
) -> None:
    trust = TrustPolicy((long.genesis_waypoint,))
    for epoch in (11, 7, 3, 2, 1):
        place = break_signature(damaged, epoch)
        error = refused(damaged, trust)
        assert isinstance(error, TrustError)
        assert error.message == "signature of the ledger info does not hold"
        assert (error.file, error.version) == place


def test_a_wrong_signature_comes_before_what_the_manifest_says_of_later_epochs(
    damaged: Damaged, long: SampleBackup
) -> None:
    trust = TrustPolicy((long.genesis_waypoint,))
    place = break_time(damaged, 6)
    error = refused(damaged, trust)
    assert isinstance(error, ManifestError)
    assert (error.file, error.version) == place
    break_signature(damaged, 8)
    assert (refused(damaged, trust).file, refused(damaged, trust).version) == place
    place = break_signature(damaged, 5)
    error = refused(damaged, trust)
    assert isinstance(error, TrustError)
    assert (error.file, error.version) == place


def test_a_trusted_waypoint_stands_in_for_a_signature_that_does_not_hold(
    damaged: Damaged, long: SampleBackup
) -> None:
    break_signature(damaged, 4)
    assert recalled(request(damaged.root, TrustPolicy((long.waypoints[0], long.waypoints[4])))) is None


def test_a_later_run_checks_no_signature_again(long: SampleBackup, kept: MirrorOptions) -> None:
    trust = TrustPolicy((long.genesis_waypoint,))
    wanted = request(long.root, trust, kept)
    assert recalled(wanted) is None
    assert [recalled(wanted), recalled(wanted)] == [ALL, ALL]
    assert recalled(request(long.root, trust)) is None  # in a folder of its own


def test_every_command_recalls_what_another_checked(
    long: SampleBackup, kept: MirrorOptions, tmp_path: Path
) -> None:
    trust = TrustPolicy((long.genesis_waypoint,))
    recalled(request(long.root, trust, kept))
    events: list[Event] = []
    for target in (None, tmp_path / "db"):
        asked = replace(request_of(long.root, long.genesis_waypoint, target), metadata=kept)
        run(partial(bootstrap, asked, events.append))
        assert said(events) == ALL
        events.clear()
    manifests = sorted(
        (str(path.relative_to(long.root)) for path in long.root.glob("epoch_ending_*/*.manifest")),
        key=lambda name: int(name.split("_")[2].split("-")[0]),
    )
    single = OneoffRequest(LocalFs(long.root), None, None, trust, LIMITS, metadata=kept)
    run(lambda: oneoff_epoch_ending(single, events.append, manifest=manifests[-1]))
    assert [event.text for event in events if isinstance(event, Notice)] == [
        f"the signatures of {SPEC.epochs - 1} epoch endings were checked by an earlier run",
        "the signatures of 1 epoch ending were checked by an earlier run",
    ]


def test_who_trusts_something_else_checks_all(long: SampleBackup, kept: MirrorOptions) -> None:
    policies = [
        TrustPolicy((long.genesis_waypoint,)),
        TrustPolicy(genesis=True),
        TrustPolicy((long.genesis_waypoint,), genesis=True),
    ]
    for policy in policies:
        assert recalled(request(long.root, policy, kept)) is None
    for policy in policies:
        assert recalled(request(long.root, policy, kept)) == ALL


def test_what_changed_since_is_checked_and_found(
    damaged: Damaged, long: SampleBackup, kept: MirrorOptions
) -> None:
    trust = TrustPolicy((long.genesis_waypoint,))
    recalled(request(damaged.root, trust, kept))
    for change in (break_signature, break_time):
        place = change(damaged, 9 if change is break_signature else 8)
        error = refused(damaged, trust, kept)
        assert (error.file, error.version) == place
        assert (error.message, error.version) == (
            refused(damaged, trust).message,
            refused(damaged, trust).version,
        )


def test_only_new_epochs_are_checked(long: SampleBackup, kept: MirrorOptions) -> None:
    wanted = request(long.root, TrustPolicy((long.genesis_waypoint,)), kept)
    recalled(wanted)
    file = RememberedFile(kept, wanted.storage.identity)
    digests = asyncio.run(file.load())
    assert len(digests) == SPEC.epochs
    assert kept.folder is not None
    file_of(mirror_path(kept.folder, wanted.storage.identity)).unlink()
    asyncio.run(file.add(digests[:5]))
    assert recalled(wanted) == "the signatures of 5 epoch endings were checked by an earlier run"
    assert recalled(wanted) == ALL


@pytest.mark.parametrize("harm", ["garbage", "truncated", "changed", "open", "longer"])
def test_a_file_that_is_not_what_it_was_is_not_believed(
    long: SampleBackup, kept: MirrorOptions, harm: str
) -> None:
    wanted = request(long.root, TrustPolicy((long.genesis_waypoint,)), kept)
    recalled(wanted)
    assert kept.folder is not None
    path = file_of(mirror_path(kept.folder, wanted.storage.identity))
    whole = path.read_bytes()
    if harm == "open":
        path.chmod(0o666)
    else:
        path.write_bytes(
            {
                "garbage": b"garbage",
                "truncated": whole[:-1],
                "changed": flip(whole, -1),
                "longer": whole + bytes(32),
            }[harm]
        )
    assert recalled(wanted) is None
    assert recalled(wanted) == ALL
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_run_that_fails_remembers_nothing(
    damaged: Damaged, long: SampleBackup, kept: MirrorOptions
) -> None:
    break_signature(damaged, 10)
    wanted = request(damaged.root, TrustPolicy((long.genesis_waypoint,)), kept)
    with pytest.raises(TrustError):
        run(lambda: verify(wanted, silent))
    assert asyncio.run(RememberedFile(kept, wanted.storage.identity).load()) == []
