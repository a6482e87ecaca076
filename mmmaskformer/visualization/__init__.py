"""Arrays in, pictures out."""

from .painting import resized
from .panels import label_panels, overlay_panels, paint
from .panoptic import Style, panoptic_overlay, semantic_overlay

__all__ = [
    "Style",
    "label_panels",
    "overlay_panels",
    "paint",
    "panoptic_overlay",
    "resized",
    "semantic_overlay",
]
