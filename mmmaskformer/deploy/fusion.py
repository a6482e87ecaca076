"""Semantic and panoptic inference in numpy, in bands of rows.

The classes of `mmmaskformer.core.fusion` and `mmmaskformer.core.panoptic_fusion` do the same in
torch. Arrays here have the queries or classes last, so that those of a pixel lie together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

BAND_ELEMENTS = 1 << 21
"""Numbers that a band of rows holds at once, about."""


@dataclass(frozen=True)
class Factors:
    """What the network says of an image.

    Attributes:
        class_prob: (Q, C + 1), "no object" last.
        mask_logits: (h, w, Q).
        input_size: H, W of the network's input, padding included.
        content_size: H, W of the image in it, at the top left.
    """

    class_prob: np.ndarray
    mask_logits: np.ndarray
    input_size: tuple[int, int]
    content_size: tuple[int, int]


def read_factors(
    class_logits: np.ndarray,
    mask_logits: np.ndarray,
    input_size: tuple[int, int],
    content_size: tuple[int, int],
) -> Factors:
    """The factors of an image, from the outputs (Q, C + 1) and (Q, h, w) of the network.

    Raises:
        ValueError: NaN or infinite values.
    """
    if not (np.isfinite(class_logits).all() and np.isfinite(mask_logits).all()):
        raise ValueError(
            "the network's scores are NaN or infinite; are its weights and the image finite?"
        )
    prob = np.exp(class_logits - class_logits.max(-1, keepdims=True))
    prob /= prob.sum(-1, keepdims=True)
    logits = np.ascontiguousarray(mask_logits.transpose(1, 2, 0))
    return Factors(prob, logits, input_size, content_size)


def semantic_labels(factors: Factors, size: Sequence[int], rule: Mapping[str, Any]) -> np.ndarray:
    """The class of every pixel, (H, W) int64 at `size` = (H, W).

    Args:
        rule: `type`, "SemanticFusion" with `resize_logits`, or "GeneralFusion" with
            `object_threshold`.
    """
    if rule["type"] == "GeneralFusion":
        return _general_labels(factors, size, rule["object_threshold"])
    labels = np.empty(tuple(size), np.int64)
    for rows in row_bands(factors, size):
        if rule["resize_logits"]:
            scores = _scores(factors, output_maps(factors, size, rows))
        else:
            height, width = factors.content_size
            content = source_span(height, size[0], rows)
            scores = _scores(factors, content_maps(factors, content))
            scores = resize_rows(scores, content.start, (height, width), size, rows)
        labels[rows] = scores.argmax(-1)
    return labels


def _scores(factors: Factors, logits: np.ndarray) -> np.ndarray:
    return sigmoid(logits) @ factors.class_prob[:, :-1]


def _general_labels(factors: Factors, size: Sequence[int], threshold: float) -> np.ndarray:
    """The class of the query with the largest class times mask probability, 0 without any."""
    sure, scores, classes = confident(factors, threshold)
    labels = np.zeros(tuple(size), np.int64)
    for rows in row_bands(sure, size) if len(classes) else ():
        labels[rows] = classes[(sigmoid(output_maps(sure, size, rows)) * scores).argmax(-1)]
    return labels


def confident(factors: Factors, threshold: float) -> tuple[Factors, np.ndarray, np.ndarray]:
    """The queries whose most likely class is an object with more than `threshold` probability,
    with that probability (K,) and that class (K,)."""
    scores, classes = factors.class_prob.max(-1), factors.class_prob.argmax(-1)
    keep = (classes < factors.class_prob.shape[1] - 1) & (scores > np.float32(threshold))
    logits = np.ascontiguousarray(factors.mask_logits[..., keep])
    sure = replace(factors, class_prob=factors.class_prob[keep], mask_logits=logits)
    return sure, scores[keep], classes[keep]


def panoptic_segments(
    factors: Factors,
    size: Sequence[int],
    isthing: Sequence[bool],
    *,
    object_threshold: float,
    overlap_threshold: float,
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Disjoint segments: ids (H, W) int32, 0 is void, and one dict a segment with `id`,
    `category_id`, `isthing`, `score`, `area`."""
    sure, scores, classes = confident(factors, object_threshold)
    ids = np.zeros(tuple(size), np.int32)
    if not len(classes):
        return ids, []
    own = np.zeros(len(classes), np.int64)
    for rows in row_bands(sure, size):
        prob = sigmoid(output_maps(sure, size, rows))
        own += (prob >= 0.5).sum((0, 1))
        ids[rows] = (prob * scores).argmax(-1)
    won = np.bincount(ids.ravel(), minlength=len(classes))
    numbers = np.zeros(len(classes), np.int32)
    segments: dict[tuple, dict[str, Any]] = {}
    for query, label in enumerate(classes.tolist()):
        if not own[query] or not won[query] or won[query] / own[query] < overlap_threshold:
            continue
        # Segments of one stuff class are merged, those of things are not.
        key = (label, query if isthing[label] else None)
        new = dict(id=len(segments) + 1, category_id=label, isthing=isthing[label])
        segment = segments.setdefault(key, {**new, "score": 0.0, "area": 0})
        segment["score"] = max(segment["score"], float(scores[query]))
        segment["area"] += int(won[query])
        numbers[query] = segment["id"]
    return numbers[ids], list(segments.values())


def sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # exp(-x) becomes infinite, and the result 0, as it should
        return 1 / (1 + np.exp(-x))


def row_bands(factors: Factors, size: Sequence[int]) -> Iterator[slice]:
    """Bands of output rows, each of about `BAND_ELEMENTS` and at least one row."""
    height, width = size
    content = factors.content_size
    # A row of the result and the rows of the network's input that it comes from.
    pixels = width + -(-content[0] // height) * content[1]
    step = max(1, BAND_ELEMENTS // max(1, sum(factors.class_prob.shape) * pixels))
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def content_maps(factors: Factors, rows: slice) -> np.ndarray:
    """Mask logits (rows, content width, Q) at the network's input size, padding cut."""
    height = len(factors.mask_logits)
    grid = source_span(height, factors.input_size[0], rows)
    shape = factors.mask_logits.shape[:2]
    maps = resize_rows(factors.mask_logits[grid], grid.start, shape, factors.input_size, rows)
    return maps[:, : factors.content_size[1]]


def output_maps(factors: Factors, size: Sequence[int], rows: slice) -> np.ndarray:
    """Mask logits (rows, W, Q): upsampled to the network's input size, cut, resized."""
    content = source_span(factors.content_size[0], size[0], rows)
    maps = content_maps(factors, content)
    return resize_rows(maps, content.start, factors.content_size, size, rows)


def resize_rows(
    maps: np.ndarray, first_row: int, shape: Sequence[int], size: Sequence[int], rows: slice
) -> np.ndarray:
    """Rows of a bilinear resize (half-pixel centres) of a map of `shape` to `size`.

    Args:
        maps: (slab, w, N), rows `first_row`... of the source.
        rows: the rows of the result to return.
    """
    top, bottom, share = source_pixels(shape[0], size[0], rows)
    left, right, part = source_pixels(shape[1], size[1], slice(0, size[1]))
    if shape[0] == size[0]:
        maps = maps[rows.start - first_row : rows.stop - first_row]
    else:
        maps = mix(maps[top - first_row], maps[bottom - first_row], share[:, None, None])
    return maps if shape[1] == size[1] else mix(maps[:, left], maps[:, right], part[:, None])


def mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """`first` (1 - share) + `second` share, in the memory of the two."""
    second -= first
    second *= share
    first += second
    return first


def source_pixels(
    length: int, out_length: int, chosen: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each chosen position of the result the two of the source and the share of the second."""
    index = np.arange(chosen.start, chosen.stop, dtype=np.float32)
    source = ((index + np.float32(0.5)) * np.float32(length / out_length) - np.float32(0.5)).clip(0)
    first = source.astype(np.int64).clip(max=length - 1)
    return first, (first + 1).clip(max=length - 1), source - first.astype(np.float32)


def source_span(length: int, out_length: int, rows: slice) -> slice:
    """The source rows that `rows` of a resize read."""
    if length == out_length:
        return rows
    top, bottom, _ = source_pixels(length, out_length, rows)
    return slice(int(top[0]), int(bottom[-1]) + 1)
