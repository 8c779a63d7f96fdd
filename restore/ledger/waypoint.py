"""Waypoints: a version and a hash that vouches for its ledger info, short enough to be published as text.

Source: spec/ledger-hashing.md sections 8.5 and 9.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from restore.crypto.digest import sha3_256
from restore.errors import UsageError
from restore.ledger.hashes import Domain
from restore.ledger.ledger_info import LedgerInfo

MAX_VERSION = 2**64 - 1

_TEXT = re.compile(r"([0-9]{1,20}):([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A version, and a hash over its ledger info without round, block id and consensus data."""

    version: int
    value: bytes

    @classmethod
    def parse(cls, text: str) -> Waypoint:
        """The waypoint written as `version:hash`: decimal and 64 hex digits, white space around them ignored.

        Raises:
            UsageError: another text.
        """
        match = _TEXT.fullmatch(text.strip())
        if match is None or int(match[1]) > MAX_VERSION:
            raise UsageError(
                "not a waypoint",
                expected="<version>:<64 hex digits>",
                found=text,
                hint="copy it whole, such as 0:6072…84c4, or give --network for a published one",
            )
        return cls(int(match[1]), bytes.fromhex(match[2]))

    @classmethod
    def of(cls, info: LedgerInfo, domain: Domain) -> Waypoint:
        """The waypoint of `info`."""
        # Epoch (8 bytes); executed state, version, time, next epoch state. Left out are round and block id
        # between them (40 bytes) and the consensus data hash at the end (32 bytes).
        covered = info.raw[:8] + info.raw[48:-32]
        return cls(info.version, sha3_256(domain.waypoint + covered))

    def __str__(self) -> str:
        return f"{self.version}:{self.value.hex()}"


PUBLISHED = {
    "mainnet": Waypoint.parse("0:6072b68a942aace147e0655c5704beaa255c84a7829baa4e72a500f1516584c4"),
    "testnet": Waypoint.parse("0:4b56f15c1dcef7f9f3eb4b4798c0cba0f1caacc0d35f1c80ad9b7a21f1f8b454"),
}
"""The genesis waypoints that the networks publish."""
