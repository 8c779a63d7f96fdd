"""Compiles the sources of the extension, as strictly as a test wants."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "restore" / "kernel" / "c").glob("*.c"))

WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror")

_DEMANDED = os.environ.get("APTOS_RESTORE_BUILD") == "strict"


def compilers() -> list[str]:
    """The C compilers of this machine: what extensions are built with comes first."""
    default = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    return [name for name in dict.fromkeys((default, "gcc", "clang")) if shutil.which(name)]


def reason_not_to_build() -> str | None:
    """Why the extension cannot be built here; None where it can, or where it was demanded."""
    if _DEMANDED:
        return None
    if not compilers():
        return "there is no C compiler"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "the headers of this Python are not installed"
    return None


def compile_c(compiler: str, sources: Sequence[Path], output: Path, *flags: str) -> str:
    """Compiles sources with all warnings as errors.

    Returns:
        What the compiler printed; empty where all is well.
    """
    includes = {sysconfig.get_path("include"), sysconfig.get_path("platinclude")}
    command = [
        compiler, *WARNINGS, "-fPIC", "-DPy_LIMITED_API=0x030B0000", *(f"-I{folder}" for folder in includes),
        *flags, *map(str, sources), "-o", str(output),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, check=False, text=True, env=os.environ | {"LC_ALL": "C"}
    )
    return done.stderr or ("" if done.returncode == 0 else f"exit code {done.returncode}")
