"""Tests; a package, so that `tests/cache` does not shadow the package `cache`."""
