"""Which kernel does the work: the C extension where it was built, else the pure Python forms.

`APTOS_RESTORE_KERNEL` names one, and that is a demand: what is not there is an error, never another kernel.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

from restore.errors import UsageError

VARIABLE = "APTOS_RESTORE_KERNEL"

PURE = "hashlib"
"""The name of the pure Python forms."""


@cache
def uses_native() -> bool:
    """Whether the extension does the work of this process."""
    wanted = os.environ.get(VARIABLE)
    if wanted == PURE:
        return False
    built = find_spec("restore.kernel._native") is not None
    if wanted and not built:
        raise UsageError("the kernel asked for is not built", found=wanted)
    return built
