"""A state chunk from its bytes to what is proven and kept of it: all the work that is done for each item."""

from __future__ import annotations

import pytest

from benchmarks.parts.chunks import COUNT, state_chunk
from benchmarks.parts.work import Part, Work
from restore.crypto.digest import sha3_256_many
from restore.ledger.hashes import APTOS
from restore.ledger.state import split_state_record
from restore.proof.items import read_items
from restore.proof.snapshot import FrontierProver, SnapshotProver, TreeProver

EDGE = Work("state chunk", f"{COUNT:,} items to hashes and an edge, as verify does", "items/s", COUNT)
TREE = Work("state chunk", f"{COUNT:,} items to hashes and tree nodes, as a restore does", "items/s", COUNT)


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("work", "prover"), [(EDGE, FrontierProver(APTOS)), (TREE, TreeProver(APTOS, 0))], ids=["edge", "tree"]
)
def test_ours(part: Part, work: Work, prover: SnapshotProver) -> None:
    records = state_chunk()
    part(work, lambda: prover.prepare(read_items(APTOS, records)))


@pytest.mark.parametrize("work", [EDGE, TREE], ids=["edge", "tree"])
def test_hashing_alone(part: Part, work: Work) -> None:
    """What every item needs besides its inner nodes: the hashes of its key, its value and its leaf."""
    items = [split_state_record(record) for record in state_chunk().cut()]
    keys, values = [item.key for item in items], [item.value for item in items]
    leaves = [bytes(64)] * COUNT

    def hash_all() -> None:
        sha3_256_many(APTOS.state_key, keys)
        sha3_256_many(APTOS.state_value, values)
        sha3_256_many(APTOS.sparse_leaf, leaves)

    part(work, hash_all, way="hashing keys, values and leaves alone")
