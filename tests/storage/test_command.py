"""What commands of an adapter are given, how they fail, and what is made of what they print."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from restore.errors import (
    CommandFailedError,
    EmptyStorageError,
    FormatError,
    ManifestError,
    RestoreError,
    StalledError,
    UnsafePathError,
    UsageError,
)
from restore.flow import children as children_module
from restore.report.events import Retried, Stalled
from restore.storage import command as module
from restore.storage.base import Storage
from restore.storage.command import CommandStorage
from tests.conftest import open_descriptors
from tests.contracts.storage import get
from tests.flow.processes import children_of_this_process
from tests.flow.programs import IDLE, SOON
from tests.flow.steps import no_task_left
from tests.storage.adapter_configs import load, of_commands
from tests.storage.commands import Workshop, workshop

__all__ = ["workshop"]

FILE = "abc.0000/one.chunk"
META = "metadata/some.meta"


async def write(storage: Storage) -> str:
    async with storage.create_for_write("abc.0000", "one.chunk") as file:
        await file.write(b"data")
    return file.handle


OPERATIONS: dict[str, Callable[[CommandStorage], Awaitable[object]]] = {
    "create_backup": lambda storage: storage.create_backup("abc.0000"),
    "create_for_write": write,
    "open_for_read": lambda storage: get(storage, FILE),
    "save_metadata_line": lambda storage: storage.save_metadata_lines("some.meta", ["line"]),
    "list_metadata_files": lambda storage: storage.list_metadata_files(),
    "backup_metadata_file": lambda storage: storage.backup_metadata_file(META),
}

WORKS = {
    "create_backup": "echo abc.0000",
    "create_for_write": f"echo {FILE}; exec 1>&-; cat > /dev/null",
    "open_for_read": "echo data",
    "save_metadata_line": f"echo {META}; exec 1>&-; cat > /dev/null",
    "list_metadata_files": "echo metadata/other.meta",
    "backup_metadata_file": ":",
}

RESULTS = {
    "create_backup": "abc.0000",
    "create_for_write": FILE,
    "open_for_read": b"data\n",
    "save_metadata_line": META,
    "list_metadata_files": ["metadata/other.meta"],
    "backup_metadata_file": None,
}

READS = ("open_for_read", "list_metadata_files")
WRITES = ("create_for_write", "save_metadata_line")


def altered(name: str, text: str) -> dict[str, str]:
    """Commands that work, one of them with `text` before it."""
    return {**WORKS, name: f"{text}; {WORKS[name]}"}


# How it is run


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_command_that_works_is_believed(workshop: Workshop, name: str) -> None:
    for text in (":", "false && true", "if false; then exit 1; fi", "false || :"):
        storage = workshop.storage(altered(name, text))
        assert await OPERATIONS[name](storage) == RESULTS[name]
    assert workshop.pauses == []


@pytest.mark.parametrize(
    "text",
    ["false", "echo $NOT_SET > /dev/null", "false | true", "true | false", "no-such-program", "exit 7"],
)
async def test_what_fails_inside_a_command_makes_it_fail(workshop: Workshop, text: str) -> None:
    for name, operation in OPERATIONS.items():
        with pytest.raises(CommandFailedError) as failure:
            await operation(workshop.storage(altered(name, text)))
        assert failure.value.message == f"command {name} failed"
        assert failure.value.exit_code == 30
        assert failure.value.found is not None
        assert ("exit status 7" in failure.value.found) == (text == "exit 7")
        assert ("NOT_SET: unbound variable" in failure.value.found) == ("NOT_SET" in text)


@pytest.mark.parametrize(
    "text",
    ["cat > /dev/null; false", "cat | false", "false | cat", "cat > /dev/full", "exit 3", "kill -9 $$"],
)
async def test_a_command_may_fail_to_the_last_moment_of_writing(workshop: Workshop, text: str) -> None:
    for name in WRITES:
        with pytest.raises(CommandFailedError) as failure:
            await OPERATIONS[name](workshop.storage({**WORKS, name: f"echo {FILE}; exec 1>&-; {text}"}))
        assert failure.value.message == f"command {name} failed"
    assert workshop.pauses == []


@pytest.mark.parametrize("name", OPERATIONS)
async def test_only_what_reads_is_tried_again(workshop: Workshop, name: str, tmp_path: Path) -> None:
    storage = workshop.storage(altered(name, f"echo x >> '{tmp_path}/runs'; exit 1"))
    with pytest.raises(CommandFailedError):
        await OPERATIONS[name](storage)
    runs = (tmp_path / "runs").read_text().count("x")
    assert runs == (3 if name in READS else 1)
    retries = [event for event in workshop.events if isinstance(event, Retried)]
    assert [event.attempt for event in retries] == ([2, 3] if name in READS else [])
    assert [event.wait for event in retries] == workshop.pauses
    assert {event.reason for event in retries} <= {f"command {name} failed"}


@pytest.mark.parametrize("name", READS)
async def test_a_second_try_may_work(workshop: Workshop, name: str, tmp_path: Path) -> None:
    text = f"test -e '{tmp_path}/tried' || {{ touch '{tmp_path}/tried'; exit 1; }}"
    assert await OPERATIONS[name](workshop.storage(altered(name, text))) == RESULTS[name]
    assert len(workshop.pauses) == 1


async def test_variables_of_a_call_come_before_the_configuration_s_and_those_before_the_process_s(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("A", "B", "FILE_HANDLE"):
        monkeypatch.setenv(name, "of the process")
    monkeypatch.setenv("PATH_OF_OURS", "x" * 1000)
    text = """
    env_vars: [{key: B, value: its own}, {key: FILE_HANDLE, value: its own}, {key: C, value: "$A"}]
    commands:
      open_for_read: 'echo "$A, $B, $C, $FILE_HANDLE, ${#PATH_OF_OURS}"'
      create_backup: exit 1
      create_for_write: exit 1
      save_metadata_line: exit 1
      list_metadata_files: exit 1
    """
    storage = workshop.storage(load(text))
    assert await get(storage, FILE) == f"of the process, its own, $A, {FILE}, 1000\n".encode()


async def test_a_call_has_its_own_parameters_only(workshop: Workshop, tmp_path: Path) -> None:
    names = ("BACKUP_NAME", "BACKUP_HANDLE", "FILE_NAME", "FILE_HANDLE")
    tell = "; ".join(f'echo "{name} ${{{name}-}}"' for name in names)
    storage = workshop.storage(
        {name: f"({tell}) > '{tmp_path}/{name}'; {text}" for name, text in WORKS.items()}
    )
    given = {}
    for name, operation in OPERATIONS.items():
        await operation(storage)
        lines = (tmp_path / name).read_text().splitlines()
        given[name] = dict(line.split(" ") for line in lines if not line.endswith(" "))
    assert given == {
        "create_backup": {"BACKUP_NAME": "abc.0000"},
        "create_for_write": {"BACKUP_HANDLE": "abc.0000", "FILE_NAME": "one.chunk"},
        "open_for_read": {"FILE_HANDLE": FILE},
        "save_metadata_line": {"FILE_NAME": "some.meta"},
        "list_metadata_files": {},
        "backup_metadata_file": {"FILE_NAME": "some.meta"},
    }


@pytest.mark.parametrize("handle", ["abc.0000/$(touch out)", "abc.0000/;touch out", "a b/'c\"d`touch out`"])
async def test_a_handle_is_data_and_never_a_command(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handle: str
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = workshop.storage({"open_for_read": 'printf "%s" "$FILE_HANDLE"'})
    assert await get(storage, handle) == handle.encode()
    assert not (tmp_path / "out").exists()


async def test_without_its_command_no_metadata_file_is_retired(workshop: Workshop) -> None:
    storage = workshop.storage(of_commands())
    with pytest.raises(UsageError, match=r"commands\.backup_metadata_file"):
        await storage.backup_metadata_file(META)


# What it prints, and when


async def test_stdout_is_read_to_its_end_before_stdin_is_written(workshop: Workshop, tmp_path: Path) -> None:
    text = f"""
        printf abc.0000/
        if read -t 0; then echo early >&2; exit 9; fi
        sleep {SOON}
        if read -t 0; then echo early >&2; exit 9; fi
        echo one.chunk
        exec 1>&-
        cat > '{tmp_path}/file'
    """
    assert await write(workshop.storage({**WORKS, "create_for_write": text})) == FILE
    assert (tmp_path / "file").read_bytes() == b"data"


@pytest.mark.parametrize("name", ["create_for_write", "save_metadata_line"])
async def test_a_writer_that_does_not_close_stdout_is_given_up_and_told_how(
    workshop: Workshop, name: str
) -> None:
    storage = workshop.storage({**WORKS, name: f"echo {FILE}; cat > /dev/null"}, idle_seconds=SOON)
    with pytest.raises(StalledError) as failure:
        await OPERATIONS[name](storage)
    assert failure.value.message == f"command {name} made no progress"
    assert "exec 1>&-" in failure.value.hint


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
async def test_a_time_that_is_none_is_refused(workshop: Workshop, seconds: float) -> None:
    with pytest.raises(UsageError, match="above 0"):
        workshop.storage(WORKS, idle_seconds=seconds)


async def test_blanks_behind_a_handle_are_cut_off(workshop: Workshop) -> None:
    for name in ("create_backup", "create_for_write"):
        for tail in ("", "\\n", " \\t\\r\\n\\n"):
            text = f"printf '{RESULTS[name]!s}{tail}'; exec 1>&-; read -r _ || :"
            assert await OPERATIONS[name](workshop.storage({name: text})) == RESULTS[name]


@pytest.mark.parametrize(
    ("printed", "error"),
    [
        ("", UsageError),
        (" \\n", UsageError),
        ("../out", UnsafePathError),
        ("/abc/out", UnsafePathError),
        ("abc/one\\nabc/two", UnsafePathError),
        ("abc/\\033[31m", UnsafePathError),
        ("abc/\\377", UnsafePathError),
        ("%05000d' '1", FormatError),
    ],
)
async def test_what_is_no_handle_is_refused(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, printed: str, error: type[RestoreError]
) -> None:
    monkeypatch.setattr(children_module, "GRACE_SECONDS", SOON)
    storage = workshop.storage({"create_for_write": f"printf '{printed}'; exec 1>&-; cat > /dev/null"})
    with pytest.raises(error) as refusal:
        await write(storage)
    assert str(refusal.value).isprintable()


async def test_a_writer_that_fails_before_it_prints_says_why(workshop: Workshop) -> None:
    storage = workshop.storage({"create_for_write": "test -e /no/such && echo it; exec 1>&-; exit 1"})
    with pytest.raises(CommandFailedError, match="exit status 1"):
        await write(storage)


async def test_a_backup_is_called_by_a_plain_name(workshop: Workshop) -> None:
    for printed in ("", "a b", "..", "abc/def", "abc\\nabc"):
        with pytest.raises(UsageError):
            await workshop.storage({"create_backup": f"printf '{printed}'"}).create_backup("abc.0000")


async def listing_of(workshop: Workshop, printed: str) -> list[str]:
    return await workshop.storage({"list_metadata_files": f"printf '{printed}'"}).list_metadata_files()


async def test_a_listing_is_one_handle_a_line(workshop: Workshop) -> None:
    printed = "metadata/b.meta\\r\\n\\nmetadata/\\nmetadata/folder/\\nmetadata/a.meta\\nmetadata/c d.meta"
    assert await listing_of(workshop, printed) == ["metadata/a.meta", "metadata/b.meta", "metadata/c d.meta"]


async def test_a_listing_of_nothing_is_no_backup(workshop: Workshop) -> None:
    for printed in ("", "\\n", "metadata/\\n", "\\r\\n"):
        with pytest.raises(EmptyStorageError) as refusal:
            await listing_of(workshop, printed)
        assert refusal.value.exit_code == 10
        assert "||:" in refusal.value.hint


@pytest.mark.parametrize(
    ("lister", "found"),
    [
        ("(echo AccessDenied >&2; exit 254) ||:", "exit status 0, on stderr: AccessDenied"),
        ("true", "exit status 0, nothing on stderr"),
    ],
)
async def test_an_empty_listing_tells_the_last_words_of_its_lister(
    workshop: Workshop, lister: str, found: str
) -> None:
    with pytest.raises(EmptyStorageError) as refusal:
        await workshop.storage({"list_metadata_files": lister}).list_metadata_files()
    assert refusal.value.found == found


async def test_a_listing_of_what_is_no_handle_is_refused(workshop: Workshop) -> None:
    for printed in ("metadata/../../x", "/x", "metadata/\\033[31m", "metadata/\\377"):
        with pytest.raises(UnsafePathError) as refusal:
            await listing_of(workshop, f"metadata/a\\n{printed}\\n")
        assert str(refusal.value).isprintable()


async def test_a_listing_without_end_is_refused(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LISTING_BYTES", 100_000)
    with pytest.raises(FormatError, match="command list_metadata_files prints too much"):
        await workshop.storage({"list_metadata_files": "yes metadata/a.meta"}).list_metadata_files()


async def test_a_listing_that_fails_is_no_short_listing(workshop: Workshop) -> None:
    with pytest.raises(CommandFailedError):
        await workshop.storage({"list_metadata_files": "echo metadata/a.meta; exit 1"}).list_metadata_files()


async def test_what_a_retiring_command_prints_is_ignored(workshop: Workshop) -> None:
    storage = workshop.storage({"backup_metadata_file": "echo moved; head -c 100000 /dev/zero"})
    await storage.backup_metadata_file(META)


async def test_metadata_that_is_there_is_compared_and_not_written(workshop: Workshop) -> None:
    there = {"list_metadata_files": f"echo {META}", "open_for_read": "echo line"}
    storage = workshop.storage(there)
    assert await storage.save_metadata_lines("some.meta", ["line"]) == META
    for lines in (["other"], ["line", "line"], []):
        with pytest.raises(ManifestError):
            await storage.save_metadata_lines("some.meta", lines)


async def test_lines_are_saved_in_one_go(workshop: Workshop, tmp_path: Path) -> None:
    text = f"echo {META}; exec 1>&-; cat > '{tmp_path}/file'"
    storage = workshop.storage({**WORKS, "save_metadata_line": text})
    assert await storage.save_metadata_lines("some.meta", ["one", "", "two"]) == META
    assert (tmp_path / "file").read_bytes() == b"one\n\ntwo\n"


# No progress, and the end


@pytest.mark.parametrize("name", READS)
async def test_a_command_that_hangs_is_named_with_what_it_said(workshop: Workshop, name: str) -> None:
    storage = workshop.storage(altered(name, "echo waiting for a lock >&2; sleep 1000"), idle_seconds=IDLE)
    with pytest.raises(StalledError) as failure:
        await OPERATIONS[name](storage)
    assert failure.value.message == f"command {name} made no progress"
    assert failure.value.found == "0.3 s without a byte, on stderr: waiting for a lock"
    assert failure.value.file == {"open_for_read": FILE, "list_metadata_files": "metadata/"}[name]
    assert len([event for event in workshop.events if isinstance(event, Stalled)]) == 3
    assert len(workshop.pauses) == 2


async def test_a_writer_that_takes_nothing_or_never_ends_is_given_up(workshop: Workshop) -> None:
    for text in ("exec sleep 1000", "cat > /dev/null; sleep 1000"):
        storage = workshop.storage({"create_for_write": f"echo {FILE}; exec 1>&-; {text}"}, idle_seconds=SOON)
        with pytest.raises(StalledError, match="command create_for_write"):
            async with storage.create_for_write("abc.0000", "one.chunk") as file:
                await file.write(bytes(1_000_000))


async def test_commands_of_any_age_wait_for_their_turn(workshop: Workshop) -> None:
    storage = workshop.storage(WORKS)
    await asyncio.gather(*(get(storage, FILE) for _ in range(3 * 8)))


async def test_failing_over_and_over_leaves_nothing(workshop: Workshop, tmp_path: Path) -> None:
    text = f"echo {FILE}; exec 1>&-; sleep 1000 | cat > /dev/null & cat > /dev/null; exit 1"
    storage = workshop.storage(
        {"create_for_write": text, "list_metadata_files": "sleep 1000 > /dev/null & exit 1"}
    )
    with pytest.raises(CommandFailedError):
        await write(storage)
    descriptors, processes = open_descriptors(), children_of_this_process()
    async with no_task_left():
        for _ in range(50):  # a writer, and a lister three times
            with pytest.raises(CommandFailedError):
                await write(storage)
            with pytest.raises(CommandFailedError):
                await storage.list_metadata_files()
    assert open_descriptors() == descriptors
    assert children_of_this_process() == processes
    assert len([event for event in workshop.events if isinstance(event, Retried)]) == 2 * 50


async def test_a_backup_is_known_by_its_configuration(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = workshop.storage(WORKS).identity
    assert workshop.storage(WORKS).identity == one
    assert workshop.storage(altered("open_for_read", ":")).identity != one
