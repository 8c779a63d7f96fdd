"""Merkle proofs and trust, pure."""
