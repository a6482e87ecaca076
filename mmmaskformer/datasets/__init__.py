"""Datasets and transforms that mmseg does not have."""

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
from .semantic import (
    ADE20KFullDataset,
    CamVidDataset,
    COCOStuff10KDataset,
    MapillaryDataset,
    NYUv2Dataset,
)
from .shapes import ShapesDataset
from .unlabelled import UnlabelledImages

__all__ = [
    "ADE20KFullDataset",
    "ADE20KPanopticDataset",
    "AntialiasResize",
    "COCOPanopticDataset",
    "COCOStuff10KDataset",
    "CamVidDataset",
    "CityscapesPanopticDataset",
    "FolderDataset",
    "LoadAnnotations",
    "LoadImageFromFile",
    "LoadPanopticAnnotations",
    "MapillaryDataset",
    "NYUv2Dataset",
    "PackPanopticInputs",
    "PanopticDataset",
    "ShapesDataset",
    "ShapesPanopticDataset",
    "UnlabelledImages",
]
