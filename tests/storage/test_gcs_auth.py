"""Google credentials: where they are found, which tokens they give, and in whose name requests are made."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import socket
import sys
import textwrap
import threading
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import CredentialsWithQuotaProject
from google.auth.exceptions import RefreshError, TransportError

from restore.errors import AccessDeniedError, RestoreError, TransientStorageError, UsageError
from restore.report.events import silent
from restore.storage.gcs import GcsOrigin, open_gcs
from restore.storage.gcs_auth import SCOPE, Tokens, find_tokens
from restore.storage.http import HttpClient
from tests.storage.scripted_http import Reply, Request, ScriptedServer, reply

PROJECT = Path(__file__).resolve().parents[2]


VARIABLES = [
    "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT",
    "http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY",
]  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without credentials, on a machine that is not Google's and has no programs of Google."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    # google-auth reads NO_GCE_CHECK when it is imported.
    monkeypatch.setattr("google.auth.compute_engine._metadata._NO_GCE_CHECK", True)
    look_up = socket.getaddrinfo

    def look_up_here(host: Any, *options: Any, **more: Any) -> Any:
        assert host == "127.0.0.1", f"a test must not look for {host}"
        return look_up(host, *options, **more)

    monkeypatch.setattr("socket.getaddrinfo", look_up_here)
    return tmp_path


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(report=silent) as client:
        yield client


@pytest.fixture(scope="module")
def private_key() -> str:
    return (
        rsa.generate_private_key(65537, 2048)
        .private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        .decode()
    )


def service_account(private_key: str, token_url: str) -> dict[str, str]:
    return {
        "type": "service_account",
        "project_id": "some-project",
        "private_key_id": "1",
        "private_key": private_key,
        "client_email": "some@example.org",
        "token_uri": token_url,
    }


USER = {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c",
        "quota_project_id": "payer"}  # fmt: skip


class FakeCredentials(CredentialsWithQuotaProject):
    """Credentials whose tokens are numbered, and as good as a test says."""

    def __init__(self, *, good_for: float = 3600, error: Exception | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.renewed = 0
        self.good_for = good_for
        self.error = error
        self.may_end = threading.Event()
        self.may_end.set()

    def refresh(self, request: Any) -> None:
        self.may_end.wait()
        if self.error is not None:
            raise self.error
        self.renewed += 1
        self.token = f"token {self.renewed}"
        self.expiry = dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(seconds=self.good_for)


async def test_a_token_is_fetched_once_and_used_until_it_gets_old() -> None:
    credentials = FakeCredentials()
    tokens = Tokens(credentials)
    all_headers = await asyncio.gather(*(tokens.headers() for _ in range(5)))
    assert [dict(headers) for headers in all_headers] == [{"authorization": "Bearer token 1"}] * 5
    credentials.expiry = dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(seconds=60)
    assert await tokens.headers() == {"authorization": "Bearer token 2"}
    assert await tokens.headers() == {"authorization": "Bearer token 2"}
    assert credentials.renewed == 2


@pytest.mark.parametrize(
    "error, options, kind",
    [
        (TransportError, {}, TransientStorageError),
        (RefreshError, {"retryable": True}, TransientStorageError),
        (RefreshError, {}, AccessDeniedError),
    ],
)
async def test_a_token_that_is_refused_is_an_error_by_class(
    error: type[Exception], options: dict[str, Any], kind: type[RestoreError]
) -> None:
    credentials = FakeCredentials(error=error("words", **options))
    tokens = Tokens(credentials)
    with pytest.raises(RestoreError) as refusal:
        await tokens.headers()
    assert type(refusal.value) is kind
    credentials.error = None
    assert await tokens.headers() == {"authorization": "Bearer token 1"}


async def test_who_is_cancelled_waits_for_the_token_and_others_get_it() -> None:
    credentials = FakeCredentials()
    credentials.may_end.clear()
    tokens = Tokens(credentials)
    cancelled, other = asyncio.create_task(tokens.headers()), asyncio.create_task(tokens.headers())
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    assert not cancelled.done()
    credentials.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert await other == {"authorization": "Bearer token 1"}
    assert credentials.renewed == 1


async def test_who_has_no_credentials_has_no_tokens(capfd: pytest.CaptureFixture[str]) -> None:
    assert await find_tokens() is None
    assert capfd.readouterr() == ("", "")


async def test_a_service_account_s_file_gives_tokens(
    home: Path, private_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent = json.dumps({"access_token": "lent", "expires_in": 3600}).encode()
    answers = [reply(200, lent, {"Content-Type": "application/json"})]
    async with ScriptedServer(answers) as server:
        (home / "key.json").write_text(json.dumps(service_account(private_key, f"{server.url}/token")))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(home / "key.json"))
        tokens = await find_tokens()
        assert tokens is not None
        assert await tokens.headers() == {"authorization": "Bearer lent"}
        (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/token")
    asked = parse_qs(request.body.decode())
    assert asked["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    claims = asked["assertion"][0].split(".")[1]
    assert json.loads(urlsafe_b64decode(claims + "=="))["scope"] == SCOPE


async def test_an_account_that_is_closed_is_refused(
    home: Path, private_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = json.dumps({"error": "invalid_grant", "error_description": "closed"}).encode()
    async with ScriptedServer([reply(400, refused)]) as server:
        (home / "key.json").write_text(json.dumps(service_account(private_key, f"{server.url}/token")))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(home / "key.json"))
        tokens = await find_tokens()
        assert tokens is not None
        with pytest.raises(AccessDeniedError, match="closed"):
            await tokens.headers()


@pytest.mark.parametrize("variable", [None, "CLOUDSDK_CONFIG"])
async def test_a_user_who_has_logged_in_is_found(
    home: Path, variable: str | None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = home / ".config" / "gcloud" if variable is None else home / "elsewhere"
    folder.mkdir(parents=True)
    (folder / "application_default_credentials.json").write_text(json.dumps(USER))
    if variable is not None:
        monkeypatch.setenv(variable, str(folder))
    tokens = await find_tokens()
    assert tokens is not None
    credentials: Any = tokens._credentials
    assert (credentials.refresh_token, credentials.quota_project_id) == ("c", "payer")
    credentials.token, credentials.expiry = "given", None  # fetching one would lead to Google
    assert await tokens.headers() == {"authorization": "Bearer given", "x-goog-user-project": "payer"}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["", "no json", "{}", '{"type": "service_account"}'])
@pytest.mark.parametrize("is_named", [True, False])
async def test_credentials_that_cannot_be_used_are_not_none(
    home: Path, text: str, is_named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / ".config" / "gcloud" / "application_default_credentials.json"
    file.parent.mkdir(parents=True)
    if is_named:
        file = home / "key.json"
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    file.write_text(text)
    with pytest.raises(UsageError) as refusal:
        await find_tokens()
    assert refusal.value.file == str(file)


async def test_a_file_that_is_named_and_not_there_is_a_mistake(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(home / "gone.json"))
    with pytest.raises(UsageError) as refusal:
        await find_tokens()
    assert refusal.value.file == str(home / "gone.json")


async def test_a_machine_of_google_s_lends_tokens(tmp_path: Path) -> None:
    """In a process of its own: google-auth reads where the metadata server is when it is imported."""

    def answer(request: Request) -> Reply:
        assert request.headers["metadata-flavor"] == "Google"
        lent = {"access_token": "lent", "expires_in": 3600, "email": "any", "scopes": []}
        body = json.dumps(lent).encode() if "service-accounts" in request.target else b"some-project"
        kind = "application/json" if "service-accounts" in request.target else "text/plain"
        return reply(200, body, {"Metadata-Flavor": "Google", "Content-Type": kind})

    script = """
        import asyncio
        from restore.storage.gcs_auth import find_tokens

        async def main():
            tokens = await find_tokens()
            print((await tokens.headers())["authorization"])

        asyncio.run(main())
    """
    async with ScriptedServer(answer) as server:
        host = server.url.removeprefix("http://")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", textwrap.dedent(script), cwd=PROJECT,
            env={"HOME": str(tmp_path), "GCE_METADATA_HOST": host, "GCE_METADATA_IP": host},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert await process.communicate() == (b"Bearer lent\n", b"")


@pytest.fixture
def logged_in(home: Path) -> None:
    folder = home / ".config" / "gcloud"
    folder.mkdir(parents=True)
    (folder / "application_default_credentials.json").write_text(json.dumps(USER))


@pytest.mark.usefixtures("logged_in")
@pytest.mark.parametrize(
    "endpoint, anonymous, is_named",
    [
        (None, None, True),
        (None, False, True),
        (None, True, False),
        ("https://127.0.0.1:1", None, True),
        ("http://127.0.0.1:1", None, False),
        ("http://127.0.0.1:1", True, False),
    ],
)
async def test_requests_are_in_the_user_s_name_where_they_may_be(
    client: HttpClient, endpoint: str | None, anonymous: bool | None, is_named: bool
) -> None:
    origin = await open_gcs("some-bucket", "x", client, endpoint=endpoint, anonymous=anonymous)
    assert (origin._tokens is not None) == is_named


@pytest.mark.usefixtures("logged_in")
async def test_a_token_is_never_sent_where_others_can_read_it(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="encrypted"):
        await open_gcs("some-bucket", "x", client, endpoint="http://127.0.0.1:1", anonymous=False)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")
    assert (await open_gcs("some-bucket", "x", client, endpoint=None, anonymous=None))._tokens is None


async def test_who_must_not_be_anonymous_needs_credentials(client: HttpClient) -> None:
    with pytest.raises(UsageError, match="no credentials"):
        await open_gcs("some-bucket", "x", client, endpoint=None, anonymous=False)
    assert (await open_gcs("some-bucket", "x", client, endpoint=None, anonymous=None))._tokens is None


async def test_a_request_carries_the_token(client: HttpClient) -> None:
    described = json.dumps({"kind": "storage#object", "generation": "7", "size": "5"}).encode()
    async with ScriptedServer(
        [reply(200, described), reply(206, b"x" * 5, {"Content-Range": "bytes 0-4/5"})]
    ) as server:
        origin = GcsOrigin("b", "", client, tokens=Tokens(FakeCredentials()), endpoint=server.url)
        assert (await origin.head("a")).size == 5
        async with origin.get("a", start=0, length=5, pin=None, fresh=False):
            pass
        assert [request.headers["authorization"] for request in server.requests] == ["Bearer token 1"] * 2
