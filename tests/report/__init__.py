"""Tests of `restore.report`."""
