"""Passes over BCS values without building them, by closures compiled from the table of layouts.

A transaction record is made of deep, optional and recursive types, and a restore needs to know little more
than where its parts end. `skipper(name)` checks one value strictly and returns the offset after it.

How the closures work:
    Neighbours of fixed size are fused, across nested structs too: one addition passes over all of them.
    Inside, nothing compares an offset with the end. Offsets only grow, so one comparison at the end finds any
    overrun, and reading past the data raises IndexError, which ends even the longest loop that is promised.
    Only types that can contain themselves (type tags) can get deep; they count how deep they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from restore.errors import FormatError
from restore.wire.bcs import Skip, read_count
from restore.wire.table import Expression, layouts

MAX_DEPTH = 500
"""The limit that BCS puts on structs and enums inside each other."""

FIXED_BYTES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "u128": 16, "u256": 32}

_Step = Callable[[bytes, int, int], int]
"""(data, offset, depth) -> offset after one value, not compared with any end."""

_Part = int | _Step
"""A number of bytes to pass over, or a closure that does."""

_Pair = tuple[int, _Step]
"""Both: bytes to pass over first, then a closure."""


@cache
def skipper(name: str) -> Skip:
    """The closure that passes over one value of the type `name` of the table.

    It refuses what a strict decoder refuses: missing bytes, booleans and options other than 0 and 1,
    lengths not in their shortest form, text that is not UTF-8, map keys out of order, unknown variants,
    depth beyond MAX_DEPTH; and what no node writes, see `RULES`.

    Raises (the closure):
        FormatError: with the offset at fault.
    """
    lead, step = _joined(_Compiler().parts([Expression(name)]))

    def skip(data: bytes, offset: int, end: int) -> int:
        try:
            stop = step(data, offset + lead, 0)
        except IndexError:
            stop = len(data) + 1
        if stop > end:
            raise FormatError(f"{name} runs past the end", offset=offset, found=f"{end - offset} bytes")
        return stop

    return skip


class _Compiler:
    """Turns expressions into parts; a named type is compiled once and shared.

    A recursive type finds its own closure while its content is still being compiled: content is a list that
    the closure keeps, filled in later. No other thread sees it before, because each call of `skipper` has a
    compiler.
    """

    def __init__(self) -> None:
        self._steps: dict[str, _Step] = {}

    def parts(self, expressions: Iterable[Expression]) -> list[_Part]:
        """The parts of values one after the other, not yet fused."""
        return [part for expression in expressions for part in self._parts_of(expression)]

    def _parts_of(self, expression: Expression) -> list[_Part]:
        head, arguments = expression
        if arguments:
            inner = [self._parts_of(argument) for argument in arguments]
            if head == "map":
                return [_map(_whole(inner[0]), _whole(inner[1]))]
            return [_option(_joined(inner[0])) if head == "opt" else _vector(inner[0])]
        if head in layouts():
            return self._named(head)
        if head in _VARIABLE:
            return [_VARIABLE[head]]
        return [FIXED_BYTES[head] if head in FIXED_BYTES else int(head.removeprefix("b"))]

    def _named(self, name: str) -> list[_Part]:
        layout = layouts()[name]
        if not layout.variants and not layout.deep:
            return self.parts(layout.items)
        if name not in self._steps:
            content: list[_Pair] = []
            if layout.variants:
                self._steps[name] = _enum(name, content)
                for variant in layout.variants:
                    rule = RULES.get((name, variant.name))
                    content.append(_joined([1, *([rule] if rule else self.parts(variant.items))]))
            else:
                self._steps[name] = _struct(content)
                content.extend(_fused(self.parts(layout.items)))
        return [self._steps[name]]


def _fused(parts: list[_Part]) -> list[_Pair]:
    """The parts as pairs; bytes at the end come before a closure that does nothing."""
    pairs: list[_Pair] = []
    lead = 0
    for part in parts:
        if isinstance(part, int):
            lead += part
        else:
            pairs.append((lead, part))
            lead = 0
    if lead or not pairs:
        pairs.append((lead, _nothing))
    return pairs


def _joined(parts: list[_Part]) -> _Pair:
    """All parts as one pair."""
    pairs = _fused(parts)
    if len(pairs) == 1:
        return pairs[0]
    (lead, first), (gap, second), *rest = pairs

    def two(data: bytes, offset: int, depth: int) -> int:
        return second(data, first(data, offset, depth) + gap, depth)

    def more(data: bytes, offset: int, depth: int) -> int:
        offset = second(data, first(data, offset, depth) + gap, depth)
        for between, step in rest:
            offset = step(data, offset + between, depth)
        return offset

    return lead, more if rest else two


def _whole(parts: list[_Part]) -> _Step:
    """All parts as one closure."""
    lead, step = _joined(parts)
    return (lambda data, offset, depth: step(data, offset + lead, depth)) if lead else step


def _nothing(_data: bytes, offset: int, _depth: int) -> int:
    return offset


def _boolean(data: bytes, offset: int, _depth: int) -> int:
    if data[offset] > 1:
        raise FormatError("boolean is neither 0 nor 1", offset=offset, found=data[offset])
    return offset + 1


def _bytes(data: bytes, offset: int, _depth: int) -> int:
    size = data[offset]
    if size < 0x80:
        return offset + 1 + size
    size, offset = read_count(data, offset)
    return offset + size


def _text(data: bytes, offset: int, _depth: int) -> int:
    size, start = data[offset], offset + 1
    if size >= 0x80:
        size, start = read_count(data, offset)
    stop = start + size
    text = data[start:stop]
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            raise FormatError("text is not UTF-8", offset=start) from None
    return stop


_VARIABLE: dict[str, _Step] = {"bool": _boolean, "bytes": _bytes, "str": _text}


def _option(content: _Pair) -> _Step:
    lead, step = content[0] + 1, content[1]

    def option(data: bytes, offset: int, depth: int) -> int:
        tag = data[offset]
        if tag == 0:
            return offset + 1
        if tag > 1:
            raise FormatError("option is neither 0 nor 1", offset=offset, found=tag)
        return step(data, offset + lead, depth)

    return option


def _vector(parts: list[_Part]) -> _Step:
    size, step = _joined(parts)

    def fixed(data: bytes, offset: int, _depth: int) -> int:
        count, offset = read_count(data, offset)
        return offset + count * size

    def vector(data: bytes, offset: int, depth: int) -> int:
        count, offset = read_count(data, offset) if data[offset] else (0, offset + 1)
        for _ in range(count):
            offset = step(data, offset + size, depth)
        return offset

    return fixed if step is _nothing else vector


def _map(key: _Step, value: _Step) -> _Step:
    def entries(data: bytes, offset: int, depth: int) -> int:
        count, offset = read_count(data, offset)
        previous = b""  # below every key: no key is empty
        for _ in range(count):
            stop = key(data, offset, depth)
            encoded = data[offset:stop]
            if encoded <= previous:
                raise FormatError("map keys do not increase", offset=offset)
            previous = encoded
            offset = value(data, stop, depth)
        return offset

    return entries


def _struct(fields: list[_Pair]) -> _Step:
    """A struct that can get deep; all others are fused into what contains them."""

    def struct(data: bytes, offset: int, depth: int) -> int:
        if depth >= MAX_DEPTH:
            raise _too_deep(offset)
        depth += 1
        for lead, step in fields:
            offset = step(data, offset + lead, depth)
        return offset

    return struct


def _enum(name: str, variants: list[_Pair]) -> _Step:
    """The first byte of each variant's pair is its index."""

    def enum(data: bytes, offset: int, depth: int) -> int:
        index = data[offset]
        if index >= len(variants):
            # An index of two bytes or more is unknown too: no enum has more than 127 variants.
            raise FormatError(f"unknown variant of {name}", offset=offset, found=index)
        if depth >= MAX_DEPTH:
            raise _too_deep(offset)
        lead, step = variants[index]
        if step is _nothing:
            return offset + lead
        return step(data, offset + lead, depth + 1)

    return enum


def _too_deep(offset: int) -> FormatError:
    return FormatError("value is nested too deep", offset=offset, expected=f"at most {MAX_DEPTH} levels")


def _metadata_v1(data: bytes, offset: int, _depth: int) -> int:
    """Slot deposit, bytes deposit, creation time: u64 each."""
    if data[offset + 8 : offset + 16] == bytes(8):
        raise FormatError("state value metadata V1 has a bytes deposit of 0", offset=offset)
    return offset + 24


def _module_bundle(_data: bytes, offset: int, _depth: int) -> int:
    raise FormatError("transaction payload is a module bundle", offset=offset)


RULES: dict[tuple[str, str], _Step] = {
    # The Rust tool would write such metadata back as V0, and so hash other bytes than these (section 4.3).
    ("StateValueMetadata", "V1"): _metadata_v1,
    # A dead placeholder that no transaction holds (section 6.1).
    ("TransactionPayload", "ModuleBundle"): _module_bundle,
}
"""Content of variants that the notation cannot describe."""
