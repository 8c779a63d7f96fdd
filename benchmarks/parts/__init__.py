"""Single functions, measured by pytest-benchmark: ours, and what they are compared with.

    python -m pytest benchmarks/parts                    by itself
    python -m benchmarks --only parts                    as rows of the table

A test measures one way of one work, and says so through the fixture `part`. Those that are marked `kernel`
are measured once more by the pure Python path, which is a rival then.
"""
