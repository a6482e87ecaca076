"""Adapter to MMSegmentation: samples to targets, results back to samples."""
