"""Signatures held against botocore's, and the keys that they are made with."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import threading
import time
from urllib.parse import quote

import botocore.auth  # type: ignore[import-untyped]
import pytest
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials, RefreshableCredentials  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from restore.errors import TransientStorageError, UsageError
from restore.storage.signing import EMPTY_SHA256, Signer
from tests.flow.steps import settle

URL_OF_OBJECT = URL("https://host/bucket/key")

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=20)
VALUES = st.text("abcXYZ019 \t-_=/+*\"'():;,", max_size=20)
TOKENS = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789/+=", min_size=1, max_size=40)


@st.composite
def urls(draw: st.DrawFn) -> str:
    host = draw(
        st.sampled_from(["127.0.0.1:9000", "storage:80", "bucket.s3.eu-west-3.amazonaws.com", "[::1]:5"])
    )
    path = "/".join(quote(name, safe="") for name in draw(st.lists(NAMES, max_size=4)))
    query = draw(st.dictionaries(NAMES, st.text(max_size=10), max_size=4))
    pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in query.items())
    text = "&".join(f"{name}={value}" for name, value in pairs)
    return f"{draw(st.sampled_from(['http', 'https']))}://{host}/{path}" + (f"?{text}" if text else "")


@settings(deadline=None)
@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]),
    url=urls(),
    headers=st.dictionaries(
        st.sampled_from(
            [
                "Range",
                "If-Match",
                "If-None-Match",
                "Content-MD5",
                "x-amz-copy-source",
                "X-Amz",
                "X-Amz-A",
                "A",
            ]
        ),
        VALUES,
    ),
    secret=TOKENS,
    token=st.none() | TOKENS,
    region=st.sampled_from(["us-east-1", "eu-west-3", "auto"]),
    payload=st.none() | st.binary(max_size=20),
    seconds=st.integers(0, 4_000_000_000),
)
def test_a_signature_is_botocores(
    method: str,
    url: str,
    headers: dict[str, str],
    secret: str,
    token: str | None,
    region: str,
    payload: bytes | None,
    seconds: int,
) -> None:
    credentials = Credentials("KEY", secret, token)
    digest = EMPTY_SHA256 if payload is None else hashlib.sha256(payload).hexdigest()
    signer = Signer(credentials, clock=lambda: seconds + 0.7)
    ours = asyncio.run(signer.sign(method, URL(url, encoded=True), headers, region=region, payload=digest))
    request = AWSRequest(method, url, headers=headers, data=payload)
    with pytest.MonkeyPatch.context() as patch:
        now = dt.datetime.fromtimestamp(seconds, dt.UTC)
        patch.setattr(botocore.auth, "get_current_datetime", lambda: now)
        botocore.auth.S3SigV4Auth(credentials, "s3", region).add_auth(request)
    assert {name.lower(): value for name, value in ours.items()} == {
        name.lower(): value for name, value in request.headers.items()
    }


class Lent:
    """Keys lent for `lasting` seconds; each renewal gives other ones."""

    def __init__(self, *lasting: float) -> None:
        self.lasting = list(lasting)
        self.threads: list[int] = []
        self.proceed = threading.Event()
        self.proceed.set()
        self.begun = threading.Event()

    def signer(self) -> Signer:
        return Signer(RefreshableCredentials.create_from_metadata(self.renew(), self.renew, "test"))

    def renew(self) -> dict[str, str]:
        self.threads.append(threading.get_ident())
        self.begun.set()
        self.proceed.wait()
        if not self.lasting:
            raise OSError("nobody lends any more")
        end = dt.datetime.fromtimestamp(time.time() + self.lasting.pop(0), dt.UTC)
        number = str(len(self.threads))
        return {"access_key": number, "secret_key": number, "token": number, "expiry_time": end.isoformat()}


async def token_of(signer: Signer) -> str:
    signed = await signer.sign("GET", URL_OF_OBJECT, {}, region="us-east-1")
    assert f"Credential={signed['X-Amz-Security-Token']}/" in signed["Authorization"]
    return signed["X-Amz-Security-Token"]


async def test_keys_that_last_are_asked_for_once() -> None:
    lent = Lent(36_000)
    signer = lent.signer()
    assert [await token_of(signer) for _ in range(3)] == ["1", "1", "1"]


async def test_keys_about_to_end_are_renewed_beside_the_loop() -> None:
    lent = Lent(60, 60, 36_000)
    signer = lent.signer()
    assert [await token_of(signer) for _ in range(4)] == ["2", "3", "3", "3"]
    assert threading.get_ident() == lent.threads[0]
    assert threading.get_ident() not in lent.threads[1:]


async def test_keys_that_cannot_be_renewed_yet_may_be_a_moment_later() -> None:
    lent = Lent(1)
    signer = lent.signer()
    with pytest.raises(TransientStorageError, match="nobody lends"):
        await token_of(signer)
    lent.lasting.append(36_000)
    assert await token_of(signer) == "3"


async def test_a_renewal_is_waited_for_when_cancelled() -> None:
    lent = Lent(60, 36_000)
    signer = lent.signer()
    lent.begun.clear()
    lent.proceed.clear()
    signing = asyncio.create_task(token_of(signer))
    await asyncio.to_thread(lent.begun.wait)
    signing.cancel()
    await settle()
    assert not signing.done()
    lent.proceed.set()
    with pytest.raises(asyncio.CancelledError):
        await signing
    assert await token_of(signer) == "2"


async def test_keys_without_an_end_are_taken_as_they_are() -> None:
    signed = await Signer(Credentials("KEY", "SECRET")).sign("GET", URL_OF_OBJECT, {}, region="us-east-1")
    assert "X-Amz-Security-Token" not in signed
    assert "Credential=KEY/" in signed["Authorization"]
    assert "SECRET" not in str(signed)


@pytest.mark.parametrize("keys", [("KEY\r", "SECRET"), ("KEY", "SECRET\n"), ("KEY", "SECRET", "\u4e2d")])
async def test_keys_with_characters_that_cannot_be_sent_are_refused_and_not_shown(
    keys: tuple[str, ...],
) -> None:
    with pytest.raises(UsageError, match="characters") as refusal:
        await Signer(Credentials(*keys)).sign("GET", URL_OF_OBJECT, {}, region="us-east-1")
    assert "KEY" not in str(refusal.value)
    assert "SECRET" not in str(refusal.value)
