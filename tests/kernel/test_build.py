"""The extension builds without a warning, and is there wherever it can be built."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from restore.kernel.choice import HOW_TO_BUILD
from tests.kernel.compiling import SOURCES, compile_c, compilers, reason_not_to_build


@pytest.fixture(autouse=True)
def can_build() -> None:
    if (reason := reason_not_to_build()) is not None:
        pytest.skip(reason)


def test_the_extension_is_there() -> None:
    try:
        import restore.kernel._native  # noqa: F401
    except ImportError as error:
        pytest.fail(f"{error}; it could be built here: {HOW_TO_BUILD}")


@pytest.mark.parametrize("compiler", compilers())
def test_every_source_compiles_without_a_warning(compiler: str, tmp_path: Path) -> None:
    def compiled(source: Path) -> str:
        return compile_c(compiler, [source], tmp_path / f"{source.stem}.o", "-O3", "-c")

    with ThreadPoolExecutor(2) as threads:
        printed = dict(zip([source.name for source in SOURCES], threads.map(compiled, SOURCES), strict=True))
    assert {name: text for name, text in printed.items() if text} == {}


@pytest.mark.parametrize("compiler", compilers())
def test_a_warning_would_be_found(compiler: str, tmp_path: Path) -> None:
    source = tmp_path / "unused.c"
    source.write_text("int answer(int question) { return 42; }\n")
    assert "unused parameter" in compile_c(compiler, [source], tmp_path / "unused.o", "-O3", "-c")


@pytest.mark.parametrize("compiler", compilers())
def test_sha3_does_not_compile_where_words_lie_the_other_way_round(compiler: str, tmp_path: Path) -> None:
    scalar = next(source for source in SOURCES if source.stem == "sha3_scalar")
    big_endian = ("-U__BYTE_ORDER__", "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__")
    assert "little-endian" in compile_c(compiler, [scalar], tmp_path / "big.o", "-c", *big_endian)
