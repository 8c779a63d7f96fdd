"""Mirrors named files from any source under locks and leases; knows nothing of Aptos or of `restore`."""
