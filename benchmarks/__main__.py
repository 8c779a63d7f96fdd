"""`python -m benchmarks`: the whole commands, at their default size."""

from benchmarks.restoring import main

main()
