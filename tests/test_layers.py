"""Who may import whom: the layer table of the design, held by reading the imports.

A module imports only from lower rows; modules of one row never import each other, unless they are of one
package. `cache` imports nothing of `restore`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ROWS = (  # lowest first; a unit is a package or a story file of `restore`
    {"errors"},
    {"limits"},
    {"report"},
    {"flow"},
    {"kernel"},
    {"wire", "crypto"},
    {"ledger"},
    {"proof", "storage"},
    {"target", "catalog"},
    {"fetch", "checker"},
    {"run", "signatures"},
    {"plan", "epochs", "snapshot", "transactions"},
    {"resume"},
    {"pieces"},
    {"coordinator", "verify", "verify_db", "oneoff", "survey", "sample"},
    {"cli"},
)
ROW_OF = {unit: row for row, units in enumerate(ROWS) for unit in units}

PURE = {"wire", "crypto", "ledger", "proof"}
"""Synchronous, without I/O; so neither what is async nor what opens things is imported there."""

ASYNC_MODULES = {
    "asyncio",
    "aiofiles",
    "aiohttp",
    "uvloop",
    "tenacity",
    "threading",
    "concurrent",
    "multiprocessing",
}
IO_MODULES = {
    "os", "io", "pathlib", "shutil", "tempfile", "glob", "mmap", "fcntl", "socket", "subprocess", "urllib",
    "http", "sqlite3", "rocksdict", "importlib",
}  # fmt: skip
IO_CALLS = {"open", "print", "input", "read_text", "read_bytes", "write_text", "write_bytes"}

LAYOUTS = {"importlib.resources", "read_text"}
"""The one exception: `wire` reads its own table of layouts, as a resource of the package."""

ATOMIC_USERS = {"storage", "catalog", "target"}
"""Who may import `cache.atomic`, and nothing else of `cache`."""

CACHE_USERS = {
    "restore.catalog.mirror",
    "restore.catalog.mirror_errors",
    "restore.catalog.mirror_remembered",
    "restore.catalog.mirror_source",
    "restore.catalog.mirror_upkeep",
    "restore.cli.diagnosis",
}
"""Who may import anything of `cache`: those who know both sides, and who looks at an installation that may be
too broken for them."""


def sources() -> dict[str, str]:
    """The text of every module of both packages, by its name."""
    paths = chain.from_iterable((ROOT / package).rglob("*.py") for package in ("restore", "cache"))
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text(
            "utf-8"
        )
        for path in paths
    }


def violations(modules: Mapping[str, str]) -> list[str]:
    """What breaks the table, one line each."""
    found: list[str] = []
    for name, text in sorted(modules.items()):
        tree = ast.parse(text)
        found += [
            f"{name} {problem}"
            for problem in chain(_layer_problems(name, tree), _purity_problems(name, tree))
        ]
    return found


def _layer_problems(name: str, tree: ast.Module) -> Iterator[str]:
    unit = _unit(name)
    if unit and unit not in ROW_OF:
        yield "has no row in the table"
        return
    for target in _imports(name, tree):
        package = target.split(".")[0]
        if package == "cache" and name.startswith("restore"):
            atomic = _is(target, "cache.atomic") and unit in ATOMIC_USERS
            if not atomic and name not in CACHE_USERS:
                yield f"may not import {target}"
        elif package == "restore" and name.startswith("cache"):
            yield f"may not import {target}: cache imports nothing of restore"
        elif package == "restore" and _unit(target) in ROW_OF:
            if unit == "storage" and _unit(target) in PURE:
                yield f"may not import {target}: storage knows no formats"
            elif _unit(target) != unit and ROW_OF[_unit(target)] >= ROW_OF.get(unit, -1):
                yield f"may not import {target}: not of a lower row"


def _purity_problems(name: str, tree: ast.Module) -> Iterator[str]:
    if _unit(name) not in PURE:
        return
    allowed = LAYOUTS if _unit(name) == "wire" else set()
    for target in _imports(name, tree):
        if target.split(".")[0] in ASYNC_MODULES or _unit(target) == "flow":
            yield f"may not import {target}: it is pure, not async"
        elif target.split(".")[0] in IO_MODULES and not any(_is(target, module) for module in allowed):
            yield f"may not import {target}: it is pure, without I/O"
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            yield f"may not be async: line {node.lineno}"
        if isinstance(node, ast.Call) and _called(node.func) in IO_CALLS - allowed:
            yield f"may not call {_called(node.func)}: line {node.lineno}"


def _imports(name: str, tree: ast.Module) -> Iterator[str]:
    """Full names of what a module imports, anywhere in it: lazily and for types too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            near = name.split(".")[: -node.level] if node.level else []
            base = ".".join([*near, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _unit(name: str) -> str:
    """The unit of `restore` that a full name lies in; empty for the package itself and for all others."""
    parts = name.split(".")
    return parts[1] if parts[0] == "restore" and len(parts) > 1 else ""


def _is(target: str, module: str) -> bool:
    return target == module or target.startswith(f"{module}.")


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def test_every_module_keeps_to_its_row() -> None:
    assert violations(sources()) == []


def test_the_check_reads_both_packages() -> None:
    assert {"restore", "restore.errors", "restore.flow.stream", "cache"} <= sources().keys()


@pytest.mark.parametrize(
    ("module", "text", "problem"),
    [
        ("restore.flow.stream", "import restore.storage.base", "not of a lower row"),
        ("restore.flow.stream", "from restore.storage.base import Storage", "not of a lower row"),
        ("restore.flow.stream", "from restore.storage import base", "not of a lower row"),
        ("restore.flow.stream", "from restore import storage", "not of a lower row"),
        ("restore.flow.stream", "from ..storage import base", "not of a lower row"),
        ("restore.flow.stream", "def late():\n    from restore.cli.main import main", "not of a lower row"),
        ("restore.errors", "if TYPE_CHECKING:\n    import restore.limits", "not of a lower row"),
        ("restore.wire.bcs", "import restore.crypto.digest", "not of a lower row"),
        ("restore.epochs", "from restore.snapshot import restore_snapshot", "not of a lower row"),
        ("restore.storage.local", "from restore.ledger.hashes import APTOS", "storage knows no formats"),
        ("restore.storage.local", "from restore.proof.trust import TrustPolicy", "storage knows no formats"),
        ("restore.errand", "", "has no row"),
        ("restore.proof.trust", "import asyncio", "not async"),
        ("restore.proof.trust", "from restore.flow.threads import Workers", "not async"),
        ("restore.proof.trust", "async def check(): ...", "may not be async"),
        ("restore.ledger.state", "from pathlib import Path", "without I/O"),
        ("restore.ledger.state", "from importlib.resources import files", "without I/O"),
        ("restore.ledger.state", "open('x')", "may not call open"),
        ("restore.wire.table", "from importlib import import_module", "without I/O"),
        ("restore.wire.table", "x.read_bytes()", "may not call read_bytes"),
        ("restore.proof.files", "x.read_text()", "may not call read_text"),
        ("cache.sync", "import restore.errors", "cache imports nothing of restore"),
        ("restore.catalog.loading", "from cache.mirror import Mirror", "may not import cache.mirror"),
        ("restore.catalog.loading", "import cache", "may not import cache"),
        ("restore.report.events", "from cache.atomic import write_durably", "may not import cache.atomic"),
        ("restore.cli.cmd_cache", "from cache.survey import survey", "may not import cache.survey"),
    ],
)  # fmt: skip
def test_a_breach_is_found(module: str, text: str, problem: str) -> None:
    breaches = violations({module: text})
    assert len(breaches) == 1
    assert breaches[0].startswith(f"{module} ")
    assert problem in breaches[0]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("restore.cli.main", "import asyncio, restore\nfrom restore import __version__"),
        (
            "restore.cli.main",
            "from restore.coordinator import bootstrap\nfrom restore.cli.output import show",
        ),
        (
            "restore.proof.trust",
            "from restore.proof.accumulator import Accumulator\nfrom functools import cache",
        ),
        ("restore.wire.table", "from importlib.resources import files\nfiles('x').read_text()"),
        ("restore.storage.local", "from cache.atomic import DurableFile\nimport aiofiles, os"),
        ("restore.catalog.mirror", "from cache.mirror import Mirror"),
        ("restore.catalog.mirror_errors", "from cache.errors import MirrorError"),
        ("restore.catalog.mirror_upkeep", "from cache.survey import survey"),
        ("restore.cli.diagnosis", "from cache.probe import check_locks"),
        ("cache.sync", "import asyncio\nfrom cache.atomic import write_durably\nfrom . import lock"),
        ("restore", "__version__ = '0'"),
    ],
)
def test_what_is_allowed_passes(module: str, text: str) -> None:
    assert violations({module: text}) == []
