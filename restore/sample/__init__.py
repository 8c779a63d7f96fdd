"""A deterministic chain and its backup, for the demo, the tests and the benchmarks."""
