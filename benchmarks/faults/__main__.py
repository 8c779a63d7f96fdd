"""Serves a folder with faults until SIGINT or SIGTERM.

    python -m benchmarks.faults FOLDER --seed 7 --stall 0.01 --reset 0.1

Prints two lines of JSON: where it listens, as soon as it does; and what it did, at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import uvloop

from benchmarks.faults.plan import FaultPlan
from benchmarks.faults.server import FaultServer


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves; every field of `FaultPlan` is a flag."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is no folder")
    try:
        plan = plan_of(options)
    except ValueError as error:
        parser.error(str(error))
    server = FaultServer(options.folder, plan, port=options.port, page_size=options.page_size)
    uvloop.run(_serve(server))


def make_parser() -> argparse.ArgumentParser:
    """Parses the command's line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults",
        description=f"{__doc__}\n{FaultPlan.__doc__}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    parser.add_argument(
        "--page-size", type=int, default=1000, help="entries of an S3 listing's page, at most"
    )
    faults = parser.add_argument_group("faults")
    hints = get_type_hints(FaultPlan)
    for field in fields(FaultPlan):
        faults.add_argument(f"--{field.name.replace('_', '-')}", **_flag(hints[field.name], field.default))
    return parser


def plan_of(options: argparse.Namespace) -> FaultPlan:
    """The plan that the flags say.

    Raises:
        ValueError: there can be no such plan.
    """
    return FaultPlan(**{field.name: getattr(options, field.name) for field in fields(FaultPlan)})


def _flag(hint: Any, default: Any) -> dict[str, Any]:
    """How argparse reads a field whose type is `hint`: an optional one as what it is when it is given."""
    if hint is bool:
        return {"action": "store_true"}
    given = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    return {"type": given[0], "default": default, "metavar": given[0].__name__.upper()}


async def _serve(server: FaultServer) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        print(json.dumps({"url": server.url, "s3_endpoint": server.s3_endpoint}), flush=True)
        await stop.wait()
    print(msgspec.json.encode(server.counters).decode(), flush=True)


if __name__ == "__main__":
    main()
