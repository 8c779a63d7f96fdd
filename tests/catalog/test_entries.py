"""Tests of restore.catalog.entries."""
