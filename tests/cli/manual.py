"""Writes the pages of the manual that the code itself tells.

    python -m tests.cli.manual

A test compares the pages with what this makes, so they cannot grow old.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from restore import errors
from restore.cli.main import PROGRAM, cli
from restore.errors import EXIT_OK, EXIT_SECOND_SIGNAL, RestoreError

DOCS = Path(__file__).resolve().parents[2] / "docs"

COMMANDS_INTRO = """# The command line

This page is made from the code (`python -m tests.cli.manual`).

- Every flag is also an environment variable: `--target-db-dir` is `APTOS_RESTORE_TARGET_DB_DIR`. The command
  line wins; a storage named there displaces one of any kind in a variable.
- `APTOS_RESTORE_KERNEL` names what hashes: `avx512`, `avx2`, `neon` or `scalar`, which are the C extension,
  or `hashlib`, which does without it. Unset, the best that there is; a name is a demand, and what is not
  there is an error. `doctor` shows it.
- The result goes to stdout, everything else to stderr. With `--output json` stdout is one JSON object on one
  line and nothing else, also for errors; only `--help` and `--version` print text.
- Sizes are binary: `2G`, `2GB` and `2GiB` are all 2 · 1024³ bytes.
- An error is two lines: `error:` says what and where, `hint:` says what to do. See
  [exit codes](exit-codes.md).
- The spellings of the Rust tool, `aptos-db restore bootstrap-db`, `aptos-db restore oneoff …`,
  `aptos-db backup verify` and `aptos-db backup query …`, do the same, also without `aptos-db`. Its flags that
  tune what is not here (RocksDB options, `--replay-concurrency-level`, `--enable-storage-sharding`) are
  accepted and ignored, and the run says so once. Its flags that ask for a Move VM (`--replay-all`,
  `--validate-modules`, `--kv-only-replay false`, the command `replay-verify`) are refused with exit code 2.
- Completion in bash: `eval "$(_APTOS_RESTORE_COMPLETE=bash_source aptos-restore)"`; zsh and fish have
  `zsh_source` and `fish_source`.
"""

EXIT_CODES_INTRO = """# Exit codes

This page is made from the code (`python -m tests.cli.manual`). A code says what the caller would do
differently; the class is the field `error` of `--output json`.

| code | class | meaning | what to do |
| --- | --- | --- | --- |
"""


def commands_page() -> str:
    """`docs/cli.md`."""
    return COMMANDS_INTRO + "".join(_command_sections(cli, PROGRAM))


def exit_codes_page() -> str:
    """`docs/exit-codes.md`."""
    rows = [(EXIT_OK, "", "Done, and proven.", "")]
    for error in _error_classes(RestoreError):
        meaning = "Unexpected: a bug of this tool." if error is RestoreError else _first_line(error.__doc__)
        rows.append((error.exit_code, f"`{error.__name__}`", meaning, error.default_hint or ""))
    rows.append((EXIT_SECOND_SIGNAL, "", "A second signal ended the process at once.", "as for 75"))
    rows.sort(key=lambda row: row[0])
    return EXIT_CODES_INTRO + "".join(f"| {' | '.join(map(str, row))} |\n" for row in rows)


def _error_classes(base: type[RestoreError]) -> Iterator[type[RestoreError]]:
    yield base
    for error in base.__subclasses__():
        if error.__module__ == errors.__name__:
            yield from _error_classes(error)


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]


def _command_sections(command: click.Command, path: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            if not command.commands[name].hidden:
                yield from _command_sections(command.commands[name], f"{path} {name}")
        return
    arguments = "".join(f" {p.metavar}" for p in command.params if isinstance(p, click.Argument))
    yield f"\n## {path}{arguments}\n\n{inspect.cleandoc(command.help or '')}\n\n"
    yield "| flag | meaning |\n| --- | --- |\n"
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            yield f"| `{option.opts[-1]}{_value(option)}` | {_meaning(option)} |\n"


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return " " + "\\|".join(option.type.choices)
    return " " + (option.metavar or option.type.name.upper()).replace("|", "\\|")


def _meaning(option: click.Option) -> str:
    text = " ".join((option.help or "").split())
    notes = ["required"] if option.required else []
    notes += ["repeatable"] if option.multiple else []
    notes += [f"default: {option.default}"] if option.show_default else []
    return text + "".join(f" [{note}]" for note in notes)


PAGES = {"cli.md": commands_page, "exit-codes.md": exit_codes_page}


def main() -> None:
    """Writes the pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())


if __name__ == "__main__":
    main()
