"""Experiments of the paper in small: from public files to a table, by one command."""
