"""Which kernel does the work: the C extension where it was built, else the pure Python forms.

`APTOS_RESTORE_KERNEL` names one, and that is a demand: what is not there is an error, never another kernel. A
process keeps to the kernel that it began with.
"""

from __future__ import annotations

import os
from functools import cache

from restore.errors import UsageError

VARIABLE = "APTOS_RESTORE_KERNEL"

PURE = "hashlib"
"""The name of the pure Python forms."""

KERNELS = ("avx512", "avx2", "neon", "scalar", PURE)
"""All that may be asked for, the fastest first; all but the last are the extension, hashing so wide."""

HOW_TO_BUILD = "install a C compiler, then install aptos-restore again"


@cache
def kernel_name() -> str:
    """The kernel of this process: the one that is asked for, else the best that there is.

    Raises:
        UsageError: the one that is asked for is unknown, not built, or not for this CPU.
    """
    wanted = _wanted()
    levels, failure = _levels()
    if wanted and wanted not in KERNELS:
        raise UsageError("unknown kernel", expected=" or ".join(KERNELS), found=wanted, hint=_hint())
    if wanted == PURE or not (wanted or levels):
        return PURE
    if not levels:
        raise UsageError(
            "the kernel asked for needs the C extension, which does not import",
            found=f"{wanted}, {failure}",
            hint=f"{HOW_TO_BUILD}; or {_hint()}",
        )
    level = wanted or levels[0]
    if level not in levels:
        raise UsageError(
            "this CPU cannot run the kernel asked for",
            expected=" or ".join((*levels, PURE)),
            found=level,
            hint=_hint(),
        )
    from restore.kernel._native import sha3_use

    sha3_use(level)
    return level


def uses_native() -> bool:
    """Whether the extension does the work of this process.

    Raises:
        UsageError: as `kernel_name`.
    """
    return kernel_name() != PURE


def is_missing() -> bool:
    """Whether the extension is not there, though nobody asked to do without it."""
    return _wanted() != PURE and not _levels()[0]


def describe_kernel() -> str:
    """The kernel of this process in words, for people."""
    name, (_, failure) = kernel_name(), _levels()
    if is_missing():
        return f"{name}, since the C extension does not import: {failure}"
    return name if name == PURE else f"{name}, in the C extension"


def _wanted() -> str | None:
    return os.environ.get(VARIABLE) or None


def _hint() -> str:
    return f"unset {VARIABLE}, which takes the best that there is"


@cache
def _levels() -> tuple[tuple[str, ...], str]:
    """What the extension can hash with on this CPU, best first; or nothing, and why."""
    try:
        from restore.kernel._native import sha3_levels
    except ImportError as error:
        return (), str(error)
    return sha3_levels(), ""
