"""A pack gives back what was put into it, and nothing that is not just that."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.entry import (
    PACK_MAGIC,
    Entry,
    check_pack_name,
    content_digest,
    decode_pack,
    encode_pack,
    is_pack_name,
    make_entry,
    pack_name,
)
from cache.errors import DamagedFileError

IDENTITY = "file:///one"
NONCE = bytes(16)

files = st.lists(st.tuples(st.text(max_size=40), st.text(max_size=20), st.binary(max_size=200)), max_size=8)


def entry(name: str, content: bytes, *, identity: str = IDENTITY) -> Entry:
    return make_entry(identity, name, tag="tag", content=content)


def decode(data: bytes, *, identity: str = IDENTITY) -> list[Entry]:
    """What a file of these bytes holds under the name that fits them."""
    return decode_pack(pack_name(data), data, identity=identity)


def pack_of(entries: object, *, identity: object = IDENTITY) -> bytes:
    """A pack as somebody could write it who does not keep to the rules."""
    return PACK_MAGIC + msgspec.msgpack.encode([identity, NONCE, entries])


@given(st.text(max_size=40), files)
def test_a_pack_gives_back_what_was_put_into_it(
    identity: str, contents: list[tuple[str, str, bytes]]
) -> None:
    entries = [make_entry(identity, name, tag=tag, content=content) for name, tag, content in contents]
    data = encode_pack(identity, entries)
    assert decode(data, identity=identity) == entries
    assert [(found.name, found.tag, found.content) for found in entries] == contents
    assert is_pack_name(pack_name(data))


def test_the_bytes_are_those_that_the_module_says() -> None:
    data = encode_pack(IDENTITY, [entry("a", b"content")])
    assert data.startswith(b"mirror pack 1\n")
    digest = hashlib.sha256(b"11:file:///one1:acontent").digest()
    identity, nonce, entries = msgspec.msgpack.decode(data[len(PACK_MAGIC) :])
    assert (identity, entries) == (IDENTITY, [["a", "tag", digest, b"content"]])
    assert len(nonce) == 16
    assert pack_name(data) == hashlib.sha256(data).hexdigest() + ".pack"


def test_no_two_packs_share_a_name() -> None:
    entries = [entry("a", b"content")]
    assert len({pack_name(encode_pack(IDENTITY, entries)) for _ in range(100)}) == 100


triples = st.tuples(st.text(max_size=6), st.text(max_size=6), st.binary(max_size=6))


@given(triples, triples)
def test_a_digest_is_of_the_identity_the_name_and_the_content(
    one: tuple[str, str, bytes], other: tuple[str, str, bytes]
) -> None:
    assert (content_digest(*one) == content_digest(*other)) == (one == other)


def test_what_stands_in_one_part_is_not_taken_for_another() -> None:
    assert content_digest("ab", "c", b"") != content_digest("a", "bc", b"")
    assert content_digest("a", "b", b"c") != content_digest("a", "bc", b"")
    assert content_digest("", "1:a", b"") != content_digest("", "", b"1:a")


@pytest.fixture(scope="module")
def pack() -> bytes:
    """A pack of three files."""
    return encode_pack(IDENTITY, [entry("one", b"1" * 20), entry("two", b"2" * 20), entry("empty", b"")])


def flips(data: bytes) -> Iterator[bytes]:
    """The same bytes with one bit changed: each bit of each byte."""
    for at in range(len(data)):
        for bit in range(8):
            yield data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def cuts(data: bytes) -> Iterator[bytes]:
    return (data[:length] for length in range(len(data)))


def extensions(data: bytes) -> Iterator[bytes]:
    return (data + more for more in (b"\x00", b"\n", b"\xc0", data))


@pytest.mark.parametrize("damage", [flips, cuts, extensions])
def test_a_damaged_pack_is_found(pack: bytes, damage: Callable[[bytes], Iterator[bytes]]) -> None:
    name = pack_name(pack)
    decode_pack(name, pack, identity=IDENTITY)
    for data in damage(pack):
        with pytest.raises(DamagedFileError, match="not what its name says"):
            decode_pack(name, data, identity=IDENTITY)
        with pytest.raises(DamagedFileError):
            check_pack_name(name, data)


@pytest.mark.parametrize("damage", [cuts, extensions])
def test_a_cut_or_extended_pack_under_a_fitting_name_is_found(
    pack: bytes, damage: Callable[[bytes], Iterator[bytes]]
) -> None:
    for data in damage(pack):
        with pytest.raises(DamagedFileError):
            decode(data)


def test_a_changed_content_under_a_fitting_name_is_found(pack: bytes) -> None:
    """Whatever bit is flipped: either nothing is handed out, or all names and contents as they were."""
    rightful = {found.name: found.content for found in decode(pack)}
    for data in flips(pack):
        try:
            entries = decode(data)
        except DamagedFileError:
            continue
        assert {found.name: found.content for found in entries} == rightful


def test_a_pack_under_the_name_of_another_is_found(pack: bytes) -> None:
    other = encode_pack(IDENTITY, [entry("one", b"1" * 20)])
    check_pack_name(pack_name(other), other)
    with pytest.raises(DamagedFileError) as refusal:
        decode_pack(pack_name(other), pack, identity=IDENTITY)
    assert (refusal.value.file, refusal.value.found) == (pack_name(other), pack_name(pack))


def test_a_pack_of_another_source_is_found(pack: bytes) -> None:
    with pytest.raises(DamagedFileError, match="another source") as refusal:
        decode(pack, identity="file:///two")
    assert (refusal.value.expected, refusal.value.found) == ("file:///two", IDENTITY)


def test_a_content_of_another_source_is_found() -> None:
    data = encode_pack(IDENTITY, [entry("one", b"1"), entry("two", b"2", identity="file:///two")])
    with pytest.raises(DamagedFileError, match="not what it was") as refusal:
        decode(data)
    assert refusal.value.file == "two"


def test_a_content_under_the_name_of_another_is_found() -> None:
    one, two = entry("one", b"1"), entry("two", b"2")
    swapped = [
        Entry("two", one.tag, one.digest, one.content),
        Entry("one", two.tag, two.digest, two.content),
    ]
    with pytest.raises(DamagedFileError, match="not what it was"):
        decode(encode_pack(IDENTITY, swapped))
    exchanged = [
        Entry("one", one.tag, one.digest, two.content),
        Entry("two", two.tag, two.digest, one.content),
    ]
    with pytest.raises(DamagedFileError, match="not what it was"):
        decode(encode_pack(IDENTITY, exchanged))


@pytest.mark.parametrize("magic", [b"", b"mirror pack 2\n", b"mirror pack 1", PACK_MAGIC.upper()])
def test_a_file_of_another_kind_is_found(pack: bytes, magic: bytes) -> None:
    with pytest.raises(DamagedFileError):
        decode(magic + pack[len(PACK_MAGIC) :])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xc0", id="nil"),
        pytest.param(b"\x80", id="map"),
        pytest.param(b"\x90", id="empty"),
        pytest.param(b"\xc1", id="no type"),
        pytest.param(b"\x91" * 100_000, id="deep"),
        pytest.param(b"\x94\xa0\xc4\x00\x90" + b"\x91" * 100_000 + b"\xc0", id="deep where nobody looks"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="4 G fields"),
        pytest.param(b"\x93\xdb\xff\xff\xff\xff", id="4 GiB of identity"),
        pytest.param(b"\x93\xa0\xc6\xff\xff\xff\xff", id="4 GiB of nonce"),
        pytest.param(b"\x93\xa0\xc4\x00\xdd\xff\xff\xff\xff", id="4 G entries"),
        pytest.param(b"\x93\xa0\xc4\x00\xdd\x0f\xff\xff\xff\x94", id="256 M entries, and the first begins"),
        pytest.param(b"\x93\xa0\xc4\x00\x91\x94\xa0\xa0\xc4\x00\xc6\xff\xff\xff\xff", id="4 GiB of content"),
        pytest.param(b"\x93\xa1\xff\xc4\x00\x90", id="no UTF-8"),
    ],
)
def test_nonsense_is_refused_and_takes_no_memory(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError, match="does not parse"):
            decode(PACK_MAGIC + body, identity="")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "entries",
    [
        None,
        {},
        [None],
        [[]],
        [["a", "t", b""]],
        [[1, "t", b"", b""]],
        [["a", None, b"", b""]],
        [["a", "t", 5, b""]],
    ],
)
def test_entries_of_other_types_are_refused(entries: object) -> None:
    with pytest.raises(DamagedFileError, match="does not parse"):
        decode(pack_of(entries))


@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise_anything_else(body: bytes) -> None:
    for data in (body, PACK_MAGIC + body):
        with pytest.raises(DamagedFileError):
            decode(data)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".pack",
        "../../x",
        "a" * 64,
        "a" * 63 + ".pack",
        "a" * 65 + ".pack",
        "A" * 64 + ".pack",
        "g" * 64 + ".pack",
        "a" * 64 + ".pack\n",
        "a" * 64 + ".pack.pack",
        "a" * 64 + "xpack",
        "\n" + "a" * 64 + ".pack",
        "../" + "a" * 61 + ".pack",
        "x/" + "a" * 64 + ".pack",
        ".tmp-" + "a" * 64 + ".pack",
        "\u0661" * 64 + ".pack",  # digits, but of another script
    ],
)
def test_names_that_no_pack_has(name: str) -> None:
    assert not is_pack_name(name)


def test_names_that_packs_have() -> None:
    assert is_pack_name("0123456789abcdef" * 4 + ".pack")


@pytest.mark.parametrize("name", ["", "a/b", "../x", "\x00", "ä\u2028\U0001f600", "x" * 100_000, " \n\t"])
def test_any_name_may_be_in_a_pack(name: str) -> None:
    entries = [entry(name, b"content"), entry(name + "2", b"content")]
    assert decode(encode_pack(IDENTITY, entries)) == entries
