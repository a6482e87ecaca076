"""Images a second of a training pipeline: ours against the stock one, in one process.

The same images in the same order; the two take turns image by image, so that drift hits both.
`panoptic` is COCO's against mmdet's, `semantic` ADE20K's against mmseg's. `fixed`: resize to one
scale (and flip, if panoptic), the same sizes in both. `recipe`: each one's augmentation, whose
random sizes agree in distribution only; the table shows their mean.

    python -m benchmarks.data data/coco --split val2017
    python -m benchmarks.data data/ade/ADEChallengeData2016 --task semantic --split training
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import types
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from rich.progress import track

import mmmaskformer  # noqa: F401  (mends the stack before mmdet is imported)
from benchmarks.kit import report
from benchmarks.kit.arguments import make_folder
from benchmarks.kit.measure import machine, seconds
from mmmaskformer.utils import command
from mmmaskformer.utils.png_ids import NUM_IDS

FOLDER = Path(__file__).resolve().parents[1] / "configs/_base_/datasets"
STOCK = {
    "fixed": "mmdet::_base_/datasets/coco_panoptic.py",
    "recipe": "mmdet::maskformer/maskformer_r50_ms-16xb1-75e_coco.py",
}
STOCK_SEMANTIC = "mmseg::_base_/datasets/ade20k.py"
RECIPES = tuple(STOCK)
PIPELINES = ("ours", "stock")


def stand_in_for_panopticapi() -> None:
    """mmdet builds its pipeline only with this package, of which it needs one function."""

    def rgb2id(color: np.ndarray) -> np.ndarray:
        red, green, blue = (color[..., i].astype(np.int32) for i in range(3))
        return (red + 256 * green + 65536 * blue) % NUM_IDS

    package, utils = types.ModuleType("panopticapi"), types.ModuleType("panopticapi.utils")
    package.utils, utils.rgb2id = utils, rgb2id
    sys.modules.update({"panopticapi": package, "panopticapi.utils": utils})


def our_panoptic(args: argparse.Namespace, recipe: str):
    from mmseg.registry import DATASETS

    pipeline = Config.fromfile(FOLDER / "coco_panoptic.py").train_pipeline
    if recipe == "fixed":
        scale = dict(scale=(1333, 800), keep_ratio=True)
        pipeline[2:4] = [dict(type="mmmaskformer.AntialiasResize", **scale)]
    return DATASETS.build(
        dict(
            type="mmmaskformer.COCOPanopticDataset",
            data_root=args.data_root,
            ann_file=f"annotations/panoptic_{args.split}.json",
            data_prefix=dict(img_path=args.split, seg_map_path=f"panoptic_{args.split}"),
            pipeline=pipeline,
        )
    )


def stock_panoptic(args: argparse.Namespace, recipe: str):
    from mmdet.registry import DATASETS

    cfg = get_config(STOCK[recipe]).train_dataloader.dataset
    cfg.data_root = args.data_root
    cfg.ann_file = f"annotations/panoptic_{args.split}.json"
    cfg.data_prefix = dict(img=args.split, seg=f"panoptic_{args.split}")
    return DATASETS.build(cfg)


def semantic(args: argparse.Namespace, pipeline: list, recipe: str, resize: str):
    """ADE20K's dataset class; `fixed` loads, resizes to the recipe's scale and packs."""
    from mmseg.registry import DATASETS

    images = Path(args.data_root) / "images" / args.split
    if not any(images.glob("*.jpg")):
        raise ValueError(f"{images} must hold images, *.jpg")
    if recipe == "fixed":
        step = dict(type=resize, scale=(2048, 512), keep_ratio=True)
        pipeline = [*pipeline[:2], step, pipeline[-1]]
    return DATASETS.build(
        dict(
            type="ADE20KDataset",
            data_root=args.data_root,
            data_prefix=dict(
                img_path=f"images/{args.split}", seg_map_path=f"annotations/{args.split}"
            ),
            pipeline=pipeline,
        )
    )


def our_semantic(args: argparse.Namespace, recipe: str):
    pipeline = Config.fromfile(FOLDER / "ade20k.py").train_pipeline
    return semantic(args, pipeline, recipe, "mmmaskformer.AntialiasResize")


def stock_semantic(args: argparse.Namespace, recipe: str):
    return semantic(args, get_config(STOCK_SEMANTIC).train_pipeline, recipe, "Resize")


TASKS = {
    "panoptic": ("mmdet", "train2017", our_panoptic, stock_panoptic),
    "semantic": ("mmseg", "training", our_semantic, stock_semantic),
}
"""Scope of the stock pipeline, default split, functions that build the datasets."""


def build(args: argparse.Namespace, recipe: str) -> dict:
    """{pipeline: samples before their transforms, transforms}, of images that both have."""
    stock_scope, _, ours, stock = TASKS[args.task]
    parts = {}
    for name, scope, function in (("ours", "mmseg", ours), ("stock", stock_scope, stock)):
        with DefaultScope.overwrite_default_scope(scope):
            dataset = function(args, recipe)
        infos = (dataset.get_data_info(i) for i in range(len(dataset)))
        parts[name] = {Path(info["img_path"]).name: info for info in infos}, dataset.pipeline
    images = [image for image in parts["ours"][0] if image in parts["stock"][0]][: args.images]
    if not images:
        raise ValueError(f"{args.data_root}: no image of {args.split} with annotations")
    return {name: ([infos[i] for i in images], steps) for name, (infos, steps) in parts.items()}


def run(steps, info: dict, results: list) -> None:
    results.append(steps(info))


def measure(args: argparse.Namespace, recipe: str) -> dict:
    """{pipeline: (images a second, median over rounds; mean megapixels)}."""
    pipelines = build(args, recipe)
    rounds = {name: [] for name in PIPELINES}
    pixels = {name: [] for name in PIPELINES}
    for turn in track(range(args.rounds + 1), recipe, transient=True):
        taken = dict.fromkeys(PIPELINES, 0.0)
        for index in range(len(pipelines["ours"][0])):
            for name, (infos, steps) in pipelines.items():
                info = copy.deepcopy(infos[index])
                np.random.seed(turn * 100003 + index)
                results = []
                taken[name] += seconds(partial(run, steps, info, results))
                pixels[name].append(results[0]["inputs"][0].numel() / 1e6)
        if turn:  # the first fills the caches
            for name in PIPELINES:
                rounds[name].append(taken[name] / len(pipelines[name][0]))
    return {n: (1 / statistics.median(rounds[n]), statistics.mean(pixels[n])) for n in PIPELINES}


def main() -> None:
    parser = command.Parser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "data_root",
        help="folder with {split}, panoptic_{split}, annotations, or with images/{split}, "
        "annotations/{split}",
    )
    parser.add_argument("--task", choices=list(TASKS), default="panoptic")
    parser.add_argument("--split", help="default: train2017, or training")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", help="folder for data-TASK.md and .json")
    args = parser.parse_args()
    name, split, *_ = TASKS[args.task]
    args.split = args.split or split
    stand_in_for_panopticapi()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    title = f"{args.task}: {args.data_root}, {args.split}; one process; {machine('cpu')}"
    header = ["pipeline", "ours, images/s", f"{name}, images/s", "ratio", "megapixels"]
    rows, milliseconds = [], {}
    make_folder(args.out)
    for recipe in RECIPES:
        (ours, our_size), (stock, stock_size) = measure(args, recipe).values()
        sizes = f"{our_size:.2f} / {stock_size:.2f}"
        rows.append([recipe, f"{ours:.1f}", f"{stock:.1f}", f"{ours / stock:.2f}", sizes])
        milliseconds[recipe] = {"ours": 1000 / ours, name: 1000 / stock}
    console = report.wide_console()
    console.print(report.rich_table(title, header, rows))
    if args.out:
        run = {"title": title, "task": args.task, "milliseconds": milliseconds}
        table = title, header, rows
        for path in report.write_tables(args.out, f"data-{args.task}", run, [table]):
            console.print(str(path), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    command.run(main)
