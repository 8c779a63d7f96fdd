"""The JSON that servers answer with, decoded strictly."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from restore.errors import TransientStorageError

T = TypeVar("T")


def parse_json(body: bytes, kind: type[T], *, file: str) -> T:
    """The value that an answer is.

    Raises:
        TransientStorageError: it was cut short, or is something else.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # The last two: of text that is not UTF-8, and of brackets without end.
        raise TransientStorageError("answer of the storage does not parse", file=file, found=error) from error
