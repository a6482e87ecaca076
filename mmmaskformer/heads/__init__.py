"""Decode heads: configs to core parts, samples to targets; neither mmseg nor mmdet is needed."""
