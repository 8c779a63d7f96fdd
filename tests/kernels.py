"""The two forms that do what is done once for each item: the extension, and Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from restore.crypto import digest
from restore.kernel.choice import PURE, VARIABLE, kernel_name, uses_native

NATIVE = "native"
"""The extension, with whatever the CPU has."""

needs_native = pytest.mark.skipif(
    find_spec("restore.kernel._native") is None, reason="the C extension is not built"
)

KERNELS = (PURE, pytest.param(NATIVE, marks=needs_native))
"""To parametrize with."""


@contextmanager
def using(name: str) -> Iterator[None]:
    """Does the work of this process in one form."""
    with pytest.MonkeyPatch.context() as patch:
        if name == NATIVE:
            patch.delenv(VARIABLE, raising=False)
        else:
            patch.setenv(VARIABLE, name)
        _forget()
        try:
            assert uses_native() == (name == NATIVE)
            yield
        finally:
            _forget()


def _forget() -> None:
    """What a process settles once is settled anew."""
    kernel_name.cache_clear()
    digest._batch_hash.cache_clear()
