"""Measurements: `python -m benchmarks` makes one table of all that belongs together (docs/performance.md).

__main__, sections, settings   that table: what is measured, and how much of it
figures, showing, compare      its rows, how they are shown, and two tables compared
parts                          single functions, by pytest-benchmark
rounds, processes              what takes turns; commands in processes of their own
samples, snapshots, histories  the backups that are read; made once and kept

Programs of their own, of which some bring rows for the table, each with `--help`:

kernel, tables, epochs         hashing, table files, signatures
storage, metadata              reading over HTTP and S3; the metadata cache
memory                         what decoded chunks take
faulty, faults                 restores over links that fail
kills, stress                  restores that are killed; many processes on one cache
"""
