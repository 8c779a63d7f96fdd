"""The one JSON object of `--output json`: exactly the fields that are promised."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.cli.output import Session, print_answer
from restore.cli.summary import answer_of
from restore.errors import (
    DataError,
    FormatError,
    InterruptedRunError,
    ProofError,
    RestoreError,
    TrustError,
    UnreachableError,
    UsageError,
)
from restore.ledger.waypoint import MAX_VERSION, Waypoint
from restore.report.result import Result, UsageResult, failure_object
from tests.structs import structs

SUCCESS_KEYS = {
    "schema",
    "status",
    "exit_code",
    "command",
    "trust",
    "waypoints",
    "requested_version",
    "target_version",
    "snapshot_version",
    "state_root_hash",
    "state_items",
    "state_bytes",
    "usage_at_target",
    "transactions",
    "epochs",
    "ledger_version",
    "accumulator_root_hash",
    "seconds",
}
FAILURE_KEYS = {"schema", "status", "exit_code", "command", "seconds", "error", "message", "hint"}
PLACE_KEYS = {"file", "version", "offset", "expected", "found"}


def success(result: Result) -> dict[str, Any]:
    """The object that the command line prints for `result`."""
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        print_answer(answer_of(result, "done"), Session(as_json=True), command=result.command, seconds=9.0)
    *before, line, after = stdout.getvalue().split("\n")
    assert (before, after) == ([], "")
    read: dict[str, Any] = json.loads(line)
    return read


def failure(error: RestoreError) -> dict[str, Any]:
    """The object that the command line prints for `error`."""
    read: dict[str, Any] = json.loads(json.dumps(failure_object(error, command="verify", seconds=1.23456)))
    return read


def test_a_success_has_exactly_these_fields() -> None:
    result = Result(
        command="bootstrap-db",
        trust="waypoint",
        requested_version=None,
        target_version=20,
        snapshot_version=10,
        state_root_hash="ab" * 32,
        state_items=5,
        state_bytes=600,
        usage_at_target=UsageResult(6, 700),
        transactions=21,
        epochs=3,
        ledger_version=20,
        accumulator_root_hash="cd" * 32,
        seconds=1.5,
    )
    assert success(result) == {
        "schema": 1,
        "status": "ok",
        "exit_code": 0,
        "command": "bootstrap-db",
        "trust": "waypoint",
        "requested_version": None,
        "target_version": 20,
        "snapshot_version": 10,
        "waypoints": [],
        "state_root_hash": "ab" * 32,
        "state_items": 5,
        "state_bytes": 600,
        "usage_at_target": {"items": 6, "bytes": 700},
        "transactions": 21,
        "epochs": 3,
        "ledger_version": 20,
        "accumulator_root_hash": "cd" * 32,
        "seconds": 1.5,
    }


def test_what_was_not_restored_is_null_and_not_left_out() -> None:
    found = success(Result(command="verify", trust="none"))
    assert set(found) == SUCCESS_KEYS
    given_ = {"schema", "status", "exit_code", "command", "trust", "waypoints", "seconds"}
    assert all(found[key] is None for key in SUCCESS_KEYS - given_)


WAYPOINTS = st.lists(
    st.builds(Waypoint, st.integers(0, MAX_VERSION), st.binary(min_size=32, max_size=32)).map(str), max_size=3
).map(tuple)


@given(structs(Result), st.sampled_from(["waypoint", "genesis", "none"]), WAYPOINTS)
def test_every_result_is_json_and_comes_back(result: Result, trust: str, waypoints: tuple[str, ...]) -> None:
    result = msgspec.structs.replace(result, trust=trust, waypoints=waypoints)
    found = success(result)
    assert set(found) == SUCCESS_KEYS
    assert {key: found[key] for key in ("schema", "status", "exit_code")} == {
        "schema": 1,
        "status": "ok",
        "exit_code": 0,
    }
    assert msgspec.convert(found, Result) == result


def test_a_failure_has_exactly_these_fields() -> None:
    error = ProofError("leads to another root", hint="use another replica")
    assert failure(error) == {
        "schema": 1,
        "status": "error",
        "exit_code": 20,
        "command": "verify",
        "seconds": 1.235,
        "error": "ProofError",
        "message": "leads to another root",
        "hint": "use another replica",
    }


def test_a_failure_says_all_that_is_known_of_its_place_and_values() -> None:
    error = FormatError("bad record", file="a/0-.chunk", version=0, offset=0, expected=b"\xab", found=7)
    found = failure(error)
    assert set(found) == FAILURE_KEYS | PLACE_KEYS
    assert {key: found[key] for key in PLACE_KEYS} == {
        "file": "a/0-.chunk",
        "version": 0,
        "offset": 0,
        "expected": "ab",
        "found": "7",
    }
    assert found["message"] == "bad record: file a/0-.chunk, version 0, offset 0, expected ab, found 7"


@pytest.mark.parametrize("known", sorted(PLACE_KEYS))
def test_what_is_not_known_is_left_out(known: str) -> None:
    values: dict[str, Any] = {known: "text" if known in {"file", "expected", "found"} else 5}
    assert set(failure(DataError("wrong", **values))) == FAILURE_KEYS | {known}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RestoreError, 1),
        (UsageError, 2),
        (TrustError, 20),
        (UnreachableError, 21),
        (InterruptedRunError, 75),
    ],
)
def test_a_failure_names_its_class_and_exit_code(error: type[RestoreError], code: int) -> None:
    found = failure(error("it went wrong"))
    assert (found["error"], found["exit_code"], found["status"]) == (error.__name__, code, "error")
    assert found["hint"] == error.default_hint
