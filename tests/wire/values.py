"""Random values of the layout table, and a second decoder to compare with: slow, and plain from the rules."""

from __future__ import annotations

from hypothesis import strategies as st

from restore.errors import FormatError
from restore.wire.bcs import Reader, encode_bytes, encode_uleb
from restore.wire.table import Expression, Variant, layouts

MAX_DEPTH = 500
DRAWN_DEPTH = 8
SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "u128": 16, "u256": 32}
REFUSED = {("TransactionPayload", "ModuleBundle")}


@st.composite
def encoded(draw: st.DrawFn, name: str) -> bytes:
    """Encodings of values of the type `name`, not very deep."""
    return _value(draw, Expression(name), 0)


def decode(reader: Reader, expression: Expression, depth: int = 0) -> None:
    """Reads one value of a type; raises FormatError where the rules of BCS refuse it."""
    head, arguments = expression
    table = layouts()
    if head == "opt":
        if reader.option():
            decode(reader, arguments[0], depth)
    elif head == "vec":
        for _ in range(reader.count()):
            decode(reader, arguments[0], depth)
    elif head == "map":
        keys = []
        for _ in range(reader.count()):
            start = reader.offset
            decode(reader, arguments[0], depth)
            keys.append(reader.since(start))
            decode(reader, arguments[1], depth)
        if keys != sorted(set(keys)):
            raise FormatError("keys out of order")
    elif head == "bool":
        reader.boolean()
    elif head == "bytes":
        reader.bytes_()
    elif head == "str":
        reader.text()
    elif head in table:
        if depth >= MAX_DEPTH:
            raise FormatError("too deep")
        items = table[head].items
        if table[head].variants:
            variant = _variant(reader, table[head].variants)
            if (head, variant.name) in REFUSED:
                raise FormatError("refused")
            items = variant.items
        start = reader.offset
        for item in items:
            decode(reader, item, depth + 1)
        if head == "StateValueMetadata" and variant.name == "V1" and not any(reader.since(start + 8)[:8]):
            raise FormatError("refused")
    else:
        reader.fixed(SIZES[head] if head in SIZES else int(head[1:]))


def _variant(reader: Reader, variants: tuple[Variant, ...]) -> Variant:
    index = reader.uleb()
    if index >= len(variants):
        raise FormatError("unknown variant")
    return variants[index]


def _value(draw: st.DrawFn, expression: Expression, depth: int) -> bytes:
    head, arguments = expression
    few = st.integers(0, 2 if depth < DRAWN_DEPTH else 0)
    if head == "opt":
        return b"\x01" + _value(draw, arguments[0], depth) if draw(few) else b"\x00"
    if head == "vec":
        values = [_value(draw, arguments[0], depth) for _ in range(draw(few))]
        return encode_uleb(len(values)) + b"".join(values)
    if head == "map":
        keys = {_value(draw, arguments[0], depth) for _ in range(draw(few))}
        return encode_uleb(len(keys)) + b"".join(
            key + _value(draw, arguments[1], depth) for key in sorted(keys)
        )
    if head == "bool":
        return draw(st.sampled_from([b"\x00", b"\x01"]))
    if head == "bytes":
        return encode_bytes(draw(st.binary(max_size=9) | st.binary(min_size=128, max_size=140)))
    if head == "str":
        return encode_bytes(draw(st.text(max_size=9) | st.text("aé", min_size=128, max_size=140)).encode())
    if head not in layouts():
        size = SIZES[head] if head in SIZES else int(head[1:])
        return draw(st.binary(min_size=size, max_size=size))
    layout = layouts()[head]
    start, items = b"", layout.items
    if layout.variants:
        index = draw(st.sampled_from(_choices(head, shallow=depth >= DRAWN_DEPTH)))
        start, items = encode_uleb(index), layout.variants[index].items
    if (head, start) == ("StateValueMetadata", b"\x01"):
        return start + draw(st.binary(min_size=24, max_size=24).filter(lambda value: any(value[8:16])))
    return start + b"".join(_value(draw, item, depth + 1) for item in items)


def _choices(name: str, *, shallow: bool) -> list[int]:
    """The variants to choose from; where enough was drawn, those without type tags, if there are any."""
    variants = layouts()[name].variants
    legal = [index for index, variant in enumerate(variants) if (name, variant.name) not in REFUSED]
    plain = [index for index in legal if not any(_is_deep(item) for item in variants[index].items)]
    return plain if shallow and plain else legal


def _is_deep(expression: Expression) -> bool:
    return expression.head in layouts() and layouts()[expression.head].deep
