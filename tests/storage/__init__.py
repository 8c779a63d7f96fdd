"""Tests of `restore.storage`."""
