"""Tests of restore.catalog.loading."""
