"""Metadata lines are read strictly, and each for itself: whatever is bad, everything else is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.catalog.entries import (
    MAX_U64,
    CompactionEntry,
    Entry,
    EpochEndingEntry,
    IdentityEntry,
    StateSnapshotEntry,
    TransactionEntry,
    encode_entry,
)
from restore.catalog.parsing import (
    MAX_PROBLEMS_OF_FILE,
    MAX_REASON_LENGTH,
    MetadataFile,
    ParsedFiles,
    parse_entries,
    parse_files,
)
from restore.errors import DataError, FormatError, ManifestError, UnsafePathError

ENTRIES: list[Entry] = [
    EpochEndingEntry(0, 3, 0, 900, "epoch_ending_0-.0000/epoch_ending.manifest"),
    StateSnapshotEntry(3, 900, "state_epoch_3_ver_900.0000/state.manifest"),
    TransactionEntry(0, MAX_U64, "transaction_0-.0000/transaction.manifest"),
    IdentityEntry("0f" * 32),
    CompactionEntry(1700000000, {"metadata/a.meta": None, "metadata/b.meta": MAX_U64}),
]
LINES = [encode_entry(entry).encode() for entry in ENTRIES]
GOOD = LINES[2]

UNPARSABLE = [
    b"text",
    b"null",
    b"{}",
    b"[]",
    b'"Identity"',
    b'{"Identity":null}',
    b'{"Identity":["x"]}',
    b'{"Identity":{}}',
    b'{"Identity":{"id":7}}',
    b'{"Identity":{"id":null}}',
    b'{"Identity":{"id":"x"}',
    b'{"Identity":{"id":"x"}} {"Identity":{"id":"x"}}',
    b'{"Identity":{"id":"x"},"StateSnapshotBackup":{"epoch":0,"version":0,"manifest":"m"}}',
    b'{"Identity":{"id":"x"},"Identity":null}',
    b'{"Identity":null,"Identity":{"id":"x"}}',
    b'{"Identity":{"id":"x"},"new":1}',
    b'{"identity":{"id":"x"}}',
    b'{"Unknown":{"id":"x"}}',
    b'{"Identity":{"id":"\xff"}}',
    b'{"Identity":{"id":"\x1d"}}',
    b'{"Identity":{"id":"x","new":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    GOOD + GOOD,
    GOOD + b"\x0c",
    GOOD + b"\x00",
    b"\xef\xbb\xbf" + GOOD,
    GOOD.replace(b'"first_version":0,', b""),
    GOOD.replace(b'"first_version":0', b'"first_version":"0"'),
    GOOD.replace(b'"first_version":0', b'"first_version":true'),
    GOOD.replace(b'"first_version":0', b'"first_version":0.0'),
    GOOD.replace(b'"first_version":0', b'"first_version":1e3'),
    GOOD.replace(b'"first_version":0', b'"first_version":-1'),
    GOOD.replace(b'"first_version":0', b'"first_version":%d' % (MAX_U64 + 1)),
    GOOD.replace(b"%d" % MAX_U64, b"%d" % (MAX_U64 + 1)),
    GOOD.replace(b"%d" % MAX_U64, b"9" * 5000),
    LINES[0].replace(b"900", b"%d" % (MAX_U64 + 1)),
    LINES[1].replace(b"900,", b"%d," % (MAX_U64 + 1)),
    LINES[4].replace(b"1700000000", b"%d" % (MAX_U64 + 1)),
    LINES[4].replace(b"%d" % MAX_U64, b"%d" % (MAX_U64 + 1)),
    LINES[4].replace(b"%d" % MAX_U64, b"-1"),
    LINES[4].replace(b"%d" % MAX_U64, b'"x"'),
]

REVERSED = [
    LINES[0].replace(b'"first_epoch":0', b'"first_epoch":4'),
    LINES[0].replace(b'"first_version":0', b'"first_version":901'),
    encode_entry(TransactionEntry(9, 5, "m")).encode(),
]

OUTSIDE = [
    encode_entry(entry).encode()
    for handle in ("../m", "a/../m", "a/./m", "/m", "a//m", "a/", "", "a\\m", "a\x1b[2J/m")
    for entry in (
        EpochEndingEntry(0, 0, 0, 0, handle),
        StateSnapshotEntry(7, 8, handle),
        TransactionEntry(0, 0, handle),
    )
]

BAD: list[tuple[type[DataError], bytes]] = [
    *((FormatError, line) for line in UNPARSABLE),
    *((ManifestError, line) for line in REVERSED),
    *((UnsafePathError, line) for line in OUTSIDE),
]

UNUSUAL: list[tuple[bytes, Entry]] = [
    (
        b' { "StateSnapshotBackup" : {"new": [1, {}], "manifest": "m", "version": 8, "epoch": 7 } }\t',
        StateSnapshotEntry(7, 8, "m"),
    ),
    (b'{"\\u0049dentity":{"id":"\\u0000"}}', IdentityEntry("\0")),
    ('{"Identity":{"id":"a\u2028b\u0085c"}}'.encode(), IdentityEntry("a\u2028b\u0085c")),
    ('{"Identity":{"id":"é"}}'.encode(), IdentityEntry("é")),
    (b'{"Identity":{"id":"x"},"Identity":{"id":"y"}}', IdentityEntry("y")),
]
"""Lines that are entries, although nobody writes them so."""

KNOWN: dict[bytes, Entry | None] = {
    **dict(zip(LINES, ENTRIES, strict=True)),
    **dict(UNUSUAL),
    **dict.fromkeys(line for _, line in BAD),
    **dict.fromkeys([b'{"Identity":', b'{"id":"x"}}', b"[" * 1500, b'"', b"\x1c", b"\x1d", b"\x85"]),
}
"""What each line says by itself; None for bad ones, of which some could be parts of a good one."""

BREAKS = (b"\n", b"\r\n", b"\r", b"\n\n", b"\n \t\x0b\x0c\n")

FILES = st.lists(
    st.lists(st.tuples(st.sampled_from(sorted(KNOWN)), st.sampled_from(BREAKS)), min_size=1, max_size=5),
    max_size=4,
)


def named(contents: list[bytes]) -> list[MetadataFile]:
    return [(f"metadata/{number}.meta", data) for number, data in enumerate(contents)]


@given(FILES, st.booleans())
def test_a_line_is_what_it_is_by_itself_whatever_is_beside_it(
    files: list[list[tuple[bytes, bytes]]], last_break: bool
) -> None:
    contents, good, bad = [], [], []
    for number, lines in enumerate(files):
        data = b""
        for line, after in lines:
            entry = KNOWN[line]
            if entry is None:
                bad.append((f"metadata/{number}.meta", len(data)))
            else:
                good.append(entry)
            data += line + after
        contents.append(data if last_break else data.removesuffix(lines[-1][1]))
    parsed = parse_files(named(contents))
    assert parsed.entries == good
    assert [type(entry) for entry in parsed.entries] == [type(entry) for entry in good]
    assert [(problem.file, problem.offset) for problem in parsed.problems] == bad


@pytest.mark.parametrize(("kind", "line"), BAD)
def test_a_bad_line_is_refused_and_costs_nothing_but_itself(kind: type[DataError], line: bytes) -> None:
    parsed = parse_files(named([GOOD, line, b"\n".join([GOOD, line, GOOD]), GOOD]))
    assert parsed.entries == [ENTRIES[2]] * 4
    assert [(type(problem), problem.file, problem.offset) for problem in parsed.problems] == [
        (kind, "metadata/1.meta", 0),
        (kind, "metadata/2.meta", len(GOOD) + 1),
    ]
    with pytest.raises(kind) as refusal:
        parse_entries(line, file="metadata/1.meta")
    assert (str(refusal.value), refusal.value.hint) == (str(parsed.problems[0]), parsed.problems[0].hint)


@given(st.lists(st.binary(max_size=40) | st.text(max_size=40).map(str.encode), max_size=3))
def test_no_bytes_make_it_fail_or_are_passed_over_without_a_word(contents: list[bytes]) -> None:
    parsed = parse_files(named(contents))
    told = {problem.file for problem in parsed.problems}
    assert parsed.entries or told == {name for name, _ in named(contents)}


def test_names_that_never_end_are_not_repeated() -> None:
    (problem,) = parse_files([("a.meta", b'{"' + b"x" * 100_000 + b'":{}}')]).problems
    assert MAX_REASON_LENGTH < len(str(problem)) < 2 * MAX_REASON_LENGTH
    (problem,) = parse_files([("a.meta", b'{"LaterBackup":{}}')]).problems
    assert "LaterBackup" in problem.message


def test_problems_name_file_line_and_offset_and_what_was_found() -> None:
    reversed_range, outside = REVERSED[-1], OUTSIDE[-1]
    mixed = b"\n".join([GOOD, b"text", b"", reversed_range, GOOD, outside])
    parsed = parse_files(named([GOOD, mixed, b"", b" \r\n"]))
    assert parsed.entries == [ENTRIES[2]] * 3
    assert [(problem.file, problem.offset) for problem in parsed.problems] == [
        ("metadata/1.meta", mixed.index(b"text")),
        ("metadata/1.meta", mixed.index(reversed_range)),
        ("metadata/1.meta", mixed.index(outside)),
        ("metadata/2.meta", None),
        ("metadata/3.meta", None),
    ]
    messages = [problem.message for problem in parsed.problems]
    assert messages[0].startswith("metadata line 2 does not parse: ")
    assert messages[1:] == [
        "metadata line 4 has reversed versions",
        "metadata line 6 names a file outside the storage",
        "metadata file is empty",
        "metadata file is empty",
    ]
    assert parsed.problems[1].found == "9..5"
    assert parsed.problems[2].found == "'a\\x1b[2J/m'"  # nothing that a terminal would obey
    for problem in parsed.problems:
        assert "--target-version" in problem.hint
        assert problem.exit_code == 20


def test_of_one_file_only_the_first_problems_are_told_and_all_good_lines_kept() -> None:
    bad = b"x\n" * (MAX_PROBLEMS_OF_FILE + 5)
    parsed = parse_files(named([bad + GOOD, bad]))
    assert parsed.entries == [ENTRIES[2]]
    assert [problem.file for problem in parsed.problems] == (
        ["metadata/0.meta"] * MAX_PROBLEMS_OF_FILE + ["metadata/1.meta"] * MAX_PROBLEMS_OF_FILE
    )
    assert parsed.problems[-1].offset == 2 * (MAX_PROBLEMS_OF_FILE - 1)


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n"])
def test_a_file_without_a_line_was_torn(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"metadata file is empty: file a\.meta"):
        parse_entries(data, file="a.meta")


def test_no_files_hold_nothing() -> None:
    assert parse_files([]) == ParsedFiles([], ())
