"""Tests of restore.proof."""
