"""The 16-way nodes in which a database keeps the sparse Merkle tree: their keys, bytes and hashes.

Four binary levels make one node with up to 16 children, one per nibble of the key hash. The tree is not
path-compressed: the prefix p has an internal node if and only if two keys share it (or p is empty and there
are two keys at all), and a leaf stands at the shortest prefix of at least one nibble that only its key has.
A tree of one key is that leaf at the root, an empty tree the null node there.

The hash of a node is that of the binary tree it stands for: nothing of the stored form is hashed.

A nibble path is text here, lower-case hex: the prefix of `key_hash.hex()`.

Source: spec/aptosdb-schema.md 2.5, spec/ledger-hashing.md 5.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from restore.crypto.digest import sha3_256, sha3_256_many
from restore.errors import FormatError
from restore.ledger.hashes import SPARSE_PLACEHOLDER, Domain
from restore.wire.bcs import HASH_BYTES, Reader
from restore.wire.layouts import skipper

LEAF_TAG = b"\x01"
INTERNAL_TAG = b"\x02"
NULL_NODE = b"\x03"
"""The root row of an empty tree."""

KEY_BITS = 8 * HASH_BYTES
NODE_LEVELS = 4
"""Binary levels in one node: a nibble of the key."""
MAX_NIBBLES = KEY_BITS // NODE_LEVELS

VERSION_BYTES = 8
NODE_KEY_HEAD_BYTES = VERSION_BYTES + 1

VARINT_GROUPS = 8
"""Groups of 7 bits before the last byte of a varint, which then has the remaining 8 bits of a u64."""

CACHED_VARINTS = 4096
"""A version and small leaf counts repeat in nearly every child; some 100 bytes each."""

_skip_state_key = skipper("StateKey")


class Child(NamedTuple):
    """What an internal node keeps of one child.

    Attributes:
        version: of the child's node key.
        hash: the child's hash.
        leaves: how many leaves stand below; 1 for a leaf.
        is_leaf: whether the child is a leaf itself.
    """

    version: int
    hash: bytes
    leaves: int
    is_leaf: bool


class LeafNode(NamedTuple):
    """A decoded leaf.

    Attributes:
        key_hash: hash of the state key.
        value_hash: hash of the state value.
        state_key: BCS (serde form) of the state key.
        version: of the row that holds the value.
    """

    key_hash: bytes
    value_hash: bytes
    state_key: bytes
    version: int


class InternalNode(NamedTuple):
    """A decoded internal node: its children by nibble, ascending."""

    children: dict[int, Child]


def node_key(version: int, path: str) -> bytes:
    """The database key of the node at `path`: version, number of nibbles, nibbles padded to whole bytes."""
    padded = path + "0" if len(path) & 1 else path
    return version.to_bytes(VERSION_BYTES) + bytes((len(path),)) + bytes.fromhex(padded)


def parse_node_key(raw: bytes) -> tuple[int, str]:
    """The version and nibble path of a database key.

    Raises:
        FormatError: it is not the key of a node.
    """
    if len(raw) < NODE_KEY_HEAD_BYTES:
        raise FormatError("a node key is too short", expected=NODE_KEY_HEAD_BYTES, found=len(raw))
    version, nibbles = int.from_bytes(raw[:VERSION_BYTES]), raw[VERSION_BYTES]
    path = raw[NODE_KEY_HEAD_BYTES:].hex()[:nibbles]
    if nibbles > MAX_NIBBLES or node_key(version, path) != raw or len(path) != nibbles:
        raise FormatError("a node key does not fit its number of nibbles", expected=nibbles, found=raw)
    return version, path


def leaf_hash(domain: Domain, key_hash: bytes, value_hash: bytes) -> bytes:
    """The hash of a leaf, and so of every subtree that holds nothing else."""
    return sha3_256(domain.sparse_leaf + key_hash + value_hash)


def internal_hash(domain: Domain, children: Mapping[int, Child]) -> bytes:
    """The hash of an internal node, or of the part of it that `children` are."""
    return internal_hashes(domain, [children])[0]


def internal_hashes(
    domain: Domain, nodes: Sequence[Mapping[int, Child]], *, levels: int = NODE_LEVELS
) -> list[bytes]:
    """The hash of each internal node, from its children by ascending nibble.

    All nodes are folded together, level by level, so that a level is one batch of hashes. A child is placed
    at a slot (node, nibble); in each level slots 2i and 2i + 1 become slot i. A lone leaf moves up as it is,
    a lone subtree is hashed with a placeholder.

    Args:
        domain: whose hashes they are.
        nodes: children by nibble, ascending; none is empty.
        levels: binary levels to fold: 4 for whole nodes; n where the children are those of an aligned part of
            2^n slots.
    """
    slots = [index << NODE_LEVELS | nibble for index, node in enumerate(nodes) for nibble in node]
    hashes = [child.hash for node in nodes for child in node.values()]
    floats = [child.is_leaf for node in nodes for child in node.values()]
    for _ in range(levels):
        slots, hashes, floats = _fold_level(domain.sparse_internal, slots, hashes, floats)
    return hashes


def encode_leaf(key_hash: bytes, value_hash: bytes, *, state_key: bytes, version: int) -> bytes:
    """The row of a leaf; `state_key` is the key's BCS (serde) form, `version` that of the value's row."""
    return LEAF_TAG + key_hash + value_hash + state_key + version.to_bytes(VERSION_BYTES, "little")


def encode_internal(children: Mapping[int, Child]) -> bytes:
    """The row of an internal node; `children` by nibble, ascending, at least one."""
    existing = leaves = 0
    parts: list[bytes] = []
    for nibble, child in children.items():
        existing |= 1 << nibble
        parts += _varint(child.version), child.hash
        if child.is_leaf:
            leaves |= 1 << nibble
        else:
            parts.append(_varint(child.leaves))
    return INTERNAL_TAG + (leaves << 16 | existing).to_bytes(4, "little") + b"".join(parts)


def decode_node(raw: bytes) -> LeafNode | InternalNode | None:
    """The node in a row; None for the null node.

    Raises:
        FormatError: the row is not exactly one well-formed node.
    """
    reader = Reader(raw, 1)
    tag = raw[:1]
    node: LeafNode | InternalNode | None
    if tag == LEAF_TAG:
        node = LeafNode(
            key_hash=reader.fixed(HASH_BYTES),
            value_hash=reader.fixed(HASH_BYTES),
            state_key=reader.verbatim(_skip_state_key),
            version=reader.u64(),
        )
    elif tag == INTERNAL_TAG:
        node = InternalNode(_read_children(reader))
    elif tag == NULL_NODE:
        node = None
    else:
        raise FormatError("unknown kind of tree node", offset=0, expected="01, 02 or 03", found=tag)
    reader.finish()
    return node


def _fold_level(
    seed: bytes, slots: list[int], hashes: list[bytes], floats: list[bool]
) -> tuple[list[int], list[bytes], list[bool]]:
    """One binary level up: the parents' slots and hashes, and whether each still is a lone leaf."""
    parents: list[int] = []
    folded: list[bytes] = []
    lone: list[bool] = []
    messages: list[bytes] = []
    places: list[int] = []  # of the hashes of `messages` in `folded`
    neighbours = zip(slots, [*slots, -1][1:], hashes, [*hashes, b""][1:], floats, strict=True)
    for slot, next_slot, node, next_node, is_leaf in neighbours:
        if parents and parents[-1] == slot >> 1:
            continue  # the right half of the pair before
        parents.append(slot >> 1)
        if next_slot ^ slot == 1:
            message = node + next_node
        elif is_leaf:
            folded.append(node)
            lone.append(True)
            continue
        else:
            message = SPARSE_PLACEHOLDER + node if slot & 1 else node + SPARSE_PLACEHOLDER
        places.append(len(folded))
        messages.append(message)
        folded.append(b"")
        lone.append(False)
    for place, node in zip(places, sha3_256_many(seed, messages), strict=True):
        folded[place] = node
    return parents, folded, lone


def _read_children(reader: Reader) -> dict[int, Child]:
    existing, leaves = reader.u16(), reader.u16()
    if not existing or leaves & ~existing:
        raise FormatError("a tree node's leaves are not among its children", expected=existing, found=leaves)
    children = {}
    for nibble in range(16):
        if existing >> nibble & 1:
            is_leaf = bool(leaves >> nibble & 1)
            version, child_hash = _read_varint(reader), reader.fixed(HASH_BYTES)
            count = 1 if is_leaf else _read_varint(reader)
            if not count:
                raise FormatError("a subtree without leaves is listed as a child", offset=reader.offset)
            children[nibble] = Child(version, child_hash, count, is_leaf)
    return children


@lru_cache(maxsize=CACHED_VARINTS)
def _varint(value: int) -> bytes:
    """A u64 in groups of 7 bits, low ones first, bit 7 for more; the ninth byte has all 8 bits."""
    groups = bytearray()
    while value > 0x7F and len(groups) < VARINT_GROUPS:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _read_varint(reader: Reader) -> int:
    start, value = reader.offset, 0
    for group in range(VARINT_GROUPS):
        byte = reader.u8()
        value |= (byte & 0x7F) << 7 * group
        if byte < 0x80:
            break
    else:
        byte = reader.u8()
        value |= byte << 7 * VARINT_GROUPS
    if not byte and reader.offset - start > 1:
        raise FormatError("varint is not in its shortest form", offset=start)
    return value
