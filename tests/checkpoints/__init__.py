"""Checkpoints: other implementations' names to ours, read without running code."""
