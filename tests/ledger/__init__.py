"""Tests of restore/ledger."""
