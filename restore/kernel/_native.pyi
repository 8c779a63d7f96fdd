from collections.abc import Iterable
from os import PathLike

def write_table(path: str | bytes | PathLike[str], rows: Iterable[tuple[bytes, bytes]], /) -> int: ...
