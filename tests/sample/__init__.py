"""Tests of restore.sample."""
