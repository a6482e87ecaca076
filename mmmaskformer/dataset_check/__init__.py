"""A config and the files of its datasets, read, counted and judged."""
