"""The other tests of this folder once more, with an extension that ends the process where it reads or writes
wrong memory (AddressSanitizer) or does what C leaves undefined (UndefinedBehaviorSanitizer).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.compiling import ROOT, SOURCES, compile_c, reason_not_to_build

SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")

LEFT_OUT = ("test_sanitizers.py", "test_build.py", "test_allocations.py")
"""This one, and those that compile the sources themselves."""


def runtime() -> Path | None:
    """The library that a process must load before all others."""
    if shutil.which("gcc") is None:
        return None
    asked = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, check=True, text=True
    ).stdout
    path = Path(asked.strip())
    return path if path.is_absolute() else None


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources with the sanitized extension in it."""
    if (reason := reason_not_to_build()) is not None:
        pytest.skip(reason)
    if runtime() is None:
        pytest.skip("gcc's sanitizers are not installed")
    copy = tmp_path_factory.mktemp("sanitized")
    for package in ("restore", "cache", "tests"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    extension = copy / "restore" / "kernel" / "_native.abi3.so"
    assert compile_c("gcc", SOURCES, extension, "-O1", "-g", "-shared", *SANITIZED) == ""
    return copy


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python on the copy."""
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "LD_PRELOAD": str(runtime()),
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter itself frees little at its end
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # so that each object is an allocation of its own, with its own bounds
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tree, env=environment, capture_output=True, check=False, text=True,
    )  # fmt: skip


@pytest.mark.timeout(240)
def test_the_tests_of_the_kernel_pass_under_the_sanitizers(tree: Path) -> None:
    left_out = [f"--ignore=tests/kernel/{name}" for name in LEFT_OUT]
    bounded = ("-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-profile=sanitized", "-q")
    done = run(tree, "-m", "pytest", "tests/kernel", *left_out, *bounded)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert " passed" in done.stdout


def test_the_sanitized_extension_is_the_one_that_runs(tree: Path) -> None:
    done = run(tree, "-c", "from restore.kernel import _native; print(_native.__file__)")
    assert done.stdout.strip() == str(tree / "restore" / "kernel" / "_native.abi3.so"), done.stderr


def test_a_read_beyond_the_end_would_be_found(tree: Path) -> None:
    bad = tree / "bad.c"
    bad.write_text("int after(const unsigned char *data, int size) { return data[size]; }\n")
    assert compile_c("gcc", [bad], tree / "bad.so", "-shared", *SANITIZED) == ""
    script = (
        "import ctypes; library = ctypes.CDLL('./bad.so'); libc = ctypes.CDLL(None)\n"
        "libc.malloc.restype = ctypes.c_void_p; data = libc.malloc(ctypes.c_size_t(7))\n"
        "print(library.after(ctypes.c_void_p(data), 7))"
    )
    done = run(tree, "-c", script)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
