"""The state tree of the sample: exact roots while a few hot keys change among millions that never do.

The tree is binary (spec/ledger-hashing.md section 5.1): bit d of a key hash chooses a side at depth d, an
empty subtree is a placeholder, a subtree of one leaf is that leaf's hash, anything else hashes its two
halves.

All keys that will ever change are known before the chain starts. Wherever no such key lies below a node,
the node is collapsed to what it contributes, now and for ever: nothing, a lone leaf, or an opaque hash.
What remains has a fixed shape, the paths of the hot keys, each followed down until nothing shares its
subtree; a hot key comes and goes as its leaf fills and empties. So memory depends on the hot keys only, and
a change costs one path.

This file shares no code with the proofs that a restore checks: it is what they are tested against.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from restore.ledger.hashes import SPARSE_PLACEHOLDER

KEY_BITS = 256

BUCKET_BITS = 8
"""Subtrees at this depth, one per first byte of a key hash, are built one at a time."""

BUCKETS = 1 << BUCKET_BITS

EMPTY, LEAF, INTERNAL = 0, 1, 2


class Node(NamedTuple):
    """What a subtree contributes to its parent.

    Attributes:
        kind: EMPTY, LEAF (exactly one leaf, at whatever depth) or INTERNAL.
        hash: 32 bytes.
    """

    kind: int
    hash: bytes


NOTHING = Node(EMPTY, SPARSE_PLACEHOLDER)


def fold(seed: bytes, keys: Sequence[int], leaves: Sequence[bytes], *, depth: int) -> Node:
    """Hashes the subtree of leaves that share their first `depth` bits.

    Args:
        seed: of internal nodes.
        keys: key hashes as numbers, strictly increasing.
        leaves: the leaf hashes.
        depth: of the subtree's root.
    """
    if not keys:
        return NOTHING
    leaf, stack = _sweep(seed, keys, leaves)
    if not stack:
        return Node(LEAF, leaf)
    return Node(INTERNAL, _close(seed, keys[0], leaf, stack=stack, depth=depth))


def _rights_of_first(seed: bytes, keys: Sequence[int], leaves: Sequence[bytes]) -> dict[int, bytes]:
    """The non-empty right siblings on the path of the first of these leaves, by depth."""
    return dict(_sweep(seed, keys, leaves)[1])


def _sweep(
    seed: bytes, keys: Sequence[int], leaves: Sequence[bytes]
) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The first leaf's hash, and the (depth, hash) of the subtrees to the right of its path, lowest last.

    The leaves are taken from right to left; what is finished waits on the stack as a right sibling of the
    path.
    """
    stack: list[tuple[int, bytes]] = []
    key, leaf = keys[-1], leaves[-1]
    for position in range(len(keys) - 2, -1, -1):
        left = keys[position]
        parting = KEY_BITS + 1 - (left ^ key).bit_length()
        if stack and stack[-1][0] > parting:
            leaf = _close(seed, key, leaf, stack=stack, depth=parting)
        stack.append((parting, leaf))
        key, leaf = left, leaves[position]
    return leaf, stack


def _close(seed: bytes, key: int, node: bytes, *, stack: list[tuple[int, bytes]], depth: int) -> bytes:
    """The hash at `depth` of the subtree whose leftmost leaf is `key`; takes its parts off the stack.

    The leaf itself floats for free up to the depth of its lowest sibling.
    """
    sha3 = hashlib.sha3_256
    level = stack[-1][0]
    while level > depth:
        if stack and stack[-1][0] == level:
            pair = node + stack.pop()[1]
        elif key >> (KEY_BITS - level) & 1:
            pair = SPARSE_PLACEHOLDER + node
        else:
            pair = node + SPARSE_PLACEHOLDER
        node = sha3(seed + pair).digest()
        level -= 1
    return node


def join(seed: bytes, left: Node, right: Node) -> Node:
    """The parent of two subtrees: a lone leaf floats up."""
    if left.kind + right.kind > LEAF:
        return Node(INTERNAL, hashlib.sha3_256(seed + left.hash + right.hash).digest())
    return right if left.kind == EMPTY else left


class StateTree:
    """The tree over the hot keys' paths. Plant every bucket, then `settle`, then `update` as often as wanted.

    Nodes are numbered so that children come after their parent; node 1 is the root and, down to BUCKET_BITS,
    2i and 2i + 1 are the children of i, so bucket b is node BUCKETS + b.

    Bounds: some 300 bytes for each node on a path to a hot key.
    """

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        size = 2 * BUCKETS
        self._nodes = [NOTHING] * size
        self._left = [2 * number if number < BUCKETS else 0 for number in range(size)]
        self._right = [2 * number + 1 if number < BUCKETS else 0 for number in range(size)]
        self._parent = [number // 2 for number in range(size)]
        self._hot: dict[bytes, int] = {}

    def plant(
        self,
        bucket: int,
        cold_keys: Sequence[int],
        cold_leaves: Sequence[bytes],
        *,
        hot_keys: Sequence[bytes],
    ) -> None:
        """Builds one bucket.

        Args:
            bucket: the first byte of all these keys.
            cold_keys: key hashes of the items that never change, as numbers, strictly increasing.
            cold_leaves: their leaf hashes.
            hot_keys: key hashes of the items that may change, strictly increasing; none is there yet.
        """
        numbers = [int.from_bytes(key, "big") for key in hot_keys]
        # (node, depth, cold from, cold to, hot from, hot to)
        work = [(BUCKETS + bucket, BUCKET_BITS, 0, len(cold_keys), 0, len(numbers))]
        while work:
            number, depth, cold, cold_end, hot, hot_end = work.pop()
            if hot == hot_end:
                keys, leaves = cold_keys[cold:cold_end], cold_leaves[cold:cold_end]
                self._nodes[number] = fold(self._seed, keys, leaves, depth=depth)
            elif hot_end - hot == 1 and cold == cold_end:
                self._hot[hot_keys[hot]] = number
            else:
                place = KEY_BITS - 1 - depth
                border = (numbers[hot] >> place | 1) << place
                cold_middle = bisect_left(cold_keys, border, cold, cold_end)
                hot_middle = bisect_left(numbers, border, hot, hot_end)
                left = len(self._nodes)
                self._nodes += (NOTHING, NOTHING)
                self._left += (0, 0)
                self._right += (0, 0)
                self._parent += (number, number)
                self._left[number], self._right[number] = left, left + 1
                work.append((left, depth + 1, cold, cold_middle, hot, hot_middle))
                work.append((left + 1, depth + 1, cold_middle, cold_end, hot_middle, hot_end))

    def settle(self) -> None:
        """Hashes everything above the planted buckets' parts, once all of them are there."""
        self._hash(number for number in range(len(self._nodes) - 1, 0, -1) if self._left[number])

    def update(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Fills or empties the leaves of hot keys: (key hash, leaf hash or None) each, every key once."""
        stale: set[int] = set()
        for key, leaf in changes:
            number = self._hot[key]
            self._nodes[number] = NOTHING if leaf is None else Node(LEAF, leaf)
            number = self._parent[number]
            while number and number not in stale:
                stale.add(number)
                number = self._parent[number]
        self._hash(sorted(stale, reverse=True))

    def top(self) -> tuple[Node, ...]:
        """The nodes down to BUCKET_BITS, numbered as above: 1 is the root."""
        return tuple(self._nodes[: 2 * BUCKETS])

    @property
    def root(self) -> bytes:
        """The root hash."""
        return self._nodes[1].hash

    def _hash(self, numbers: Iterable[int]) -> None:
        """Hashes these nodes out of their children; parents must follow their children."""
        nodes = self._nodes
        for number in numbers:
            nodes[number] = join(self._seed, nodes[self._left[number]], nodes[self._right[number]])


def right_siblings(
    seed: bytes, top: Sequence[Node], keys: Sequence[int], leaves: Sequence[bytes], *, position: int
) -> list[bytes]:
    """The right siblings of a leaf on its path in the whole tree, bottom to root, placeholders included.

    Args:
        seed: of internal nodes.
        top: the nodes of the tree down to the buckets' depth, as `StateTree.top` gives them.
        keys: key hashes of the leaf's whole bucket, as numbers.
        leaves: their leaf hashes.
        position: of the leaf in its bucket.
    """
    rights = _rights_of_first(seed, keys[position:], leaves[position:])
    bucket_bits = _depth_of(top)
    siblings = []
    for level in range(_leaf_depth(top, keys, position), 0, -1):
        prefix = keys[position] >> (KEY_BITS - level)
        if prefix & 1:
            continue
        if level > bucket_bits:
            siblings.append(rights.get(level, SPARSE_PLACEHOLDER))
        else:
            siblings.append(top[1 << level | prefix | 1].hash)
    return siblings


def _depth_of(top: Sequence[Node]) -> int:
    """The depth of the lowest nodes of `top`: 2^(depth + 1) numbers, from an unused 0 on."""
    return len(top).bit_length() - 2


def _leaf_depth(top: Sequence[Node], keys: Sequence[int], position: int) -> int:
    """The depth of the leaf in the whole tree."""
    key = keys[position]
    for level in range(_depth_of(top) + 1):
        if top[1 << level | key >> (KEY_BITS - level)].kind == LEAF:
            return level
    neighbours = (*keys[max(0, position - 1) : position], *keys[position + 1 : position + 2])
    return max(KEY_BITS + 1 - (key ^ other).bit_length() for other in neighbours)
