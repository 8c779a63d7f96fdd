"""What the measurements have to show: ours over a rival at the same work, in the same round.

"must" is a little under what a simple reader of this design reaches, "stretch" is what is possible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.storage.measuring import Measured
from benchmarks.storage.objects import LARGE, SMALL, TINY
from benchmarks.storage.ways import (
    AIOHTTP,
    ARIA2C,
    AWS_GZIP,
    CURL_GZIP,
    CURL_IGZIP,
    CURL_PARALLEL,
    LIBDEFLATE,
    OURS,
    OURS_S3,
    RCLONE_HTTP,
    RCLONE_S3,
    S5CMD,
    SOCKETS,
    Way,
    Work,
)

CONNECTIONS = 8
UNPACKED_AT_ONCE = 2

GUNZIP_LARGE = Work("fetch + gunzip, 64 x 16 MiB", LARGE, UNPACKED_AT_ONCE, unpack=True)
GUNZIP_SMALL = Work("fetch + gunzip, 2000 x 256 KiB", SMALL, UNPACKED_AT_ONCE, unpack=True)
FETCH_LARGE = Work("fetch, 64 x 16 MiB", LARGE, CONNECTIONS)
FETCH_SMALL = Work("fetch, 2000 x 256 KiB", SMALL, CONNECTIONS)
FETCH_TINY = Work("fetch, 2000 x 1 KiB", TINY, CONNECTIONS)
TLS_LARGE = Work("fetch over TLS, 64 x 16 MiB", LARGE, CONNECTIONS, tls=True)
TLS_SMALL = Work("fetch over TLS, 2000 x 256 KiB", SMALL, CONNECTIONS, tls=True)
FETCH_MANY = Work("fetch, 256 x 16 MiB", LARGE, CONNECTIONS, repeats=4)
GUNZIP_MANY = Work("fetch + gunzip 8 at once, 256 x 16 MiB", LARGE, CONNECTIONS, unpack=True, repeats=4)

Contest = tuple[Work, Way]

FOR_INFORMATION: tuple[Contest, ...] = (
    (GUNZIP_LARGE, OURS_S3),
    (GUNZIP_SMALL, OURS_S3),
    (GUNZIP_SMALL, CURL_IGZIP),
    *((work, way) for work in (FETCH_LARGE, FETCH_SMALL) for way in (OURS_S3, S5CMD, RCLONE_S3)),
    *(
        (work, way)
        for work in (FETCH_LARGE, FETCH_SMALL)
        for way in (AIOHTTP, CURL_PARALLEL, ARIA2C, RCLONE_HTTP)
    ),
    (FETCH_TINY, OURS_S3),
    (GUNZIP_MANY, OURS),
)
"""Measured besides what the goals are about, unless only some goals are asked for."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What is compared.

    Attributes:
        name: in tables.
        of: takes it from one run.
    """

    name: str
    of: Callable[[Measured], float]


RATE = Figure("MB/s", lambda run: run.size / run.seconds / 1e6)
CPU_SECONDS = Figure("CPU s", lambda run: run.cpu_seconds)
CPU_PER_GB = Figure("CPU s/GB", lambda run: run.cpu_seconds / run.size * 1e9)
PEAK_MB = Figure("peak MB", lambda run: run.peak_bytes / 1e6)
DESCRIPTORS = Figure("descriptors", lambda run: float(run.peak_descriptors))


@dataclass(frozen=True, slots=True)
class Goal:
    """One row of the table.

    Attributes:
        number: as "G1"; several rows may share one.
        figure: what is compared.
        ours: what we do.
        rival: what it is divided by; None where our figure itself counts.
        must: the bound.
        stretch: the bound that we want.
        at_most: whether they are upper bounds.
    """

    number: str
    figure: Figure
    ours: Contest
    rival: Contest | None
    must: float
    stretch: float
    at_most: bool = False

    @property
    def contests(self) -> tuple[Contest, ...]:
        """What has to be measured for it."""
        return (self.ours,) if self.rival is None else (self.ours, self.rival)

    def value(self, rounds: Sequence[Mapping[Contest, Measured]]) -> float | None:
        """The median over the rounds of ours over the rival's; None where one was not measured."""
        values: list[float] = []
        for measured in rounds:
            if any(contest not in measured for contest in self.contests):
                return None
            ours = self.figure.of(measured[self.ours])
            values.append(ours if self.rival is None else ours / self.figure.of(measured[self.rival]))
        return median(values)

    def verdict(self, value: float | None) -> str:
        """What to say of `value`."""
        if value is None:
            return "not measured"
        if self._meets(value, self.stretch):
            return "stretch met"
        return "must met" if self._meets(value, self.must) else "MISSED"

    def _meets(self, value: float, bound: float) -> bool:
        return value <= bound if self.at_most else value >= bound


GOALS = (
    Goal("G1", RATE, (GUNZIP_LARGE, OURS), (GUNZIP_LARGE, CURL_GZIP), 2.5, 3.4),
    Goal("G2", RATE, (GUNZIP_SMALL, OURS), (GUNZIP_SMALL, CURL_GZIP), 9, 17),
    Goal("G3", RATE, (GUNZIP_LARGE, OURS), (GUNZIP_LARGE, AWS_GZIP), 12, 20),
    Goal("G3", RATE, (GUNZIP_SMALL, OURS), (GUNZIP_SMALL, AWS_GZIP), 300, 800),
    Goal("G4", RATE, (GUNZIP_LARGE, OURS), (GUNZIP_LARGE, CURL_IGZIP), 1.2, 1.7),
    Goal("G5", RATE, (GUNZIP_LARGE, OURS), (GUNZIP_LARGE, LIBDEFLATE), 0.65, 0.8),
    Goal("G5", RATE, (GUNZIP_SMALL, OURS), (GUNZIP_SMALL, LIBDEFLATE), 0.55, 0.8),
    Goal("G6", RATE, (FETCH_LARGE, OURS), (FETCH_LARGE, SOCKETS), 0.45, 0.9),
    Goal("G6", RATE, (FETCH_SMALL, OURS), (FETCH_SMALL, SOCKETS), 0.35, 0.6),
    Goal("G7", RATE, (TLS_LARGE, OURS), (TLS_LARGE, CURL_PARALLEL), 0.55, 1.0),
    Goal("G7", RATE, (TLS_SMALL, OURS), (TLS_SMALL, CURL_PARALLEL), 0.5, 1.0),
    Goal("G8", CPU_SECONDS, (FETCH_TINY, OURS), (FETCH_TINY, AIOHTTP), 1.5, 1.0, at_most=True),
    Goal(
        "G9", CPU_PER_GB, (GUNZIP_LARGE, OURS), (GUNZIP_LARGE, CURL_GZIP), 0.40, 0.28,
        at_most=True,
    ),
    Goal("G10", PEAK_MB, (FETCH_MANY, OURS), None, 300, 150, at_most=True),
    Goal("G10", PEAK_MB, (FETCH_MANY, OURS), (FETCH_LARGE, OURS), 1.1, 1.05, at_most=True),
    Goal("G10", DESCRIPTORS, (FETCH_MANY, OURS), None, CONNECTIONS + 32, CONNECTIONS + 16, at_most=True),
)  # fmt: skip
"""The second row of G10 is "flat in the number of objects": the peak of 256 objects over that of 64."""
