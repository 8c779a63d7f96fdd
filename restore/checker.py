"""A process that checks aggregate signatures for `signatures.py`: `python -m restore.checker`.

Most of what a signature costs is hashing its message to a point, and the library keeps the interpreter to
itself meanwhile: two threads do hardly more than one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from restore.crypto.bls import Aggregate, verify_together
from restore.flow.serving import serve

HOLD, DO_NOT_HOLD = b"1", b"0"

_decoder = msgspec.msgpack.Decoder(list[Aggregate])


def request_of(aggregates: Sequence[Aggregate]) -> bytes:
    """What the process is asked: whether all of these hold."""
    return msgspec.msgpack.encode(aggregates)


def answer(request: bytes) -> bytes:
    """`HOLD` or `DO_NOT_HOLD`."""
    return HOLD if verify_together(_decoder.decode(request)) else DO_NOT_HOLD


if __name__ == "__main__":
    serve(answer)
