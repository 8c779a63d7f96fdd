"""Many processes on one metadata cache, killed at random, while the backup's metadata never stays the same.

scene        the backup, the cache, and who is at work: commands and loops
loops        what a process does again and again, in that process
compaction   rewrites and removes metadata, as other tools do in years
running      starts all of it, kills, and counts
ending       what must hold when everybody is gone
"""
