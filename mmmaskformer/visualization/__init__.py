"""Arrays in, pictures out."""

from .panels import label_panels, paint

__all__ = ["label_panels", "paint"]
