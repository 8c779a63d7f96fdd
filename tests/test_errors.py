"""The error tree: what its docstring draws, exit codes, places, messages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from restore import errors
from restore.errors import (
    FormatError,
    ManifestError,
    ProofError,
    RestoreError,
    StorageUnavailableError,
    UsageError,
    located,
)

EXIT_CODES = {
    0: "ok",
    1: "unexpected",
    2: "usage or configuration",
    10: "nothing at the storage",
    11: "locked",
    20: "data invalid (do not retry)",
    21: "request not reachable from this backup",
    30: "storage unavailable after retries",
    31: "permission",
    40: "local disk, memory or descriptors",
    75: "interrupted, resumable",
    130: "second signal",
}
"""The table of the design."""

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, RestoreError)
}

RESTORE = Path(errors.__file__).parent


def drawn_tree() -> dict[str, tuple[str | None, int]]:
    """Parent and exit code of each class, as the docstring of the module draws them."""
    tree: dict[str, tuple[str | None, int]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.fullmatch(r"[ │├└─]+(\w+Error) +(\d+)? *\S.*", line):
            depth = match.start(1) // 4 - 1
            parent = path[depth - 1] if depth else None
            path[depth:] = [match[1]]
            tree[match[1]] = (parent, int(match[2]) if match[2] else tree[path[depth - 1]][1])
    return tree


def test_docstring_draws_every_class_with_its_parent_and_exit_code() -> None:
    real: dict[str, tuple[str | None, int]] = {
        name: (kind.__base__.__name__ if kind.__base__ in CLASSES.values() else None, kind.exit_code)
        for name, kind in CLASSES.items()
        if kind.__base__ is not None
    }
    assert drawn_tree() == real
    assert len(real) > 10


def test_every_exit_code_is_one_of_the_table_and_every_failure_of_the_table_has_a_class() -> None:
    failures = EXIT_CODES.keys() - {errors.EXIT_OK, errors.EXIT_SECOND_SIGNAL}
    assert {kind.exit_code for kind in CLASSES.values()} == failures


def test_the_table_is_the_design_s(shared: Path) -> None:
    design = " ".join((shared / "design.md").read_text("utf-8").split())
    listed = design.partition("**Exit codes**")[2].partition(". Every class has one listed code")[0]
    codes = {int(code): meaning for code, meaning in re.findall(r"(\d+) ([a-z][^·]*[^· ])", listed)}
    assert codes == EXIT_CODES


def test_message_comes_first_and_values_follow_by_name() -> None:
    assert str(RestoreError("no space left")) == "no space left"
    error = ProofError(
        "leaf hash differs",
        file="a/b.chunk",
        version=0,
        offset=7,
        expected=b"\x01\xff",
        found=None,
        hint="ask",
    )
    assert str(error) == "leaf hash differs: file a/b.chunk, version 0, offset 7, expected 01ff"
    assert (error.expected, error.found, error.hint) == ("01ff", None, "ask")
    assert str(UsageError("not a version", found=-1)) == "not a version: found -1"


def test_hint_is_the_class_s_unless_one_is_given() -> None:
    assert FormatError("torn record").hint == FormatError.default_hint
    assert FormatError("torn record", hint="other").hint == "other"
    assert RestoreError("unexpected").hint == RestoreError.default_hint


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_no_error_is_without_a_hint(name: str) -> None:
    assert CLASSES[name]("it went wrong").hint


def test_located_adds_what_is_not_known_yet() -> None:
    with pytest.raises(ManifestError) as caught, located(file="m.json", version=5):
        raise ManifestError("chunk list is empty")
    assert (caught.value.file, caught.value.version) == ("m.json", 5)


def test_located_leaves_what_is_known_also_version_0() -> None:
    with pytest.raises(ManifestError) as caught, located(file="m.json", version=5):
        raise ManifestError("chunk list is empty", file="inner.json", version=0)
    assert (caught.value.file, caught.value.version) == ("inner.json", 0)


def test_innermost_place_wins_field_by_field() -> None:
    with pytest.raises(FormatError) as caught, located(file="outer", version=9), located(file="inner"):
        raise FormatError("torn record", offset=3)
    assert str(caught.value) == "torn record: file inner, version 9, offset 3"


def test_located_touches_no_other_error_and_no_success() -> None:
    with located(file="x"):
        pass
    error = OSError("gone")
    with pytest.raises(OSError) as caught, located(file="x"):
        raise error
    assert caught.value is error
    assert not hasattr(error, "file")


def test_located_keeps_the_very_error() -> None:
    error = StorageUnavailableError("no answer")
    with pytest.raises(StorageUnavailableError) as caught, located(file="x"):
        raise error
    assert caught.value is error


def written_messages(text: str) -> Iterator[tuple[int, str]]:
    """Line and message of every error of ours that is made in a module, `{}` for what is filled in."""
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in CLASSES
            and node.args
        ):
            message = node.args[0]
            if isinstance(message, ast.Constant) and isinstance(message.value, str):
                yield node.lineno, message.value
            elif isinstance(message, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in message.values]
                yield node.lineno, "".join(str(part) for part in parts)


def is_one_clause(message: str) -> bool:
    """Lower case (but for names and abbreviations), one line, no punctuation at the end."""
    first = message.split(" ")[0]
    proper = any(letter.isupper() or letter.isdigit() for letter in first[1:])
    return (
        (not first[:1].isupper() or proper)
        and "\n" not in message
        and message[-1:] not in {"", ".", "!", ":", " "}
    )


def test_the_words_of_others_control_no_terminal() -> None:
    error = FormatError("value is wrong", expected="a\nb", found=ValueError("\x1b[31mred \x9b \ud800 \u00fc"))
    assert str(error) == (r"value is wrong: expected a\nb, found \x1b[31mred \x9b \ud800 " + "\u00fc")


def test_messages_are_one_clause_each() -> None:
    wrong = [
        f"{path.relative_to(RESTORE)}:{line}: {message}"
        for path in sorted(RESTORE.rglob("*.py"))
        for line, message in written_messages(path.read_text("utf-8"))
        if not is_one_clause(message)
    ]
    assert wrong == []


def test_the_message_check_finds_what_it_should() -> None:
    text = 'raise ProofError(f"Leaf {x} differs.", found=1)\nraise ProofError("BCS ends early")'
    assert [is_one_clause(message) for _, message in written_messages(text)] == [False, True]
