from __future__ import annotations

from pathlib import Path

import pytest

from restore.wire import table
from restore.wire.table import Expression, Layout, Variant, layouts


def test_the_table_is_the_one_of_the_specification(shared: Path) -> None:
    ours = Path(table.__file__).with_name("layouts.txt").read_text()
    assert ours == (shared / "spec" / "bcs-layouts.txt").read_text()


def test_a_struct_is_its_items_and_an_enum_its_variants() -> None:
    assert layouts()["AccessPath"] == Layout((Expression("AccountAddress"), Expression("bytes")), ())
    expected = (
        Variant("V0", (Expression("u64"), Expression("u64"))),
        Variant("V1", (Expression("u64"), Expression("u64"), Expression("u64"))),
    )
    assert layouts()["StateValueMetadata"] == Layout((), expected)
    changes = Expression("map", (Expression("StateKey"), Expression("WriteOp")))
    assert layouts()["WriteSet"].variants == (Variant("V0", (changes,)),)


def test_exactly_the_types_around_type_tags_can_get_deep() -> None:
    deep = {name for name, layout in layouts().items() if layout.deep}
    assert {"TypeTag", "StructTag", "FunctionTag", "ContractEvent", "Transaction", "Path"} <= deep
    assert deep.isdisjoint({"StateKey", "StateValue", "WriteSet", "TransactionInfo", "LedgerInfo"})


def test_every_name_in_the_table_is_defined() -> None:
    primitives = {"u8", "u16", "u32", "u64", "u128", "u256", "bool", "bytes", "str", "vec", "opt", "map"}
    fixed = {"b12", "b16", "b31", "b32", "b64"}

    def heads(expression: Expression) -> set[str]:
        return {expression.head}.union(*map(heads, expression.arguments))

    for layout in layouts().values():
        items = [*layout.items, *(item for variant in layout.variants for item in variant.items)]
        for item in items:
            assert heads(item) <= primitives | fixed | layouts().keys()


def test_an_enum_has_fewer_variants_than_one_byte_can_index() -> None:
    assert all(len(layout.variants) < 128 for layout in layouts().values())


def test_a_variant_that_is_not_at_its_place_is_refused() -> None:
    with pytest.raises(ValueError, match="not at its place"):
        table._parsed("Wrong | 0 A: u8 | 2 B: u8")
