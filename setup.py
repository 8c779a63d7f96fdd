"""Builds the optional C extension; everything else about the distribution stands in pyproject.toml."""

import os
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

SOURCES = sorted(str(path) for path in Path("restore/kernel/c").glob("*.c"))
HEADERS = sorted(str(path) for path in Path("restore/kernel/c").glob("*.h"))

# One build serves every Python from the oldest that is supported, except where there is no lock to let go of.
LIMITED = not sysconfig.get_config_var("Py_GIL_DISABLED")

# A restore works without it, only slower. Whoever builds for others, or checks, wants an error instead.
STRICT = os.environ.get("APTOS_RESTORE_BUILD") == "strict"

setup(
    ext_modules=[
        Extension(
            "restore.kernel._native",
            SOURCES,
            depends=HEADERS,
            extra_compile_args=["-O3", "-std=c11", "-Wall", "-Wextra", *(["-Werror"] if STRICT else [])],
            define_macros=[("Py_LIMITED_API", "0x030B0000")] if LIMITED else [],
            py_limited_api=LIMITED,
            optional=not STRICT,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED else {},
)
