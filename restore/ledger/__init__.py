"""Aptos types over BCS, pure."""
