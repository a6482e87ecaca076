"""Arrays in, pictures out."""

from .panels import label_panels, paint
from .panoptic import panoptic_overlay

__all__ = ["label_panels", "paint", "panoptic_overlay"]
