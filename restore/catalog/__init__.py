"""What is in a backup: metadata lines, manifests, the view over them, the writer."""
