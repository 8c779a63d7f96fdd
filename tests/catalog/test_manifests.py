"""Tests of restore.catalog.manifests."""
