"""The table of layouts, `layouts.txt`, as data: one line for each BCS type that a backup record can contain.

The notation is explained at the head of the table.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_TOKEN = re.compile(r"\w+|[<>,]")


class Expression(NamedTuple):
    """One item of a layout: a type, or vec, opt or map of others."""

    head: str
    arguments: tuple[Expression, ...] = ()


class Variant(NamedTuple):
    """One variant of an enum; its index is its place."""

    name: str
    items: tuple[Expression, ...]


class Layout(NamedTuple):
    """A struct's items, or an enum's variants.

    Attributes:
        items: in order; empty for an enum.
        variants: in order of their index; empty for a struct.
        deep: whether a value can contain values of its own type, or of another type that can, without end.
    """

    items: tuple[Expression, ...]
    variants: tuple[Variant, ...]
    deep: bool = False


@cache
def layouts() -> dict[str, Layout]:
    """All layouts by the name of their type."""
    lines = files("restore.wire").joinpath("layouts.txt").read_text("utf-8").splitlines()
    table = dict(_parsed(line) for line in lines if line and not line.startswith("#"))
    uses = {name: _names(layout) & table.keys() for name, layout in table.items()}
    reaches = {name: _reachable(name, uses) for name in table}
    recursive = {name for name in table if name in reaches[name]}
    return {
        name: layout._replace(deep=name in recursive or not recursive.isdisjoint(reaches[name]))
        for name, layout in table.items()
    }


def _parsed(line: str) -> tuple[str, Layout]:
    if "|" not in line:
        name, items = line.split(" = ")
        return name, Layout(_expressions(items), ())
    name, *texts = line.split(" | ")
    variants = []
    for index, text in enumerate(texts):
        head, items = text.split(":")
        number, variant = head.split()
        if int(number) != index:
            raise ValueError(f"layouts.txt: variant {number} of {name} is not at its place")
        variants.append(Variant(variant, _expressions(items)))
    return name, Layout((), tuple(variants))


def _expressions(text: str) -> tuple[Expression, ...]:
    return tuple(_expression(_TOKEN.findall(item)) for item in text.split())


def _expression(tokens: list[str]) -> Expression:
    """The one expression that `tokens`, read from the left and used up, begin with."""
    head = tokens.pop(0)
    arguments = []
    if tokens and tokens[0] == "<":
        while tokens.pop(0) != ">":  # "<" or ","
            arguments.append(_expression(tokens))
    return Expression(head, tuple(arguments))


def _names(layout: Layout) -> set[str]:
    waiting = [*layout.items, *(item for variant in layout.variants for item in variant.items)]
    found = set()
    while waiting:
        head, arguments = waiting.pop()
        found.add(head)
        waiting.extend(arguments)
    return found


def _reachable(name: str, uses: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = uses[waiting.pop()] - found
        found |= new
        waiting.extend(new)
    return found
