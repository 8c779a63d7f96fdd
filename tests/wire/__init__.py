"""Tests of restore/wire."""
