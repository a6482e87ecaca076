"""Panoptic quality. Without a framework, so that it starts fast; `metrics` is for the runners."""

from .coco_panoptic import count_in_processes, count_pairs, read_ids, read_pairs
from .panoptic_quality import PanopticQuality, semantic_categories
from .report import class_table, odd_warning, summary_table

__all__ = [
    "PanopticQuality",
    "odd_warning",
    "class_table",
    "count_in_processes",
    "count_pairs",
    "read_ids",
    "read_pairs",
    "semantic_categories",
    "summary_table",
]
