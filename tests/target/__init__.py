"""Tests of the database target."""
