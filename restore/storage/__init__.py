"""Moves bytes between a backup storage and this process; knows no ledger types."""
