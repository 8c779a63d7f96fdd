"""Each allocation of the extension fails once: a MemoryError, and nothing is left in memory or on disk."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import pytest

from restore.ledger.hashes import APTOS
from tests.kernel.chunks import columns_of
from tests.kernel.compiling import SOURCES, compile_c, compilers, reason_not_to_build
from tests.kernel.trees import Node, packed
from tests.proof.naive import leaf_of, sha3

WRAPPED = ("malloc", "calloc", "realloc", "strdup", "free")

LEAVES = [
    leaf_of(key) for key in sorted(sha3(bytes([low, high])) for low in range(256) for high in range(16))
]
ITEMS = columns_of(LEAVES)
NODES = packed([Node(bytes(32), index, 1, 0, 0) for index in range(len(LEAVES))])

Call: TypeAlias = Callable[[ModuleType, Path], object]


def write_values(native: ModuleType, file: Path) -> object:
    columns = (ITEMS.data, ITEMS.spans, ITEMS.leaves)
    return native.write_rows(str(file), *columns, b"", 7, 0, 0, len(ITEMS))


def write_nodes(native: ModuleType, file: Path) -> object:
    columns = (ITEMS.data, ITEMS.spans, ITEMS.leaves)
    return native.write_rows(str(file), *columns, NODES, 7, 9, 0, len(ITEMS))


def write_pairs(native: ModuleType, file: Path) -> object:
    return native.write_table(file, [(leaf.key_hash, bytes(1000)) for leaf in LEAVES])


def write_numbered(native: ModuleType, file: Path) -> object:
    return native.write_numbered(str(file), 0, ITEMS.leaves)


def build_tree(native: ModuleType, file: Path) -> object:
    return native.tree_columns(ITEMS.leaves, APTOS.sparse_leaf, APTOS.sparse_internal)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension with an allocator that fails on demand."""
    if (reason := reason_not_to_build()) is not None:
        pytest.skip(reason)
    if sys.platform != "linux":
        pytest.skip("no linker that wraps functions")
    path = tmp_path_factory.mktemp("failing") / "_native.so"
    wraps = [f"-Wl,--wrap={name}" for name in WRAPPED]
    sources = [*SOURCES, Path(__file__).with_name("failing.c")]
    assert compile_c(compilers()[0], sources, path, "-O1", "-shared", *wraps) == ""
    return path


@pytest.fixture(scope="module")
def native(built: Path) -> ModuleType:
    spec = spec_from_file_location("_native", built, loader=ExtensionFileLoader("_native", str(built)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Allocator:
    """What `failing.c` counts, and which allocation it fails."""

    def __init__(self, built: Path) -> None:
        library = ctypes.CDLL(str(built))
        self._asked, self._failing, self._live = (
            ctypes.c_long.in_dll(library, name) for name in ("asked", "failing", "live")
        )

    @property
    def live(self) -> int:
        return self._live.value

    def counted(self, call: Callable[[], Any]) -> int:
        """How many allocations a call needs."""
        before = self._asked.value
        call()
        return self._asked.value - before

    def fail(self, number: int) -> None:
        """Fails the allocation of this number, from now on."""
        self._failing.value = self._asked.value + number


@pytest.mark.parametrize("call", [build_tree, write_values, write_nodes, write_pairs, write_numbered])
def test_an_allocation_that_fails_leaves_nothing(
    built: Path, native: ModuleType, tmp_path: Path, call: Call
) -> None:
    allocator, file = Allocator(built), tmp_path / "rows"
    count = allocator.counted(lambda: call(native, file))
    assert count > 10
    file.unlink(missing_ok=True)
    assert allocator.live == 0
    for number in range(count):
        allocator.fail(number)
        with pytest.raises(MemoryError):
            call(native, file)
        assert allocator.live == 0
        assert list(tmp_path.iterdir()) == []
    call(native, file)
