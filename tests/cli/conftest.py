"""Fixtures of the command line's tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from restore.cli.options import ENV_PREFIX


@pytest.fixture(autouse=True)
def no_variables_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options come from the test alone."""
    for name in list(os.environ):
        if name.startswith(ENV_PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """A command that a signal stopped leaves handlers behind, since its process is about to end."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
