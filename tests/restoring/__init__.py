"""Whole restores: of sample backups, killed, interrupted, damaged."""
