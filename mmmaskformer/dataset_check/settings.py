"""What a config says: its settings and their defaults, heads, datasets, and how files are read.

Values that a config leaves out are the defaults in the signature of what it builds.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmcv.transforms import LoadAnnotations as MMCVLoadAnnotations
from mmcv.transforms import LoadImageFromFile as MMCVLoadImageFromFile
from mmengine.registry import MODELS, TRANSFORMS, Registry
from mmseg.datasets.transforms import LoadAnnotations as MMSegLoadAnnotations

from ..datasets import LoadPanopticAnnotations
from .inspection import Reading

ABSENT = inspect.Parameter.empty
"""Value of a setting that there is not."""


@dataclass(frozen=True)
class Labels:
    """What the model takes: `num_classes` and `ignore_index`, and the head that says so."""

    num_classes: int
    ignore_index: int | None
    place: str

    @property
    def ignored(self) -> tuple[int | None, str]:
        """The ignored label, and where it stands."""
        return self.ignore_index, f"{self.place}.ignore_index"


def built_class(registry: Registry, cfg: Mapping) -> type | None:
    """The class that a config builds; None without a type.

    Raises:
        ValueError: no such type.
    """
    kind = cfg.get("type")
    if kind is None or isinstance(kind, type):
        return kind
    try:
        with registry.switch_scope_and_registry(None) as scoped:
            found = scoped.get(kind)
    except RuntimeError:
        found = None
    if found is None:
        raise ValueError(f"no {registry.name} of type {kind!r} is registered")
    return found


def setting(registry: Registry, cfg: Mapping, name: str):
    """A value of a config, or its default; ABSENT where the class does not take it."""
    if name in cfg:
        return cfg[name]
    for parent in getattr(built_class(registry, cfg), "__mro__", ()):
        parameter = inspect.signature(parent.__init__).parameters.get(name)
        if parameter is not None:
            return parameter.default
    return ABSENT


def takes(kind: type, name: str) -> bool:
    """Whether a class can be built with a keyword, which may go to those it inherits from."""
    for one in (c for c in kind.__mro__ if "__init__" in vars(c)):
        parameters = inspect.signature(one.__init__).parameters
        if name in parameters:
            return True
        if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
            return False
    return False


def find_heads(cfg, place: str) -> Iterator[tuple[str, Mapping]]:
    """Place and config of everything in a config that has `num_classes`."""
    if isinstance(cfg, Mapping):
        if "num_classes" in cfg:
            yield place, cfg
        for key, value in cfg.items():
            yield from find_heads(value, f"{place}.{key}")
    elif isinstance(cfg, (list, tuple)):
        for i, value in enumerate(cfg):
            yield from find_heads(value, f"{place}[{i}]")


def heads_of(model: Mapping) -> dict[str, Mapping]:
    """Place -> config of a model's heads, the one that predicts first."""
    keys = ("decode_head", "auxiliary_head")
    return dict(pair for key in keys for pair in find_heads(model.get(key), f"model.{key}"))


def labels_of(heads: Mapping[str, Mapping], metainfos: Mapping[str, Mapping]) -> Labels:
    """What the model takes; without a head, the first dataset's classes.

    Raises:
        ValueError: neither says a number of classes.
    """
    for place, head in heads.items():
        ignored = setting(MODELS, head, "ignore_index")
        return Labels(head["num_classes"], 255 if ignored is ABSENT else ignored, place)
    for name, metainfo in metainfos.items():
        if metainfo.get("classes"):
            return Labels(len(metainfo["classes"]), 255, f"{name} dataset")
    raise ValueError("neither model.decode_head.num_classes nor metainfo.classes is given")


def leaf_datasets(cfg: Mapping) -> Iterator[Mapping]:
    """The datasets in wrappers like `ConcatDataset`, or the dataset itself."""
    inner = cfg.get("datasets") or cfg.get("dataset")
    if inner is None:
        yield cfg
        return
    for part in inner if isinstance(inner, (list, tuple)) else [inner]:
        # MultiImageMixDataset goes on where the pipeline of its dataset ends.
        pipeline = [*(part.get("pipeline") or []), *(cfg.get("pipeline") or [])]
        yield from leaf_datasets({**part, "pipeline": pipeline})


def transforms_of(pipeline: Iterable) -> Iterator[Mapping]:
    """All transforms of a pipeline, those in other transforms included."""
    for step in pipeline or ():
        if isinstance(step, Mapping):
            yield step
            if str(step.get("type")).split(".")[-1] != "Albu":  # its transforms are not ours
                yield from transforms_of(step.get("transforms"))
        else:
            yield from transforms_of(step)


def names_of(pipeline: Iterable) -> str:
    return ", ".join(str(step.get("type")) for step in transforms_of(pipeline)) or "(no) transforms"


def reading_of(pipeline: Sequence, labels: Labels) -> Reading:
    """How a dataset's pipeline reads its files.

    Raises:
        ValueError: loading that this can not do.
    """
    steps = [(built_class(TRANSFORMS, step), step) for step in transforms_of(pipeline)]
    if not any(issubclass(kind, MMCVLoadImageFromFile) for kind, _ in steps):
        raise ValueError(f"no LoadImageFromFile among the pipeline's {names_of(pipeline)}")
    known = (MMCVLoadAnnotations, LoadPanopticAnnotations)
    loaders = [(kind, step) for kind, step in steps if issubclass(kind, known)]
    if not loaders:
        raise ValueError(
            "no LoadAnnotations or LoadPanopticAnnotations among the pipeline's "
            f"{names_of(pipeline)}"
        )
    kind, step = loaders[0]
    filled = setting(TRANSFORMS, step, "ignore_index")
    backend = setting(TRANSFORMS, step, "imdecode_backend")
    return Reading(
        labels.num_classes,
        labels.ignore_index,
        filled=255 if filled is ABSENT else filled,
        panoptic=issubclass(kind, LoadPanopticAnnotations),
        eight_bits=issubclass(kind, MMSegLoadAnnotations),
        backend="pillow" if backend is ABSENT else backend,
        backend_args=step.get("backend_args"),
    )
