"""Configurations of adapters: what is read of them, what is refused, and which storage they stand for."""

from __future__ import annotations

import pytest

from restore.errors import UsageError
from restore.storage.adapter_config import AdapterConfig, identity_of, parse_adapter_config
from tests.storage.adapter_configs import GCLOUD, GSUTIL, LOCAL_FOLDER, S3

COMMANDS = """
commands:
  create_backup: one
  create_for_write: two
  open_for_read: three
  save_metadata_line: four
  list_metadata_files: five
"""

TEXT = f"env_vars: []{COMMANDS}"


NAME = "the name of a variable"


def parse(text: str) -> AdapterConfig:
    return parse_adapter_config(text, file="some.yaml")


def refusal_of(text: str) -> UsageError:
    with pytest.raises(UsageError) as refusal:
        parse(text)
    assert refusal.value.file == "some.yaml"
    assert str(refusal.value).isprintable()
    return refusal.value


def test_commands_and_variables_are_read() -> None:
    config = parse(f"env_vars: [{{key: A, value: b c}}, {{value: '', key: D}}]{COMMANDS}")
    assert config.file == "some.yaml"
    assert config.variables == {"A": "b c", "D": ""}
    assert config.commands == {
        "create_backup": "one",
        "create_for_write": "two",
        "open_for_read": "three",
        "save_metadata_line": "four",
        "list_metadata_files": "five",
    }
    assert parse(f"{TEXT}  backup_metadata_file: six\n").commands["backup_metadata_file"] == "six"
    assert "backup_metadata_file" not in parse(f"{TEXT}  backup_metadata_file:\n").commands


@pytest.mark.parametrize("text", [LOCAL_FOLDER, S3, GSUTIL, GCLOUD])
def test_configurations_in_use_are_read(text: str) -> None:
    assert len(parse(text).commands) == 6


def test_what_is_not_known_is_ignored() -> None:
    text = f"{TEXT}  other: {{a: [1, 2]}}\nmore: [x]\n".replace(
        "env_vars: []", "env_vars: [{key: A, value: b, c: d}]"
    )
    assert parse(text).variables == {"A": "b"}
    assert len(parse(text).commands) == 5


@pytest.mark.parametrize(
    "value", ["0123", "yes", "1_000", "2024-01-01", "1e3", "true", "0x10", ".5", "12:30:45"]
)
def test_a_text_is_taken_as_it_is_written(value: str) -> None:
    config = parse(TEXT.replace("[]", f"[{{key: A, value: {value}}}]").replace("three", value))
    assert config.variables == {"A": value}
    assert config.commands["open_for_read"] == value


def test_a_command_may_have_many_lines() -> None:
    text = TEXT.replace("three", "|\n    # a comment of bash\n    one\n\n    two  # and another").replace(
        "five", "'it''s'"
    )
    assert parse(text).commands["open_for_read"] == "# a comment of bash\none\n\ntwo  # and another\n"
    assert parse(text).commands["list_metadata_files"] == "it's"


def test_of_a_variable_given_twice_the_later_holds() -> None:
    assert parse(TEXT.replace("[]", "[{key: A, value: a}, {key: A, value: b}]")).variables == {"A": "b"}


@pytest.mark.parametrize(
    "name",
    ["create_backup", "create_for_write", "open_for_read", "save_metadata_line", "list_metadata_files"],
)
def test_a_command_that_is_missing_is_named(name: str) -> None:
    refusal = refusal_of("\n".join(line for line in TEXT.splitlines() if name not in line))
    assert refusal.message == "adapter configuration lacks a key"
    assert refusal.expected == f"commands.{name}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (COMMANDS, "env_vars"),
        ("env_vars: []", "commands"),
        (TEXT.replace("[]", "[{key: A}]"), "env_vars[0].value"),
        (TEXT.replace("[]", "[{key: A, value: b}, {value: b}]"), "env_vars[1].key"),
    ],
)
def test_a_key_that_is_missing_is_named(text: str, expected: str) -> None:
    refusal = refusal_of(text)
    assert refusal.message == "adapter configuration lacks a key"
    assert refusal.expected == expected


@pytest.mark.parametrize(
    ("text", "expected", "found"),
    [
        ("- a\n", "keys with values at configuration", "a list in line 1"),
        ("just text\n", "keys with values at configuration", "'just text' in line 1"),
        (TEXT.replace("[]", "{key: A, value: b}"), "a list at env_vars", "keys with values in line 1"),
        (TEXT.replace("[]", ""), "a list at env_vars", "nothing in line 1"),
        (TEXT.replace("[]", "[A]"), "keys with values at env_vars[0]", "'A' in line 1"),
        (TEXT.replace("[]", "[{key: [A], value: b}]"), "text at env_vars[0].key", "a list in line 1"),
        (TEXT.replace("[]", "[{key: A, value: }]"), "text at env_vars[0].value", "nothing in line 1"),
        (TEXT.replace("[]", "[{key: '', value: b}]"), f"{NAME} at env_vars[0].key", "'' in line 1"),
        (TEXT.replace("[]", "[{key: A=B, value: b}]"), f"{NAME} at env_vars[0].key", "'A=B' in line 1"),
        (TEXT.replace("[]", '[{key: A, value: "\\0"}]'), "text at env_vars[0].value", "'\\x00' in line 1"),
        (TEXT.replace("three", "[three]"), "text at commands.open_for_read", "a list in line 5"),
        (TEXT.replace("three", "{a: b}"), "text at commands.open_for_read", "keys with values in line 5"),
        (TEXT.replace("three", ""), "text at commands.open_for_read", "nothing in line 5"),
        (TEXT.replace("three", "' '"), "a command at commands.open_for_read", "' ' in line 5"),
        (f"{TEXT}  backup_metadata_file: []\n", "text at commands.backup_metadata_file", "a list in line 8"),
        ("env_vars: []\ncommands: none\n", "keys with values at commands", "'none' in line 2"),
        (TEXT.replace("env_vars: []", "[]: x"), "text at configuration", "a list in line 1"),
    ],
)  # fmt: skip
def test_a_key_of_another_kind_is_named_with_its_line(text: str, expected: str, found: str) -> None:
    refusal = refusal_of(text)
    assert refusal.message == "adapter configuration has a key of another kind"
    assert (refusal.expected, refusal.found) == (expected, found)


@pytest.mark.parametrize("character", ["\\0", "\\ud800", "\\udfff"])
def test_a_character_that_no_variable_can_have_is_refused(character: str) -> None:
    refusal = refusal_of(TEXT.replace("[]", f'[{{key: A, value: "{character}"}}]'))
    assert refusal.expected == "text at env_vars[0].value"


def test_a_long_value_is_not_shown_whole() -> None:
    refusal = refusal_of(TEXT.replace("[]", "x" * 1000))
    assert refusal.found is not None
    assert len(refusal.found) < 150


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{TEXT}  open_for_read: again\n", "open_for_read in line 8"),
        (f"{TEXT}env_vars: []\n", "env_vars in line 8"),
        (TEXT.replace("[]", "[{key: A, value: b, key: C}]"), "key in line 1"),
    ],
)
def test_a_key_given_twice_is_refused(text: str, found: str) -> None:
    refusal = refusal_of(text)
    assert refusal.message == "adapter configuration has a key twice"
    assert refusal.found == found


@pytest.mark.parametrize(
    "text", ["a: [", "a: b: c", "\tx: y", "a: !!python/object:os.system x\n- b", "[" * 5000]
)
def test_what_is_not_yaml_is_refused(text: str) -> None:
    assert refusal_of(text).message == "adapter configuration is not YAML"


def test_an_error_of_yaml_has_its_line() -> None:
    assert "line 3" in str(refusal_of("a: b\nc: d\ne: f: g\n").found)


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n"])
def test_an_empty_configuration_is_refused(text: str) -> None:
    refusal_of(text)


def test_no_value_of_a_variable_is_shown() -> None:
    assert "secret" not in repr(parse(TEXT.replace("[]", "[{key: SAS, value: secret}]")))


# Which storage it is

READS = TEXT.replace("three", "cat $FOLDER/${SUB_DIR}/$FILE_HANDLE")


def identity(text: str = READS, **environment: str) -> str:
    return identity_of(parse(text), environment)


def test_a_storage_is_known_by_its_commands_and_what_they_look_at() -> None:
    one = identity(FOLDER="a", SUB_DIR="b")
    assert one.startswith("command:")
    assert identity(FOLDER="a", SUB_DIR="b") == one
    assert identity(FOLDER="a", SUB_DIR="c") != one
    assert identity(FOLDER="a") != one
    assert identity(READS.replace("cat", "zcat"), FOLDER="a", SUB_DIR="b") != one
    # Where it is written, who runs it and what nobody looks at make no difference.
    assert identity_of(parse_adapter_config(READS, file="other"), {"FOLDER": "a", "SUB_DIR": "b"}) == one
    assert identity(FOLDER="a", SUB_DIR="b", HOME="/home", FILE_HANDLE="x") == one


def test_a_variable_of_the_configuration_counts_as_one_of_the_process() -> None:
    own = READS.replace("[]", "[{key: FOLDER, value: a}]")
    assert identity(own, SUB_DIR="b") == identity(own, SUB_DIR="b", FOLDER="other")
    assert identity(own, SUB_DIR="b") == identity(FOLDER="a", SUB_DIR="b")


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_what_leads_programs_elsewhere_makes_another_storage(name: str) -> None:
    assert identity(FOLDER="a", **{name: "http://127.0.0.1:1"}) != identity(FOLDER="a")


@pytest.mark.parametrize("name", ["SAS", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_credentials_change_and_the_storage_does_not(name: str) -> None:
    text = READS.replace("cat ", f"cat ${name} ")
    assert identity(text, **{name: "one"}) == identity(text, **{name: "two"}) == identity(text)
    own = [text.replace("[]", f"[{{key: {name}, value: {value}}}]") for value in ("one", "two")]
    assert identity(own[0]) == identity(own[1])
