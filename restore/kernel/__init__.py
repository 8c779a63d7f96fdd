"""The optional C extension: everything that is done once for each item of a backup, without the interpreter's
lock.

Whatever it does has a pure Python form elsewhere, which is its oracle and its fallback. It never words an
error: where it refuses its input, the caller gives the same to the Python form, which says what is wrong.
"""
