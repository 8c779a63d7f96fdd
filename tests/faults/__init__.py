"""Tests of benchmarks.faults."""
