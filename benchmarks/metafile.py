"""Write configs/metafile.yaml from the recipe table: python -m benchmarks.metafile

`mim search mmmaskformer` reads it. Only models of the table are listed.
"""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import yaml

from mmmaskformer.utils.files import replacing

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tests/reference/zoo.csv"
LISTS = ROOT / "tests/reference/state_dicts.json.gz"
METAFILE = ROOT / "configs/metafile.yaml"

HEAD = """\
# Written by `python -m benchmarks.metafile` from tests/reference/; do not edit.
# The models that MaskFormer's authors released. Metrics and training memory are theirs, of their
# code; nothing here was trained with this package. Their weights are under their own licence.
# They are not under the key that mim downloads from, since they load after a conversion:
# `mmmaskformer.zoo.weights` does both.
"""
METHODS = {
    "MaskFormer": ("maskformer", "mmmaskformer/heads/maskformer_head.py"),
    "PerPixelBaseline": ("perpixel", "mmmaskformer/heads/per_pixel_head.py"),
    "PerPixelBaseline+": ("perpixelplus", "mmmaskformer/heads/per_pixel_head.py"),
}
"""Method of the table -> how the names of its configs begin, and its code."""
DATASETS = {
    "ade20k-150": ("ade20k", "ADE20K"),
    "ade20k-150-panoptic": ("ade20k-panoptic", "ADE20K panoptic"),
    "cityscapes-19": ("cityscapes", "Cityscapes"),
    "mapillary-vistas-65": ("mapillary", "Mapillary Vistas v1.2"),
    "coco-stuff-10k-171": ("coco-stuff-10k", "COCO-Stuff 10k"),
    "ade20k-full-847": ("ade20k-full", "ADE20K-Full"),
    "coco-panoptic": ("coco-panoptic", "COCO"),
}
"""Folder of the original's configs -> how the names of ours end, and the dataset's name."""
METRICS = {"mIoU_ss": "mIoU", "mIoU_ms": "mIoU(ms+flip)", "PQ": "PQ"}
PAPER = {
    "Title": "Per-Pixel Classification is Not All You Need for Semantic Segmentation",
    "URL": "https://arxiv.org/abs/2107.06278",
}


def read_table() -> list[dict[str, str]]:
    """The recipes of the released models, one row a model."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names_of_dataset(row: dict[str, str]) -> tuple[str, str]:
    return DATASETS[row["config"].split("/")[1]]


def config_name(row: dict[str, str]) -> str:
    """Our config's name for a row of the table."""
    return f"{METHODS[row['method']][0]}_{row['backbone'].lower()}_{names_of_dataset(row)[0]}"


def read_parameters() -> dict[str, int]:
    """The number of parameters of each released model, by the original's config."""
    lists = json.loads(gzip.decompress(LISTS.read_bytes()))
    return {config: listed["num_parameters"] for config, listed in lists.items()}


def describe_model(row: dict[str, str], parameters: int) -> dict:
    """What mim reads about the model of a row."""
    backbone, (_, dataset) = row["backbone"], names_of_dataset(row)
    backbone = backbone.replace("R", "R-") if backbone.startswith("R") else backbone
    return {
        "Name": config_name(row),
        "In Collection": row["method"],
        "Config": f"configs/{config_name(row)}.py",
        "Metadata": {
            "Training Data": dataset,
            "Iterations": int(row["max_iter"]),
            "Batch Size": int(row["batch"]),
            "Architecture": [backbone, row["method"]],
            "Training Resources": f"{row['gpus']}x GPUs",
            "Parameters": parameters,
            "Memory (GB)": round(int(row["train_mem_MB"]) / 1024, 1),
        },
        "Results": {
            "Task": f"{row['task'].capitalize()} Segmentation",
            "Dataset": dataset,
            "Metrics": {name: float(row[key]) for key, name in METRICS.items() if row[key]},
        },
        "Source": "paper",
        "Converted From": {"License": "CC BY-NC 4.0", "Weights": row["weights_url"]},
        "Paper": dict(PAPER),
        "Framework": "PyTorch",
    }


def describe_method(method: str, rows: list[dict[str, str]]) -> dict:
    """What mim reads about a method."""
    datasets = dict.fromkeys(names_of_dataset(row)[1] for row in rows if row["method"] == method)
    return {
        "Name": method,
        "License": "Apache License 2.0",
        "Metadata": {"Training Data": list(datasets)},
        "Paper": dict(PAPER),
        "README": "README.md",
        "Code": METHODS[method][1],
        "Frameworks": ["PyTorch"],
    }


def metafile() -> str:
    """The text of configs/metafile.yaml."""
    rows, parameters = read_table(), read_parameters()
    content = {
        "Collections": [describe_method(method, rows) for method in METHODS],
        "Models": [describe_model(row, parameters[row["config"]]) for row in rows],
    }
    return HEAD + yaml.safe_dump(content, sort_keys=False, width=10_000)


if __name__ == "__main__":
    with replacing(METAFILE) as work:
        work.write_text(metafile(), encoding="utf-8")
    print(f"wrote {METAFILE}")
