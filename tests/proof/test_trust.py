"""Which ledger infos are true, on small chains with real signatures.

Epoch e ends at version 10 * e. Each epoch has four validators of equal power, three of which are a quorum.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from restore.crypto.bls import DOMAIN_TAG
from restore.errors import TrustError, UsageError
from restore.ledger.hashes import APTOS, Domain
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.waypoint import Waypoint
from restore.proof.trust import TrustedHistory, TrustPolicy
from restore.sample.encode import NONE, option, sequence, u64
from restore.wire.bcs import encode_bytes
from tests.ledger.real import shared_vectors, signed

DIEM = Domain("DIEM::")
QUORUM = (0, 1, 2)
MAX_VERSION = (1 << 64) - 1


class Chain:
    """Makes ledger infos of one network; two chains share nothing, not even their genesis."""

    def __init__(self, number: int, domain: Domain = APTOS) -> None:
        self.number = number
        self.domain = domain

    def secrets(self, epoch: int) -> list[int]:
        return [10000 * self.number + 10 * epoch + place for place in range(1, 5)]

    def epoch_state(self, epoch: int) -> bytes:
        keys = [(G1Point() * Scalar(secret)).to_compressed_bytes() for secret in self.secrets(epoch)]
        return u64(epoch) + sequence(
            bytes([i]) * 32 + encode_bytes(key) + u64(1) for i, key in enumerate(keys)
        )

    def info(
        self,
        epoch: int,
        version: int,
        *,
        ends: bool = True,
        by: int | None = None,
        signers: Sequence[int] = QUORUM,
        block_round: int = 7,
        root: bytes | None = None,
    ) -> SignedLedgerInfo:
        """A ledger info, signed by some validators of its own epoch, or of another one."""
        root = bytes([self.number]) * 31 + bytes([version % 256]) if root is None else root
        raw = u64(epoch) + u64(block_round) + bytes(32) + root + u64(version) + u64(8)
        raw += option(self.epoch_state(epoch + 1) if ends else None) + bytes(32)
        if not signers:
            return SignedLedgerInfo.parse(NONE + raw + encode_bytes(bytes(1)) + NONE)
        secrets = self.secrets(epoch if by is None else by)
        point = G2Point.hash_to_curve(self.domain.ledger_info + raw, DOMAIN_TAG)
        signature = (point * Scalar(sum(secrets[signer] for signer in signers))).to_compressed_bytes()
        mask = bytes([sum(0x80 >> signer for signer in signers)])
        return SignedLedgerInfo.parse(NONE + raw + encode_bytes(mask) + option(encode_bytes(signature)))

    def ending(self, epoch: int) -> SignedLedgerInfo:
        """The end of one epoch; nobody signs genesis."""
        return self.info(epoch, 10 * epoch, signers=QUORUM if epoch else ())

    def waypoint(self, epoch: int) -> Waypoint:
        return Waypoint.of(self.ending(epoch).info, self.domain)


REAL, FORGED = Chain(1), Chain(2)


def history(
    *waypoints: Waypoint, genesis: bool = False, epochs: int = 0, keep_from: int = 0
) -> TrustedHistory:
    """A history of the first epochs of the real chain."""
    return extended(
        TrustedHistory(TrustPolicy(waypoints, genesis=genesis), APTOS, keep_from=keep_from), epochs
    )


def extended(known: TrustedHistory, epochs: int, chain: Chain = REAL) -> TrustedHistory:
    while known.epochs < epochs:
        known.extend(chain.ending(known.epochs))
    return known


def refusal(known: TrustedHistory, ending: SignedLedgerInfo) -> TrustError:
    """How the history refuses to be extended; it stays as it was."""
    epochs, root = known.epochs, known.root_at(ending.info.version)
    with pytest.raises(TrustError) as caught:
        known.extend(ending)
    assert (known.epochs, known.root_at(ending.info.version)) == (epochs, root)
    return named(caught.value, ending)


def doubt(known: TrustedHistory, signed_info: SignedLedgerInfo) -> TrustError:
    """How the history refuses a ledger info of a proof file."""
    with pytest.raises(TrustError) as caught:
        known.verify(signed_info)
    return named(caught.value, signed_info)


def named(error: TrustError, signed_info: SignedLedgerInfo) -> TrustError:
    assert error.exit_code == 20
    assert error.version == signed_info.info.version
    assert error.hint
    return error


def uncovered(known: TrustedHistory, *, target: int, versions: tuple[int, ...] = ()) -> TrustError:
    with pytest.raises(TrustError) as caught:
        known.check_waypoints(target=target, versions=versions)
    assert caught.value.exit_code == 20
    return caught.value


def test_from_the_waypoint_of_genesis_every_epoch_is_vouched_for() -> None:
    known = history(REAL.waypoint(0), epochs=5)
    assert known.epochs == 5
    for epoch in range(5):
        ending = REAL.ending(epoch)
        known.verify(ending)
        assert known.root_at(10 * epoch) == ending.info.executed_state_id
    assert known.root_at(11) is None
    known.check_waypoints(target=40, versions=(0, 40))
    assert known.policy.name == "waypoint"


def test_ledger_infos_inside_every_epoch_are_vouched_for_by_its_validators() -> None:
    known = history(REAL.waypoint(0), epochs=5)
    for epoch in range(1, 5):
        for version in (10 * epoch - 9, 10 * epoch - 1):
            known.verify(REAL.info(epoch, version, ends=False))
            assert "does not hold" in doubt(known, FORGED.info(epoch, version, ends=False)).message
    known.verify(REAL.info(5, 41, ends=False))
    known.verify(REAL.info(5, 10**9, ends=False))  # the epoch in progress has no end yet
    known.verify(REAL.ending(5))


@pytest.mark.parametrize("digit", range(0, 64, 9))
def test_one_wrong_digit_of_the_waypoint_is_refused(digit: int) -> None:
    for epoch in (0, 2):
        waypoint = REAL.waypoint(epoch)
        text = waypoint.value.hex()
        changed = f"{int(text[digit], 16) ^ 1:x}"
        wrong = Waypoint.parse(f"{waypoint.version}:{text[:digit]}{changed}{text[digit + 1 :]}")
        error = refusal(history(wrong, genesis=True, epochs=epoch), REAL.ending(epoch))
        assert error.message == "ledger info is not the one of the trusted waypoint"
        assert (error.expected, error.found) == (str(wrong), str(waypoint))


def test_a_chain_of_another_genesis_is_refused_however_well_it_is_signed() -> None:
    error = refusal(history(REAL.waypoint(0)), FORGED.ending(0))
    assert (error.expected, error.found) == (str(REAL.waypoint(0)), str(FORGED.waypoint(0)))


def test_the_right_hash_at_the_version_of_another_epochs_end_is_refused() -> None:
    misplaced = Waypoint(20, REAL.waypoint(3).value)
    assert "is not the one" in refusal(history(misplaced, epochs=2), REAL.ending(2)).message


@pytest.mark.parametrize("version", [1, 29, 31, 40])
def test_the_right_hash_at_a_version_where_no_epoch_ends_is_refused(version: int) -> None:
    misplaced = Waypoint(version, REAL.waypoint(3).value)
    known = history(misplaced, REAL.waypoint(0), epochs=4)
    error = uncovered(known, target=40)
    assert error.message == "no epoch ends at the version of the trusted waypoint"
    assert (error.version, error.expected) == (version, str(misplaced))


def test_every_waypoint_at_or_below_the_target_must_match_and_later_ones_are_ignored() -> None:
    later = Waypoint(35, bytes(32))
    known = history(REAL.waypoint(0), REAL.waypoint(2), later, epochs=4)
    known.check_waypoints(target=34, versions=(0, 30))
    assert uncovered(known, target=35, versions=(30,)).version == 35
    known = history(REAL.waypoint(0), REAL.waypoint(2), epochs=2)
    known.check_waypoints(target=19, versions=())
    assert uncovered(known, target=20).version == 20


def test_waypoints_that_all_lie_above_the_target_vouch_for_nothing() -> None:
    known = history(REAL.waypoint(3), REAL.waypoint(4), epochs=3)
    for versions in ((), (20,)):
        error = uncovered(known, target=29, versions=versions)
        assert error.message == "every trusted waypoint lies above the target"
        assert (error.expected, error.found) == ("at or below 29", "30")


def test_a_waypoint_above_the_target_does_not_vouch_for_what_is_below_it() -> None:
    known = history(REAL.waypoint(3), epochs=5)  # what lies above the target may be needed to vouch for it
    known.check_waypoints(target=30, versions=(30,))
    for versions in ((), (20,)):
        assert uncovered(known, target=29, versions=versions).found == "30"


@pytest.mark.parametrize(("version", "epochs"), [(0, 1), (9, 1), (10, 2), (11, 2), (40, 5), (99, 5)])
def test_epochs_are_counted_up_to_a_version(version: int, epochs: int) -> None:
    known = history(REAL.waypoint(0), epochs=5)
    assert (known.epochs_to(version), known.epochs) == (epochs, 5)
    assert history(REAL.waypoint(0)).epochs_to(version) == 0


def test_trusted_genesis_does_not_excuse_a_waypoint_that_matches_nothing() -> None:
    known = history(Waypoint(15, bytes(32)), genesis=True, epochs=3)
    known.check_waypoints(target=14, versions=(0,))
    assert uncovered(known, target=15).version == 15


def test_with_a_later_waypoint_alone_what_lies_before_it_is_not_restored() -> None:
    known = history(REAL.waypoint(3), epochs=5)
    known.check_waypoints(target=40, versions=(30, 40))
    for versions in ((29,), (0, 40), (40, 29)):
        error = uncovered(known, target=40, versions=versions)
        assert error.message == "what is restored lies before every trusted waypoint"
        assert error.version == min(versions)
        assert "earliest match: 30" in (error.expected or "")


def test_of_several_waypoints_the_earliest_match_counts() -> None:
    known = history(REAL.waypoint(4), REAL.waypoint(2), epochs=5)
    known.check_waypoints(target=40, versions=(20,))
    assert uncovered(known, target=40, versions=(19,)).version == 19


def test_a_later_waypoint_overrules_the_epochs_before_it_whoever_made_them_up() -> None:
    known = extended(history(REAL.waypoint(3)), 3, FORGED)
    assert "does not hold" in refusal(extended(history(REAL.waypoint(4)), 3, FORGED), REAL.ending(3)).message
    assert "is not the one" in refusal(known, FORGED.ending(3)).message
    extended(known, 5, REAL)
    known.check_waypoints(target=40, versions=(30,))
    known.verify(REAL.info(4, 35, ends=False))
    assert "does not hold" in doubt(known, FORGED.info(4, 35, ends=False)).message


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("version", [21, 30, 31, 45, MAX_VERSION])
def test_made_up_validators_before_the_waypoint_vouch_for_nothing_after_their_epoch(
    version: int, ends: bool
) -> None:
    known = extended(extended(history(REAL.waypoint(3)), 3, FORGED), 5, REAL)
    lie = FORGED.info(2, version, ends=ends)
    error = doubt(known, lie)
    if version == 30:
        assert error.message == "ledger info is not the one of the trusted waypoint"
    else:
        assert error.message == "ledger info lies beyond the end of its epoch"
        assert (error.expected, error.found) == ("version 20 or below in epoch 2", str(version))


def test_former_validators_vouch_for_nothing_after_their_epoch() -> None:
    known = history(REAL.waypoint(0), epochs=4)
    for epoch in (1, 2, 3):
        known.verify(REAL.info(epoch, 10 * epoch, ends=False))
        error = doubt(known, REAL.info(epoch, 10 * epoch + 1, ends=False))
        assert error.message == "ledger info lies beyond the end of its epoch"


def test_a_waypoint_inside_an_epoch_vouches_for_its_ledger_info_but_is_no_match() -> None:
    inside = REAL.info(5, 45, ends=False, signers=())
    waypoint = Waypoint.of(inside.info, APTOS)
    known = history(REAL.waypoint(0), waypoint, epochs=5)
    known.verify(inside)
    assert "is not the one" in doubt(known, REAL.info(5, 45, ends=False, root=bytes(32))).message
    known.check_waypoints(target=44, versions=())
    assert uncovered(known, target=45).version == 45


def test_a_waypoint_stands_in_for_signatures_at_its_version_only() -> None:
    known = history(REAL.waypoint(2), epochs=2)
    known.extend(REAL.info(2, 20, signers=()))
    assert "less than a quorum" in refusal(known, REAL.info(3, 30, signers=())).message
    assert "less than a quorum" in doubt(known, REAL.info(3, 25, ends=False, signers=())).message
    known.verify(REAL.info(2, 20, signers=()))


def test_an_unsigned_epoch_after_genesis_is_refused() -> None:
    known = history(REAL.waypoint(0), epochs=1)
    assert "less than a quorum" in refusal(known, REAL.info(1, 10, signers=())).message


def test_a_changed_round_keeps_the_waypoint_but_not_the_signature() -> None:
    changed = REAL.ending(2).raw.replace(u64(2) + u64(7), u64(2) + u64(8), 1)
    ending = SignedLedgerInfo.parse(changed)
    assert ending.info.round == 8
    assert Waypoint.of(ending.info, APTOS) == REAL.waypoint(2)
    known = history(REAL.waypoint(0), epochs=2)
    assert refusal(known, ending).message == "signature of the ledger info does not hold"
    assert doubt(known, ending).message == "signature of the ledger info does not hold"
    history(REAL.waypoint(0), REAL.waypoint(2), epochs=2).extend(ending)


@pytest.mark.parametrize("signers", [(0, 1), (2, 3), (3,)])
def test_a_quorum_minus_one_is_refused(signers: tuple[int, ...]) -> None:
    known = history(REAL.waypoint(0), epochs=2)
    for error in (
        refusal(known, REAL.info(2, 20, signers=signers)),
        doubt(known, REAL.info(2, 15, ends=False, signers=signers)),
    ):
        assert error.message == "ledger info is signed by less than a quorum"
        assert (error.expected, error.found) == ("3", str(len(signers)))
    known.extend(REAL.info(2, 20, signers=(1, 2, 3)))


@pytest.mark.parametrize("by", [1, 3])
def test_the_signature_of_another_epochs_validators_is_refused(by: int) -> None:
    known = history(REAL.waypoint(0), epochs=2)
    assert "does not hold" in refusal(known, REAL.info(2, 20, by=by)).message
    assert "does not hold" in doubt(known, REAL.info(2, 15, ends=False, by=by)).message
    extended(known, 4)


def test_a_signature_in_another_network_is_refused() -> None:
    known = history(REAL.waypoint(0), epochs=2)
    assert "does not hold" in refusal(known, Chain(1, DIEM).ending(2)).message


@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_an_epoch_that_is_skipped_or_repeated_is_refused(epoch: int) -> None:
    known = history(REAL.waypoint(0), epochs=2)
    error = refusal(known, REAL.ending(epoch))
    assert error.message == "ledger info of another epoch"
    assert (error.expected, error.found) == ("2", str(epoch))
    extended(known, 5)


def test_a_history_begins_with_epoch_0_even_where_a_waypoint_vouches_for_another() -> None:
    assert refusal(history(REAL.waypoint(1)), REAL.ending(1)).message == "ledger info of another epoch"


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_ledger_info_that_does_not_end_its_epoch_is_refused(epoch: int) -> None:
    known = history(genesis=True, epochs=epoch)
    error = refusal(known, REAL.info(epoch, 10 * epoch, ends=False))
    assert error.message == "ledger info does not end its epoch"


@pytest.mark.parametrize("version", [0, 1, 19, 20])
def test_an_epoch_that_does_not_end_after_the_one_before_is_refused(version: int) -> None:
    known = history(REAL.waypoint(0), epochs=3)
    error = refusal(known, REAL.info(3, version))
    assert error.message == "epoch does not end after the one it follows"
    assert (error.expected, error.found) == ("above 20", str(version))
    known.extend(REAL.info(3, 21))


@pytest.mark.parametrize("epoch", [6, 7, MAX_VERSION])
def test_a_ledger_info_of_an_epoch_beyond_the_history_is_refused(epoch: int) -> None:
    known = history(REAL.waypoint(0), epochs=5)
    error = doubt(known, REAL.info(epoch, 41, ends=False))
    assert error.message == "ledger info is of an epoch whose validators are not known"
    assert (error.expected, error.found) == ("epoch 1 to 5", str(epoch))
    assert "newer replica" in (error.hint or "")


def test_before_the_first_epoch_nothing_is_vouched_for() -> None:
    known = history(REAL.waypoint(0))
    assert "epoch 0" in doubt(known, REAL.ending(0)).message
    assert doubt(known, REAL.ending(1)).expected == "epoch 0 to 0"


@pytest.mark.parametrize("change", ["root", "round", "version", "network", "not ending"])
def test_a_ledger_info_of_epoch_0_other_than_genesis_is_refused(change: str) -> None:
    known = history(REAL.waypoint(0), epochs=2)
    others = {
        "root": REAL.info(0, 0, signers=(), root=bytes(32)),
        "round": REAL.info(0, 0, signers=(), block_round=8),
        "version": REAL.info(0, 5),
        "network": FORGED.ending(0),
        "not ending": REAL.info(0, 0, signers=(), ends=False),
    }
    error = doubt(known, others[change])
    assert error.message == "ledger info of epoch 0 is not the genesis ledger info"
    known.verify(
        REAL.info(0, 0, signers=QUORUM)
    )  # the same ledger info, whatever is said to be its signature


def test_early_validators_are_dropped_and_later_ones_still_vouch() -> None:
    known = history(REAL.waypoint(0), epochs=6, keep_from=20)
    for epoch in (2, 3, 4, 5, 6):
        known.verify(REAL.info(epoch, 10 * epoch - 1, ends=False))
    error = doubt(known, REAL.info(1, 9, ends=False))
    assert (error.expected, error.found) == ("epoch 2 to 6", "1")
    known.verify(REAL.ending(0))
    assert known.root_at(10) == REAL.ending(1).info.executed_state_id
    for kept, keep_from in ((False, 21), (True, 20)):
        known = history(REAL.waypoint(0), epochs=4, keep_from=keep_from)
        inside = REAL.info(2, 20, ends=False)
        if kept:
            known.verify(inside)
        else:
            assert "not known" in doubt(known, inside).message


def test_with_everything_dropped_the_next_epoch_is_still_vouched_for() -> None:
    known = history(REAL.waypoint(0), epochs=4, keep_from=MAX_VERSION)
    known.verify(REAL.info(4, 35, ends=False))
    assert "does not hold" in refusal(known, REAL.info(4, 40, by=3)).message
    extended(known, 6)


def test_genesis_is_taken_on_trust_only_by_name() -> None:
    known = extended(history(genesis=True), 4, FORGED)
    known.check_waypoints(target=30, versions=(0, 30))
    known.verify(FORGED.info(3, 25, ends=False))
    assert "does not hold" in doubt(known, REAL.info(3, 25, ends=False)).message


def test_skipping_checks_nothing() -> None:
    known = TrustedHistory(TrustPolicy(skip=True), APTOS, keep_from=0)
    known.verify(REAL.info(7, 65, signers=()))
    known.verify(FORGED.ending(0))
    known.check_waypoints(target=100, versions=(0,))
    strict = TrustedHistory(TrustPolicy((Waypoint(5, bytes(32)),), skip=True), APTOS, keep_from=0)
    strict.check_waypoints(target=100, versions=(0,))


@pytest.mark.parametrize("other", [Waypoint(20, bytes(32)), REAL.waypoint(2)])
def test_two_waypoints_of_one_version_are_a_mistake(other: Waypoint) -> None:
    policy = TrustPolicy((REAL.waypoint(0), REAL.waypoint(2), other))
    with pytest.raises(UsageError, match="same version") as caught:
        policy.check()
    assert caught.value.exit_code == 2
    assert caught.value.found == "[0, 20, 20]"
    with pytest.raises(UsageError):
        TrustedHistory(policy, APTOS, keep_from=0)


def test_something_has_to_be_trusted() -> None:
    with pytest.raises(UsageError, match="nothing to trust") as caught:
        TrustPolicy().check()
    for option_name in ("--trust-waypoint", "--network", "--trust-genesis"):
        assert option_name in (caught.value.hint or "")
    with pytest.raises(UsageError):
        TrustedHistory(TrustPolicy(), APTOS, keep_from=0)


@pytest.mark.parametrize(
    ("versions", "genesis", "skip", "name"),
    [
        ((0,), False, False, "waypoint"),
        ((30,), False, False, "waypoint"),
        ((), True, False, "genesis"),
        ((1, 30), True, False, "genesis"),
        ((0, 30), True, False, "waypoint"),
        ((), False, True, "none"),
        ((0,), True, True, "none"),
    ],
)
def test_trust_is_named_by_what_every_proof_ends_in(
    versions: tuple[int, ...], genesis: bool, skip: bool, name: str
) -> None:
    policy = TrustPolicy(tuple(Waypoint(version, bytes(32)) for version in versions), genesis, skip)
    policy.check()
    assert policy.name == name


def test_the_waypoints_are_named_unless_nothing_is_checked() -> None:
    waypoints = (REAL.waypoint(0), REAL.waypoint(3))
    assert TrustPolicy(waypoints).names == tuple(map(str, waypoints))
    assert TrustPolicy(waypoints, skip=True).names == TrustPolicy(genesis=True).names == ()


def test_the_prefix_of_the_network_is_a_parameter() -> None:
    other = Chain(3, DIEM)
    known = TrustedHistory(TrustPolicy((other.waypoint(0),)), DIEM, keep_from=0)
    extended(known, 3, other).verify(other.info(3, 25, ends=False))
    known = TrustedHistory(TrustPolicy((other.waypoint(0),)), APTOS, keep_from=0)
    assert "is not the one" in refusal(known, other.ending(0)).message


def test_the_whole_chain_of_open_libra_is_a_history(shared: Path) -> None:
    rows = shared_vectors(shared, "real-ledger-infos/openlibra-v7-epochs-0-193.jsonl.gz")
    endings = [signed(row) for row in rows if "bcs" in row]
    policy = TrustPolicy((Waypoint.of(endings[0].info, DIEM), Waypoint.of(endings[-1].info, DIEM)))
    known = TrustedHistory(policy, DIEM, keep_from=endings[-2].info.version)
    for ending in endings:
        known.extend(ending)
    last = endings[-1].info.version
    known.check_waypoints(target=last, versions=(0, last))
    known.verify(endings[-2])
    assert known.epochs == len(endings) == 194
