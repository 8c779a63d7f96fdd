"""Reading objects: ours against what others use for it, on the same objects in the same minutes."""
