"""A limit that follows a file: what it says is done, what it cannot mean is told once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from restore.errors import UsageError
from restore.flow.rate import Rate
from restore.flow.rate_file import MAX_TEXT, RateFile
from restore.report.events import Event, Notice


class RecordingRate(Rate):
    """A rate that tells what it was set to."""

    def __init__(self) -> None:
        self.limits: list[float | None] = []
        super().__init__(None)
        self.limits.clear()

    def change(self, bytes_per_second: float | None) -> None:
        super().change(bytes_per_second)
        if self.limits[-1:] != [bytes_per_second]:
            self.limits.append(bytes_per_second)


@dataclass
class Followed:
    """A file, the rate that follows it, and what was told."""

    path: Path
    rate: RecordingRate = field(default_factory=RecordingRate)
    events: list[Event] = field(default_factory=list)
    looks: int = 0

    def follow(self, text: str) -> RateFile:
        self.path.write_text(text)
        return RateFile(self.path, rate=self.rate, parse=self._parse, report=self.events.append, interval=0.0)

    async def after_a_look(self, change: Callable[[], object]) -> None:
        """Does `change`, and returns when the file was looked at."""
        change()
        looks = self.looks
        # The look that is counted first may have begun before the change.
        while self.looks < looks + 2:  # noqa: ASYNC110 - a timer of the code under test counts
            await asyncio.sleep(0)

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]

    def _parse(self, text: str) -> float:
        return float(text)


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Followed:
    found = Followed(tmp_path / "limit")
    look = RateFile._look

    def counted(file: RateFile) -> None:
        look(file)
        found.looks += 1

    monkeypatch.setattr(RateFile, "_look", counted)
    return found


async def test_the_limit_is_there_when_the_block_begins(followed: Followed) -> None:
    with followed.follow(" 2048\n"):
        assert followed.rate.limits == [2048]
    assert followed.events == []


async def test_an_edited_file_changes_the_limit_and_says_so(followed: Followed) -> None:
    with followed.follow("2048"):
        await followed.after_a_look(lambda: followed.path.write_text("4096\n"))
        await followed.after_a_look(lambda: followed.path.write_text("off\n"))
        await followed.after_a_look(lambda: None)
    assert followed.rate.limits == [2048, 4096, None]
    assert followed.notices == ["bandwidth limit is now 4.0 KiB/s", "bandwidth limit is now off"]


@pytest.mark.parametrize("text", ["", "fast", "0", "-5", "nan", "7" * MAX_TEXT + "x", "\udcff"])
async def test_what_it_cannot_mean_leaves_the_limit_and_is_told_once(followed: Followed, text: str) -> None:
    with followed.follow("2048"):
        await followed.after_a_look(
            lambda: followed.path.write_bytes(text.encode("utf-8", "surrogateescape"))
        )
        await followed.after_a_look(lambda: None)
    assert followed.rate.limits == [2048]
    (event,) = followed.events
    assert isinstance(event, Notice)
    assert event.warning
    assert str(followed.path) in event.text
    assert event.text.endswith("the limit stays at 2.0 KiB/s")


async def test_a_file_that_went_away_is_told_again_after_it_was_there(followed: Followed) -> None:
    with followed.follow("2048"):
        for _ in range(2):
            await followed.after_a_look(followed.path.unlink)
            await followed.after_a_look(lambda: followed.path.write_text("2048"))
    assert len(followed.notices) == 2
    assert "found No such file or directory" in followed.notices[0]


@pytest.mark.parametrize("text", ["", "fast", "0"])
def test_before_the_block_it_must_mean_something(followed: Followed, text: str) -> None:
    with pytest.raises(UsageError) as raised, followed.follow(text):
        pytest.fail("the block was entered")
    assert raised.value.file == str(followed.path)
    assert followed.rate.limits == []


def test_before_the_block_it_must_be_there(tmp_path: Path) -> None:
    file = RateFile(tmp_path / "none", rate=Rate(None), parse=float, report=lambda _event: None)
    with pytest.raises(UsageError, match="No such file"), file:
        pytest.fail("the block was entered")


async def test_after_the_block_nobody_looks(followed: Followed) -> None:
    with followed.follow("2048"):
        await followed.after_a_look(lambda: None)
    looks = followed.looks
    followed.path.write_text("4096")
    for _ in range(100):
        await asyncio.sleep(0)
    assert followed.looks == looks
    assert followed.rate.limits == [2048]
