"""Inference of whole models: latency, and memory of test-time augmentation."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from rich.progress import track
from torch import Tensor

from . import models, transformers_model
from .batches import SHAPE_KEYS
from .floor import floor_of
from .measure import in_fresh_process, peak_growth_mb, take_turns
from .suite import naming

FLOOR = "convolutions and products of the first alone"
VIEW_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Of the paper's test-time augmentation; every view also mirrored."""


@dataclass(frozen=True)
class Sizes:
    """What is measured, as H, W.

    Attributes:
        input: of the network, before its own padding.
        original: of its labels.
        large: of the labels of `classes` classes.
        panoptic: of the panoptic segments.
        queries: of the parts without a network.
    """

    input: tuple[int, int]
    original: tuple[int, int]
    large: tuple[int, int]
    panoptic: tuple[int, int]
    classes: int
    queries: int = 100


@dataclass(frozen=True)
class Turns:
    """As of `take_turns`."""

    repeats: int
    warmup: int
    device: str

    def take(self, functions: Mapping[str, Callable], title: str) -> dict[str, float]:
        return take_turns(functions, self.repeats, self.warmup, device=self.device, title=title)


def raw_data(size: Sequence[int], original: Sequence[int], flip: bool = False) -> dict:
    """An image of noise and its sample, as mmseg's test pipeline hands them over."""
    from mmseg.structures import SegDataSample

    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
    meta = {**dict.fromkeys(SHAPE_KEYS, tuple(size)), "ori_shape": tuple(original)}
    meta.update(flip=flip, flip_direction="horizontal" if flip else None)
    sample = SegDataSample(metainfo={**meta, "img_path": "generated"})
    return {"inputs": [image], "data_samples": [sample]}


def prepare_latency(configs: Sequence[str], sizes: Sizes, device: str) -> dict:
    """{name: inference of one preprocessed image, to labels of its original size}. Models of
    this package come twice: labels only, in bands, and with score maps."""
    functions = {}
    for config in configs:
        model = models.build(models.load_config(config), device).eval()
        batch = model.data_preprocessor(raw_data(sizes.input, sizes.original), False)
        predict = models.prediction(model, batch["inputs"], batch["data_samples"])
        name = models.short_name(config)
        if hasattr(model.decode_head, "fusion"):
            for labels_only in (True, False):
                ending = "labels only" if labels_only else "with score maps"
                run = with_labels_only(model, predict, labels_only)
                functions[f"{name}, {ending}"] = naming(config)(run)
        else:
            functions[name] = naming(config)(predict)
    return functions


def with_labels_only(model, predict: Callable, labels_only: bool) -> Callable[[], None]:
    def run() -> None:
        model.test_cfg.labels_only = labels_only
        predict()

    return run


def prepare_transformers(num_classes: int, sizes: Sizes, device: str) -> Callable[[], list]:
    """transformers' MaskFormer R50 and its own post-processing. Nothing is padded: that
    post-processing could not cut it away."""
    model = transformers_model.build(50, num_classes, sizes.queries, device).eval()
    data = model.data_preprocessor(raw_data(sizes.input, sizes.original), False)

    @torch.no_grad()
    def run() -> list[Tensor]:
        return model.predict(**data)

    return run


def all_latencies(configs: Sequence[str], sizes: Sizes, device: str) -> dict:
    """As `prepare_latency`, with transformers' model where it is installed, and the floor of the
    first model, which is of this package and gives labels only."""
    functions = prepare_latency(configs, sizes, device)
    if importlib.util.find_spec("transformers"):
        classes = models.smallest_num_classes(models.load_config(configs[0]))
        theirs = prepare_transformers(classes, sizes, device)
        functions["transformers MaskFormer R50"] = theirs
    return {**functions, FLOOR: floor_of(next(iter(functions.values())))}


def with_floors(times: Mapping[str, float]) -> dict[str, dict]:
    """{name: {latency_s, floors}} of seconds, of which those of `FLOOR` are the floor."""
    return {
        name: {"latency_s": time, "floors": time / times[FLOOR]} for name, time in times.items()
    }


def latency(configs: Sequence[str], sizes: Sizes, turns: Turns) -> dict[str, dict]:
    """{name: {latency_s, floors}} of `all_latencies`."""
    return with_floors(turns.take(all_latencies(configs, sizes, turns.device), "latency"))


def views_peak_mb(config: str, scales: Sequence[float], sizes: Sizes, device: str) -> float:
    """Growth of memory over the model by inference with views of these scales; more than one
    are also mirrored and merged."""
    model = models.build(models.load_config(config), device).eval()
    model.test_cfg.labels_only = True
    flips = (False, True) if len(scales) > 1 else (False,)
    views = [
        raw_data([round(scale * side) for side in sizes.input], sizes.original, flip)
        for scale in scales
        for flip in flips
    ]
    data = {key: [view[key] for view in views] for key in views[0]}
    tester = model
    if len(views) > 1:
        from mmmaskformer.seg.tta import MaskFormerTTA

        tester = MaskFormerTTA(module=model)
    else:
        data = views[0]

    @torch.no_grad()
    def run() -> None:
        tester.test_step(data)

    return peak_growth_mb(naming(config)(run), device)


def augmented(config: str, sizes: Sizes, device: str) -> dict[str, dict]:
    """{views: {inference_memory_mb}} of a model of this package; the last is computed: what
    mmseg keeps, the score maps of every view at the original size."""
    cfg = models.load_config(config)
    ways = {
        "one view": (1.0,),
        f"one view of {VIEW_SCALES[-1]} times the size": VIEW_SCALES[-1:],
        f"{2 * len(VIEW_SCALES)} views": VIEW_SCALES,
    }
    found = {
        way: {"inference_memory_mb": in_fresh_process(views_peak_mb, config, scales, sizes, device)}
        for way, scales in track(ways.items(), "views: memory", transient=True)
    }
    pixels = sizes.original[0] * sizes.original[1]
    kept = 2 * len(VIEW_SCALES) * 4 * models.smallest_num_classes(cfg) * pixels / 2**20
    return {**found, "mmseg's way, score maps alone (estimate)": {"inference_memory_mb": kept}}
