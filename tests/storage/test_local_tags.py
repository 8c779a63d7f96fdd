"""The tags of a local folder's metadata: from size, time of writing and place on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from restore.storage.local import LocalFs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A storage's folder of metadata."""
    folder = tmp_path / "metadata"
    folder.mkdir()
    return folder


async def tag_in(folder: Path) -> str:
    (tag,) = (await LocalFs(folder.parent).list_metadata()).values()
    return tag


def write(path: Path, text: str, *, nanoseconds: int) -> None:
    """Writes a file of this age, in place."""
    path.write_text(text)
    os.utime(path, ns=(0, nanoseconds))


async def test_a_metadata_file_written_again_or_replaced_has_another_tag(folder: Path) -> None:
    path, other = folder / "some.meta", folder.parent / "other"
    write(path, "line", nanoseconds=0)
    tags = [await tag_in(folder)]
    write(path, "line and more", nanoseconds=0)
    tags.append(await tag_in(folder))
    write(path, "more and line", nanoseconds=1)
    tags.append(await tag_in(folder))
    write(other, "more and more", nanoseconds=1)
    other.replace(path)
    tags.append(await tag_in(folder))
    assert len(set(tags)) == 4


async def test_a_metadata_file_that_is_read_linked_or_closed_to_others_keeps_its_tag(folder: Path) -> None:
    path = folder / "some.meta"
    path.write_text("line")
    tag = await tag_in(folder)
    path.read_text()
    path.chmod(0o600)
    (folder.parent / "link").hardlink_to(path)
    assert await tag_in(folder) == tag


async def test_a_linked_metadata_file_has_the_tag_of_what_it_leads_to(folder: Path) -> None:
    (folder / "some.meta").symlink_to("../target")
    write(folder.parent / "target", "line", nanoseconds=0)
    before = await tag_in(folder)
    write(folder.parent / "target", "enil", nanoseconds=1)
    assert await tag_in(folder) not in {before, ""}


@pytest.mark.parametrize("target", ["gone", "some.meta"])
async def test_a_link_that_leads_nowhere_is_listed_without_a_tag(folder: Path, target: str) -> None:
    (folder / "some.meta").symlink_to(target)
    assert await LocalFs(folder.parent).list_metadata() == {"metadata/some.meta": ""}
