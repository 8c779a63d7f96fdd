"""Proofs that one key is, or is not, in the sparse Merkle tree of all state items.

Siblings run from the root to the bottom, which is the other way round than everywhere else.

Source: spec/ledger-hashing.md 5.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from restore.crypto.digest import sha3_256
from restore.errors import ProofError
from restore.ledger.hashes import SPARSE_PLACEHOLDER, Domain
from restore.proof.jellyfish import KEY_BITS, leaf_hash
from restore.wire.bcs import HASH_BYTES, Reader


@dataclass(frozen=True, slots=True)
class SparseMerkleProof:
    """A proof of one key's presence or absence.

    Attributes:
        leaf: (key hash, value hash) of the leaf where the key's path ends; None where it ends in nothing.
        siblings: root to bottom, placeholders included.
    """

    leaf: tuple[bytes, bytes] | None
    siblings: tuple[bytes, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Reads the BCS form.

        Raises:
            FormatError: the bytes do not parse.
        """
        leaf = (reader.fixed(HASH_BYTES), reader.fixed(HASH_BYTES)) if reader.option() else None
        return cls(leaf, reader.hashes())

    def verify(self, domain: Domain, key: bytes, value_hash: bytes | None, *, root: bytes) -> None:
        """Checks that `key` has that value under `root`; None claims that it is absent.

        Raises:
            ProofError: the claim does not hold, or the proof is not one of it.
        """
        if len(self.siblings) > KEY_BITS:
            raise ProofError(
                "a proof has more siblings than a key has bits", expected=KEY_BITS, found=len(self.siblings)
            )
        if value_hash is not None:
            self._check_present(key, value_hash)
        else:
            self._check_absent(key)
        node = SPARSE_PLACEHOLDER if self.leaf is None else leaf_hash(domain, *self.leaf)
        path = int.from_bytes(key) >> (KEY_BITS - len(self.siblings))
        for sibling in reversed(self.siblings):
            node = sha3_256(domain.sparse_internal + (sibling + node if path & 1 else node + sibling))
            path >>= 1
        if node != root:
            raise ProofError("a state proof leads to another root", expected=root, found=node)

    def _check_present(self, key: bytes, value_hash: bytes) -> None:
        if self.leaf != (key, value_hash):
            found = None if self.leaf is None else b"".join(self.leaf)
            raise ProofError("a state proof is of another leaf", expected=key + value_hash, found=found)

    def _check_absent(self, key: bytes) -> None:
        """Where the key's path ends in another leaf, both must share the path down to it."""
        if self.leaf is None:
            return
        differing_bits = (int.from_bytes(self.leaf[0]) ^ int.from_bytes(key)).bit_length()
        if not 0 < differing_bits <= KEY_BITS - len(self.siblings):
            raise ProofError("a state proof does not show the absence of its key", found=self.leaf[0])
