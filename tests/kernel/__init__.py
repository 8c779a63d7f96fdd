"""Tests of restore/kernel: the C extension against its pure Python forms, and against others' readers."""
