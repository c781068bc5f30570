"""Files on disk to a flat dict of named arrays, and back."""
