"""Any value of a struct, field by field from its annotations: a new field is covered by being there."""

from __future__ import annotations

import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

S = TypeVar("S", bound=msgspec.Struct)

MAX_U64 = (1 << 64) - 1

SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(0, MAX_U64),
    float: st.floats(0, 1e12),
    bool: st.booleans(),
    bytes: st.binary(max_size=33),
    str: st.text(max_size=20),
    type(None): st.none(),
}


def structs(kind: type[S]) -> st.SearchStrategy[S]:
    """Values of `kind`, with every field given."""
    fields: st.SearchStrategy[S] = _values(kind)
    return fields


def _values(kind: Any) -> st.SearchStrategy[Any]:
    if kind in SCALARS:
        return SCALARS[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(_values, arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(_values(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(_values, arguments))
    assert isinstance(kind, type), kind
    return st.builds(kind, **{name: _values(hint) for name, hint in get_type_hints(kind).items()})
