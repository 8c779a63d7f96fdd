"""JSON that is no answer."""

from __future__ import annotations

import msgspec
import pytest

from restore.errors import TransientStorageError
from restore.storage.json_answer import parse_json


class Told(msgspec.Struct):
    name: str


def test_an_answer_is_decoded_and_more_than_is_asked_for_is_let_by() -> None:
    assert parse_json(b'{"more": {}, "name": "a"}', Told, file="file") == Told("a")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"<html></html>",
        b'{"name": "a"',
        b'{"name": 1}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a", "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_one_that_is_cut_short_or_something_else_is_typed(body: bytes) -> None:
    with pytest.raises(TransientStorageError) as refusal:
        parse_json(body, Told, file="file")
    assert refusal.value.file == "file"
