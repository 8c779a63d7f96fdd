"""Fixtures of the command line's tests."""

from __future__ import annotations

import os

import pytest

from restore.cli.options import ENV_PREFIX


@pytest.fixture(autouse=True)
def no_variables_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options come from the test alone."""
    for name in list(os.environ):
        if name.startswith(ENV_PREFIX):
            monkeypatch.delenv(name)
