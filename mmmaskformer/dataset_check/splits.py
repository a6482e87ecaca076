"""The datasets of a config's splits: their files, how these are read, and what is wrong."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS
from mmseg.datasets import BaseSegDataset

from ..utils.text import listing
from . import agreement, settings
from .agreement import Findings
from .inspection import Counts, Reading
from .settings import Labels
from .suggestions import suggest

SPLITS = ("train", "val", "test")
IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


@dataclass
class Part:
    """One dataset of a split: what it lists, how that is read, and what was counted."""

    config: dict
    metainfo: dict
    samples: list
    reading: Reading | None = None
    counts: Counts = field(default_factory=Counts)


def chosen_splits(cfg: Config, wanted: list[str] | None) -> list[str]:
    """The splits to read; ValueError for one that the config does not have."""
    loaders = {split: cfg.get(f"{split}_dataloader") for split in SPLITS}
    missing = [split for split in wanted or () if loaders[split] is None]
    if missing:
        raise ValueError(f"--split {missing[0]}: {cfg.filename} has no {missing[0]}_dataloader")
    found = [split for split in SPLITS if loaders[split] is not None]
    if wanted is None and loaders["test"] and loaders["val"]:
        files = [
            {k: v for k, v in loaders[s].dataset.items() if k != "pipeline"}
            for s in ("val", "test")
        ]
        found = [split for split in found if split != "test" or files[0] != files[1]]
    if not found:
        raise ValueError(f"{cfg.filename} has no dataloader")
    return [split for split in found if wanted is None or split in wanted]


def build_part(config: dict) -> Part:
    """The list of a dataset's files, without its pipeline.

    Raises:
        Exception: whatever the dataset finds wrong.
    """
    kind = settings.built_class(DATASETS, config)
    if kind is None or not issubclass(kind, BaseSegDataset):
        raise ValueError(f"{config.get('type')} is no kind of mmseg's BaseSegDataset")
    # Nothing is serialised: mmengine can not serialise an empty list.
    options = {"pipeline": [], "serialize_data": False}
    taken = {key: value for key, value in options.items() if settings.takes(kind, key)}
    dataset = DATASETS.build({**config, **taken})
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    return Part(config, dataset.metainfo, samples)


def build_parts(cfg: Config, split: str, found: Findings, *, all_kinds: bool = True) -> list[Part]:
    """The datasets of a split; what can not be built becomes an error.

    Args:
        all_kinds: whether a dataset that is no kind of mmseg's is an error; else it is left out.
    """
    parts = []
    for config in settings.leaf_datasets(cfg[f"{split}_dataloader"].dataset):
        try:
            kind = settings.built_class(DATASETS, config)
            if not all_kinds and not (kind and issubclass(kind, BaseSegDataset)):
                continue
            parts.append(build_part(config))
        except Exception as error:  # datasets of all kinds, assertions among their complaints
            text = " ".join(str(error).split()) or type(error).__name__
            if isinstance(error, FileNotFoundError) and error.filename:
                root, prefix = config.get("data_root"), config.get("data_prefix")
                text = (
                    f"{error.filename} does not exist; wanted the dataset's files there, as "
                    f"data_root {root!r} and data_prefix {prefix} say"
                )
            found.errors.append(f"{split}: {complaint(config, error) or text}")
    return parts


def complaint(config: dict, error: Exception) -> str | None:
    """What is wrong with the settings of a dataset, for errors of Python that do not say it."""
    kind, indices = config.get("type"), config.get("indices")
    twice = re.search(r"multiple values for keyword argument '(\w+)'", str(error))
    if twice:
        return f"{kind} sets {twice[1]} itself, and {config.get(twice[1])!r} was given; remove it"
    if isinstance(error, IndexError) and indices is not None:
        return f"indices={indices!r} of {kind} lead out of the list of its images"
    return None


def metainfos_of(parts: dict[str, list[Part]]) -> dict[str, dict]:
    """Name -> metainfo of all datasets."""
    return {
        split if len(some) == 1 else f"{split}[{i}]": part.metainfo
        for split, some in parts.items()
        for i, part in enumerate(some)
    }


def check_part(
    cfg: Config, split: str, part: Part, labels: Labels, *, must_read: bool = True
) -> Findings:
    """What the config says about one dataset; sets `part.reading` unless that is impossible.

    Args:
        must_read: whether that it is impossible is an error.
    """
    found = Findings()
    if not part.samples:
        root, prefix = part.config.get("data_root"), part.config.get("data_prefix") or {}
        folder = os.path.join(root or "", prefix.get("img_path") or "")
        found.errors.append(
            f"{split}: the dataset is empty; is its img_suffix that of the files in {folder}?"
        )
    elif split == "train" and part.samples[0].get("seg_map_path") is None:
        found.errors.append("train: the dataset has no annotations")
    found.warnings += [f"{split}: {line}" for line in left_out(part)]
    found.warnings += [f"{split}: {line}" for line in surplus_segments(cfg, part)]
    try:
        pipeline = part.config.get("pipeline") or []
        part.reading = settings.reading_of(pipeline, labels)
        found.add(check_ignored_labels(cfg, split, part, labels))
    except ValueError as error:
        if must_read:
            found.errors.append(f"{split}: {error}")
    return found


def left_out(part: Part) -> list[str]:
    """Lines about images beside those of a dataset that differ in their suffix."""
    prefix = part.config.get("data_prefix") or {}
    listed = part.config.get("ann_file") or "segments_info" in (part.samples or [{}])[0]
    if listed or prefix.get("img_path") == prefix.get("seg_map_path"):
        return []
    lines = []
    suffixes = {Path(sample["img_path"]).suffix for sample in part.samples}
    for folder in sorted({os.path.dirname(sample["img_path"]) for sample in part.samples}):
        names = [file.name for file in os.scandir(folder)] if os.path.isdir(folder) else []
        others = Counter(Path(name).suffix for name in names)
        for suffix in sorted(others.keys() - suffixes):
            if suffix.lower() in IMAGES:
                lines.append(
                    f"{others[suffix]} images in {folder} end in {suffix} and are left out: the "
                    f"dataset's img_suffix ends in {listing(sorted(suffixes))}"
                )
    return lines


def surplus_segments(cfg: Config, part: Part) -> list[str]:
    """Lines about images with more segments than the model has queries."""
    queries = [
        settings.setting(MODELS, head, "num_queries")
        for head in settings.heads_of(cfg.model).values()
    ]
    least = min((number for number in queries if isinstance(number, int)), default=None)
    if least is None:
        return []
    numbers = {
        sample["seg_map_path"]: sum(not s["iscrowd"] for s in sample["segments_info"])
        for sample in part.samples
        if "segments_info" in sample
    }
    surplus = [path for path, number in numbers.items() if number > least]
    if not surplus:
        return []
    most = max(surplus, key=numbers.get)
    return [
        f"{len(surplus)} of {len(numbers)} images have more segments than the model has queries "
        f"(num_queries={least}), up to {numbers[most]} in {most}; those without a query are not "
        "learnt"
    ]


def check_ignored_labels(cfg: Config, split: str, part: Part, labels: Labels) -> Findings:
    """Whether all that handles a split's labels ignores what the model ignores."""
    found = agreement.check_pipeline(
        f"{split}_dataloader.dataset.pipeline",
        part.config.get("pipeline"),
        labels,
        part.reading,
        part.metainfo["reduce_zero_label"],
    )
    if split == "train":
        preprocessor = cfg.model.get("data_preprocessor") or cfg.get("data_preprocessor")
        if not part.reading.panoptic:
            found.add(agreement.check_padding(preprocessor, labels))
    else:
        name = f"{split}_evaluator"
        found.add(agreement.check_evaluators(name, cfg.get(name), labels))
    if 255 in (part.metainfo["label_map"] or {}).values() and labels.ignore_index != 255:
        found.errors.append(
            f"{split}: mmseg's label_map gives 255 to classes that metainfo.classes leaves out, "
            f"but {labels.place}.ignore_index is {labels.ignore_index}"
        )
    return found


def judge(
    split: str, parts: list[Part], total: Counts, labels: Labels, names: list[str]
) -> Findings:
    """What the counts of a split say."""
    found = Findings()
    for part in parts:
        reduced, label_map = part.metainfo["reduce_zero_label"], part.metainfo["label_map"]
        values, filled = part.counts.values, part.reading.filled
        found.add(suggest(values, labels, reduced, filled, label_map))
    if total.annotated:
        absent = [names[i] for i in range(labels.num_classes) if not total.pixels[i]]
        if absent:
            found.warnings.append(
                f"{len(absent)} of {labels.num_classes} classes never occur: {listing(absent)}"
            )
        if total.wholly_ignored:
            found.warnings.append(
                f"nothing is labelled in {len(total.wholly_ignored)} images: "
                f"{listing(total.wholly_ignored, 3)}"
            )
        if 2 * total.ignored > total.total:
            found.warnings.append(f"{total.ignored / total.total:.1%} of the pixels are ignored")
    for lines in (found.errors, found.warnings):
        lines[:] = [f"{split}: {line}" for line in lines]
    return found


def class_names(parts: list[Part], labels: Labels) -> list[str]:
    """Names of the classes; numbers where the dataset names fewer than the model has."""
    names = list(parts[0].metainfo.get("classes") or ())
    return names + [str(i) for i in range(len(names), labels.num_classes)]
