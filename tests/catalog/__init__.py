"""Tests of `restore.catalog`."""
