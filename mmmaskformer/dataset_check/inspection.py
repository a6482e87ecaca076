"""What the files of a dataset hold, counted: samples in, mergeable counts out, nothing printed.

Every file is read as training reads it, so that what stops training is found before, with the
same words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields

import cv2
import numpy as np
import torch

from ..core.targets import check_labels, segments_from_panoptic
from ..datasets.loading import LoadImageFromFile, check_size, map_labels, read_labels
from ..datasets.panoptic_format import read_ids
from ..datasets.panoptic_transforms import FIRST, number_segments
from ..utils.processes import map_in_processes

CHUNK = 8
MISSING, IMAGE, ANNOTATION = "missing files", "unreadable images", "unreadable annotations"
SIZE, RANGE = "annotations of another size than their image", "labels out of range"
SEGMENTS = "segments that are not those of the json"


@dataclass(frozen=True)
class Reading:
    """How the files of a split are read.

    Attributes:
        num_classes: C of the model.
        ignore_index: label that the model ignores; None: none.
        filled: label that loading writes for `reduce_zero_label`.
        panoptic: whether the annotations are panoptic pngs.
        eight_bits: whether the config's loader keeps eight bits of a label, as mmseg's does.
        backend: pillow, cv2, ... for label maps.
        backend_args: of mmengine's file backend.
    """

    num_classes: int
    ignore_index: int | None = 255
    filled: int = 255
    panoptic: bool = False
    eight_bits: bool = False
    backend: str | None = "pillow"
    backend_args: dict | None = None


@dataclass
class Counts:
    """Sums over images; `+=` merges.

    Attributes:
        files: images that the dataset names.
        annotated: of these, images whose annotation could be counted.
        pixels, images, segments: of each class index, and for semantic datasets of every other
            label that occurs, as training gets them; `segments` of panoptic datasets only.
        values: pixels of each value of the label maps, as in the files; semantic datasets only.
        ignored: pixels that belong to no class: `ignore_index`, void, crowds.
        crowds: crowd segments.
        segments_of_image: number of segments -> images that have so many.
        wholly_ignored: images in which nothing is labelled.
        problems: kind -> lines that name the file, the value and what was wanted.
    """

    files: int = 0
    annotated: int = 0
    ignored: int = 0
    crowds: int = 0
    pixels: Counter = field(default_factory=Counter)
    images: Counter = field(default_factory=Counter)
    segments: Counter = field(default_factory=Counter)
    values: Counter = field(default_factory=Counter)
    segments_of_image: Counter = field(default_factory=Counter)
    wholly_ignored: list[str] = field(default_factory=list)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def __iadd__(self, other: Counts) -> Counts:
        for part in fields(self):
            mine, theirs = getattr(self, part.name), getattr(other, part.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            elif isinstance(mine, dict):
                for kind, lines in theirs.items():
                    mine.setdefault(kind, []).extend(lines)
            else:
                setattr(self, part.name, mine + theirs)
        return self

    @property
    def total(self) -> int:
        """Pixels of all annotations that could be counted."""
        return self.ignored + sum(self.pixels.values())


class Fault(Exception):
    """A file that can not be used; arguments are the kind and the line."""


def inspect_sample(sample: dict, reading: Reading) -> Counts:
    """Counts of one image and its annotation, where it has one.

    Args:
        sample: an item of a dataset's list: `img_path`, `seg_map_path`, `segments_info`, ...
    """
    counts = Counts(files=1)
    shape = None
    try:
        shape = read_image_shape(sample["img_path"], reading)
    except Fault as fault:
        add_fault(counts, fault)
    if sample.get("seg_map_path") is None:
        return counts
    count = count_segments if reading.panoptic else count_labels
    try:
        # Without the image there is no size to compare with; the labels count all the same.
        count(counts, {**sample, "ori_shape": shape}, reading)
    except Fault as fault:
        add_fault(counts, fault)
    return counts


def read_image_shape(path: str, reading: Reading) -> tuple[int, int]:
    """Height and width of an image that decodes to its end."""
    load = LoadImageFromFile(backend_args=reading.backend_args)
    return checked(IMAGE, load, {"img_path": path})["ori_shape"]


def count_labels(counts: Counts, sample: dict, reading: Reading) -> None:
    """Add the label map of a sample."""
    path = sample["seg_map_path"]
    labels = checked(ANNOTATION, read_labels, path, reading.backend, reading.backend_args)
    checked(SIZE, check_size, "label map", path, labels, sample)
    pixels = np.bincount(labels.ravel())
    values = np.flatnonzero(pixels)
    pixels = pixels[values].tolist()
    counts.values.update(dict(zip(values.tolist(), pixels, strict=True)))
    mapped = map_labels(
        values, reading.filled, sample.get("reduce_zero_label"), sample.get("label_map")
    ).tolist()
    found = Counter()
    for label, number in zip(mapped, pixels, strict=True):
        found[label] += number
    counts.annotated += 1
    counts.ignored += found.pop(reading.ignore_index, 0)
    counts.pixels.update(found)
    counts.images.update(found.keys())
    if not found:
        counts.wholly_ignored.append(path)
    if reading.eight_bits and values.max(initial=0) > 255:
        raise Fault(
            RANGE,
            f"label map {path} has labels up to {values.max()}, of which the pipeline's "
            "LoadAnnotations keeps eight bits; use type='mmmaskformer.LoadAnnotations'",
        )
    # The head's own check, on each label once.
    labels = sorted(set(mapped))
    checked(RANGE, check_labels, labels, reading.num_classes, reading.ignore_index, path)


def count_segments(counts: Counts, sample: dict, reading: Reading) -> None:
    """Add the panoptic map of a sample."""
    path, segments = sample["seg_map_path"], sample["segments_info"]
    ids = checked(ANNOTATION, read_ids, path, reading.backend_args)
    checked(SIZE, check_size, "panoptic map", path, ids, sample)
    numbers = checked(SEGMENTS, number_segments, ids, segments, path)
    labels = [s["category_id"] for s in segments if not s["iscrowd"]]
    pixels = np.bincount(numbers.ravel(), minlength=FIRST + len(labels)).tolist()
    counts.annotated += 1
    counts.ignored += pixels[0]
    for label, number in zip(labels, pixels[FIRST:], strict=True):
        counts.pixels[label] += number
    counts.images.update(set(labels))
    counts.segments.update(labels)
    counts.segments_of_image[len(labels)] += 1
    counts.crowds += len(segments) - len(labels)
    if not labels:
        counts.wholly_ignored.append(path)
    no_map = torch.empty(0, 0, dtype=torch.int32)
    table = torch.tensor(labels, dtype=torch.int64)
    checked(RANGE, segments_from_panoptic, no_map, table, reading.num_classes, path)


def checked(kind: str, function, *arguments):
    """The function's result; its complaint as a Fault of this kind."""
    try:
        return function(*arguments)
    except FileNotFoundError as error:
        raise Fault(MISSING, f"{error.filename or error} does not exist") from error
    except (OSError, ValueError) as error:
        raise Fault(kind, " ".join(str(error).split())) from error


def add_fault(counts: Counts, fault: Fault) -> None:
    kind, line = fault.args
    counts.problems.setdefault(kind, []).append(line)


def inspect_samples(samples: Sequence[dict], reading: Reading) -> Counts:
    """Sum of `inspect_sample`."""
    total = Counts()
    for sample in samples:
        total += inspect_sample(sample, reading)
    return total


def inspect_in_processes(
    samples: Sequence[dict], reading: Reading, workers: int = 1
) -> Iterator[Counts]:
    """Counts of a few images at a time, in their order, by several processes."""
    tasks = [(samples[start : start + CHUNK], reading) for start in range(0, len(samples), CHUNK)]
    # A forked child can neither use nor end the threads that OpenCV started before.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield from map_in_processes(inspect_samples, tasks, workers)
    finally:
        cv2.setNumThreads(threads)
