"""Structured concurrency: the ordered stream, budgets, worker threads, signals."""
