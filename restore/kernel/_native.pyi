from collections.abc import Iterable
from os import PathLike

Buffer = bytes | bytearray | memoryview

def scan_records(data: Buffer, offset: int, /) -> tuple[int, int]:
    """Where whole records from `offset` on end, and how many they are; stops before an impossible length."""

def state_columns(
    data: Buffer, count: int, key_seed: bytes, value_seed: bytes, /
) -> tuple[bytes, bytes, int] | None:
    """Spans, leaves and usage in bytes of a chunk of just `count` state records; None if it is malformed."""

def tree_columns(
    leaves: bytes, leaf_seed: bytes, internal_seed: bytes, /
) -> tuple[bytes, tuple[int, ...], list[tuple[int, int, bytes, int, bool]]] | None:
    """Nodes, starts by depth, and what hangs; None if the keys do not ascend. At least two leaves.

    What hangs is told by depth, a leaf below, hash, number of leaves, and whether it is a leaf.
    """

def encode_rows(
    data: Buffer,
    spans: bytes,
    leaves: bytes,
    nodes: bytes,
    version: int,
    depth: int,
    first: int,
    end: int,
    /,
) -> list[tuple[bytes, bytes]]:
    """Rows of the nodes `first` to `end` at `depth`; with depth 0 of the values of such items."""

def write_rows(
    path: str,
    data: Buffer,
    spans: bytes,
    leaves: bytes,
    nodes: bytes,
    version: int,
    depth: int,
    first: int,
    end: int,
    /,
) -> int:
    """Writes the same rows to a new table file; its size in bytes."""

def write_table(path: str | bytes | PathLike[str], rows: Iterable[tuple[bytes, bytes]], /) -> int:
    """Writes rows, in ascending order, to a new table file; its size in bytes."""

def row_bytes(rows: list[tuple[bytes, bytes]], /) -> int:
    """Bytes of the keys and the values of these rows."""

def sha3_256_many(seed: bytes, messages: Iterable[bytes]) -> list[bytes]: ...
def sha3_levels() -> tuple[str, ...]: ...
def sha3_use(level: str) -> None: ...
def walk(program: bytes, address: int, data: Buffer, offset: int, end: int, /) -> int | None:
    """The offset after the value of the type at `address`; None if it is malformed. See wire/program.py."""

def parents(seed: bytes, nodes: bytes, /) -> bytes:
    """The parents of an even number of neighbours in a Merkle tree, 32 bytes each."""

def accumulate(seed: bytes, count: int, roots: bytes, leaves: bytes, /) -> bytes:
    """The nodes that leaves complete in an accumulator of `count`, in the order in which they complete."""

def transaction_columns(
    data: Buffer, count: int, has_auxiliary_info: bool, program: bytes, seeds: bytes, /
) -> tuple[bytes, bytes, bytes, bytes] | None:
    """Records, events, hashes of events, and hashes of infos of a chunk of just `count` transactions.

    None if one is malformed, or not what its info commits to.
    """

def count_ledger_rows(
    table: int,
    data: Buffer,
    records: bytes,
    events: bytes,
    event_hashes: bytes,
    node_seed: bytes,
    program: bytes,
    first_version: int,
    first: int,
    end: int,
    /,
) -> int | None:
    """How many rows of a ledger table some records have; None if an event announces a block wrongly."""

def encode_ledger_rows(
    table: int,
    data: Buffer,
    records: bytes,
    events: bytes,
    event_hashes: bytes,
    node_seed: bytes,
    program: bytes,
    first_version: int,
    first: int,
    end: int,
    /,
) -> list[tuple[bytes, bytes]] | None:
    """The rows themselves, in ascending order, of each key the last."""

def write_ledger_rows(
    path: str,
    table: int,
    data: Buffer,
    records: bytes,
    events: bytes,
    event_hashes: bytes,
    node_seed: bytes,
    program: bytes,
    first_version: int,
    first: int,
    end: int,
    /,
) -> int | None:
    """Writes the same rows, at least one, to a new table file; its size in bytes."""

def write_numbered(path: str, first: int, hashes: bytes, /) -> int:
    """Writes hashes of 32 bytes, numbered from `first` on, to a new table file; its size in bytes."""
