"""Which signatures earlier runs checked, so that nobody has to check them again.

Whether the signatures on a ledger info hold depends on nothing but its bytes, the bytes of the validators and
the network's hashes. So for each claim that held, the digest of exactly these is remembered:

    seed   = SHA3-256(version of this program, domain, trust policy)
    digest = SHA3-256(seed || LedgerInfoWithSignatures || EpochState of the validators)

A claim with a remembered digest is the very claim that held. Everything else is done as ever: the order of
the epochs, the waypoints, and that these are the validators that the ending before announced. What an ending
rests on is therefore checked or remembered back to epoch 0, link by link; where one byte differs, only what
it is a part of is checked again.

The seed keeps to itself what was trusted otherwise, and what another version of this program, with other
mistakes, took for true.

Nothing here proves that a digest was remembered by us: whoever keeps them vouches for that.
"""

from __future__ import annotations

from collections.abc import Iterable

import restore
from restore.crypto.digest import sha3_256
from restore.ledger.hashes import Domain
from restore.ledger.signatures import Claim
from restore.proof.trust import TrustPolicy
from restore.wire.bcs import encode_bytes


class Remembered:
    """The digests of claims that held, for one policy and network.

    Args:
        policy: what is trusted.
        domain: of the network.
        digests: what earlier runs remembered, also under other policies.

    Bounds: about 150 bytes a claim.
    """

    def __init__(self, policy: TrustPolicy, domain: Domain, digests: Iterable[bytes] = ()) -> None:
        texts = (restore.__version__, domain.text, str(policy.genesis), *sorted(policy.names))
        self._seed = sha3_256(b"".join(encode_bytes(text.encode()) for text in texts))
        self._known = frozenset(digests)
        self._confirmed: dict[bytes, None] = {}  # in the order of adding

    @property
    def confirmed(self) -> tuple[bytes, ...]:
        """What this run found to hold, whether it was remembered or not."""
        return tuple(self._confirmed)

    @property
    def has_news(self) -> bool:
        """Whether any of these is new."""
        return not self._known.issuperset(self._confirmed)

    @property
    def recalled(self) -> int:
        """How many of these an earlier run remembered."""
        return len(self._known & self._confirmed.keys())

    def digest(self, claim: Claim) -> bytes:
        """The digest of `claim`: 32 bytes. For any thread."""
        # Its parts say themselves where they end, so no two claims have the same bytes.
        return sha3_256(self._seed + claim.signed.raw + claim.validators.raw)

    def knows(self, digest: bytes) -> bool:
        """Whether an earlier run remembered it. For any thread."""
        return digest in self._known

    def confirm(self, digests: Iterable[bytes]) -> None:
        """Notes claims that hold."""
        self._confirmed |= dict.fromkeys(digests)
