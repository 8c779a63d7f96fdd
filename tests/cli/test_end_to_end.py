"""The commands against real data: mainnet's genesis backup, and a generated chain."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from restore.cli.main import main
from restore.report.tally import TransferFigures
from restore.sample.backup import write_sample
from restore.sample.spec import SampleBackup, SampleSpec

WAYPOINT = "0:6072b68a942aace147e0655c5704beaa255c84a7829baa4e72a500f1516584c4"
WRONG_WAYPOINT = WAYPOINT.replace("6072", "6073")
STATE_ROOT = "0d08659868360de4cf1d395d1e87c9e0bed31c5f3aab9636eec3ce30aaae6d47"
ACCUMULATOR_ROOT = "c326ceae74abbecb19b24a208425083603d2d5fbfebec776aa5338a237cc53b0"
ITEMS = 1394

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs one command line with `--output json`: its exit code, and the one object on its stdout."""

    def run_command(*arguments: object) -> tuple[int, dict[str, Any]]:
        code = main([*map(str, arguments), "--output", "json"])
        out = capfd.readouterr().out
        assert out.count("\n") == 1
        found: dict[str, Any] = json.loads(out)
        assert found["schema"] == 1
        assert found["exit_code"] == code
        assert found["status"] == ("error" if code else "ok")
        return code, found

    return run_command


@pytest.fixture
def genesis(shared: Path) -> Path:
    """Mainnet's backup at version 0."""
    return shared / "data" / "mainnet-genesis-backup"


@pytest.fixture
def damaged(genesis: Path, tmp_path: Path) -> Path:
    """A copy of that backup that a test may damage."""
    copy = tmp_path / "backup"
    shutil.copytree(genesis, copy, copy_function=shutil.copyfile)
    return copy


def database(folder: Path) -> dict[str, Any]:
    """What every command says of that state."""
    return {
        "target_version": 0,
        "snapshot_version": 0,
        "state_root_hash": STATE_ROOT,
        "state_items": ITEMS,
        "transactions": 1,
        "epochs": 1,
        "ledger_version": 0,
        "accumulator_root_hash": ACCUMULATOR_ROOT,
    }


def described(found: dict[str, Any]) -> dict[str, Any]:
    """What an answer says of the database: nothing of the run."""
    run = {"seconds", *TransferFigures.__struct_fields__}
    return {name: value for name, value in found.items() if name not in run}


def test_mainnet_genesis_restores_and_its_database_checks(genesis: Path, tmp_path: Path, run: Run) -> None:
    target = tmp_path / "db"
    flags = ("--local-fs-dir", genesis, "--target-db-dir", target, "--trust-waypoint", WAYPOINT)
    code, found = run("bootstrap-db", *flags)
    assert code == 0
    assert found.items() >= database(target).items()
    assert (found["command"], found["trust"]) == ("bootstrap-db", "waypoint")
    assert found["requested_version"] is None
    assert found["seconds"] >= 0

    code, again = run("restore", "bootstrap-db", *flags)
    assert code == 0
    assert described(again) == described(found)

    assert run("verify-db", target)[0] == 0
    assert run("verify-db", target, "--trust-waypoint", WAYPOINT)[0] == 0
    assert run("verify-db", target, "--trust-waypoint", WRONG_WAYPOINT)[0] == 20
    code, checked = run("verify-db", target, "--network", "mainnet")
    assert (code, checked["trust"], checked["waypoints"]) == (0, "waypoint", [WAYPOINT])
    assert run("verify-db", target, "--network", "testnet")[0] == 20


def test_one_wrong_digit_of_the_waypoint_is_refused(genesis: Path, tmp_path: Path, run: Run) -> None:
    target = tmp_path / "db"
    code, found = run(
        *("bootstrap-db", "--local-fs-dir", genesis, "--target-db-dir", target),
        *("--trust-waypoint", WRONG_WAYPOINT),
    )
    assert (code, found["error"]) == (20, "TrustError")
    assert (found["expected"], found["found"]) == (WRONG_WAYPOINT, WAYPOINT)
    assert run("verify-db", target)[0] != 0


def test_the_published_waypoint_needs_only_the_network(genesis: Path, run: Run) -> None:
    code, found = run("verify", "--local-fs-dir", genesis, "--network", "mainnet")
    assert (code, found["trust"]) == (0, "waypoint")
    code, found = run("verify", "--local-fs-dir", genesis, "--network", "testnet")
    assert (code, found["error"]) == (20, "TrustError")


def test_a_dry_run_finds_the_same_and_keeps_nothing(genesis: Path, tmp_path: Path, run: Run) -> None:
    code, found = run(
        "bootstrap-db", "--local-fs-dir", genesis, "--dry-run", "--trust-genesis", "--memory-budget", "64M"
    )
    assert code == 0
    assert (found["state_root_hash"], found["state_items"]) == (STATE_ROOT, ITEMS)
    assert found["trust"] == "genesis"
    flags = ("--local-fs-dir", genesis, "--target-db-dir", tmp_path / "db", "--trust-genesis")
    assert run("bootstrap-db", *flags, "--dry-run")[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_verify_finds_the_same(genesis: Path, run: Run) -> None:
    code, found = run("backup", "verify", "--local-fs-dir", genesis, "--trust-waypoint", WAYPOINT)
    assert code == 0
    assert (found["command"], found["state_root_hash"], found["state_items"]) == ("verify", STATE_ROOT, ITEMS)


def test_verify_without_transactions_or_without_a_snapshot(genesis: Path, run: Run) -> None:
    flags = ("--local-fs-dir", genesis, "--trust-waypoint", WAYPOINT)
    code, found = run("verify", *flags, "--start-version", "max")
    assert (code, found["state_items"]) == (0, ITEMS)
    code, found = run("verify", *flags, "--state-snapshot-before-version", "0")
    assert (code, found["state_items"]) == (0, None)


def test_verify_without_trust_says_so(genesis: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--local-fs-dir", str(genesis), "--skip-epoch-endings", "--output", "json"]) == 0
    shown = capfd.readouterr()
    assert json.loads(shown.out)["trust"] == "none"
    assert "warning: " in shown.err


def test_a_flipped_bit_is_found_and_its_file_named(damaged: Path, run: Run) -> None:
    chunk = damaged / "state_epoch_0_ver_0.128f" / "740-.chunk"
    data = bytearray(chunk.read_bytes())
    data[-1] ^= 1
    chunk.write_bytes(data)
    code, found = run("verify", "--local-fs-dir", damaged, "--trust-waypoint", WAYPOINT)
    assert code == 20
    assert found["file"] == "state_epoch_0_ver_0.128f/740-.chunk"


def test_a_missing_file_is_found_and_named(damaged: Path, run: Run) -> None:
    (damaged / "transaction_0-.1d67" / "0-0.proof").unlink()
    code, found = run("verify", "--local-fs-dir", damaged, "--trust-waypoint", WAYPOINT)
    assert (code, found["error"]) == (20, "MissingFileError")
    assert found["file"] == "transaction_0-.1d67/0-0.proof"


def test_less_than_asked_for_is_refused_unless_welcome(genesis: Path, tmp_path: Path, run: Run) -> None:
    flags = ("--local-fs-dir", genesis, "--target-version", 5, "--target-db-dir", tmp_path / "db")
    code, found = run("bootstrap-db", *flags, "--network", "mainnet")
    assert (code, found["error"]) == (21, "UnreachableError")
    code, planned = run("plan", *flags, "--network", "mainnet", "--accept-older", "--dry-run")
    assert (code, planned["target_version"]) == (21, 0)
    assert "plan" not in planned["hint"]
    code, found = run("bootstrap-db", *flags, "--network", "mainnet", "--accept-older")
    assert code == 0
    assert (found["requested_version"], found["target_version"]) == (5, 0)


def test_plan_says_what_is_reachable(genesis: Path, tmp_path: Path, run: Run) -> None:
    code, found = run("plan", "--local-fs-dir", genesis, "--target-db-dir", tmp_path)
    assert code == 0
    assert (found["requested_version"], found["target_version"], found["snapshot_version"]) == (None, 0, 0)
    assert found["kv_snapshot_version"] is None
    assert found["gaps"] == []
    assert found["free_disk_bytes"] > 0
    names = {entry["file"] for entry in found["files"]}
    assert "state_epoch_0_ver_0.128f/740-.chunk" in names
    assert found["bytes"] == sum(entry["bytes"] for entry in found["files"])
    assert found["bytes"] == sum((genesis / name).stat().st_size for name in names)


@pytest.mark.parametrize(
    ("command", "flags"),
    [("bootstrap-db", ("--dry-run", "--trust-genesis")), ("verify", ("--trust-genesis",)), ("plan", ())],
)
def test_where_nothing_is_the_code_is_ten(
    command: str, flags: tuple[str, ...], tmp_path: Path, run: Run
) -> None:
    (tmp_path / "empty" / "metadata").mkdir(parents=True)
    for folder in ("empty", "absent"):
        assert run(command, "--local-fs-dir", tmp_path / folder, *flags)[0] == 10


def test_a_folder_of_something_else_is_left_alone(genesis: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "precious").write_text("data")
    code, found = run(
        "bootstrap-db", "--local-fs-dir", genesis, "--target-db-dir", tmp_path, "--trust-waypoint", WAYPOINT
    )
    assert (code, found["error"]) == (2, "ForeignTargetError")
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_ignored_flags_are_said_once(genesis: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = main(
        [
            *("plan", "--local-fs-dir", str(genesis), "--replay-concurrency-level", "16"),
            *("--block-cache-size", "1", "--output", "json"),
        ]
    )
    assert code == 0
    notes = [line for line in capfd.readouterr().err.splitlines() if "ignored" in line]
    assert len(notes) == 1
    assert notes[0].startswith("note: --replay-concurrency-level, --block-cache-size ignored: ")


def test_commands_share_a_metadata_cache(
    genesis: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    flags = ["--local-fs-dir", str(genesis), "--metadata-cache-dir", str(kept)]
    for number, command in enumerate((["verify", "--network", "mainnet"], ["plan"])):
        assert main([*command, *flags]) == 0
        told = next(line for line in capfd.readouterr().err.splitlines() if line.startswith("metadata: "))
        assert told.startswith("metadata: done: 4 files, ")
        assert ("4 of them from an earlier run" in told) == (number == 1)
    assert main(["plan", "--local-fs-dir", str(genesis)]) == 0
    assert "earlier run" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("epoch-ending", ("--epoch-ending-manifest", "epoch_ending_0-.7891/epoch_ending.manifest")),
        (
            "state-snapshot",
            ("--state-manifest", "state_epoch_0_ver_0.128f/state.manifest", "--state-into-version", 0),
        ),
        ("transaction", ("--transaction-manifest", "transaction_0-.1d67/transaction.manifest")),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_one_backup_of_one_type(
    kind: str, arguments: tuple[object, ...], dry: bool, genesis: Path, tmp_path: Path, run: Run
) -> None:
    target = ("--dry-run",) if dry else ("--target-db-dir", tmp_path / "db")
    flags = ("--local-fs-dir", genesis, *target, *arguments)
    code, found = run("oneoff", kind, *flags, "--trust-waypoint", WAYPOINT)
    assert (code, found["command"]) == (0, f"oneoff {kind}")
    fresh = ("--dry-run",) if dry else ("--target-db-dir", tmp_path / "other")
    flags = ("--local-fs-dir", genesis, *fresh, *arguments)
    assert run("oneoff", kind, *flags, "--trust-waypoint", WRONG_WAYPOINT)[0] == 20


def test_the_answer_for_people(genesis: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "db"
    flags = ["--local-fs-dir", str(genesis), "--target-db-dir", str(target), "--network", "mainnet"]
    assert main(["bootstrap-db", *flags]) == 0
    out = capfd.readouterr().out
    assert out.startswith(f"{target} is restored\n")
    assert STATE_ROOT in out
    assert "1,394 items" in out
    assert "trust ends in     waypoint 0:6072b68a… (mainnet)\n" in out

    assert main(["bootstrap-db", *flags]) == 0
    again = capfd.readouterr()
    assert again.out.splitlines()[:-1] == out.splitlines()[:-1]
    assert again.err.endswith("note: the target is finished; nothing to do\n")


def test_the_plan_of_what_has_nothing_does_not_send_back_to_the_plan(
    genesis: Path, tmp_path: Path, run: Run
) -> None:
    metadata = tmp_path / "backup" / "metadata"
    metadata.mkdir(parents=True)
    for file in (genesis / "metadata").iterdir():
        if not file.name.startswith("transaction"):
            (metadata / file.name).write_bytes(file.read_bytes())
    code, found = run("plan", "--local-fs-dir", metadata.parent)
    assert (code, found["message"]) == (21, "the backup has no transactions")
    assert "plan" not in found["hint"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleBackup:
    """A generated chain whose newest transactions lie above its newest snapshot."""
    folder = tmp_path_factory.mktemp("sample")
    return asyncio.run(write_sample(SampleSpec(), folder / "backup"))


def test_a_target_above_the_snapshot(sample: SampleBackup, tmp_path: Path, run: Run) -> None:
    trust = ("--trust-waypoint", sample.genesis_waypoint)
    flags = ("--local-fs-dir", sample.root, "--target-db-dir", tmp_path / "db", *trust)
    newest, last = sample.snapshots[-1], sample.last_version
    code, found = run("bootstrap-db", *flags)
    assert code == 0
    assert (found["target_version"], found["snapshot_version"]) == (last, newest.version)
    assert found["state_root_hash"] == newest.root_hash.hex()
    assert (found["state_items"], found["state_bytes"]) == (newest.usage.items, newest.usage.bytes)
    usage = sample.usages[last]
    assert found["usage_at_target"] == {"items": usage.items, "bytes": usage.bytes}
    assert found["accumulator_root_hash"] == sample.accumulator_roots[last].hex()

    code, checked = run("verify-db", tmp_path / "db", *trust)
    assert code == 0
    assert described(checked).items() >= (described(found) | {"command": "verify-db"}).items()

    code, other = run("bootstrap-db", *flags, "--target-version", newest.version)
    assert (code, other["error"]) == (2, "ForeignTargetError")


def test_a_history_that_starts_before_the_snapshot(
    sample: SampleBackup, tmp_path: Path, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    older, newest = sample.snapshots[-2:]
    start = ("--local-fs-dir", sample.root, "--ledger-history-start-version", older.version + 1)
    code, planned = run("plan", *start)
    assert (code, planned["kv_snapshot_version"], planned["snapshot_version"]) == (
        0,
        older.version,
        newest.version,
    )
    trust = ("--trust-waypoint", sample.genesis_waypoint)
    code, found = run("bootstrap-db", *start, "--target-db-dir", tmp_path / "db", *trust)
    assert (code, found["state_root_hash"]) == (0, newest.root_hash.hex())
    assert run("verify-db", tmp_path / "db")[0] == 0


def test_the_demo_shows_all_of_it(tmp_path: Path, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    code, found = run("demo", "--keep", tmp_path / "demo")
    assert code == 0
    assert found["restored"]["state_root_hash"] == found["checked"]["state_root_hash"]
    assert (tmp_path / "demo" / "backup" / "metadata").is_dir()
    assert run("verify-db", tmp_path / "demo" / "database")[0] == 0
    assert run("demo", "--keep", tmp_path / "demo")[0] == 2


def test_the_demo_shows_each_command_with_what_came_of_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    made, *blocks = capfd.readouterr().out.split("\n\n")
    assert made.startswith("made a backup in ")
    commands = [block.split()[2] for block in blocks[:-1]]
    assert commands == ["bootstrap-db", "verify", "verify-db"]
    assert all("trust ends in" in block for block in blocks[:-1])
    assert blocks[-1].startswith("All three found the chain that was made")


def test_a_demo_where_nothing_can_be_made_is_refused(run: Run) -> None:
    code, found = run("demo", "--keep", "/proc/absent")
    assert (code, found["error"]) == (2, "UsageError")
