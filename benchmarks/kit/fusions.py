"""Inference behind the network: label maps of large images, panoptic segments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from mmmaskformer.core.fusion import SemanticFusion
from mmmaskformer.core.panoptic_fusion import PanopticFusion, PanopticResult
from mmmaskformer.core.views import View

from .inference import Sizes, Turns
from .measure import in_fresh_process, limit_memory, peak_growth_mb, ran_out_of_memory

COCO_THINGS = (True,) * 80 + (False,) * 53
"""Of the classes of COCO panoptic."""


def blobs(queries: int, classes: int, size: Sequence[int], sure: float, device: str) -> View:
    """A view with one blob per query, as a network makes them: those of confident queries side
    by side, the others, of no object, anywhere.

    Args:
        sure: share of queries that are confident of a class.
    """
    generator = torch.Generator().manual_seed(0)
    grid = torch.tensor([-(-side // 32) * 8 for side in size])  # stride 4, padded to 32
    confident = round(sure * queries)
    across = math.ceil(math.sqrt(max(confident, 1)))
    place = torch.rand(queries, 2, generator=generator)
    index = torch.arange(confident)
    cells = torch.stack([index // across, index % across], 1)
    place[:confident] = (cells + 0.4 + 0.2 * place[:confident]) / across
    radius = (0.4 + 0.2 * torch.rand(queries, 1, 1, generator=generator)) / across
    ys, xs = (torch.arange(side) / side for side in grid.tolist())
    down, right = ys - place[:, :1], xs - place[:, 1:]
    distance = (down[:, :, None] ** 2 + right[:, None] ** 2).sqrt()
    logits = 20 * (radius - distance) * across
    logits += 0.1 * torch.randn(logits.shape, generator=generator)
    class_logits = torch.randn(queries, classes + 1, generator=generator)
    labels = torch.randint(classes, (queries,), generator=generator)
    labels[confident:] = classes
    class_logits[torch.arange(queries), labels] += 12
    prob = class_logits.softmax(-1)
    padded = tuple((4 * grid).tolist())
    return View(prob.to(device), logits.to(device), padded, tuple(size))


def scores_then_argmax(view: View, size: Sequence[int]) -> Tensor:
    return SemanticFusion().scores([view], size).argmax(0)


def bands(view: View, size: Sequence[int]) -> Tensor:
    return SemanticFusion().labels([view], size)


LABEL_WAYS = {"labels in bands": bands, "argmax of score maps": scores_then_argmax}


def large_view(sizes: Sizes, device: str) -> View:
    """A view whose network saw the large image with the height of `sizes.input`."""
    height, width = sizes.large
    shrunk = sizes.input[0], round(width * sizes.input[0] / height)
    return blobs(sizes.queries, sizes.classes, shrunk, 0.4, device)


def labels_peak_mb(way: str, sizes: Sizes, device: str) -> float:
    """Growth of this process's memory by one label map; MemoryError where it is too much."""
    tiny = replace(sizes, large=(64, 96), input=(64, 96))
    LABEL_WAYS[way](large_view(tiny, device), tiny.large)  # torch's own first allocations
    view = large_view(sizes, device)
    limit_memory(device)
    try:
        return peak_growth_mb(lambda: LABEL_WAYS[way](view, sizes.large), device)
    except RuntimeError as error:
        if ran_out_of_memory(error):
            raise MemoryError(f"{way}: {error}") from error
        raise


def labels_seconds(ways: Sequence[str], sizes: Sizes, turns: Turns) -> dict[str, float]:
    """{way: median seconds}, without ways for which memory does not suffice."""
    limit_memory(turns.device)
    view = large_view(sizes, turns.device)
    functions = {}
    for way in ways:
        try:
            LABEL_WAYS[way](view, sizes.large)
        except RuntimeError as error:
            if not ran_out_of_memory(error):
                raise
            continue
        functions[way] = lambda way=way: LABEL_WAYS[way](view, sizes.large)
    return turns.take(functions, "label maps")


def label_maps(sizes: Sizes, turns: Turns) -> dict[str, dict]:
    """{way: {inference_memory_mb, latency_s}}; empty where memory did not suffice. The last one
    is computed: score maps at the input's and at the original size, and the labels."""
    peaks = {}
    for way in track(LABEL_WAYS, "label maps: memory", transient=True):
        try:
            peaks[way] = in_fresh_process(labels_peak_mb, way, sizes, turns.device)
        except MemoryError:
            continue
    times = in_fresh_process(labels_seconds, list(peaks), sizes, turns) if peaks else {}
    found = {
        way: dict(inference_memory_mb=peaks[way], latency_s=times[way]) if way in times else {}
        for way in LABEL_WAYS
    }
    return {**found, "mmseg's way (estimate)": {"inference_memory_mb": mmsegs_labels_mb(sizes)}}


def mmsegs_labels_mb(sizes: Sizes) -> float:
    """Scores of all classes in float32 at the input's and the original size at once, and int64
    labels: what has to exist when the scores are resized and their argmax is taken."""
    height, width = sizes.large
    inputs = sizes.input[0] * round(width * sizes.input[0] / height)
    return (4 * sizes.classes * (inputs + height * width) + 8 * height * width) / 2**20


def panoptic_loop(view: View, size: Sequence[int], fusion: PanopticFusion) -> PanopticResult:
    """Panoptic inference as one would write it down: all masks at full size, then a loop over
    the queries, each of which asks the device for the areas."""
    logits = F.interpolate(view.mask_logits[None], view.input_size, mode="bilinear")
    logits = logits[..., : view.content_size[0], : view.content_size[1]]
    prob = F.interpolate(logits, tuple(size), mode="bilinear")[0].sigmoid()
    scores, labels = view.class_prob.max(-1)
    classes = view.class_prob.shape[1] - 1
    keep = (labels != classes) & (scores > fusion.object_threshold)
    scores, labels, prob = scores[keep], labels[keep], prob[keep]
    ids = torch.zeros(tuple(size), dtype=torch.int32, device=prob.device)
    segments, stuff = [], {}
    if len(scores):
        owner = (scores[:, None, None] * prob).argmax(0)
    for k, label in enumerate(labels.tolist()):
        mask = owner == k
        won, own = mask.sum().item(), (prob[k] >= 0.5).sum().item()
        if not won or not own or won / own < fusion.overlap_threshold:
            continue
        thing = fusion.isthing[label]
        segment = None if thing else stuff.get(label)
        if segment is None:
            segment = dict(id=len(segments) + 1, category_id=label, isthing=thing, score=0, area=0)
            segments.append(segment)
            if not thing:
                stuff[label] = segment
        segment["area"] += won
        segment["score"] = max(segment["score"], scores[k].item())
        ids[mask] = segment["id"]
    return PanopticResult(ids, segments)


def check_same(ours: PanopticResult, theirs: PanopticResult) -> None:
    """Raise ValueError unless the segments are the same but for pixels that rounding decides."""
    different = (ours.ids != theirs.ids).float().mean().item()
    found, expected = (
        [(s["id"], s["category_id"], s["isthing"]) for s in result.segments_info]
        for result in (ours, theirs)
    )
    if found != expected or different > 1e-4:
        raise ValueError(
            f"fusion and loop disagree: {len(found)} and {len(expected)} segments, "
            f"{100 * different:.3f} % of the pixels different"
        )


def panoptic(sizes: Sizes, turns: Turns) -> dict[str, dict]:
    """{way: {latency_s}} of fusion and loop, whose results are compared."""
    fusion = PanopticFusion(COCO_THINGS)
    view = blobs(sizes.queries, len(COCO_THINGS), sizes.panoptic, 0.4, turns.device)
    result = fusion(view, sizes.panoptic)
    check_same(result, panoptic_loop(view, sizes.panoptic, fusion))
    functions = {
        "our fusion": lambda: fusion(view, sizes.panoptic),
        "loop over queries": lambda: panoptic_loop(view, sizes.panoptic, fusion),
    }
    times = turns.take(functions, "panoptic segments")
    return {name: {"latency_s": time} for name, time in times.items()}
