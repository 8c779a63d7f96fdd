"""Tests of restore/crypto."""
