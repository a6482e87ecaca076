"""Datasets and transforms that mmseg does not have."""

from .camvid import CamVidDataset
from .folder import FolderDataset
from .loading import LoadAnnotations, LoadImageFromFile
from .panoptic import (
    ADE20KPanopticDataset,
    CityscapesPanopticDataset,
    COCOPanopticDataset,
    PanopticDataset,
    ShapesPanopticDataset,
)
from .panoptic_transforms import AntialiasResize, LoadPanopticAnnotations, PackPanopticInputs
from .shapes import ShapesDataset

__all__ = [
    "ADE20KPanopticDataset",
    "AntialiasResize",
    "COCOPanopticDataset",
    "CamVidDataset",
    "CityscapesPanopticDataset",
    "FolderDataset",
    "LoadAnnotations",
    "LoadImageFromFile",
    "LoadPanopticAnnotations",
    "PackPanopticInputs",
    "PanopticDataset",
    "ShapesDataset",
    "ShapesPanopticDataset",
]
