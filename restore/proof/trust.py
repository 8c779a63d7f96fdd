"""Which ledger infos are true: the chain from a trusted waypoint through every validator set.

Epoch endings are added in order. Each is vouched for by a trusted waypoint of its version, or else by the
validators that the epoch ending before it announced; epoch 0 is unsigned, so without a waypoint it stands on
the user's word. Any ledger info of a proof file is then checked against the validators of its epoch, who have
no say beyond its end; one that cannot be checked is refused.

With a later waypoint alone, the epochs before it are made up as easily as their epoch 0. So nothing that is
restored may rest on them: snapshots lie at or above the waypoint, and the validators of an epoch vouch for no
version after it.

Source: spec/ledger-hashing.md section 9; design.md, Trust.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

from restore.errors import TrustError, UsageError
from restore.ledger.hashes import Domain
from restore.ledger.ledger_info import EpochState, SignedLedgerInfo
from restore.ledger.signatures import verify_signatures
from restore.ledger.waypoint import Waypoint


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What the user trusts.

    Attributes:
        waypoints: trusted points; each at or below the target must match an epoch-ending ledger info.
        genesis: whether the backup's own epoch 0 is taken on trust.
        skip: whether no ledger info is checked at all.
    """

    waypoints: tuple[Waypoint, ...] = ()
    genesis: bool = False
    skip: bool = False

    @property
    def name(self) -> str:
        """What the proofs end in: "waypoint", "genesis" or "none".

        Beside a genesis taken on trust only a waypoint of version 0 counts: others may vouch for nothing.
        """
        if self.skip:
            return "none"
        if self.genesis and all(waypoint.version > 0 for waypoint in self.waypoints):
            return "genesis"
        return "waypoint"

    @property
    def names(self) -> tuple[str, ...]:
        """The trusted waypoints as text; none where nothing is checked."""
        return () if self.skip else tuple(str(waypoint) for waypoint in self.waypoints)

    def check(self) -> None:
        """Refuses a policy that trusts nothing, or contradicts itself.

        Raises:
            UsageError: no waypoint and no opt-out, or two waypoints of one version.
        """
        versions = [waypoint.version for waypoint in self.waypoints]
        if len(set(versions)) < len(versions):
            raise UsageError("two trusted waypoints have the same version", found=sorted(versions))
        if not (self.waypoints or self.genesis or self.skip):
            raise UsageError(
                "nothing to trust",
                hint="give --trust-waypoint VERSION:HASH, or --network for a published one, "
                "or --trust-genesis to take the backup's genesis on trust",
            )


class TrustedHistory:
    """The verified epoch endings of one run, and the judge of every other ledger info.

    Bounds: about 100 bytes an epoch, and the encoded validator set (13 KB on mainnet) of each epoch that ends
    at or above `keep_from`.
    """

    def __init__(self, policy: TrustPolicy, domain: Domain, *, keep_from: int) -> None:
        policy.check()
        self._policy = policy
        self._domain = domain
        self._keep_from = keep_from
        self._trusted = {waypoint.version: waypoint for waypoint in policy.waypoints}
        self._matched: set[int] = set()
        self._genesis: bytes | None = None
        self._genesis_waypoint: str | None = None
        self._ends: list[int] = []
        self._roots: dict[int, bytes] = {}
        self._validators: dict[int, bytes] = {}
        self._parse = lru_cache(maxsize=4)(EpochState.parse)  # neighbouring proofs are of the same epochs

    @property
    def policy(self) -> TrustPolicy:
        """What the user trusts."""
        return self._policy

    @property
    def epochs(self) -> int:
        """Epoch endings added so far; the next one must be of this epoch."""
        return len(self._ends)

    @property
    def genesis(self) -> str | None:
        """Waypoint of epoch 0's ledger info, as text: which chain this is."""
        return self._genesis_waypoint

    @property
    def announced(self) -> EpochState | None:
        """The validators that the last epoch ending announced; None before the first."""
        return self._parse(self._validators[self.epochs]) if self._ends else None

    def epochs_to(self, version: int) -> int:
        """How many of the epoch endings added so far are at or below `version`."""
        return bisect_right(self._ends, version)

    def end_of(self, epoch: int) -> int | None:
        """The version at which `epoch` ends; None where that is not known."""
        return self._ends[epoch] if 0 <= epoch < len(self._ends) else None

    def extend(self, signed: SignedLedgerInfo, *, checked_under: EpochState | None = None) -> None:
        """Adds the ending of the next epoch.

        Args:
            signed: the ending.
            checked_under: validators whose signatures on it the caller checked beforehand, out of order. That
                counts if they are those that the epoch ending before announced, byte for byte; else the
                signatures are checked here, as without it.

        Raises:
            TrustError: another epoch, not an ending, another than the trusted waypoint, or signatures that
            fail.
        """
        info = signed.info
        if info.epoch != self.epochs:
            raise TrustError(
                "ledger info of another epoch", version=info.version, expected=self.epochs, found=info.epoch
            )
        if info.next_epoch_state is None:
            raise TrustError("ledger info does not end its epoch", version=info.version, found=info.epoch)
        if self._ends and info.version <= self._ends[-1]:
            raise TrustError(
                "epoch does not end after the one it follows",
                version=info.version,
                expected=f"above {self._ends[-1]}",
                found=info.version,
            )
        if not self._is_trusted(signed) and info.epoch > 0:
            announced = self._validators[info.epoch]
            if checked_under is None or checked_under.raw != announced:
                verify_signatures(signed, self._parse(announced), self._domain)
        if info.epoch == 0:
            self._genesis = info.raw
            self._genesis_waypoint = str(Waypoint.of(info, self._domain))
        if info.version < self._keep_from:
            self._validators.pop(info.epoch, None)
        self._roots[info.version] = info.executed_state_id
        self._validators[info.epoch + 1] = info.next_epoch_state.raw
        self._ends.append(info.version)

    def verify(self, signed: SignedLedgerInfo) -> None:
        """Checks a ledger info that came with a proof file.

        Raises:
            TrustError: it is not what the verified history vouches for, or nothing vouches for it.
        """
        info = signed.info
        if self._policy.skip:
            return
        if info.epoch == 0:
            if info.raw != self._genesis:
                raise TrustError(
                    "ledger info of epoch 0 is not the genesis ledger info", version=info.version
                )
            return
        if self._is_trusted(signed):
            return
        validators = self._validators.get(info.epoch)
        if validators is None:
            raise TrustError(
                "ledger info is of an epoch whose validators are not known",
                version=info.version,
                expected=f"epoch {min(self._validators, default=0)} to {self.epochs}",
                found=info.epoch,
                hint="restore to a version within the known epochs, or use a newer replica",
            )
        # Former validators, or those of made-up epochs before the first waypoint, could sign anything today.
        if info.epoch < self.epochs and info.version > self._ends[info.epoch]:
            raise TrustError(
                "ledger info lies beyond the end of its epoch",
                version=info.version,
                expected=f"version {self._ends[info.epoch]} or below in epoch {info.epoch}",
                found=info.version,
            )
        verify_signatures(signed, self._parse(validators), self._domain)

    def root_at(self, version: int) -> bytes | None:
        """The accumulator root that the epoch ending at `version` signed; None where no epoch ends."""
        return self._roots.get(version)

    def check_waypoints(self, *, target: int, versions: tuple[int, ...]) -> None:
        """Checks, after the last epoch ending, that the trusted waypoints cover what will be restored.

        Args:
            target: every waypoint at or below this version must have matched an epoch ending.
            versions: snapshots that are restored, and the last of transactions that no snapshot follows; none
                may lie before the earliest match, unless genesis itself is trusted.

        Raises:
            TrustError: a waypoint matched nothing, none lies at or below the target, or a version lies
                before all matches.
        """
        if self._policy.skip:
            return
        for version, waypoint in sorted(self._trusted.items()):
            if version <= target and version not in self._matched:
                raise TrustError(
                    "no epoch ends at the version of the trusted waypoint", version=version, expected=waypoint
                )
        if self._policy.genesis:
            return
        matched = [version for version in self._matched if version <= target]
        if not matched:
            raise TrustError(
                "every trusted waypoint lies above the target",
                expected=f"at or below {target}",
                found=min(self._trusted),
            )
        earliest = min(matched)
        for version in versions:
            if version < earliest:
                raise TrustError(
                    "what is restored lies before every trusted waypoint",
                    version=version,
                    expected=f"a waypoint at or below it, such as of version 0 (earliest match: {earliest})",
                )

    def _is_trusted(self, signed: SignedLedgerInfo) -> bool:
        """Whether a trusted waypoint vouches for `signed`; a waypoint of its version that differs raises."""
        waypoint = self._trusted.get(signed.info.version)
        if waypoint is None:
            return False
        found = Waypoint.of(signed.info, self._domain)
        if found != waypoint:
            raise TrustError(
                "ledger info is not the one of the trusted waypoint",
                version=waypoint.version,
                expected=waypoint,
                found=found,
            )
        if signed.info.next_epoch_state is not None:
            self._matched.add(waypoint.version)
        return True
