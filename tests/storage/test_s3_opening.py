"""How a bucket is found: address, region, and what the user's AWS settings say."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from restore.errors import StorageUnavailableError, TransientStorageError, UsageError
from restore.report.events import silent
from restore.storage.aws_settings import load_aws_settings
from restore.storage.http import HttpClient
from restore.storage.s3 import S3Origin, open_s3
from restore.storage.s3_address import Address
from tests.storage.listing import list_names
from tests.storage.s3_script import Bench, bench, tell
from tests.storage.scripted_http import reply

__all__ = ["bench"]

AMAZON = "https://s3.us-east-1.amazonaws.com"


def address(bucket: str = "some-bucket", *, endpoint: str | None = None, path_style: bool = False) -> Address:
    return Address(bucket, endpoint=endpoint, region="us-east-1", path_style=path_style)


@pytest.mark.parametrize(
    "endpoint, path_style, url",
    [
        (None, False, "https://some-bucket.s3.us-east-1.amazonaws.com"),
        (None, True, f"{AMAZON}/some-bucket"),
        ("http://127.0.0.1:9000", True, "http://127.0.0.1:9000/some-bucket"),
        ("http://127.0.0.1:9000/", True, "http://127.0.0.1:9000/some-bucket"),
        ("http://127.0.0.1:9000/s3/", True, "http://127.0.0.1:9000/s3/some-bucket"),
        ("https://storage.example:8443/s3", False, "https://some-bucket.storage.example:8443/s3"),
    ],
)
def test_a_bucket_is_named_in_the_path_or_in_the_host(
    endpoint: str | None, path_style: bool, url: str
) -> None:
    assert address(endpoint=endpoint, path_style=path_style).url == url


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "localhost:9000",
        "ftp://host",
        "https://",
        "http://name:secret@host",
        "http://h?x=1",
        "http://[::1",
    ],
)
def test_an_endpoint_is_a_url_without_secrets(endpoint: str) -> None:
    with pytest.raises(UsageError, match="endpoint") as refusal:
        address(endpoint=endpoint)
    assert "secret" not in str(refusal.value)


async def test_a_place_says_which_it_is() -> None:
    async with HttpClient(report=silent) as client:

        def identity(prefix: str, endpoint: str | None) -> str:
            return S3Origin("b", prefix, client, signer=None, endpoint=endpoint, path_style=True).identity

        assert identity("e1", None) == identity("/e1/", None) == "s3://b/e1"
        assert identity("", None) == "s3://b"
        assert identity("e1", "http://127.0.0.1:1") == "http://127.0.0.1:1/b/e1"


class TestRegion:
    MALFORMED = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>"

    def move(
        self, where: Address, status: int = 301, body: bytes = b"", *, region: str | None = "eu-west-3"
    ) -> object:
        headers = {} if region is None else {"x-amz-bucket-region": region}
        return where.error_of_move(status, headers, body, "file")

    @pytest.mark.parametrize("status", [301, 307, 400])
    def test_a_region_that_is_told_is_taken_over(self, status: int) -> None:
        where = address()
        assert type(self.move(where, status)) is TransientStorageError
        assert (where.region, where.url) == (
            "eu-west-3", "https://some-bucket.s3.eu-west-3.amazonaws.com"
        )  # fmt: skip
        assert where.identity == "s3://some-bucket"

    def test_a_region_may_stand_in_the_error(self) -> None:
        where = address(endpoint="http://127.0.0.1:9000", path_style=True)
        assert type(self.move(where, 400, self.MALFORMED, region=None)) is TransientStorageError
        assert (where.region, where.url) == ("eu-west-3", "http://127.0.0.1:9000/some-bucket")

    def test_what_was_asked_before_has_to_be_asked_again(self) -> None:
        where = address()
        for _ in range(3):
            assert type(self.move(where)) is TransientStorageError

    def test_a_region_is_taken_over_once(self) -> None:
        where = address()
        self.move(where)
        assert type(self.move(where, region="eu-west-1")) is StorageUnavailableError
        assert where.region == "eu-west-3"

    def test_an_endpoint_is_not_left_for_another(self) -> None:
        where = address(endpoint=AMAZON)
        assert type(self.move(where)) is StorageUnavailableError
        assert where.region == "us-east-1"

    @pytest.mark.parametrize(
        "status, body, region",
        [
            (301, b"", None),
            (301, b"", "us-east-1"),
            (403, b"", "eu-west-3"),
            (400, b"<Error><Code>ExpiredToken</Code></Error>", "eu-west-3"),
            (400, b"", "us-east-1"),
        ],
    )
    def test_any_other_answer_is_none_of_its_business(
        self, status: int, body: bytes, region: str | None
    ) -> None:
        where = address()
        assert self.move(where, status, body, region=region) is None
        assert where.region == "us-east-1"

    @pytest.mark.parametrize("region", ["a\nX: b", "[", "evil.example/#", "\u4e2d", "x" * 65])
    def test_what_is_no_region_is_not_taken_over(self, region: str) -> None:
        where = address()
        assert self.move(where, region=region) is None
        body = self.MALFORMED.replace(b"eu-west-3", region.encode())
        assert self.move(where, 400, body, region=None) is None
        assert where.region == "us-east-1"
        with pytest.raises(UsageError):
            Address("some-bucket", endpoint=None, region=region, path_style=True)

    async def test_the_next_request_is_signed_for_the_region(self, bench: Bench) -> None:
        bench.answers(reply(400, self.MALFORMED), tell(5))
        with pytest.raises(TransientStorageError, match="region"):
            await list_names(bench.signed, "metadata")
        assert (await bench.signed.head("abc.0000/one.chunk")).size == 5
        assert "/us-east-1/s3/" in bench.server.requests[0].headers["authorization"]
        assert "/eu-west-3/s3/" in bench.last.headers["authorization"]


@dataclass
class Settings:
    """The user's settings, all of them in a home of its own."""

    home: Path
    patch: pytest.MonkeyPatch

    def variables(self, **values: str) -> None:
        for name, value in values.items():
            self.patch.setenv(name, value)

    def file(self, name: str, text: str) -> None:
        (self.home / ".aws").mkdir(exist_ok=True)
        (self.home / ".aws" / name).write_text(text)


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return Settings(tmp_path, monkeypatch)


KEYS = {"AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "SECRET"}


class TestSettings:
    def key(self, *, anonymous: bool = False) -> str | None:
        credentials = load_aws_settings(anonymous=anonymous).credentials
        return None if credentials is None else credentials.get_frozen_credentials().access_key

    def test_nothing_is_found_where_nothing_is_set(self) -> None:
        found = load_aws_settings(anonymous=False)
        assert (found.credentials, found.region, found.endpoint) == (None, None, None)

    def test_keys_come_from_variables_or_files(self, settings: Settings) -> None:
        profile = "[{}]\naws_access_key_id={}\naws_secret_access_key=S\n".format
        settings.file("credentials", profile("default", "FILE") + profile("other", "OTHER"))
        assert self.key() == "FILE"
        settings.variables(AWS_PROFILE="other")
        assert self.key() == "OTHER"
        settings.patch.delenv("AWS_PROFILE")
        settings.variables(**KEYS)
        assert self.key() == "KEY"
        assert self.key(anonymous=True) is None

    def test_a_program_may_give_keys(self, settings: Settings) -> None:
        program = settings.home / "give-keys"
        program.write_text('#!/bin/sh\necho \'{"Version":1,"AccessKeyId":"GIVEN","SecretAccessKey":"S"}\'\n')
        program.chmod(0o700)
        settings.file("config", f"[default]\ncredential_process={program}\n")
        assert self.key() == "GIVEN"

    def test_the_region_is_looked_up_in_order(self, settings: Settings) -> None:
        def region() -> str | None:
            return load_aws_settings(anonymous=True).region

        settings.file("config", "[default]\nregion=of-file\n")
        assert region() == "of-file"
        settings.variables(AWS_DEFAULT_REGION="of-default")
        assert region() == "of-default"
        settings.variables(AWS_REGION="of-variable")
        assert region() == "of-variable"

    def test_the_endpoint_is_looked_up_in_order(self, settings: Settings) -> None:
        def endpoint() -> str | None:
            return load_aws_settings(anonymous=True).endpoint

        settings.file("config", "[default]\nendpoint_url=of-file\n")
        assert endpoint() == "of-file"
        settings.file("config", "[default]\nendpoint_url=of-file\nservices=mine\n"
                                "[services mine]\ns3 =\n  endpoint_url=of-service\n")  # fmt: skip
        assert endpoint() == "of-service"
        settings.variables(AWS_ENDPOINT_URL="of-all")
        assert endpoint() == "of-all"
        settings.variables(AWS_ENDPOINT_URL_S3="of-s3")
        assert endpoint() == "of-s3"
        settings.variables(AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true")
        assert endpoint() is None

    @pytest.mark.parametrize(
        "config, variables",
        [
            ("[default]\n", {"AWS_PROFILE": "absent"}),
            ("default]\n", {}),
            ("[default]\n", {"AWS_ACCESS_KEY_ID": "KEY"}),
            ("[default]\ncredential_process=/none-such\n", {}),
            ("[default]\ncredential_process=false\n", {}),
        ],
    )
    def test_settings_that_cannot_be_used_are_refused(
        self, settings: Settings, config: str, variables: dict[str, str]
    ) -> None:
        settings.file("config", config)
        settings.variables(**variables)
        with pytest.raises(UsageError, match="AWS configuration"):
            load_aws_settings(anonymous=False)


class TestOpening:
    @pytest.fixture
    async def client(self) -> AsyncIterator[HttpClient]:
        async with HttpClient(report=silent) as client:
            yield client

    async def open(
        self,
        client: HttpClient,
        *,
        bucket: str = "some-bucket",
        endpoint: str | None = None,
        region: str | None = None,
        path_style: bool | None = None,
        anonymous: bool | None = None,
    ) -> S3Origin:
        return await open_s3(
            bucket,
            "e1",
            client,
            endpoint=endpoint,
            region=region,
            path_style=path_style,
            anonymous=anonymous,
        )

    async def test_requests_are_signed_if_there_are_keys(
        self, settings: Settings, client: HttpClient
    ) -> None:
        assert (await self.open(client))._signer is None
        settings.variables(**KEYS)
        assert (await self.open(client))._signer is not None
        assert (await self.open(client, anonymous=False))._signer is not None
        assert (await self.open(client, anonymous=True))._signer is None

    async def test_keys_that_are_demanded_must_be_there(self, client: HttpClient) -> None:
        with pytest.raises(UsageError, match="no credentials") as refusal:
            await self.open(client, anonymous=False)
        assert (refusal.value.exit_code, refusal.value.file) == (2, "s3://some-bucket")

    @pytest.mark.parametrize(
        "bucket, endpoint, path_style, url",
        [
            ("b", None, None, "https://b.s3.us-east-1.amazonaws.com"),
            ("b", None, True, f"{AMAZON}/b"),
            ("a.b", None, None, f"{AMAZON}/a.b"),
            ("a.b", None, False, "https://a.b.s3.us-east-1.amazonaws.com"),
            ("b", "https://host", None, "https://host/b"),
            ("b", "https://host", False, "https://b.host"),
        ],
    )
    async def test_the_path_names_a_bucket_that_no_host_can(
        self, client: HttpClient, bucket: str, endpoint: str | None, path_style: bool | None, url: str
    ) -> None:
        origin = await self.open(client, bucket=bucket, endpoint=endpoint, path_style=path_style)
        assert origin._address.url == url

    async def test_what_is_told_goes_before_what_is_set(self, settings: Settings, client: HttpClient) -> None:
        settings.variables(AWS_ENDPOINT_URL="https://set", AWS_REGION="set")
        found = (await self.open(client))._address
        assert (found.url, found.region) == ("https://set/some-bucket", "set")
        told = (await self.open(client, endpoint="https://told", region="told"))._address
        assert (told.url, told.region) == ("https://told/some-bucket", "told")
