"""The index: its bytes, and the rules by which one follows from another."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections import Counter
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cache.errors import DamagedFileError
from cache.index import (
    MAX_SMALL_PACKS,
    PACK_BYTES,
    Index,
    PackRecord,
    decode_index,
    encode_index,
    forget_retired,
    packs_to_merge,
    with_listing,
    with_packs,
    without_packs,
)

IDENTITY = "file:///one"
NOW = 1000.0

PACKED_FILE = b"\xd9\x45" + b"0" * 64 + b".pack"
"""The name of a pack, as msgpack."""

listings = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["", "1", "2"]))


def pack_file(number: int) -> str:
    return f"{number:064x}.pack"


def pack(
    number: int, live: Mapping[str, str] | None = None, *, size: int = PACK_BYTES, entries: int | None = None
) -> PackRecord:
    held = {"a": "1"} if live is None else dict(live)
    return PackRecord(pack_file(number), size, len(held) if entries is None else entries, held)


@st.composite
def pack_lists(draw: st.DrawFn, first: int = 0) -> list[PackRecord]:
    """Packs as they are written; a name may be in several."""
    contents = draw(st.lists(listings.filter(bool), max_size=5))
    return [pack(first + number, live) for number, live in enumerate(contents)]


@st.composite
def indexes(draw: st.DrawFn) -> Index:
    """An index as it can come about: packs that follow each other, and retired ones."""
    retired = draw(st.dictionaries(st.integers(100, 105).map(pack_file), st.floats(0, 900)))
    return with_packs(Index(IDENTITY, retired=retired), draw(pack_lists()), now=50.0)


def known_files(index: Index) -> set[str]:
    return {held.file for held in index.packs} | index.retired.keys()


def check_sound(before: Index, after: Index, added: list[PackRecord]) -> None:
    """What holds whatever is done: no pack is lost, no name is live twice, no time of retirement changes."""
    assert known_files(after) == known_files(before) | {held.file for held in added}
    assert not {held.file for held in after.packs} & after.retired.keys()
    assert after.identity == before.identity
    names = Counter(name for held in after.packs for name in held.live)
    assert all(count == 1 for count in names.values())
    assert all(held.live for held in after.packs)
    assert all(after.retired[file] == since for file, since in before.retired.items())
    assert all(after.retired[file] == NOW for file in after.retired.keys() - before.retired.keys())


# Its bytes.


@given(indexes())
def test_an_index_gives_back_what_was_put_into_it(index: Index) -> None:
    assert decode_index(encode_index(index), identity=IDENTITY) == index
    assert decode_index(encode_index(index), identity=None) == index


def test_the_bytes_are_those_that_the_module_says() -> None:
    data = encode_index(Index(IDENTITY, (pack(1, {"a": "t"}, size=7),), {pack_file(2): 5.0}, b"state"))
    assert data[:32] == hashlib.sha256(data[32:]).digest()
    assert msgspec.msgpack.decode(data[32:]) == [
        IDENTITY,
        [[pack_file(1), 7, 1, {"a": "t"}]],
        {pack_file(2): 5.0},
        b"state",
    ]


def test_every_damaged_bit_and_every_cut_is_found() -> None:
    data = encode_index(Index(IDENTITY, (pack(1),), {pack_file(2): 5.0}))
    flipped = [
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for at in range(len(data))
        for bit in range(8)
    ]
    cut = [data[:length] for length in range(len(data))]
    for damaged in [*flipped, *cut, data + b"\x00", data + data]:
        with pytest.raises(DamagedFileError, match="damaged"):
            decode_index(damaged, identity=IDENTITY)


@given(st.binary(max_size=100))
def test_no_bytes_at_all_raise_anything_else(body: bytes) -> None:
    for data in (body, signed(body)):
        with pytest.raises(DamagedFileError):
            decode_index(data, identity=IDENTITY)


def signed(body: bytes) -> bytes:
    """A file whose digest fits, whatever it says."""
    return hashlib.sha256(body).digest() + body


def test_an_index_of_another_source_is_refused() -> None:
    data = encode_index(Index(IDENTITY))
    with pytest.raises(DamagedFileError, match="another source") as refusal:
        decode_index(data, identity="file:///two")
    assert (refusal.value.expected, refusal.value.found) == ("file:///two", IDENTITY)


@pytest.mark.parametrize(
    "file",
    ["../../x", "/etc/passwd", "", "index", pack_file(1) + "\n", "../" + pack_file(1), pack_file(1)[1:]],
)
def test_an_index_names_nothing_but_packs(file: str) -> None:
    for content in ([IDENTITY, [[file, 1, 1, {"a": ""}]], {}], [IDENTITY, [], {file: 1.0}]):
        with pytest.raises(DamagedFileError, match="does not parse"):
            decode_index(signed(msgspec.msgpack.encode(content)), identity=IDENTITY)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x91" * 100_000, id="deep"),
        pytest.param(b"\x94\xa0\x90\x80" + b"\x91" * 100_000 + b"\xc0", id="deep where nobody looks"),
        pytest.param(b"\xdb\xff\xff\xff\xff", id="4 GiB of text"),
        pytest.param(b"\x93\xa0\xdd\xff\xff\xff\xff", id="4 G packs"),
        pytest.param(b"\x93\xa0\x90\xdf\xff\xff\xff\xff", id="4 G retired ones"),
        pytest.param(b"\x93\xa0\x91\x94" + PACKED_FILE + b"\x01\x01\xdf\xff\xff\xff\xff", id="4 G names"),
    ],
)
def test_nonsense_is_refused_and_takes_no_memory(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError, match="does not parse"):
            decode_index(signed(body), identity="")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


# How one follows from another.


@given(indexes(), pack_lists(first=10))
def test_of_several_packs_with_a_name_the_last_one_counts(index: Index, added: list[PackRecord]) -> None:
    after = with_packs(index, added, now=NOW)
    check_sound(index, after, added)
    expected = index.tags()
    for held in added:
        expected |= held.live
    assert after.tags() == expected
    last = {name: held.file for held in (*index.packs, *added) for name in held.live}
    assert {name: held.file for held in after.packs for name in held.live} == last


@given(indexes(), listings)
def test_of_a_listing_stays_what_agrees_with_it(index: Index, listing: dict[str, str]) -> None:
    after = with_listing(index, listing, now=NOW)
    check_sound(index, after, [])
    assert after.tags() == dict(index.tags().items() & listing.items())
    assert with_listing(after, listing, now=NOW + 1) == after


@given(indexes(), pack_lists(first=10), listings)
def test_sizes_and_counts_stay_what_they_are(
    index: Index, added: list[PackRecord], listing: dict[str, str]
) -> None:
    after = with_listing(with_packs(index, added, now=NOW), listing, now=NOW)
    written = {held.file: (held.size, held.entries) for held in (*index.packs, *added)}
    assert all(written[held.file] == (held.size, held.entries) for held in after.packs)
    assert after.size == sum(held.size for held in after.packs)


@given(indexes(), st.sets(st.integers(0, 105).map(pack_file)))
def test_packs_are_retired_whatever_they_hold(index: Index, files: set[str]) -> None:
    after = without_packs(index, files, now=NOW)
    check_sound(index, after, [])
    assert after.packs == tuple(held for held in index.packs if held.file not in files)


def test_a_pack_that_was_retired_keeps_its_time() -> None:
    index = Index(IDENTITY, (pack(1),), {pack_file(2): 5.0})
    again = without_packs(index, {pack_file(1), pack_file(2)}, now=NOW)
    assert again.retired == {pack_file(1): NOW, pack_file(2): 5.0}
    assert with_listing(again, {}, now=NOW + 1) == again
    assert with_packs(again, [], now=NOW + 1) == again


@given(indexes(), st.sets(st.integers(0, 105).map(pack_file)))
def test_only_retired_packs_are_forgotten(index: Index, files: set[str]) -> None:
    after = forget_retired(index, files)
    assert after.packs == index.packs
    assert after.retired == {file: since for file, since in index.retired.items() if file not in files}


@given(indexes(), listings)
def test_an_index_never_changes(index: Index, listing: dict[str, str]) -> None:
    before = encode_index(index)
    with_listing(index, listing, now=NOW)
    with_packs(index, [pack(50, {"a": "2"})], now=NOW)
    without_packs(index, known_files(index), now=NOW)
    forget_retired(index, known_files(index))
    assert encode_index(index) == before


def test_the_oldest_packs_come_first() -> None:
    index = with_packs(Index(IDENTITY), [pack(3, {"a": ""}), pack(1, {"b": ""})], now=NOW)
    after = with_packs(index, [pack(2, {"c": ""})], now=NOW)
    assert [held.file for held in after.packs] == [pack_file(3), pack_file(1), pack_file(2)]


# What is merged.


def test_a_few_small_packs_are_left_alone_and_many_are_merged() -> None:
    small = [
        pack(number, {str(number): ""}, size=PACK_BYTES // 2 - 1) for number in range(MAX_SMALL_PACKS + 1)
    ]
    large = pack(100, {"large": ""}, size=PACK_BYTES // 2)
    assert packs_to_merge(Index(IDENTITY, (*small[1:], large))) == []
    assert packs_to_merge(Index(IDENTITY, (*small, large))) == small


@pytest.mark.parametrize(
    ("live", "entries", "is_merged"), [(5, 10, False), (4, 10, True), (1, 1, False), (1, 3, False)]
)
def test_a_pack_that_mostly_holds_what_nobody_needs_is_merged(
    live: int, entries: int, is_merged: bool
) -> None:
    held = pack(1, {str(number): "" for number in range(live)}, entries=entries)
    assert packs_to_merge(Index(IDENTITY, (held, pack(2, {"x": ""})))) == [held] * is_merged


@given(
    st.lists(st.tuples(st.integers(0, 2 * PACK_BYTES), st.integers(1, 4), st.integers(0, 20)), max_size=20)
)
def test_a_pack_is_merged_once(shapes: list[tuple[int, int, int]]) -> None:
    packs = tuple(
        pack(number, {f"{number}/{part}": "" for part in range(live)}, size=size, entries=live + dead)
        for number, (size, live, dead) in enumerate(shapes)
    )
    due = packs_to_merge(Index(IDENTITY, packs))
    assert len(due) == len({held.file for held in due})
    assert set(due_files := [held.file for held in due]) <= {held.file for held in packs}
    assert due_files == sorted(due_files)


@given(indexes())
def test_merged_packs_hold_the_same_live_files(index: Index) -> None:
    assume(index.packs)
    live = {name: tag for held in index.packs for name, tag in held.live.items()}
    merged = [pack(60, live)]
    after = with_packs(index, merged, now=NOW)
    check_sound(index, after, merged)
    assert after.tags() == index.tags()
    assert [held.file for held in after.packs] == [pack_file(60)]
