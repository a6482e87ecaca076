"""Datasets and transforms that mmseg does not have."""

from .camvid import CamVidDataset
from .loading import LoadAnnotations, LoadImageFromFile
from .shapes import ShapesDataset

__all__ = ["CamVidDataset", "LoadAnnotations", "LoadImageFromFile", "ShapesDataset"]
