"""Adapter to MMDetection: samples to targets, results back to samples."""
