"""Restores and verifies Aptos node backups: concurrent, proven, bounded, resumable.

The way of one chunk's bytes is told in README.md; the layers, and who may import whom, are held by
`tests/test_layers.py`.
"""

__version__ = "0.1.0"
