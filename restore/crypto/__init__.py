"""Hashes and signatures, pure."""
