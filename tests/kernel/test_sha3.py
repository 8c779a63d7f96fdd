"""SHA3-256 in C, on every level that this CPU has: the standard's answers, and hashlib's."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.crypto.digest import sha3_256_many

native = pytest.importorskip("restore.kernel._native", reason="the C extension is not built")

LEVELS: tuple[str, ...] = native.sha3_levels()

KNOWN = [
    (b"", "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"),
    (b"abc", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
    (
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "41c0dba2a9d6240849100376a8235e2c82e1b9998a999e21db32dd97496d3376",
    ),
    (
        b"".join(bytes(range(first, first + 8)) for first in range(ord("a"), ord("o"))),
        "916f6061fe879741ca6469b43971dfdb28b1a32dc36cb3254e812be27aad1d18",
    ),
    (b"\xa3" * 200, "79f38adec5c20307a98ef76e8324afbfd46cfd81b22e3973c65fa1bd9de31787"),
    (b"a" * 1_000_000, "5c8875ae474a3634ba4fd55ec85bffd661f32aca75c6d699d0cdcb6c115891c1"),
]
"""NIST's examples of SHA3-256 (FIPS 202), and its older ones of all hashes."""

RATE = 136
SEED = bytes(range(32))


@pytest.fixture(autouse=True)
def best_level_again() -> Iterator[None]:
    """Levels are chosen for the whole process."""
    yield
    native.sha3_use(LEVELS[0])


def expected(seed: bytes, messages: list[bytes]) -> list[bytes]:
    return [hashlib.sha3_256(seed + message).digest() for message in messages]


def test_the_levels_are_told_best_first() -> None:
    order = ["avx512", "avx2", "neon", "scalar"]
    assert list(LEVELS) == [name for name in order if name in LEVELS]
    assert LEVELS[-1] == "scalar"


def test_a_level_that_this_cpu_has_not_is_refused() -> None:
    for name in {"avx512", "avx2", "neon", "hashlib", ""} - set(LEVELS):
        with pytest.raises(ValueError, match=f"no level of that name: {name}$"):
            native.sha3_use(name)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("message", "digest"), KNOWN, ids=lambda value: str(len(value)))
def test_the_answers_of_the_standard(level: str, message: bytes, digest: str) -> None:
    native.sha3_use(level)
    assert [each.hex() for each in native.sha3_256_many(b"", [message] * 9)] == [digest] * 9


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", [b"", b"s", SEED, SEED + b"s", bytes(RATE), bytes(3 * RATE + 1)], ids=len)
def test_every_length_around_the_ends_of_blocks(level: str, seed: bytes) -> None:
    native.sha3_use(level)
    messages = [bytes([length % 251]) * length for length in range(4 * RATE + 3)]
    assert native.sha3_256_many(seed, messages) == expected(seed, messages)


@pytest.mark.parametrize("level", LEVELS)
def test_every_count_with_one_long_message_among_short_ones(level: str) -> None:
    native.sha3_use(level)
    for count in range(41):
        for place in {0, count // 2, count - 1} & set(range(count)):
            messages = [bytes([index]) * index for index in range(count)]
            messages[place] *= 50
            assert native.sha3_256_many(SEED, messages) == expected(SEED, messages)


@settings(deadline=None, max_examples=60)
@given(
    level=st.sampled_from(LEVELS),
    seed=st.sampled_from([b"", SEED]) | st.binary(max_size=300),
    messages=st.lists(
        st.integers(0, 1000).flatmap(lambda size: st.binary(min_size=size, max_size=size)), max_size=40
    ),
)
def test_any_batch_hashes_as_hashlib_does(level: str, seed: bytes, messages: list[bytes]) -> None:
    native.sha3_use(level)
    assert native.sha3_256_many(seed, messages) == expected(seed, messages)


def test_threads_hash_at_once_while_the_level_changes() -> None:
    batches = [[bytes([number, index % 256]) * (index % 300) for index in range(500)] for number in range(8)]
    answers = [expected(SEED, batch) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            runs = [threads.submit(native.sha3_256_many, SEED, batch) for batch in batches]
            for level in LEVELS:
                native.sha3_use(level)
            assert [run.result() for run in runs] == answers


@pytest.fixture
def lock_is_only_given_away() -> Iterator[None]:
    """A thread keeps the interpreter's lock until it lets go of it by itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("lock_is_only_given_away")
def test_others_run_while_a_batch_is_hashed() -> None:
    # Whether this thread really gets a core in that time is the machine's affair, so it is tried again.
    assert any(runs_beside(lambda: native.sha3_256_many(b"", [bytes(1 << 20)] * 50)) for _ in range(50))


def runs_beside(work: Callable[[], object]) -> bool:
    """Whether this thread gets the lock before `work` ends in another."""
    began, ended = threading.Event(), threading.Event()

    def run() -> None:
        began.set()
        work()
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    began.wait()
    beside = not ended.is_set()
    thread.join()
    return beside


@pytest.mark.usefixtures("lock_is_only_given_away")
def test_nobody_runs_beside_what_keeps_the_lock() -> None:
    assert not any(runs_beside(lambda: sum(range(100_000))) for _ in range(5))


def test_messages_may_be_any_iterable_of_bytes() -> None:
    messages = [b"a", b"bc"]
    for hash_many in (native.sha3_256_many, sha3_256_many):
        for given_as in (messages, tuple(messages), iter(messages)):
            assert hash_many(SEED, given_as) == expected(SEED, messages)


@pytest.mark.parametrize(
    "arguments",
    [(), (b"",), (b"", [b""], b""), (b"", [b"", "text"]), (b"", [bytearray()]), (b"", 7), ("text", [])],
)
def test_what_is_no_batch_is_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        native.sha3_256_many(*arguments)


def test_an_iterable_that_fails_fails_the_call() -> None:
    def messages() -> Iterator[bytes]:
        yield b"first"
        raise OSError("second")

    with pytest.raises(OSError, match="second"):
        native.sha3_256_many(SEED, messages())
