"""The sections of `python -m benchmarks`: each measures one part of the program and returns its rows.

kernel         hashing and table files, from `benchmarks.kernel` and `benchmarks.tables`
parts          single functions, by pytest-benchmark, in `benchmarks/parts`
state          `verify` and `bootstrap-db` of a huge state, by stage
transactions   `verify`, `oneoff transaction` and `bootstrap-db` of many transactions
epochs         `verify` of a history of epoch endings
memory         the peak of `bootstrap-db` over the size of the state
start          what the command line takes to start
others         reading over HTTP and the metadata cache, which are programs of their own

`commands` is what the rows of whole commands have in common.
"""
