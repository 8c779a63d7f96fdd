"""Compares databases by their rows, whatever files they lie in."""

from __future__ import annotations

import hashlib
from pathlib import Path

from restore.target.schema import INSTANCES, Table
from restore.target.store import RocksStore


def row_digests(root: Path) -> dict[str, str]:
    """A digest of all rows of each column family, by its place below `root`."""
    store = RocksStore.open(root, read_only=True)
    try:
        tables = [Table(instance, family) for instance, families in INSTANCES.items() for family in families]
        return {str(table): _digest(store, table) for table in tables}
    finally:
        store.close()


def _digest(store: RocksStore, table: Table) -> str:
    digest = hashlib.sha256()
    for key, value in store.scan(table):
        digest.update(len(key).to_bytes(4) + key + len(value).to_bytes(4) + value)
    return digest.hexdigest()
