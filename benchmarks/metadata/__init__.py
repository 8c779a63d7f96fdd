"""How long metadata takes, and how much memory: by tens of thousands of small files.

files       makes them
reading     one reading of all metadata, in a process of its own
rounds      what is measured, and in which order
"""
