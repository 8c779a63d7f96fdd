"""Manifests: exact text, and every check that one allows by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.catalog.entries import MAX_U64
from restore.catalog.manifests import (
    EpochEndingChunk,
    EpochEndingManifest,
    HashValue,
    StateSnapshotChunk,
    StateSnapshotManifest,
    TransactionChunk,
    TransactionManifest,
    encode_manifest,
    parse_epoch_ending_manifest,
    parse_state_snapshot_manifest,
    parse_transaction_manifest,
)
from restore.errors import DataError, FormatError, ManifestError, UnsafePathError
from restore.ledger.waypoint import Waypoint

Json = Any

FILE = "abc.0000/some.manifest"


def digits(number: int) -> str:
    """A hash, in the order of the numbers."""
    return f"{number:064x}"


def epoch_endings() -> Json:
    """Epochs 3 to 6 in two chunks."""
    return {
        "first_epoch": 3,
        "last_epoch": 6,
        "waypoints": [f"{version}:{digits(version)}" for version in (30, 41, 42, 60)],
        "chunks": [
            {"first_epoch": 3, "last_epoch": 3, "ledger_infos": "epoch_ending_3-.0a1b/3-.chunk"},
            {"first_epoch": 4, "last_epoch": 6, "ledger_infos": "epoch_ending_3-.0a1b/4-.chunk"},
        ],
    }


def state_snapshot() -> Json:
    """Nine items in three chunks; the second one has a single item."""
    folder = "state_epoch_2_ver_20.0a1b"
    return {
        "version": 20,
        "epoch": 2,
        "root_hash": digits(99),
        "chunks": [
            {
                "first_idx": first,
                "last_idx": last,
                "first_key": digits(10 + 2 * first),
                "last_key": digits(10 + 2 * last),
                "blobs": f"{folder}/{first}-.chunk",
                "proof": f"{folder}/{first}-{last}.proof",
            }
            for first, last in ((0, 3), (4, 4), (5, 8))
        ],
        "proof": f"{folder}/state.proof",
    }


def transactions() -> Json:
    """Versions 100 to 300 in three chunks, each of another format."""
    folder = "transaction_100-.0a1b"
    chunks = [
        {
            "first_version": first,
            "last_version": last,
            "transactions": f"{folder}/{first}-.chunk",
            "proof": f"{folder}/{first}-{last}.proof",
        }
        for first, last in ((100, 100), (101, 250), (251, 300))
    ]
    chunks[1]["format"] = "V0"
    chunks[2]["format"] = "V1"
    return {"first_version": 100, "last_version": 300, "chunks": chunks}


Parse = Callable[..., EpochEndingManifest | StateSnapshotManifest | TransactionManifest]

KINDS: list[tuple[Callable[[], Json], Parse]] = [
    (epoch_endings, parse_epoch_ending_manifest),
    (state_snapshot, parse_state_snapshot_manifest),
    (transactions, parse_transaction_manifest),
]
PARSERS = dict(KINDS)

each_kind = pytest.mark.parametrize(("make", "parse"), KINDS, ids=lambda kind: kind.__name__)


def text_of(manifest: Json) -> bytes:
    return json.dumps(manifest, separators=(",", ":")).encode()


def set_in(manifest: Json, path: str, value: Any) -> Json:
    """The manifest with another value at a path such as "chunks/1/last_idx"."""
    *folders, name = (int(part) if part.isdigit() else part for part in path.split("/"))
    place = manifest
    for folder in folders:
        place = place[folder]
    place[name] = value
    return manifest


def paths_in(value: Any, path: str = "") -> list[str]:
    """The paths of all fields, in objects and lists."""
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)  # type: ignore[assignment]
    else:
        return [path]
    below = [paths_in(child, f"{path}/{name}" if path else str(name)) for name, child in children]
    return [*([path] if path else []), *(each for paths in below for each in paths)]


@each_kind
def test_a_manifest_encodes_as_it_was(make: Callable[[], Json], parse: Parse) -> None:
    data = text_of(make())
    assert encode_manifest(parse(data, file=FILE)) == data


@each_kind
def test_every_value_is_read(make: Callable[[], Json], parse: Parse) -> None:
    """A manifest that differs in one place, and is still well formed, is another manifest."""
    original = parse(text_of(make()), file=FILE)
    for path in paths_in(make()):
        if path.endswith(("proof", "ledger_infos", "blobs", "transactions")):
            changed = parse(text_of(set_in(make(), path, "abc.0000/another.file")), file=FILE)
            assert changed != original


def test_values_have_their_types() -> None:
    endings = parse_epoch_ending_manifest(text_of(epoch_endings()), file=FILE)
    assert endings.parsed_waypoints() == [
        Waypoint(version, version.to_bytes(32)) for version in (30, 41, 42, 60)
    ]
    assert endings.chunks[1] == EpochEndingChunk(4, 6, "epoch_ending_3-.0a1b/4-.chunk")
    state = parse_state_snapshot_manifest(text_of(state_snapshot()), file=FILE)
    assert (state.version, state.epoch, state.root_hash) == (20, 2, (99).to_bytes(32))
    assert state.chunks[1] == StateSnapshotChunk(
        4,
        4,
        HashValue((18).to_bytes(32)),
        HashValue((18).to_bytes(32)),
        "state_epoch_2_ver_20.0a1b/4-.chunk",
        "state_epoch_2_ver_20.0a1b/4-4.proof",
    )


def test_a_chunk_without_a_format_is_of_the_older_one() -> None:
    manifest = parse_transaction_manifest(text_of(transactions()), file=FILE)
    assert [chunk.format for chunk in manifest.chunks] == ["V0", "V0", "V1"]
    assert manifest.chunks[0] != manifest.chunks[1]
    assert manifest.chunks[2] == TransactionChunk(
        251, 300, "transaction_100-.0a1b/251-.chunk", "transaction_100-.0a1b/251-300.proof", "V1"
    )


@pytest.mark.parametrize("value", ["V2", "v1", "", None, 1, ["V1"]])
def test_an_unknown_format_is_refused(value: Any) -> None:
    with pytest.raises(FormatError):
        parse_transaction_manifest(text_of(set_in(transactions(), "chunks/0/format", value)), file=FILE)


def test_hashes_may_be_upper_case() -> None:
    lower = state_snapshot()
    upper = state_snapshot()
    for manifest, case in ((lower, str.lower), (upper, str.upper)):
        manifest["root_hash"] = case("ab" * 32)
        manifest["chunks"][2]["last_key"] = case("CdEf" * 16)
    parsed = [parse_state_snapshot_manifest(text_of(each), file=FILE) for each in (lower, upper)]
    assert parsed[0] == parsed[1]
    assert encode_manifest(parsed[1]) == text_of(lower)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ab" * 31,
        "ab" * 33,
        "ab" * 31 + "a",
        "0x" + "ab" * 31,
        "0x" + "ab" * 32,
        "ab" * 31 + "zz",
        "ab" * 31 + " a",
        "ab" * 31 + "  ",
        "ab " * 21 + "a",
        "\u0661" * 64,
        "\uff11" * 64,
        7,
        None,
        ["ab" * 32],
    ],
)
@pytest.mark.parametrize("path", ["root_hash", "chunks/0/first_key", "chunks/2/last_key"])
def test_a_hash_has_64_hexadecimal_digits(path: str, value: Any) -> None:
    with pytest.raises(FormatError):
        parse_state_snapshot_manifest(text_of(set_in(state_snapshot(), path, value)), file=FILE)


@each_kind
def test_unknown_fields_are_ignored(make: Callable[[], Json], parse: Parse) -> None:
    extended = make() | {"new": {"x": [1]}}
    extended["chunks"][0]["new"] = None
    assert parse(text_of(extended), file=FILE) == parse(text_of(make()), file=FILE)


@each_kind
def test_every_missing_field_is_refused(make: Callable[[], Json], parse: Parse) -> None:
    for path in paths_in(make()):
        place = make()
        *folders, name = path.split("/")
        if name.isdigit() or name == "format":
            continue
        changed = place
        for folder in folders:
            place = place[int(folder) if folder.isdigit() else folder]
        del place[name]
        with pytest.raises(FormatError, match=name):
            parse(text_of(changed), file=FILE)


@each_kind
def test_a_number_that_is_no_u64_is_refused_wherever_it_is(make: Callable[[], Json], parse: Parse) -> None:
    fields = make()
    numbers = [path for path in paths_in(fields) if isinstance(value_at(fields, path), int)]
    assert len(numbers) >= 6
    for path in numbers:
        for wrong in (-1, MAX_U64 + 1, 10**40, 1.5, "1", None, True):
            with pytest.raises(FormatError) as caught:
                parse(text_of(set_in(make(), path, wrong)), file=FILE)
            assert caught.value.file == FILE


def value_at(manifest: Json, path: str) -> Any:
    for part in path.split("/"):
        manifest = manifest[int(part) if part.isdigit() else part]
    return manifest


@pytest.mark.parametrize(
    "wrong", ["", "../x", "/abc/x", "abc//x", "abc/../../x", "abc/x\n", "abc\\x", "abc/\x1b[2J"]
)
@each_kind
def test_every_unsafe_handle_is_refused(make: Callable[[], Json], parse: Parse, wrong: str) -> None:
    fields = make()
    handles = [
        path for path in paths_in(fields) if path.endswith(("proof", "ledger_infos", "blobs", "transactions"))
    ]
    assert len(handles) >= 2
    for path in handles:
        with pytest.raises(UnsafePathError) as caught:
            parse(text_of(set_in(make(), path, wrong)), file=FILE)
        assert caught.value.exit_code == 20


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"\x1f\x8b\x08\x00",
        b"\xef\xbb\xbf{}",
        b'{"chunks":' + b"[" * 100_000,
        b'{"chunks":[null]}',
    ],
)
@each_kind
def test_bytes_that_are_something_else_are_refused(
    make: Callable[[], Json], parse: Parse, data: bytes
) -> None:
    with pytest.raises(FormatError) as caught:
        parse(data, file=FILE)
    assert (caught.value.exit_code, caught.value.file) == (20, FILE)


@each_kind
def test_a_torn_manifest_is_refused_wherever_it_ends(make: Callable[[], Json], parse: Parse) -> None:
    data = text_of(make())
    for end in range(len(data)):
        with pytest.raises(FormatError):
            parse(data[:end], file=FILE)
    with pytest.raises(FormatError):
        parse(data + data, file=FILE)


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        pytest.param(epoch_endings, {"chunks": []}, id="epochs: no chunks"),
        pytest.param(epoch_endings, {"first_epoch": 7}, id="epochs: reversed"),
        pytest.param(
            epoch_endings, {"first_epoch": 2, "waypoints/0": "1:" + digits(1)}, id="epochs: later start"
        ),
        pytest.param(epoch_endings, {"chunks/0/first_epoch": 2}, id="epochs: earlier start"),
        pytest.param(epoch_endings, {"last_epoch": 7}, id="epochs: earlier end"),
        pytest.param(epoch_endings, {"chunks/1/last_epoch": 7}, id="epochs: later end"),
        pytest.param(epoch_endings, {"chunks/1/first_epoch": 5}, id="epochs: gap"),
        pytest.param(epoch_endings, {"chunks/0/last_epoch": 4}, id="epochs: overlap"),
        pytest.param(epoch_endings, {"chunks/1/last_epoch": 3}, id="epochs: reversed chunk"),
        pytest.param(epoch_endings, {"waypoints": []}, id="epochs: no waypoints"),
        pytest.param(epoch_endings, {"waypoints/1": "30:" + digits(1)}, id="epochs: equal versions"),
        pytest.param(epoch_endings, {"waypoints/1": "29:" + digits(1)}, id="epochs: versions descend"),
        pytest.param(state_snapshot, {"chunks": []}, id="state: no chunks"),
        pytest.param(state_snapshot, {"chunks/0/first_idx": 1}, id="state: later start"),
        pytest.param(state_snapshot, {"chunks/1/first_idx": 3}, id="state: overlap"),
        pytest.param(state_snapshot, {"chunks/2/first_idx": 6}, id="state: gap"),
        pytest.param(state_snapshot, {"chunks/1/last_idx": 3}, id="state: reversed chunk"),
        pytest.param(state_snapshot, {"chunks/0/last_key": digits(9)}, id="state: keys descend in a chunk"),
        pytest.param(state_snapshot, {"chunks/0/last_key": digits(10)}, id="state: one key for four items"),
        pytest.param(state_snapshot, {"chunks/1/last_key": digits(19)}, id="state: two keys for one item"),
        pytest.param(state_snapshot, {"chunks/2/first_key": digits(18)}, id="state: a key in two chunks"),
        pytest.param(state_snapshot, {"chunks/2/first_key": digits(17)}, id="state: keys descend"),
        pytest.param(transactions, {"chunks": []}, id="transactions: no chunks"),
        pytest.param(transactions, {"first_version": 301}, id="transactions: reversed"),
        pytest.param(transactions, {"first_version": 99}, id="transactions: later start"),
        pytest.param(transactions, {"first_version": 101}, id="transactions: earlier start"),
        pytest.param(transactions, {"last_version": 301}, id="transactions: earlier end"),
        pytest.param(transactions, {"last_version": 299}, id="transactions: later end"),
        pytest.param(transactions, {"chunks/1/first_version": 102}, id="transactions: gap"),
        pytest.param(transactions, {"chunks/2/first_version": 250}, id="transactions: overlap"),
        pytest.param(transactions, {"chunks/1/last_version": 100}, id="transactions: reversed chunk"),
        pytest.param(
            transactions,
            {"chunks/1/last_version": 100, "chunks/2/first_version": 101},
            id="transactions: empty chunk",
        ),
        pytest.param(
            state_snapshot, {"chunks/1/last_idx": 3, "chunks/2/first_idx": 4}, id="state: empty chunk"
        ),
        pytest.param(
            epoch_endings,
            {"chunks/1/last_epoch": 3, "last_epoch": 3, "waypoints": ["30:" + digits(30)]},
            id="epochs: empty chunk",
        ),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    make: Callable[[], Json], changes: dict[str, Any]
) -> None:
    manifest = make()
    for path, value in changes.items():
        set_in(manifest, path, value)
    with pytest.raises(ManifestError) as caught:
        PARSERS[make](text_of(manifest), file=FILE)
    assert (caught.value.exit_code, caught.value.file) == (20, FILE)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("extra", "found"), [(1, "5"), (-1, "3")])
def test_there_is_a_waypoint_for_each_epoch(extra: int, found: str) -> None:
    manifest = epoch_endings()
    waypoints = [*manifest["waypoints"], f"70:{digits(70)}"]
    manifest["waypoints"] = waypoints[: 4 + extra]
    with pytest.raises(ManifestError) as caught:
        parse_epoch_ending_manifest(text_of(manifest), file=FILE)
    assert (caught.value.expected, caught.value.found) == ("4", found)


@pytest.mark.parametrize(
    "wrong", ["", "30", f"30:{digits(0)[1:]}", f"-1:{digits(0)}", f"{MAX_U64 + 1}:{digits(0)}", 7]
)
def test_a_waypoint_that_does_not_parse_is_data_at_fault_not_the_user_s(wrong: Any) -> None:
    with pytest.raises(FormatError) as caught:
        parse_epoch_ending_manifest(text_of(set_in(epoch_endings(), "waypoints/0", wrong)), file=FILE)
    assert (caught.value.exit_code, caught.value.file) == (20, FILE)


def test_chunks_in_another_order_are_refused() -> None:
    for make, parse in KINDS:
        manifest = make()
        manifest["chunks"].reverse()
        with pytest.raises(ManifestError):
            parse(text_of(manifest), file=FILE)


lengths = st.lists(st.integers(1, 50), min_size=1, max_size=6)


@given(
    st.integers(0, MAX_U64 - 300),
    lengths,
    st.lists(st.sampled_from(["V0", "V1", None]), min_size=6, max_size=6),
)
def test_any_continuous_transactions_pass(first: int, sizes: list[int], formats: list[str | None]) -> None:
    chunks, begin = [], first
    for size, chunk_format in zip(sizes, formats, strict=False):
        declared = {} if chunk_format is None else {"format": chunk_format}
        chunk = {
            "first_version": begin,
            "last_version": begin + size - 1,
            "transactions": "a/b",
            "proof": "a/c",
        }
        chunks.append(chunk | declared)
        begin += size
    data = text_of({"first_version": first, "last_version": begin - 1, "chunks": chunks})
    manifest = parse_transaction_manifest(data, file=FILE)
    assert [chunk.format for chunk in manifest.chunks] == [each or "V0" for each in formats[: len(sizes)]]
    assert encode_manifest(manifest) == data


@given(st.data())
def test_whatever_stands_in_a_field_is_read_or_refused_as_data(data: st.DataObject) -> None:
    make, parse = data.draw(st.sampled_from(KINDS))
    path = data.draw(st.sampled_from(paths_in(make())))
    value = data.draw(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=5,
        )
    )
    try:
        parse(text_of(set_in(make(), path, value)), file=FILE)
    except DataError as error:
        assert (error.exit_code, error.file is None) == (20, False)  # noqa: PT017 - it need not be raised
