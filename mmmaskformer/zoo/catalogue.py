"""The configs that come with the package, by name, and what is known of each."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ..utils.files import read_json

FOLDER = Path(__file__).resolve().parents[1] / ".mim" / "configs"
"""The configs, in a checkout and in an installed package."""
PREFIX = "mmmaskformer::"
"""What mmengine's users write before the path of a config in a package's folder of configs."""
DATASETS = {
    "ade20k": "ADE20K",
    "ade20k-full": "ADE20K-Full",
    "ade20k-panoptic": "ADE20K panoptic",
    "camvid": "CamVid",
    "cityscapes": "Cityscapes",
    "cityscapes-panoptic": "Cityscapes panoptic",
    "coco-panoptic": "COCO",
    "coco-stuff-10k": "COCO-Stuff 10k",
    "finetune": "your own",
    "finetune-panoptic": "your own panoptic",
    "mapillary": "Mapillary Vistas v1.2",
    "nyuv2": "NYU Depth v2",
    "shapes": "Shapes",
    "shapes-panoptic": "Shapes panoptic",
}
"""How the names of configs go on after method and backbone -> the dataset's name."""
MMDET = "-mmdet"
"""How the names of configs for mmdet end; each has a sibling for mmseg without it."""


@dataclass(frozen=True)
class Model:
    """A config of the package, and what the paper's authors released for it.

    Attributes:
        task: "semantic" or "panoptic".
        results: the paper's, in percent, by metric; empty where it has none.
        parameters: the number of them, of a released model.
        memory: of the original's training, GB per GPU, of a released model.
        licence: of the released weights; None where there are none.
        weights: the address of the released file.
    """

    name: str
    config: Path
    task: str
    dataset: str
    results: Mapping[str, float] = field(default_factory=dict, hash=False)
    parameters: int | None = None
    memory: float | None = None
    licence: str | None = None
    weights: str | None = None

    @property
    def released(self) -> bool:
        """Whether the paper's authors released weights."""
        return self.weights is not None


def names() -> list[str]:
    """The names of all configs, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.py"))


@cache
def models() -> tuple[Model, ...]:
    """All models, sorted by name; nothing of torch or OpenMMLab is loaded for it."""
    metafile = yaml.load(
        (FOLDER / "metafile.yaml").read_text(encoding="utf-8"),
        Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader),
    )
    released = {entry["Name"]: _described(entry) for entry in metafile["Models"]}
    paper = _paper_results()
    found = []
    for name in names():
        dataset = dataset_of(name)
        common = dict(
            name=name,
            config=FOLDER / f"{name}.py",
            task="panoptic" if "panoptic" in dataset or dataset == "COCO" else "semantic",
            dataset=dataset,
        )
        rest = released.get(name) or {"results": paper.get(name, {})}
        found.append(Model(**common, **rest))
    return tuple(found)


def _described(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a released model, of its entry in the metafile."""
    return {
        "results": entry["Results"]["Metrics"],
        "parameters": entry["Metadata"]["Parameters"],
        "memory": entry["Metadata"]["Memory (GB)"],
        "licence": entry["Converted From"]["License"],
        "weights": entry["Converted From"]["Weights"],
    }


def _paper_results() -> dict[str, dict[str, float]]:
    """mIoU and PQ of the paper's tables, by config; the first table that has it counts."""
    results: dict[str, dict[str, float]] = {}
    for table in read_json(FOLDER / "paper_results.json"):
        metrics = [column.replace(" (s.s.)", "").replace(" (", "(") for column in table["columns"]]
        for row in table["rows"]:
            values = {
                metric: value[0] if isinstance(value, list) else value
                for metric, value in zip(metrics, row["values"], strict=True)
                if re.match(r"(mIoU|PQ)\b(?!_)", metric) and value is not None
            }
            if row["config"] and values:
                results.setdefault(row["config"], values)
    return results


def dataset_of(name: str) -> str:
    """The dataset that a config's name tells; the end of the name where that is not known."""
    rest = name.split("_")[-1]
    keys = [key for key in DATASETS if rest == key or rest.startswith(f"{key}-")]
    return DATASETS[max(keys, key=len)] if keys else rest


def model_called(name: str) -> Model | None:
    """The model of a name; None where there is none of it."""
    return next((model for model in models() if model.name == name), None)


def config_file(name_or_config: str | Path) -> Path:
    """The config of a model's name, or the config that a path names.

    `mmmaskformer::maskformer_r50_ade20k.py` and other paths below the package's configs are found
    there.

    Raises:
        FileNotFoundError: there is neither; the nearest names are in the message.
    """
    text = str(name_or_config)
    inside = text.removeprefix(PREFIX)
    named = FOLDER / (inside if inside.endswith(".py") else f"{inside}.py")
    bare = Path(text).parent == Path() and not text.endswith(".py")
    if (text != inside or bare) and named.is_file():
        return named
    path = Path(text)
    if path.suffix == ".py" and path.is_file():
        return path
    near = difflib.get_close_matches(Path(inside).stem, names(), 3) or names()[:3]
    raise FileNotFoundError(
        f"no model or config is called {text!r}; wanted a name of `mmmaskformer models`, for "
        f"instance {', '.join(near)}, or a config file"
    )
