"""The table of layouts as a program for the kernel's walk: `layouts.py` in 32-bit words.

A sequence of operations ends with END. The content of an option, a vector or a map stands inside it; enums,
and structs that can get deep, stand elsewhere and are called by their address. Neighbours of fixed size are
fused.

The kernel interprets it in `restore/kernel/c/walk.c`, which says what each operation does.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from functools import cache
from struct import pack
from typing import NamedTuple

from restore.wire.layouts import FIXED_BYTES
from restore.wire.table import Expression, layouts


class _Op(IntEnum):
    """Operations, numbered as in walk.c."""

    END = 0
    SKIP = 1
    BOOLEAN = 2
    BYTES = 3
    TEXT = 4
    OPTION = 5
    FIXED_VECTOR = 6
    VECTOR = 7
    MAP = 8
    STRUCT = 9
    ENUM = 10
    METADATA_V1 = 11
    REFUSE = 12


ROOTS = (
    "Transaction",
    "PersistedAuxiliaryInfo",
    "TransactionInfo",
    "ExecutionStatus",
    "ContractEvent",
    "WriteSet",
    "TypeTag",
    "TransactionPayload",
    "TransactionExecutable",
    "Ciphertext",
    "EncryptedInner",
)
"""The types whose addresses the program begins with, in the order of walk.h."""

_Word = int | str
"""A word; a name stands for the address of what is compiled under it."""

_VARIABLE: dict[str, _Op] = {"bool": _Op.BOOLEAN, "bytes": _Op.BYTES, "str": _Op.TEXT}

OPERATIONS_OF_RULES: dict[tuple[str, str], _Op] = {
    ("StateValueMetadata", "V1"): _Op.METADATA_V1,
    ("TransactionPayload", "ModuleBundle"): _Op.REFUSE,
}
"""Content of variants that the notation cannot describe, as in `layouts.py`."""


class Program(NamedTuple):
    """A compiled table.

    Attributes:
        words: in the byte order of this machine.
        addresses: of each type of the table.
    """

    words: bytes
    addresses: dict[str, int]


@cache
def program() -> Program:
    """The whole table, compiled once."""
    words: list[_Word] = list(ROOTS)
    addresses: dict[str, int] = {}
    for name, layout in layouts().items():
        if layout.variants:
            variants = [f"{name}.{variant.name}" for variant in layout.variants]
            addresses[f"{name}."] = len(words)
            words += [len(variants), *variants]
            for label, variant in zip(variants, layout.variants, strict=True):
                addresses[label] = len(words)
                rule = OPERATIONS_OF_RULES.get((name, variant.name))
                words += _sequence(variant.items) if rule is None else [rule, _Op.END]
        elif layout.deep:
            addresses[f"{name}."] = len(words)
            words += _sequence(layout.items)
        addresses[name] = len(words)
        words += _sequence([Expression(name)])
    numbers = [addresses[word] if isinstance(word, str) else word for word in words]
    return Program(pack(f"={len(numbers)}I", *numbers), {name: addresses[name] for name in layouts()})


def _sequence(expressions: Iterable[Expression]) -> list[_Word]:
    """The operations of values one after the other, with their END."""
    return [*_fused(part for expression in expressions for part in _parts(expression)), _Op.END]


def _parts(expression: Expression) -> list[int | list[_Word]]:
    """A value's parts, not yet fused: a number of bytes to pass over, or operations."""
    head, arguments = expression
    if head == "opt":
        content = _fused(_parts(arguments[0]))
        return [[_Op.OPTION, len(content), *content]]
    if head == "vec":
        element = _parts(arguments[0])
        if all(isinstance(part, int) for part in element):
            return [[_Op.FIXED_VECTOR, sum(part for part in element if isinstance(part, int))]]
        operations = _sequence(arguments)
        return [[_Op.VECTOR, len(operations), *operations]]
    if head == "map":
        key, value = (_sequence([argument]) for argument in arguments)
        return [[_Op.MAP, len(key), len(value), *key, *value]]
    if head in layouts():
        layout = layouts()[head]
        if layout.variants:
            return [[_Op.ENUM, f"{head}."]]
        if layout.deep:
            return [[_Op.STRUCT, f"{head}."]]
        return [part for item in layout.items for part in _parts(item)]
    if head in _VARIABLE:
        return [[_VARIABLE[head]]]
    return [FIXED_BYTES[head] if head in FIXED_BYTES else int(head.removeprefix("b"))]


def _fused(parts: Iterable[int | list[_Word]]) -> list[_Word]:
    """The operations of parts, neighbours of fixed size as one."""
    words: list[_Word] = []
    size = 0
    for part in parts:
        if isinstance(part, int):
            size += part
            continue
        if size:
            words += [_Op.SKIP, size]
        words += part
        size = 0
    return [*words, _Op.SKIP, size] if size else words
