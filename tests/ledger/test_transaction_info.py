from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.crypto.digest import sha3_256
from restore.errors import FormatError
from restore.ledger.hashes import APTOS
from restore.ledger.transaction_info import TransactionInfo
from restore.wire.bcs import Reader
from tests.ledger.real import shared_vectors
from tests.wire.values import encoded

GAS = (7).to_bytes(8, "little")
HASHES = b"t" * 32 + b"e" * 32 + b"w" * 32
SUCCESS = b"\x00"
ABORT = b"\x02\x00" + b"a" * 32 + b"\x04coin" + bytes(8) + b"\x01\x01r\x00"
NONE = b"\x00"


def some(letter: str) -> bytes:
    return b"\x01" + letter.encode() * 32


@pytest.mark.parametrize("status", [SUCCESS, ABORT, b"\x01", b"\x03\x01" + bytes(4), b"\x04\x01" + bytes(8)])
@pytest.mark.parametrize(
    ("variant", "options", "checkpoint", "auxiliary"),
    [
        (0, NONE + NONE, None, None),
        (0, some("c") + NONE, b"c" * 32, None),
        (0, NONE + some("a"), None, b"a" * 32),
        (0, some("c") + some("a"), b"c" * 32, b"a" * 32),
        (1, NONE * 11, None, None),
        (1, some("c") + some("h") + some("a") + some("p") + NONE * 7, b"c" * 32, b"a" * 32),
        (1, NONE + some("h") + NONE + some("p") + some("r") * 7, None, None),
        (1, some("c") + NONE + some("a") + NONE * 8, b"c" * 32, b"a" * 32),
    ],
)
def test_the_hashes_are_found_behind_any_status(
    variant: int, options: bytes, checkpoint: bytes | None, auxiliary: bytes | None, status: bytes
) -> None:
    raw = bytes([variant]) + GAS + status + HASHES + options
    assert TransactionInfo.parse(raw) == TransactionInfo(
        raw=raw,
        gas_used=7,
        transaction_hash=b"t" * 32,
        event_root_hash=b"e" * 32,
        state_change_hash=b"w" * 32,
        state_checkpoint_hash=checkpoint,
        auxiliary_info_hash=auxiliary,
    )
    reader = Reader(b"before" + raw + b"after", 6)
    assert TransactionInfo.read(reader).raw == raw
    assert reader.offset == 6 + len(raw)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "runs past the end"),
        (b"\x02" + GAS + SUCCESS + HASHES + NONE * 2, "unknown variant"),
        (b"\x00" + GAS + b"\x05" + HASHES + NONE * 2, "unknown variant"),
        (b"\x00" + GAS + SUCCESS + HASHES + NONE, "runs past the end"),
        (b"\x00" + GAS + SUCCESS + HASHES + NONE + b"\x02" + bytes(64), "neither 0 nor 1"),
        (b"\x00" + GAS + SUCCESS + HASHES + NONE * 3, "bytes follow"),
        (b"\x01" + GAS + SUCCESS + HASHES + NONE * 10, "runs past the end"),
        (b"\x01" + GAS + SUCCESS + HASHES + NONE * 12, "bytes follow"),
    ],
)
def test_a_malformed_info_is_refused(raw: bytes, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        TransactionInfo.parse(raw)


@given(encoded("TransactionInfo"))
@settings(deadline=None)
def test_every_well_formed_info_is_kept_verbatim(raw: bytes) -> None:
    assert TransactionInfo.parse(raw).raw == raw


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_format_errors(data: bytes) -> None:
    with suppress(FormatError):
        TransactionInfo.parse(data)


@pytest.mark.parametrize("version", [964644771, 998167816])
def test_a_real_checkpoint_info_has_its_known_hash(version: int, shared: Path) -> None:
    row = shared_vectors(shared, f"real-ledger-infos/aptos-mainnet-inclusion-version-{version}.json")
    info = TransactionInfo.parse(bytes.fromhex(row["transaction_info"]["bcs"]))
    assert sha3_256(APTOS.transaction_info + info.raw).hex() == row["transaction_info"]["hash"]
    assert info.state_checkpoint_hash is not None
    assert info.state_checkpoint_hash.hex() == row["sparse_merkle"]["root"]
