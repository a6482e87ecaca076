"""Speed of panoptic quality on one core, in one run and taking turns.

    python -m benchmarks.pq data/coco/annotations/panoptic_val2017.json

In memory: per image, this package against a plain re-creation of the work of the official COCO
evaluation (np.unique over joint codes, loops over dictionaries). With files: this package
against decoding the pngs alone. The prediction is the ground truth, perturbed. "ratio" is the
speed over that of the line it is compared with.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.kit.measure import take_turns
from mmmaskformer import evaluation
from mmmaskformer.utils import command
from mmmaskformer.utils.files import read_json

OFFSET = 256**3


def plain_update(stat: dict, categories: set, gt_ids, gt_segments, pred_ids, pred_segments):
    """The rules as one would write them down: unique codes, then loops over pairs.

    `stat`: category -> list of sum of IoUs, true positives, false positives, false negatives.
    """
    gt = {segment["id"]: dict(segment) for segment in gt_segments}
    pred = {segment["id"]: dict(segment) for segment in pred_segments}
    for label, count in zip(*np.unique(pred_ids, return_counts=True), strict=True):
        if label == 0:
            continue
        pred[label]["area"] = count
        if pred[label]["category_id"] not in categories:
            raise ValueError(f"segment {label} has an unknown category")
    codes = gt_ids.astype(np.uint64) * OFFSET + pred_ids.astype(np.uint64)
    pixels = {}
    for code, count in zip(*np.unique(codes, return_counts=True), strict=True):
        pixels[code // OFFSET, code % OFFSET] = count
    found = set()
    for (g, p), common in pixels.items():
        if g not in gt or p not in pred or gt[g]["iscrowd"]:
            continue
        if gt[g]["category_id"] != pred[p]["category_id"]:
            continue
        union = pred[p]["area"] + gt[g]["area"] - common - pixels.get((0, p), 0)
        if common / union > 0.5:
            stat[gt[g]["category_id"]][0] += common / union
            stat[gt[g]["category_id"]][1] += 1
            found |= {("gt", g), ("pred", p)}
    count_unmatched(stat, gt, pred, pixels, found)


def count_unmatched(stat: dict, gt: dict, pred: dict, pixels: dict, found: set) -> None:
    crowds = {}
    for g, segment in gt.items():
        if segment["iscrowd"]:
            crowds[segment["category_id"]] = g
        elif ("gt", g) not in found:
            stat[segment["category_id"]][3] += 1
    for p, segment in pred.items():
        if ("pred", p) not in found:
            excused = pixels.get((0, p), 0)
            excused += pixels.get((crowds.get(segment["category_id"]), p), 0)
            if excused / segment["area"] <= 0.5:
                stat[segment["category_id"]][2] += 1


def perturb(ids: np.ndarray, segments: list, categories: list, rng: np.random.Generator):
    """A prediction: moved by a few pixels, new ids, some segments lost or of another class."""
    classes = {segment["id"]: segment["category_id"] for segment in segments}
    old, index = np.unique(np.roll(ids, (3, -4), (0, 1)), return_inverse=True)
    new = rng.choice(np.arange(1, OFFSET), len(old), replace=False)
    lost = (rng.random(len(old)) < 0.1) | ~np.isin(old, list(classes))
    new[lost] = 0
    guess = [
        {
            "id": int(n),
            "category_id": rng.choice(categories)["id"] if rng.random() < 0.1 else classes[o],
        }
        for o, n in zip(old.tolist(), new, strict=True)
        if n
    ]
    return new[index.reshape(ids.shape)].astype(np.uint32), guess


def measure_memory(categories: list, images: list, repeats: int) -> tuple[list, list]:
    """Median seconds of each image: ours, plain."""
    quality = evaluation.PanopticQuality(categories)
    known = {category["id"] for category in categories}
    stat = defaultdict(lambda: [0.0, 0, 0, 0])
    times = []
    for image in track(images, "in memory", transient=True):
        both = {
            "ours": partial(quality.update, *image),
            "plain": partial(plain_update, stat, known, *image),
        }
        times.append([*take_turns(both, repeats, settle=False).values()])
    plain = np.stack([stat[category["id"]] for category in categories])
    np.testing.assert_allclose(quality.counts, plain, rtol=1e-9)
    return tuple(np.transpose(times))


def measure_files(categories: list, pairs: list, repeats: int) -> tuple[float, float]:
    """Median seconds of all images: ours from the files, decoding alone."""

    def decode() -> None:
        for pair in pairs:
            for png in (pair.gt_png, pair.pred_png):
                with Image.open(png) as image:
                    image.load()

    decode()
    both = {"ours": partial(evaluation.count_pairs, categories, pairs), "decoding": decode}
    return tuple(take_turns(both, repeats, settle=False, title="with files").values())


def write_prediction(folder: Path, annotations: list, images: list) -> Path:
    (folder / "pred").mkdir()
    written = []
    for annotation, (_, _, ids, segments) in zip(annotations, images, strict=True):
        colors = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
        Image.fromarray(colors).save(folder / "pred" / annotation["file_name"])
        written.append({**annotation, "segments_info": segments})
    path = folder / "pred.json"
    path.write_text(json.dumps({"annotations": written}))
    return path


def measure(args: argparse.Namespace) -> tuple[int, tuple, tuple]:
    """Number of images, seconds in memory and with files: ours and the other's of both."""
    folder = args.gt_folder or args.gt_json.with_suffix("")
    evaluation.read_pairs(args.gt_json, args.gt_json, folder, folder)  # is it what it should be?
    data = read_json(args.gt_json)
    data["annotations"] = data["annotations"][: args.images]
    rng = np.random.default_rng(0)
    images = []
    for annotation in data["annotations"]:
        ids = evaluation.read_ids(folder / annotation["file_name"])
        segments = annotation["segments_info"]
        images.append((ids, segments, *perturb(ids, segments, data["categories"], rng)))
    memory = measure_memory(data["categories"], images, args.repeats)
    with tempfile.TemporaryDirectory() as work:
        pred_json = write_prediction(Path(work), data["annotations"], images)
        gt_json = Path(work) / "gt.json"
        gt_json.write_text(json.dumps(data))
        pairs = evaluation.read_pairs(gt_json, pred_json, folder)
        files = measure_files(*pairs, args.repeats)
    return len(images), memory, files


def main() -> None:
    parser = command.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("gt_json", type=Path, help="ground truth in COCO's panoptic format")
    parser.add_argument("--gt_folder", type=Path, help="its pngs; default: as the json")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    count, (ours, plain), (files, decoding) = measure(args)
    table = Table("", "images/s", "ms/image", "ratio", title=f"{count} images, one core")
    for name, total, base in (
        ("in memory: ours", ours.sum(), plain.sum()),
        ("in memory: plain", plain.sum(), plain.sum()),
        ("with files: ours", files, decoding),
        ("with files: decoding alone", decoding, decoding),
    ):
        rate, mean = count / total, 1000 * total / count
        table.add_row(name, f"{rate:.0f}", f"{mean:.3f}", f"{base / total:.2f}")
    Console().print(table)


if __name__ == "__main__":
    command.run(main)
