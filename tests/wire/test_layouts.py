from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore.errors import FormatError
from restore.wire.bcs import Reader, encode_uleb
from restore.wire.layouts import MAX_DEPTH, skipper
from restore.wire.table import Expression, layouts
from tests.wire.values import decode, encoded

NAMES = sorted(layouts())
slow = settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))


def accepted(name: str, data: bytes) -> int | None:
    """The offset after the value, or None where it is refused."""
    try:
        return skipper(name)(data, 0, len(data))
    except FormatError:
        return None


def accepted_by_the_rules(name: str, data: bytes) -> int | None:
    """The same, by the decoder written for the tests."""
    reader = Reader(data)
    try:
        decode(reader, Expression(name))
    except FormatError:
        return None
    return reader.offset


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@slow
def test_a_value_of_every_type_is_passed_over_exactly(name: str, data: st.DataObject) -> None:
    value = data.draw(encoded(name))
    assert skipper(name)(b"before" + value + b"after", 6, 6 + len(value) + 5) == 6 + len(value)
    cut = data.draw(st.integers(0, len(value) - 1))
    for end in (cut, len(value) - 1):
        with pytest.raises(FormatError):
            skipper(name)(value[:end], 0, end)
        with pytest.raises(FormatError):
            skipper(name)(value, 0, end)


@pytest.mark.parametrize(
    "name", ["TransactionRecordV0", "TransactionRecordV1", "StateRecord", "LedgerInfo", "Path"]
)
@given(data=st.data())
@settings(slow, max_examples=150)
def test_damaged_values_are_refused_where_the_rules_refuse_them(name: str, data: st.DataObject) -> None:
    value = bytearray(data.draw(encoded(name)))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(value) - 1))
        value[place] = data.draw(st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF]))
    assert accepted(name, bytes(value)) == accepted_by_the_rules(name, bytes(value))


@given(st.sampled_from(NAMES), st.binary(max_size=300))
@settings(deadline=None, max_examples=500)
def test_random_bytes_raise_nothing_but_format_errors(name: str, data: bytes) -> None:
    assert accepted(name, data) == accepted_by_the_rules(name, data)


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("TypeTag", "12", "unknown variant of TypeTag"),
        ("TypeTag", "8600", "unknown variant of TypeTag"),
        ("BlockEndInfo", "00 02 00", "neither 0 nor 1"),
        ("MultisigTransactionPayload", "00", "runs past the end"),
        ("AggregateSignature", "00 02", "neither 0 nor 1"),
        ("AggregateSignature", "00 01 8000", "shortest form"),
        ("AggregateSignature", "ffffffff0f", "too long"),
        ("ModuleId", "00" * 32 + "02c328", "UTF-8"),
        ("FeeDistribution", "00 02" + "01" + "00" * 15 + "01" + "00" * 15, "do not increase"),
        ("FeeDistribution", "00 02" + "02" + "00" * 15 + "01" + "00" * 15, "do not increase"),
        ("StateValueMetadata", "01" + "11" * 8 + "00" * 8 + "11" * 8, "bytes deposit of 0"),
        ("WriteOp", "03 00 01" + "11" * 8 + "00" * 8 + "11" * 8, "bytes deposit of 0"),
        ("TransactionPayload", "01" + "00" * 8, "module bundle"),
    ],
)
def test_what_a_strict_decoder_refuses_is_named(name: str, data: str, what: str) -> None:
    raw = bytes.fromhex(data)
    with pytest.raises(FormatError, match=what) as caught:
        skipper(name)(raw, 0, len(raw))
    assert caught.value.offset is not None


def test_integer_keys_of_a_map_are_in_the_order_of_their_bytes() -> None:
    keys = [(256).to_bytes(8, "little"), (1).to_bytes(8, "little")]
    data = b"\x00\x02" + b"".join(key + bytes(8) for key in keys)
    assert skipper("FeeDistribution")(data, 0, len(data)) == len(data)


@pytest.mark.parametrize("per_level", [1, 2, 3])
def test_types_inside_each_other_end_at_the_limit(per_level: int) -> None:
    struct = bytes(32) + b"\x00\x00"
    around = {1: b"\x06", 2: b"\x07" + struct + b"\x01", 3: b"\x0b\x01\x02"}[per_level]
    after = b"\x00\x00" if per_level == 3 else b""  # the results and abilities of a function

    def nested(count: int) -> bytes:
        return around * count + b"\x01" + after * count

    levels = (MAX_DEPTH - 1) // per_level  # and the innermost tag
    most = nested(levels)
    assert accepted("TypeTag", most) == accepted_by_the_rules("TypeTag", most) == len(most)
    for more in (levels + 1, 50_000):
        with pytest.raises(FormatError, match="too deep"):
            skipper("TypeTag")(nested(more), 0, len(nested(more)))


def test_the_depth_counts_from_the_outermost_value() -> None:
    # ContractEvent, then the tags.
    fits = b"\x01" + b"\x06" * (MAX_DEPTH - 2) + b"\x01" + b"\x00"
    assert accepted("ContractEvent", fits) == len(fits)
    assert accepted("ContractEvent", b"\x01" + b"\x06" + fits[1:]) is None


def test_a_promised_count_ends_with_the_data() -> None:
    promised = encode_uleb(2**31 - 1)
    for name in ("JWKMoveStruct", "ProviderJWKs", "AccumulatorProof", "ChangeSet"):
        data = {"ProviderJWKs": b"\x00" + bytes(8), "ChangeSet": b"\x00\x00", "JWKMoveStruct": b""}.get(
            name, b""
        )
        with pytest.raises(FormatError):
            skipper(name)(data + promised, 0, len(data) + 5)


def test_one_closure_serves_all_threads() -> None:
    skipper.cache_clear()
    gate = threading.Barrier(4)
    offsets = []
    data = b"\x06\x07" + bytes(32) + b"\x01a\x01b\x02\x01\x06\x02"

    def use() -> None:
        gate.wait()
        offsets.append(skipper("TypeTag")(data, 0, len(data)))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert offsets == [len(data)] * 4
