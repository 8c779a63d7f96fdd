"""Storages behind commands, as tests make them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import pytest

from restore.flow.children import Children
from restore.flow.rate import Rate
from restore.report.events import Event
from restore.storage.adapter_config import AdapterConfig
from restore.storage.command import CommandStorage
from tests.flow.processes import no_child_left
from tests.flow.programs import NEVER
from tests.storage.adapter_configs import of_commands

MOST_CHILDREN = 8


@dataclass
class Workshop:
    """Makes storages.

    Attributes:
        children: run their commands.
        events: what they reported.
        pauses: seconds that they wanted to wait.
    """

    children: Children
    events: list[Event]
    pauses: list[float] = field(default_factory=list)

    def storage(
        self,
        commands: AdapterConfig | Mapping[str, str],
        *,
        idle_seconds: float = NEVER,
        rate: Rate | None = None,
    ) -> CommandStorage:
        """A storage behind commands; those that are not given fail."""

        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)

        return CommandStorage(
            commands if isinstance(commands, AdapterConfig) else of_commands(**commands),
            self.children,
            report=self.events.append,
            idle_seconds=idle_seconds,
            rate=rate,
            sleep=pause,
        )


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    """When it is closed all children are gone and reaped."""
    events: list[Event] = []
    with no_child_left():
        async with Children(MOST_CHILDREN, report=events.append) as children:
            yield Workshop(children, events)
