"""What tools/check_dataset.py finds: a config's files read, counted and judged."""
