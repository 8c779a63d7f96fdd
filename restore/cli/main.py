"""The command `aptos-restore`: its commands, and the one edge where every error becomes an exit code.

The commands of the Rust tool keep their names and flags; `restore bootstrap-db`, `restore oneoff …`, `backup
verify` and `backup query …` are accepted as it spells them, with or without its `aptos-db` before them. Only
click is imported before a command runs, so that `--help` is quick.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Sequence

import click

import restore
from restore.cli.cmd_bootstrap import bootstrap_db
from restore.cli.cmd_cache import metadata_cache
from restore.cli.cmd_demo import demo
from restore.cli.cmd_doctor import doctor
from restore.cli.cmd_oneoff import oneoff
from restore.cli.cmd_plan import plan
from restore.cli.cmd_query import query
from restore.cli.cmd_verify import verify
from restore.cli.cmd_verify_db import verify_db
from restore.cli.legacy import replay_verify
from restore.cli.output import Answer, Session, print_answer, wants_json
from restore.errors import (
    EXIT_OK,
    EXIT_SECOND_SIGNAL,
    AccessDeniedError,
    DiskFullError,
    InterruptedRunError,
    ResourceError,
    RestoreError,
    UsageError,
)
from restore.kernel.choice import HOW_TO_BUILD, PURE, VARIABLE, is_missing, kernel_name

PROGRAM = "aptos-restore"

_HASHING = {"bootstrap-db", "demo", "oneoff", "verify", "verify-db"}
"""The commands that take far longer without the C extension."""

_NO_KERNEL = (
    f"the C extension is missing, so this takes several times as long; {HOW_TO_BUILD}, or accept it: "
    f"{VARIABLE}={PURE}"
)

_EPILOG = """
The Rust tool's spellings work as well: of "aptos-debugger aptos-db restore bootstrap-db ...", "... restore
oneoff ...", "... backup verify ..." and "... backup query ..." only the first word is to be replaced.

Every flag is also an environment variable: --target-db-dir is APTOS_RESTORE_TARGET_DB_DIR. One more,
APTOS_RESTORE_KERNEL, names what hashes: avx512, avx2, neon, scalar or hashlib; unset, the best there is.

Exit codes: 0 ok, 1 unexpected, 2 usage, 10 no backup there, 11 locked, 20 data invalid,
21 not reachable from this backup, 30 storage unavailable, 31 permission, 40 disk, memory or descriptors,
75 interrupted (the same command continues), 130 second signal.
"""


@click.group(
    PROGRAM,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    commands=[
        bootstrap_db,
        verify,
        plan,
        query,
        oneoff,
        verify_db,
        metadata_cache,
        demo,
        doctor,
        replay_verify,
    ],
)
@click.version_option(restore.__version__, "-V", "--version", message="%(prog)s %(version)s")
def cli() -> None:
    """Restore and verify Aptos node backups: concurrent, proven, bounded, resumable."""
    kernel_name()  # a demand that cannot be met ends every command, before it does anything


def _alias(name: str, *commands: click.Command) -> click.Group:
    return click.Group(name, commands=commands, hidden=True, help="As the Rust tool spells it.")


_RESTORE, _BACKUP = _alias("restore", bootstrap_db, oneoff), _alias("backup", verify, query)
_ALIASES = (_RESTORE, _BACKUP, _alias("aptos-db", _RESTORE, _BACKUP, replay_verify))
for _group in _ALIASES:
    cli.add_command(_group)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line.

    Returns:
        The exit code; `restore.errors` lists them.
    """
    _open_standard_streams()
    arguments = sys.argv[1:] if arguments is None else arguments
    command = command_name(arguments)
    session = Session(as_json=wants_json(arguments, os.environ), notices=_kernel_notices(command))
    started = time.monotonic()
    try:
        answer = cli.main(arguments, prog_name=PROGRAM, standalone_mode=False, obj=session)
    except Exception as exception:  # noqa: BLE001  the edge: nothing leaves without an exit code
        answer = Answer(error=_typed(exception))
        if isinstance(answer.error, InterruptedRunError):
            _end_at_the_next_signal()
    if not isinstance(answer, Answer):
        return EXIT_OK  # --help or --version, printed by click
    seconds = time.monotonic() - started
    try:
        print_answer(answer, session, command=command, seconds=seconds)
    except OSError as error:
        click.echo(f"error: answer cannot be written: found {_words(error)}", err=True)
        return ResourceError.exit_code
    return answer.exit_code


def _kernel_notices(command: str) -> list[str]:
    return [_NO_KERNEL] if command.partition(" ")[0] in _HASHING and is_missing() else []


def _end_at_the_next_signal() -> None:
    """Lets a second signal end the process as it would have done before: the run's handlers are gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os._exit(EXIT_SECOND_SIGNAL))


def _open_standard_streams() -> None:
    """Opens what of stdin, stdout and stderr was closed: a database's file must not get their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def command_name(arguments: Sequence[str]) -> str:
    """The command that `arguments` name, without aliases: `oneoff transaction`."""
    command: click.Command | None = cli
    names = []
    for name in arguments:
        if name.startswith("-"):
            continue
        command = command.commands.get(name) if isinstance(command, click.Group) else None
        if command is None:
            break
        if command not in _ALIASES:
            names.append(name)
    return " ".join(names) or PROGRAM


def _typed(exception: Exception) -> RestoreError:
    """The error that decides: the first of ours in a group, or what ours says best.

    What is not foreseen is a bug, and may not come a second time: its traceback is printed at once.
    """
    match exception:
        case RestoreError():
            return exception
        case click.ClickException():
            return _usage_error(exception)
        case click.Abort():
            return InterruptedRunError("stopped by a signal")
        case ExceptionGroup():
            return _typed(_first(exception))
        case MemoryError():
            return ResourceError(
                "out of memory", hint="give a smaller --memory-budget or fewer --concurrent-downloads"
            )
        case RuntimeError(args=("can't start new thread",)):
            return ResourceError(
                "no more threads may be started",
                hint="give fewer --workers, or raise the limit of processes: ulimit -u",
            )
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return ResourceError("too many open files", hint="raise the limit: ulimit -n 4096")
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EFBIG):
            return DiskFullError(_words(exception), file=exception.filename)
        case OSError(errno=errno.EACCES | errno.EPERM | errno.EROFS):
            return AccessDeniedError(_words(exception), file=exception.filename)
    import traceback

    traceback.print_exception(exception)
    return RestoreError(
        f"unexpected {type(exception).__name__}: {exception}",
        hint="this is a bug; please report it with the lines above",
    )


def _words(exception: OSError) -> str:
    return (exception.strerror or type(exception).__name__).lower()


def _first(group: ExceptionGroup[Exception]) -> Exception:
    ours, others = group.split(RestoreError)
    leaf: Exception = ours or others or group
    while isinstance(leaf, ExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf


def _usage_error(exception: click.ClickException) -> UsageError:
    context: click.Context | None = getattr(exception, "ctx", None)
    help_hint = f"see {context.command_path if context else PROGRAM} --help"
    if isinstance(exception, click.exceptions.NoArgsIsHelpError):
        return UsageError("missing command", hint=help_hint)
    text = exception.format_message().strip().removesuffix(".")
    return UsageError(text[:1].lower() + text[1:], hint=help_hint)


if __name__ == "__main__":
    sys.exit(main())
