"""Tests of restore.catalog.writer."""
