"""How a command answers: one result on stdout, everything else on stderr.

With `--output json` stdout is one JSON object on one line and nothing else, whatever happens; otherwise it is
text for people. Errors are two lines on stderr, `error:` and `hint:`; progress and notices go there too.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from restore.cli.legacy import ignored_notices
from restore.cli.options import ENV_PREFIX
from restore.errors import EXIT_OK, RestoreError

if TYPE_CHECKING:
    from restore.report.events import Report
    from restore.report.tally import TransferFigures

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found out, for programs and for people.

    Attributes:
        data: the fields of the JSON object, besides those that every command has.
        text: the same as lines for people.
        error: why the command ends with another code than 0.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    error: RestoreError | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of the process."""
        return EXIT_OK if self.error is None else self.error.exit_code


@dataclass(slots=True)
class Session:
    """What one call of the program is about, besides its answer.

    Attributes:
        as_json: whether the answer is asked for as JSON.
        notices: what its next run is to say first.
        transfers: what became of the transfers of its run, where it had one.
    """

    as_json: bool
    notices: list[str] = field(default_factory=list)
    transfers: TransferFigures | None = None


def run_reported(work: Callable[[Report], Awaitable[T]]) -> T:
    """Runs a command's work to its end, or to a signal, with progress on stderr."""
    stopping = "stopping, which takes a moment; a second signal ends the process at once"
    from restore.flow.stop import run
    from restore.report.events import Notice
    from restore.report.progress import open_progress

    context = click.get_current_context()
    session: Session = context.obj
    with open_progress(sys.stderr) as report:
        for text in (*ignored_notices(context), *session.notices):
            report(Notice(text))
        session.notices.clear()
        return run(lambda: work(report), stopping=lambda: report(Notice(stopping)))


def wants_json(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the result is asked for as JSON: told before parsing, since parsing may fail."""
    form = environment.get(f"{ENV_PREFIX}OUTPUT")
    for index, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument == "--output":
            form = next(iter(arguments[index + 1 :]), None)
        elif argument.startswith("--output="):
            form = argument.removeprefix("--output=")
    return form == "json"


def print_answer(answer: Answer, session: Session, *, command: str, seconds: float) -> None:
    """Prints the answer on stdout, in the form asked for, and its error on stderr."""
    if session.as_json:
        header = _header(answer.error, command=command, seconds=seconds)
        _print(json.dumps(header | _transfers(session) | dict(answer.data)))
    elif answer.text:
        _print(answer.text)
    if answer.error is not None:
        click.echo(f"error: {answer.error}", err=True)
        click.echo(f"hint: {answer.error.hint}", err=True)


def print_part(text: str) -> None:
    """Prints a part of the answer before its end, where the answer is text."""
    if not click.get_current_context().obj.as_json:
        _print(text)


def _header(error: RestoreError | None, *, command: str, seconds: float) -> dict[str, Any]:
    from restore.report.result import SCHEMA, failure_object

    if error is not None:
        return failure_object(error, command=command, seconds=seconds)
    ok = {"schema": SCHEMA, "status": "ok", "exit_code": EXIT_OK, "command": command}
    return ok | {"seconds": round(seconds, 3)}


def _transfers(session: Session) -> dict[str, Any]:
    if session.transfers is None:
        return {}
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(session.transfers)
    return fields


def table(rows: Iterable[tuple[str, object]]) -> str:
    """Lines of names and values, the values one below the other; rows without a value are left out."""
    known = [(name, str(value)) for name, value in rows if value is not None]
    width = max((len(name) for name, _ in known), default=0)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in known)


def _print(text: str) -> None:
    try:
        click.echo(text)
        sys.stdout.flush()
    except OSError as error:
        # Python flushes stdout once more at its end, so it gets a place where that works.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # Nobody reads any more (`… | head`): the work is done, and its exit code stands.
        if not isinstance(error, BrokenPipeError):
            raise
