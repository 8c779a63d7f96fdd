"""Tests of `restore.cli`."""
