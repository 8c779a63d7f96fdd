"""What the command line's words about a storage open."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from restore.errors import UsageError
from restore.report.events import silent
from restore.storage.adapter_config import AdapterConfig
from restore.storage.base import read_file
from restore.storage.opening import (
    Reach,
    Source,
    Wishes,
    open_storage,
    source_of_config,
    source_of_folder,
    source_of_url,
)
from restore.storage.place import Place

REACH = Reach(silent, children=2, idle_seconds=60.0)

SHELL = """
env_vars:
  - key: FOLDER
    value: {folder}
commands:
  create_backup: 'echo "$BACKUP_NAME"'
  create_for_write: 'exit 1'
  open_for_read: 'cat "$FOLDER/$FILE_HANDLE"; true'
  save_metadata_line: 'exit 1'
  list_metadata_files: 'cd "$FOLDER" && ls metadata/*'
"""

BUCKET = """
env_vars:
  - key: BUCKET
    value: some-bucket
  - key: SUB_DIR
    value: e1
commands:
  create_backup: 'echo "$BACKUP_NAME"'
  create_for_write: 'exit 1'
  open_for_read: 'gsutil -q cp "gs://$BUCKET/$SUB_DIR/$FILE_HANDLE" - | gzip -cd'
  save_metadata_line: 'exit 1'
  list_metadata_files: '(gsutil -q ls gs://$BUCKET/$SUB_DIR/metadata/ ||:) | sed -ne "s#gs://.*/metadata/#metadata/#p"'
"""


async def read(source: Source, handle: str) -> bytes:
    """Opens a storage, and reads one file of it."""
    async with open_storage(source, REACH) as storage:
        return await read_file(storage, handle, max_bytes=100)


@pytest.mark.parametrize("as_url", [False, True])
async def test_a_folder_packed_or_not(tmp_path: Path, as_url: bool) -> None:
    (tmp_path / "plain.manifest").write_bytes(b"data")
    (tmp_path / "packed.manifest").write_bytes(gzip.compress(b"data"))
    source = source_of_url(tmp_path.as_uri(), Wishes()) if as_url else source_of_folder(tmp_path)
    for handle in ("plain.manifest", "packed.manifest"):
        assert await read(source, handle) == b"data"


async def test_commands_run_where_their_configuration_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    config = tmp_path / "config.yaml"
    config.write_text(SHELL.format(folder=tmp_path))
    source = source_of_config(config, Wishes(), native=True, environment={})
    assert isinstance(source, AdapterConfig)
    assert await read(source, "file") == b"data"


def test_a_known_configuration_is_a_place_unless_that_is_not_wanted(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(BUCKET)
    place = source_of_config(config, Wishes(endpoint="http://127.0.0.1:1"), native=True, environment={})
    assert isinstance(place, Place)
    assert (place.url, place.endpoint) == ("gs://some-bucket/e1", "http://127.0.0.1:1")
    assert isinstance(source_of_config(config, Wishes(), native=False, environment={}), AdapterConfig)
    with pytest.raises(UsageError):
        source_of_config(config, Wishes(anonymous=True), native=False, environment={})


def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    for file in (tmp_path / "absent", tmp_path, binary, Path("/dev/zero")):
        with pytest.raises(UsageError) as refusal:
            source_of_config(file, Wishes(), native=True, environment={})
        assert refusal.value.file == str(file)


@pytest.mark.parametrize(
    ("url", "wishes", "place"),
    [
        ("s3://b/p", Wishes(), Place("s3", "b", "p")),
        (
            "s3://b/p",
            Wishes("http://e", "some-region", path_style=True, anonymous=True),
            Place("s3", "b", "p", "http://e", "some-region", anonymous=True, path_style=True),
        ),
        ("gs://b", Wishes("http://e", anonymous=False), Place("gs", "b", "", "http://e", anonymous=False)),
    ],
)
def test_wishes_are_for_buckets(url: str, wishes: Wishes, place: Place) -> None:
    assert source_of_url(url, wishes) == place


@pytest.mark.parametrize(
    ("url", "wishes"),
    [
        ("https://host/path", Wishes("http://e")),
        ("https://host/path", Wishes(anonymous=True)),
        ("file:///folder", Wishes(anonymous=True)),
        ("gs://b", Wishes(region="some-region")),
        ("gs://b", Wishes(path_style=True)),
    ],
)
def test_wishes_without_meaning_are_refused(url: str, wishes: Wishes) -> None:
    with pytest.raises(UsageError):
        source_of_url(url, wishes)
