"""Names, handles and lines that a storage takes, and those that it refuses."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restore.errors import FormatError, UnsafePathError, UsageError
from restore.storage.names import backup_name, check_handle, check_line, check_name
from tests.contracts.reading import UNSAFE_HANDLES
from tests.contracts.storage import UNSAFE_NAMES

LETTERS = string.ascii_letters + string.digits


@pytest.mark.parametrize("name", UNSAFE_NAMES)
def test_an_unsafe_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as refusal:
        check_name(name)
    assert refusal.value.found == repr(name)


@given(st.text(LETTERS + "._-", min_size=3, max_size=127).filter(lambda name: name[0] in LETTERS))
@example("x" * 127)
@example("a..")
@example("epoch_ending_0-.0a1b")
def test_plain_names_are_taken(name: str) -> None:
    assert check_name(name) == name


@given(st.text())
def test_a_name_is_taken_only_if_it_is_plain(name: str) -> None:
    is_plain = 3 <= len(name) <= 127 and set(name) <= set(LETTERS + "._-") and name[0] in LETTERS
    try:
        assert check_name(name) == name
    except UsageError:
        assert not is_plain
    else:
        assert is_plain


@pytest.mark.parametrize("handle", UNSAFE_HANDLES)
def test_an_unsafe_handle_is_refused(handle: str) -> None:
    with pytest.raises(UnsafePathError) as refusal:
        check_handle(handle)
    assert str(refusal.value).isprintable()
    assert refusal.value.exit_code == 20


@given(st.lists(st.sampled_from(["a", "..", ".", "", "x.y", "...", ".hidden", "a b", "☃"]), max_size=4))
def test_a_handle_is_taken_only_if_every_part_names_something_below(parts: list[str]) -> None:
    handle = "/".join(parts)
    if all(part not in {"", ".", ".."} for part in parts) and parts:
        assert check_handle(handle) == handle
    else:
        with pytest.raises(UnsafePathError):
            check_handle(handle)


def test_a_backup_s_name_ends_in_its_suffix() -> None:
    assert backup_name("transaction_0-", suffix="0a1b") == "transaction_0-.0a1b"


@pytest.mark.parametrize("suffix", ["", "0a1", "0a1b2", "0A1B", "0x1b", "0a1g", "0a1b\n", "../x"])
def test_a_suffix_has_four_hexadecimal_digits(suffix: str) -> None:
    with pytest.raises(UsageError) as refusal:
        backup_name("transaction_0-", suffix=suffix)
    assert refusal.value.found == repr(suffix)


def test_a_backup_s_name_is_safe_as_a_whole() -> None:
    with pytest.raises(UsageError):
        backup_name("x" * 123, suffix="0000")


@given(st.text(st.characters(exclude_characters="\r\n")))
def test_a_line_without_breaks_is_taken(line: str) -> None:
    assert check_line(line) == line


@pytest.mark.parametrize("line", ["\n", "a\nb", "a\r", "\r\n"])
def test_a_line_with_a_break_is_refused(line: str) -> None:
    with pytest.raises(FormatError):
        check_line(line)
