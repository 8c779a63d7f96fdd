"""A backup that holds one huge state snapshot, made in minutes: a chain of genesis alone.

spec       how large it is, and how it is parted
items      the items: a key and a value for each index
runs       key hashes, sorted in runs, since a snapshot is in their order
chunks     one chunk from the runs: its packed file, and what the tree needs to know of it
writing    joins the chunks into a backup: tree, proofs, manifest, genesis
"""
