"""The configuration of a command adapter: YAML, with the texts of six commands and variables for them.

    env_vars:                 # required, may be []
      - key: BUCKET
        value: some-bucket
    commands:
      create_backup: ...      # the first five are required
      create_for_write: ...
      open_for_read: ...
      save_metadata_line: ...
      list_metadata_files: ...
      backup_metadata_file: ...

Texts are taken as they are written: `value: 0123` is the text 0123, as it is for other tools, not a number.
Unknown keys are ignored.

Source: spec/backup-format.md 1.2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeAlias

import yaml

from restore.errors import UsageError

REQUIRED = ("create_backup", "create_for_write", "open_for_read", "save_metadata_line", "list_metadata_files")
OPTIONAL = "backup_metadata_file"

_IMPOSSIBLE = re.compile(r"[\0\ud800-\udfff]")
"""Characters that no variable and no command can have."""

_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")

PARAMETERS = {"BACKUP_NAME", "BACKUP_HANDLE", "FILE_NAME", "FILE_HANDLE"}
"""Set anew for each call."""

_PLACES = {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"}
"""Lead the same bucket's name to another storage without being named in a command."""

_CREDENTIALS = {"SAS", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
"""Say who asks, not where; and they change."""

_NULL = "tag:yaml.org,2002:null"

_Entries: TypeAlias = dict[str, yaml.Node]


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """What the operator configured.

    Attributes:
        file: where it is written.
        variables: set for every command, over those of this process.
        commands: texts for bash, by the names above.
    """

    file: str
    variables: Mapping[str, str] = field(repr=False)
    commands: Mapping[str, str]


def parse_adapter_config(text: str, *, file: str) -> AdapterConfig:
    """Reads a configuration.

    Raises:
        UsageError: it is not YAML, lacks something, or has something twice; names the key.
    """
    try:
        # Nodes, not values: they have the texts as they are written, duplicates, and lines.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise UsageError(
            "adapter configuration is not YAML",
            file=file,
            found=f"{getattr(error, 'problem', error)}{_line(mark)}",
        ) from error
    if root is None:
        raise UsageError("adapter configuration is empty", file=file)
    entries = _mapping(root, "configuration", file)
    commands = _mapping(_required(entries, "commands", "commands", file), "commands", file)
    texts = {name: _command(commands, name, file) for name in REQUIRED}
    if OPTIONAL in commands and commands[OPTIONAL].tag != _NULL:
        texts[OPTIONAL] = _command(commands, OPTIONAL, file)
    return AdapterConfig(file, _variables(_required(entries, "env_vars", "env_vars", file), file), texts)


def _variables(node: yaml.Node, file: str) -> dict[str, str]:
    if not isinstance(node, yaml.SequenceNode):
        raise _wrong("env_vars", "a list", node, file)
    found: dict[str, str] = {}
    for number, item in enumerate(node.value):
        place = f"env_vars[{number}]"
        entries = _mapping(item, place, file)
        key, value = (
            _text(_required(entries, name, f"{place}.{name}", file), f"{place}.{name}", file)
            for name in ("key", "value")
        )
        if not key or "=" in key:
            raise _wrong(f"{place}.key", "the name of a variable", entries["key"], file)
        found[key] = value  # given twice, the later one wins
    return found


def _command(commands: _Entries, name: str, file: str) -> str:
    place = f"commands.{name}"
    node = _required(commands, name, place, file)
    text = _text(node, place, file)
    if not text.strip():
        raise _wrong(place, "a command", node, file)
    return text


def _mapping(node: yaml.Node, place: str, file: str) -> _Entries:
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(place, "keys with values", node, file)
    entries: _Entries = {}
    for key, value in node.value:
        name = _text(key, place, file)
        if name in entries:
            raise UsageError(
                "adapter configuration has a key twice", file=file, found=f"{name}{_line(key.start_mark)}"
            )
        entries[name] = value
    return entries


def _required(entries: _Entries, name: str, place: str, file: str) -> yaml.Node:
    if name not in entries:
        raise UsageError("adapter configuration lacks a key", file=file, expected=place)
    return entries[name]


def _text(node: yaml.Node, place: str, file: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag == _NULL or _IMPOSSIBLE.search(node.value):
        raise _wrong(place, "text", node, file)
    return str(node.value)


def _wrong(place: str, expected: str, node: yaml.Node, file: str) -> UsageError:
    if isinstance(node, yaml.ScalarNode):
        found = "nothing" if node.tag == _NULL else repr(node.value[:80])
    else:
        found = "a list" if isinstance(node, yaml.SequenceNode) else "keys with values"
    return UsageError(
        "adapter configuration has a key of another kind",
        file=file,
        expected=f"{expected} at {place}",
        found=f"{found}{_line(node.start_mark)}",
    )


def _line(mark: yaml.Mark | None) -> str:
    return "" if mark is None else f" in line {mark.line + 1}"


def identity_of(config: AdapterConfig, environment: Mapping[str, str]) -> str:
    """Says which storage a configuration leads to: a hash of its commands and of all variables they look at.

    Args:
        config: the configuration.
        environment: the variables of this process.
    """
    named = {name for text in config.commands.values() for name in _VARIABLE.findall(text)}
    taken = {name: environment[name] for name in (named | _PLACES) & environment.keys()}
    variables = {**taken, **config.variables}
    for name in PARAMETERS | _CREDENTIALS:
        variables.pop(name, None)
    canonical = json.dumps([dict(config.commands), variables], sort_keys=True)
    return f"command:{sha256(canonical.encode('utf-8', 'surrogateescape')).hexdigest()}"
