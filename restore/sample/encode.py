"""BCS of what the sample chain is made of: integers, options, sequences, addresses and type tags.

Source: spec/ledger-hashing.md section 2.1 and spec/bcs-layouts.txt.
"""

from __future__ import annotations

from collections.abc import Iterable

from restore.wire.bcs import encode_bytes, encode_uleb

NONE = b"\x00"
"""An option without a value."""

U8_TAG, U64_TAG, ADDRESS_TAG = b"\x01", b"\x02", b"\x04"
"""TypeTags without parameters."""


def u16(value: int) -> bytes:
    """Two bytes, little-endian."""
    return value.to_bytes(2, "little")


def u32(value: int) -> bytes:
    """Four bytes, little-endian."""
    return value.to_bytes(4, "little")


def u64(value: int) -> bytes:
    """Eight bytes, little-endian."""
    return value.to_bytes(8, "little")


def u128(value: int) -> bytes:
    """Sixteen bytes, little-endian."""
    return value.to_bytes(16, "little")


def text(value: str) -> bytes:
    """UTF-8 with its length."""
    return encode_bytes(value.encode())


def option(encoded: bytes | None) -> bytes:
    """An option around an encoded value."""
    return NONE if encoded is None else b"\x01" + encoded


def sequence(encoded: Iterable[bytes]) -> bytes:
    """A sequence of encoded values: their count, then all of them."""
    items = list(encoded)
    return encode_uleb(len(items)) + b"".join(items)


def address(number: int) -> bytes:
    """A special address, such as 0x1."""
    return number.to_bytes(32, "big")


FRAMEWORK = address(1)
"""0x1, where the framework lives."""


def module_id(owner: bytes, name: str) -> bytes:
    """ModuleId: an address and a name."""
    return owner + text(name)


def struct(module: str, name: str, *type_arguments: bytes, owner: bytes = FRAMEWORK) -> bytes:
    """StructTag; `type_arguments` are TypeTags."""
    return module_id(owner, module) + text(name) + sequence(type_arguments)


def struct_tag(module: str, name: str, *type_arguments: bytes, owner: bytes = FRAMEWORK) -> bytes:
    """TypeTag of a struct."""
    return b"\x07" + struct(module, name, *type_arguments, owner=owner)


def vector_tag(element: bytes) -> bytes:
    """TypeTag of a vector."""
    return b"\x06" + element


def code_key(owner: bytes, name: str) -> bytes:
    """StateKey of a module's code."""
    return _access_path(owner, b"\x00" + module_id(owner, name))


def resource_key(owner: bytes, tag: bytes) -> bytes:
    """StateKey of a resource; `tag` is its StructTag."""
    return _access_path(owner, b"\x01" + tag)


def group_key(owner: bytes, tag: bytes) -> bytes:
    """StateKey of a resource group; `tag` is its StructTag."""
    return _access_path(owner, b"\x02" + tag)


def table_key(handle: bytes, key: bytes) -> bytes:
    """StateKey of a table item."""
    return b"\x01" + handle + encode_bytes(key)


def raw_key(key: bytes) -> bytes:
    """StateKey of the raw kind, which only tests have."""
    return b"\x02" + encode_bytes(key)


def _access_path(owner: bytes, path: bytes) -> bytes:
    return b"\x00" + owner + encode_bytes(path)
