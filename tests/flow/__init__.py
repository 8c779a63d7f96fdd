"""Tests of restore.flow."""
