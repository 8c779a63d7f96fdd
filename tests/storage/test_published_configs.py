"""Configurations of the shapes that are published: stand-ins of Google's programs, and the real `aws`."""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
from pathlib import Path

import pytest

from restore.errors import CommandFailedError, EmptyStorageError, ManifestError
from restore.report.events import Retried, silent
from restore.storage.adapter_config import AdapterConfig
from restore.storage.base import Storage
from restore.storage.command import IDLE_SECONDS
from restore.storage.opening import Reach, Wishes, open_storage, source_of_config
from restore.storage.place import Place
from tests.contracts.storage import LINE, content, get, put
from tests.storage.adapter_configs import GCLOUD, GSUTIL, S3, load
from tests.storage.commands import Workshop, workshop
from tests.storage.servers import S3Server, s3_server

__all__ = ["s3_server", "workshop"]

STANDINS = Path(__file__).parent / "standins"

SIZES = {"abc.0000/0-.chunk": 3_000_000, "abc.0000/empty.proof": 0, "abd.ffff/some.manifest": 100}


@pytest.fixture
def buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-ins have their objects; they come before anything else on the PATH."""
    folder = tmp_path / "buckets"
    (folder / ".failures").mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{STANDINS}:{os.environ['PATH']}")
    monkeypatch.setenv("BUCKETS", str(folder))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return folder


REACH = Reach(report=silent, children=2, idle_seconds=IDLE_SECONDS)


def fail(buckets: Path, times: int) -> None:
    """Makes the next calls of a stand-in fail."""
    for number in range(times):
        (buckets / ".failures" / str(number)).touch()


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


async def use(storage: Storage) -> None:
    """Everything that a storage can do."""
    files = {handle: content(size) for handle, size in SIZES.items()}
    for handle, data in files.items():
        assert await put(storage, handle, data) == handle
    for handle, data in files.items():
        assert await get(storage, handle) == data
    for name in ("b.meta", "a.meta"):
        assert await storage.save_metadata_lines(name, [LINE, "x"]) == f"metadata/{name}"
    assert await storage.list_metadata_files() == ["metadata/a.meta", "metadata/b.meta"]
    await storage.backup_metadata_file("metadata/a.meta")
    assert await storage.list_metadata_files() == ["metadata/b.meta"]
    assert (await get(storage, "metadata/b.meta")).decode() == f"{LINE}\nx\n"
    assert (await get(storage, "metadata_backup/a.meta")).decode() == f"{LINE}\nx\n"
    with pytest.raises(ManifestError):
        await storage.save_metadata_lines("b.meta", ["other"])


# Google's programs


@pytest.mark.parametrize("text", [GSUTIL, GCLOUD])
async def test_a_bucket_is_written_and_read(workshop: Workshop, buckets: Path, text: str) -> None:
    await use(workshop.storage(load(text)))
    names = [*SIZES, "metadata/b.meta", "metadata_backup/a.meta"]
    assert files_in(buckets) == {f"some-bucket/e1/{name}" for name in names}
    packed = (buckets / "some-bucket/e1/abc.0000/0-.chunk").read_bytes()
    assert gzip.decompress(packed) == content(3_000_000)
    assert files_in(buckets.parent / "tmp") == set()
    assert workshop.pauses == []


@pytest.mark.parametrize(
    ("text", "found"),
    [(GSUTIL, "CommandException: No URLs matched"), (GCLOUD, "matched no objects or files")],
)
async def test_of_a_missing_file_the_program_s_words_are_told(
    workshop: Workshop, buckets: Path, text: str, found: str
) -> None:
    storage = workshop.storage(load(text))
    for reading in (get(storage, "abc.0000/gone.chunk"), storage.backup_metadata_file("metadata/gone.meta")):
        with pytest.raises(CommandFailedError) as failure:
            await reading
        assert found in str(failure.value.found)
    assert files_in(buckets.parent / "tmp") == set()


@pytest.mark.parametrize("text", [GSUTIL, GCLOUD])
async def test_a_lister_whose_failure_is_hidden_lists_no_backup(
    workshop: Workshop, buckets: Path, text: str
) -> None:
    storage = workshop.storage(load(text))
    await storage.save_metadata_lines("a.meta", [LINE])
    fail(buckets, 1)
    with pytest.raises(EmptyStorageError):
        await storage.list_metadata_files()
    assert await storage.list_metadata_files() == ["metadata/a.meta"]


async def test_what_gsutil_fails_at_we_try_again(workshop: Workshop, buckets: Path) -> None:
    storage = workshop.storage(load(GSUTIL))
    await put(storage, "abc.0000/one.chunk", b"data")
    fail(buckets, 2)
    assert await get(storage, "abc.0000/one.chunk") == b"data"
    assert len([event for event in workshop.events if isinstance(event, Retried)]) == 2
    fail(buckets, 3)
    with pytest.raises(CommandFailedError, match="503 Backend Error"):
        await get(storage, "abc.0000/one.chunk")


async def test_a_loop_of_tries_is_left_to_itself(workshop: Workshop, buckets: Path) -> None:
    storage = workshop.storage(load(GCLOUD))
    await put(storage, "abc.0000/one.chunk", b"data")
    fail(buckets, 4)
    assert await get(storage, "abc.0000/one.chunk") == b"data"
    slept = [int(line) for line in (buckets / ".slept").read_text().split()]
    assert slept == [10, 20, 30, 40]
    assert sum(slept) < IDLE_SECONDS
    assert workshop.pauses == []
    assert files_in(buckets.parent / "tmp") == set()


async def test_a_loop_that_gives_up_says_all_it_tried(workshop: Workshop, buckets: Path) -> None:
    storage = workshop.storage(load(GCLOUD))
    fail(buckets, 15)
    with pytest.raises(CommandFailedError) as failure:
        await get(storage, "abc.0000/one.chunk")
    assert str(failure.value.found).count("HTTPError 503") == 5
    assert str(failure.value.found).endswith("gave up after 5 rounds")
    assert len(workshop.pauses) == 2


async def test_a_loop_that_is_left_early_removes_its_file(workshop: Workshop, buckets: Path) -> None:
    storage = workshop.storage(load(GCLOUD))
    await put(storage, "abc.0000/one.chunk", content(3_000_000))
    async with storage.open_for_read("abc.0000/one.chunk") as reader:
        await reader.read_piece()
        assert len(files_in(buckets.parent / "tmp")) == 1
    assert files_in(buckets.parent / "tmp") == set()


# Amazon's


@pytest.fixture
def aws(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The real program, led to a server on loopback, and to nothing of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    settings = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": s3_server.key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "BUCKET": s3_server.bucket,
        "SUB_DIR": f"e1/{tmp_path.name}",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return s3_server


def test_a_bucket_is_written_by_aws_and_read_by_ourselves(aws: S3Server, tmp_path: Path) -> None:
    file = tmp_path / "s3.yaml"
    file.write_text(S3)
    shell = source_of_config(file, Wishes(), native=False)
    native = source_of_config(file, Wishes(), native=True)
    assert isinstance(shell, AdapterConfig)
    assert isinstance(native, Place)

    data = content(3_000_000)

    async def read_both() -> None:
        async with open_storage(shell, REACH) as commands, open_storage(native, REACH) as ours:
            # Half a second of work for each call: so few of them.
            await put(commands, "abc.0000/0-.chunk", data)
            await commands.save_metadata_lines("a.meta", [LINE])
            for storage in (commands, ours):
                assert await storage.list_metadata_files() == ["metadata/a.meta"]
                assert await get(storage, "abc.0000/0-.chunk") == data
            await commands.backup_metadata_file("metadata/a.meta")
            assert (await get(ours, "metadata_backup/a.meta")).decode() == f"{LINE}\n"

    asyncio.run(read_both())


def test_of_what_aws_fails_at_its_words_are_told(aws: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")

    async def move() -> None:
        async with open_storage(load(S3), REACH) as storage:
            await storage.backup_metadata_file("metadata/a.meta")

    with pytest.raises(CommandFailedError) as failure:
        asyncio.run(move())
    assert "403" in str(failure.value.found)
