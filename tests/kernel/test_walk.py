"""The kernel's walk against the closures: the same end of every value, and the same values refused."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.errors import FormatError
from restore.wire.bcs import encode_bytes, encode_uleb
from restore.wire.layouts import MAX_DEPTH, RULES, skipper
from restore.wire.program import OPERATIONS_OF_RULES, program
from restore.wire.table import layouts
from tests.kernel.examples import tried
from tests.wire.values import encoded

_native = pytest.importorskip("restore.kernel._native")

NAMES = sorted(layouts())


def walked(name: str, data: bytes, offset: int = 0, end: int | None = None) -> int | None:
    words, addresses = program()
    found: int | None = _native.walk(words, addresses[name], data, offset, len(data) if end is None else end)
    return found


def skipped(name: str, data: bytes, offset: int = 0, end: int | None = None) -> int | None:
    try:
        return skipper(name)(data, offset, len(data) if end is None else end)
    except FormatError:
        return None


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@tried(8)
def test_a_value_of_every_type_ends_where_it_ends(name: str, data: st.DataObject) -> None:
    value = data.draw(encoded(name))
    assert walked(name, b"before" + value + b"after", 6) == 6 + len(value)
    cut = data.draw(st.integers(0, len(value) - 1))
    for end in (cut, len(value) - 1):
        assert walked(name, value[:end]) is None
        assert walked(name, value, end=end) is None


@given(data=st.data())
@tried(300)
def test_damaged_values_are_refused_where_the_closures_refuse_them(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*NAMES, "TransactionRecordV0", "TransactionRecordV1"]))
    value = bytearray(data.draw(encoded(name)))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(value) - 1))
        value[place] = data.draw(st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    assert walked(name, bytes(value)) == skipped(name, bytes(value))


@given(st.sampled_from(NAMES), st.binary(max_size=300))
@tried(300)
def test_random_bytes_are_refused_where_the_closures_refuse_them(name: str, data: bytes) -> None:
    assert walked(name, data) == skipped(name, data)


@given(st.binary(max_size=12) | st.text(max_size=12).map(str.encode), st.binary(max_size=2))
@tried(500)
def test_text_is_what_python_decodes(text: bytes, tail: bytes) -> None:
    data = bytes(32) + encode_bytes(text + tail)
    assert walked("ModuleId", data) == skipped("ModuleId", data)


@pytest.mark.parametrize(
    "text",
    [
        "7f", "c280", "dfbf", "e0a080", "ed9fbf", "ee8080", "efbfbf", "f0908080", "f48fbfbf",
        "80", "c0af", "c1bf", "c2", "c241", "e09fbf", "e08080", "eda080", "edbfbf", "e18041", "e180",
        "f08fbfbf", "f4908080", "f5808080", "ff", "f09080", "f0904180", "f0908041",
        "6162636465666768c3", "6162636465666768c3a9", "61626364656667c3a9",
    ],
)  # fmt: skip
def test_the_edges_of_utf_8_are_those_of_python(text: str) -> None:
    data = bytes(32) + encode_bytes(bytes.fromhex(text))
    assert walked("ModuleId", data) == skipped("ModuleId", data)


@pytest.mark.parametrize(
    "count",
    ["00", "01", "8000", "8100", "ff7f", "ffffffff07", "ffffffff0f", "8080808008", "8080808010", "80" * 6],
)
def test_the_length_of_a_sequence_is_read_alike(count: str) -> None:
    data = bytes.fromhex(count) + bytes(32 * 130)
    assert walked("AccumulatorProof", data) == skipped("AccumulatorProof", data)


@pytest.mark.parametrize("per_level", [1, 2, 3])
def test_depth_is_counted_alike(per_level: int) -> None:
    struct = bytes(32) + b"\x00\x00"
    around = {1: b"\x06", 2: b"\x07" + struct + b"\x01", 3: b"\x0b\x01\x02"}[per_level]
    after = b"\x00\x00" if per_level == 3 else b""
    levels = (MAX_DEPTH - 1) // per_level
    for count in (levels, levels + 1, 50_000):
        value = around * count + b"\x01" + after * count
        assert walked("TypeTag", value) == skipped("TypeTag", value)
        event = b"\x01" + value + b"\x00"
        assert walked("ContractEvent", event) == skipped("ContractEvent", event)
    assert walked("TypeTag", around * levels + b"\x01" + after * levels) is not None


def test_a_promised_count_ends_with_the_data() -> None:
    promised = encode_uleb(2**31 - 1)
    for name, before in (("JWKMoveStruct", b""), ("ProviderJWKs", bytes(9)), ("ChangeSet", b"\x00\x00")):
        assert walked(name, before + promised) is None


def test_every_rule_has_its_operation() -> None:
    assert OPERATIONS_OF_RULES.keys() == RULES.keys()


def test_offsets_outside_the_data_are_refused() -> None:
    for offset, end in ((-1, 1), (2, 1), (0, 9), (9, 9)):
        assert walked("MultiKey", bytes(8), offset, end) is None


def test_a_program_that_is_none_reads_nothing() -> None:
    data = bytes(40)
    assert _native.walk(b"", 0, data, 0, 40) == 0
    words, _ = program()
    for address in range(0, len(words) // 4 + 2, 7):
        end = _native.walk(words, address, data, 0, 40)
        assert end is None or end <= 40


def test_threads_walk_at_once() -> None:
    value = b"\x06" * 400 + b"\x01"
    gate = threading.Barrier(4)
    found: list[int | None] = []

    def walk() -> None:
        gate.wait()
        found.extend(walked("TypeTag", value) for _ in range(50))

    threads = [threading.Thread(target=walk) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [len(value)] * 200
