"""Backbones that mmseg does not have, and weights that pip can install."""
