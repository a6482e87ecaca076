"""The part of the check that needs no image read: what training looks at before its first step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.utils import register_all_modules

from ..datasets.loading import read_labels
from ..datasets.panoptic import check_files
from .agreement import Findings, check_heads
from .settings import Labels, heads_of, labels_of
from .splits import Part, build_parts, check_part, metainfos_of
from .suggestions import suggest_binary

MOST_MAPS = 200
"""Label maps that are read to tell masks of 0 and 255; nearly always the first one tells."""


def quick_check(cfg: Config, splits: Sequence[str]) -> Findings:
    """What is wrong with some splits of a config, as far as it shows in seconds.

    Datasets that are no kind of mmseg's, and pipelines that load otherwise than with
    `LoadAnnotations`, are left alone.
    """
    found = Findings()
    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmseg")):
        parts = {split: build_parts(cfg, split, found, all_kinds=False) for split in splits}
        parts = {split: some for split, some in parts.items() if some}
        heads, metainfos = heads_of(cfg.model), metainfos_of(parts)
        if not parts or not (heads or any(m.get("classes") for m in metainfos.values())):
            return found
        labels = labels_of(heads, metainfos)
        found.add(check_heads(heads, labels, metainfos))
        for split, some in parts.items():
            for part in some:
                found.add(check_part(cfg, split, part, labels, must_read=False))
                if part.reading:
                    found.add(check_maps(split, part, labels))
    return found


def check_maps(split: str, part: Part, labels: Labels) -> Findings:
    """Whether the annotations are there, and whether some label maps hold 0 and 255 only."""
    found = Findings()
    paths = [sample["seg_map_path"] for sample in part.samples if sample.get("seg_map_path")]
    if part.reading.backend_args is not None or any("://" in path for path in paths[:1]):
        return found
    try:
        check_files(paths, f"the {split} dataset")
    except FileNotFoundError as error:
        found.errors.append(f"{split}: {error}")
        return found
    if part.reading.panoptic or part.metainfo.get("reduce_zero_label"):
        return found
    chosen = np.linspace(0, len(paths) - 1, min(len(paths), MOST_MAPS), dtype=int)
    seen: set[int] = set()
    for values in values_of((paths[i] for i in chosen), part):
        seen |= values
        if seen - {0, 255}:
            return found
    lines = suggest_binary(seen, labels)
    (found.errors if len(chosen) == len(paths) else found.warnings).extend(
        f"{split}: {line}" for line in lines
    )
    return found


def values_of(paths: Iterator[str], part: Part) -> Iterator[set[int]]:
    """The values of each label map; none of one that can not be read, which training names."""
    for path in paths:
        try:
            labels = read_labels(path, part.reading.backend)
        except (OSError, ValueError):
            continue
        yield set(np.unique(labels).tolist())
