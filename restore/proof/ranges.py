"""Proofs that leaves stand in an accumulator: of one leaf, and of a range of neighbours.

All sibling lists run from the bottom to the root. The left siblings of a range that starts at `first` are,
reversed, the frozen subtree roots of the first `first` leaves: one per 1-bit of `first`, no more and no
fewer. So a range proof also tells the whole past of its range, and the roots it names are proven with it.

Source: spec/ledger-hashing.md 6.6 and 6.7.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from restore.crypto.digest import HASH_BYTES, sha3_256
from restore.errors import ProofError
from restore.proof.accumulator import parents
from restore.wire.bcs import Reader, encode_uleb

MAX_SIBLINGS = 63
"""Levels of an accumulator below its root: versions are below 2^63."""


@dataclass(frozen=True, slots=True)
class AccumulatorProof:
    """A proof of one leaf: its siblings, bottom to root, placeholders included."""

    siblings: tuple[bytes, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Reads the BCS form.

        Raises:
            FormatError: the bytes do not parse.
        """
        return cls(reader.hashes())

    def root(self, seed: bytes, leaf: bytes, index: int) -> bytes:
        """The root that the proof leads to from `leaf` at position `index`.

        Raises:
            ProofError: more siblings than a tree has levels, or a position that these siblings cannot reach.
        """
        _check_height(self.siblings)
        if index >> len(self.siblings):
            raise ProofError(
                "a proof has too few siblings for its position",
                expected=index.bit_length(),
                found=len(self.siblings),
            )
        node = leaf
        for sibling in self.siblings:
            node = sha3_256(seed + (sibling + node if index & 1 else node + sibling))
            index >>= 1
        return node

    def verify(self, seed: bytes, leaf: bytes, index: int, *, root: bytes) -> None:
        """Checks that `leaf` stands at position `index` under `root`.

        Raises:
            ProofError: it does not, or the proof is malformed.
        """
        _check_root(self.root(seed, leaf, index), root)


@dataclass(frozen=True, slots=True)
class AccumulatorRangeProof:
    """A proof of consecutive leaves: the siblings left and right of them, each bottom to root."""

    left: tuple[bytes, ...]
    right: tuple[bytes, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Reads the BCS form.

        Raises:
            FormatError: the bytes do not parse.
        """
        left = reader.hashes()
        return cls(left, reader.hashes())

    def encode(self) -> bytes:
        """The BCS form."""
        lists = (self.left, self.right)
        return b"".join(encode_uleb(len(siblings)) + b"".join(siblings) for siblings in lists)

    def verify(self, seed: bytes, leaves: bytes, first: int, *, root: bytes) -> None:
        """Checks that `leaves`, 32 bytes each, stand at `first` and the positions after it, under `root`.

        Raises:
            ProofError: they do not, there are none, or the proof has too few or too many siblings.
        """
        for _, nodes in self._climb(seed, leaves, first):
            top = nodes
        _check_root(top, root)

    def narrowed(self, seed: bytes, leaves: bytes, first: int, *, keep: int) -> Self:
        """The proof of the single leaf at position `keep`, made out of the range's proof and all its leaves.

        It leads to the same root. `leaves` and `first` are those of the range.

        Raises:
            ProofError: `keep` is outside the range, or the proof does not fit the leaves in number.
        """
        count = len(leaves) // HASH_BYTES
        if not first <= keep < first + count:
            raise ProofError(
                "a position is outside the proven range",
                expected=f"{first} to {first + count - 1}",
                found=keep,
            )
        left: list[bytes] = []
        right: list[bytes] = []
        for start, nodes in self._climb(seed, leaves, first):
            if len(nodes) > HASH_BYTES:
                sibling = HASH_BYTES * ((keep ^ 1) - start)
                (left if keep & 1 else right).append(nodes[sibling : sibling + HASH_BYTES])
            keep >>= 1
        return type(self)(tuple(left), tuple(right))

    def _climb(self, seed: bytes, leaves: bytes, first: int) -> Iterator[tuple[int, bytes]]:
        """Each level from the leaves to the root: position of its first node, and its nodes, 32 bytes each.

        The nodes of a level include the siblings that complete its pairs, so their number is even; the root
        comes last, alone.
        """
        self._check_shape(leaves, first)
        nodes, start, left, right = leaves, first, list(self.left), list(self.right)
        left.reverse()
        right.reverse()
        while len(nodes) > HASH_BYTES or left or right:
            if start & 1:
                # Never empty here: `left` has one sibling for each 1-bit of `first`, and this is one of them.
                nodes = left.pop() + nodes
                start -= 1
            if len(nodes) // HASH_BYTES & 1:
                if not right:
                    raise ProofError("a range proof has too few right siblings", found=len(self.right))
                nodes += right.pop()
            yield start, nodes
            nodes = parents(seed, nodes)
            start >>= 1
        yield start, nodes

    def _check_shape(self, leaves: bytes, first: int) -> None:
        _check_height(self.left)
        _check_height(self.right)
        if not leaves:
            raise ProofError("a range proof is of no leaf")
        if len(self.left) != first.bit_count():
            raise ProofError(
                "a range proof has another number of left siblings",
                expected=first.bit_count(),
                found=len(self.left),
            )


def _check_height(siblings: Sequence[bytes]) -> None:
    if len(siblings) > MAX_SIBLINGS:
        raise ProofError(
            "a proof has more siblings than a tree has levels",
            expected=f"at most {MAX_SIBLINGS}",
            found=len(siblings),
        )


def _check_root(found: bytes, expected: bytes) -> None:
    if found != expected:
        raise ProofError("an accumulator proof leads to another root", expected=expected, found=found)
