"""Makes the files of this folder from the full numbers: python -m tests.reference.thin FOLDER

FOLDER holds `reference/`, `zoo.csv` and `paper_supplement.txt`. For development only: the tests
read what is committed.
"""

import argparse
import gzip
import io
import json
import re
import shutil
from pathlib import Path

import torch

from tests.reference import FOLDER, thinned

MODELS = ["maskformer_R50_ade20k", "per_pixel_baseline_R50_ade20k"]
TRAJECTORIES = ["maskformer_R50_ade20k", "maskformer_swin_tiny_ade20k"]
PHOTOGRAPHS = ["images_rgb_uint8", "labels_uint8"]


def pack(data, path):
    """Without a time stamp: the same numbers give the same bytes."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(data, mtime=0))


def save(numbers, name):
    buffer = io.BytesIO()
    torch.save(numbers, buffer)
    pack(buffer.getvalue(), FOLDER / f"{name}.pt.gz")


def read(source, name):
    return torch.load(source / "reference" / f"{name}.pt", weights_only=True)


def thin_all(value):
    """Floating tensors below `value` thinned, label maps as they are."""
    if torch.is_tensor(value):
        return thinned(value) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: thin_all(item) for key, item in value.items()}
    return [thin_all(item) for item in value]


def thin_model(numbers):
    """Without the criterion's cases, which have a file of their own."""
    train = {"end_to_end": numbers["train"]["end_to_end"]}
    for key in ("sem_seg_gt", "padded_sem_seg_gt"):
        if key in numbers["train"]:
            train[key] = [labels.to(torch.uint8) for labels in numbers["train"][key]]
    return {
        **{key: numbers[key] for key in ("draws", "overrides", "images_rgb_uint8", "meta")},
        "output_sizes": [list(size) for size in numbers["output_sizes"]],
        "eval_batch_of_two": thin_all(numbers["eval_batch_of_two"]),
        "eval_single_argmax": numbers["eval_single_argmax"],
        "eval_single_1_sem_seg_strided": thinned(numbers["eval_single_1_sem_seg_strided"]),
        "train": train,
    }


def thin_parameter_list(listed):
    return {
        "num_parameters": listed["num_parameters"],
        "state_dict": {
            name: [value["dtype"], value["shape"]] for name, value in listed["state_dict"].items()
        },
        "released_name": listed["released_pkl_name"],
        "lr_and_weight_decay": listed["optimizer"]["lr_weight_decay_per_parameter"],
    }


def paper_tables(text):
    """The numbers of the supplement's tables: a line `Table X:` and the cells under it."""
    lines = []
    for line in text.splitlines():
        caption = re.match(r"Table [IVX]+:", line)
        if caption:
            lines.append(caption.group())
        elif "\t" in line:
            lines.append(line)
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--photographs", action="store_true", help="those of the trajectories, too")
    args = parser.parse_args()
    source = args.source
    shutil.copyfile(source / "zoo.csv", FOLDER / "zoo.csv")
    save(read(source, "criterion_small"), "criterion_small")
    for name in MODELS:
        save(thin_model(read(source, name)), name)
    for name in TRAJECTORIES:
        numbers = read(source, f"trajectory/trajectory_{name}")
        photographs = {key: numbers.pop(key) for key in PHOTOGRAPHS}
        save(numbers, f"trajectory/{name}")
        if args.photographs:
            save(photographs, f"trajectory/{name}_photographs")
    lists = {}
    for path in sorted((source / "reference/state_dicts").glob("*.json")):
        listed = json.loads(path.read_text(encoding="utf-8"))
        lists[listed["config"]] = thin_parameter_list(listed)
    pack(json.dumps(lists, separators=(",", ":")).encode(), FOLDER / "state_dicts.json.gz")
    for path in sorted((source / "reference/pq").rglob("*.*")):
        target = FOLDER / path.relative_to(source / "reference")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    text = (source / "paper_supplement.txt").read_text(encoding="utf-8")
    (FOLDER / "paper_tables.tsv").write_text(paper_tables(text), encoding="utf-8")


if __name__ == "__main__":
    main()
