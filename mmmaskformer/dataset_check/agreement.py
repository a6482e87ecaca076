"""What a config says about classes and ignored labels in all its places, and whether they agree.

Values that a config leaves out are the defaults in the signature of what it builds.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mmcv.transforms import LoadAnnotations as MMCVLoadAnnotations
from mmcv.transforms import LoadImageFromFile as MMCVLoadImageFromFile
from mmcv.transforms import Pad
from mmengine.registry import METRICS, MODELS, TRANSFORMS, Registry
from mmseg.datasets.transforms import LoadAnnotations as MMSegLoadAnnotations
from mmseg.datasets.transforms import PackSegInputs
from mmseg.models.decode_heads import STDCHead

from ..datasets import LoadPanopticAnnotations
from ..heads.maskformer_head import MaskFormerHead, read_things
from ..utils.text import listing
from .inspection import Reading

ABSENT = inspect.Parameter.empty
"""Value of a setting that there is not."""
VOID = 0
"""Value of void in the segment map of a panoptic pipeline."""


@dataclass
class Findings:
    """Lines about what stops or spoils training, and about what may be meant so."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, more: Findings) -> None:
        """Add the lines that are not there yet: datasets of a split share pipelines."""
        self.errors += [line for line in more.errors if line not in self.errors]
        self.warnings += [line for line in more.warnings if line not in self.warnings]


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


def check_heads(
    heads: Mapping[str, Mapping], labels: Labels, metainfos: Mapping[str, Mapping]
) -> Findings:
    """Whether heads and datasets have the same classes.

    Args:
        metainfos: name of a dataset -> its metainfo.
    """
    found = Findings()
    named = {name: tuple(m["classes"]) for name, m in metainfos.items() if m.get("classes")}
    found.warnings += [
        f"{name}: the dataset names no classes, which metrics need: metainfo=dict(classes=...)"
        for name in metainfos
        if name not in named
    ]
    wanted, source = labels.num_classes, labels.place
    if named:
        first = next(iter(named))
        wanted, source = len(named[first]), f"the {first} dataset"
    for name, classes in named.items():
        if classes != named[first]:
            found.errors.append(
                f"{name}: the dataset's {len(classes)} classes are not the {wanted} of {source}, "
                "or not in their order; give both the same metainfo"
            )
    for place, head in heads.items():
        kind = built_class(MODELS, head)
        if kind is STDCHead:  # finds boundaries, which are two classes
            continue
        if head["num_classes"] != wanted:
            found.errors.append(
                f"{place}.num_classes is {head['num_classes']}, but {source} has {wanted} classes: "
                f"set {place}.num_classes={wanted} or change metainfo.classes"
            )
        value = setting(MODELS, head, "ignore_index")
        check_ignored(found.errors, f"{place}.ignore_index", value, *labels.ignored)
        if isinstance(kind, type) and issubclass(kind, MaskFormerHead):
            found.errors += check_things(place, head, metainfos)
    ignored = labels.ignore_index
    if ignored is not None and 0 <= ignored < labels.num_classes:
        found.warnings.append(
            f"{labels.place}.ignore_index {ignored} is one of the classes "
            f"[0, {labels.num_classes - 1}], which is then never learnt"
        )
    return found


def check_things(place: str, head: Mapping, metainfos: Mapping[str, Mapping]) -> list[str]:
    """Lines about a MaskFormerHead's `isthing` that is not the datasets'."""
    try:
        things = read_things(head.get("isthing"), head["num_classes"])
    except ValueError as error:
        return [f"{place}: {error}"]
    lines = []
    for name, metainfo in metainfos.items():
        pairs = enumerate(zip(things or (), metainfo.get("isthing") or ()))
        differ = [i for i, (mine, theirs) in pairs if bool(mine) != bool(theirs)]
        if differ:
            lines.append(
                f"{place}.isthing differs from the {name} dataset's in classes {listing(differ)}"
            )
    return lines


def check_ignored(lines: list[str], place: str, value, wanted: int | None, source: str) -> None:
    """Add a line unless the value is the ignored label, or there is none."""
    if wanted is not None and value not in (ABSENT, wanted):
        lines.append(f"{place} is {value}, but {source} is {wanted}: set {place}={wanted}")


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


def names_of(pipeline: Iterable) -> str:
    return ", ".join(str(step.get("type")) for step in transforms_of(pipeline)) or "(no) transforms"


def check_pipeline(
    where: str, pipeline: Sequence, labels: Labels, reading: Reading, reduce_zero_label: bool
) -> Findings:
    """Whether the transforms of a dataset ignore what the model ignores.

    Args:
        where: what the lines call the pipeline.
        reduce_zero_label: the dataset's.
    """
    found = Findings()
    in_map = (VOID, "void of panoptic maps") if reading.panoptic else labels.ignored
    for step in transforms_of(pipeline):
        kind = built_class(TRANSFORMS, step)
        place = f"{where}.{kind.__name__}"
        ignored = setting(TRANSFORMS, step, "ignore_index")
        padding = setting(TRANSFORMS, step, "seg_pad_val")
        if issubclass(kind, Pad):
            value = setting(TRANSFORMS, step, "pad_val")
            value = value.get("seg", 255) if isinstance(value, Mapping) else 255
            check_ignored(found.errors, f"{place}.pad_val.seg", value, *in_map)
        elif issubclass(kind, MMCVLoadAnnotations):
            if reduce_zero_label:
                value = 255 if ignored is ABSENT else ignored
                check_ignored(found.errors, f"{place}.ignore_index", value, *labels.ignored)
            own = setting(TRANSFORMS, step, "reduce_zero_label")
            if own not in (ABSENT, None, reduce_zero_label):
                found.errors.append(
                    f"{place}.reduce_zero_label is {own}, but the dataset's is "
                    f"{reduce_zero_label}: set it in the dataset only"
                )
        elif issubclass(kind, PackSegInputs):
            check_ignored(found.errors, f"{place}.ignore_index", ignored, *labels.ignored)
        elif setting(TRANSFORMS, step, "cat_max_ratio") != 1:  # else RandomCrop does not look
            check_ignored(found.warnings, f"{place}.ignore_index", ignored, *in_map)
        check_ignored(found.errors, f"{place}.seg_pad_val", padding, *in_map)
    return found


def check_padding(preprocessor: Mapping | None, labels: Labels) -> Findings:
    """Whether the data preprocessor pads label maps with what the model ignores."""
    found = Findings()
    if preprocessor:
        value = setting(MODELS, preprocessor, "seg_pad_val")
        check_ignored(found.errors, "data_preprocessor.seg_pad_val", value, *labels.ignored)
    return found


def check_evaluators(where: str, evaluators, labels: Labels) -> Findings:
    """Whether the metrics ignore what the model ignores; one config or a list of them."""
    found = Findings()
    for evaluator in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators or {}]:
        value = setting(METRICS, evaluator, "ignore_index")
        place = f"{where}.{evaluator.get('type')}.ignore_index"
        check_ignored(found.errors, place, value, *labels.ignored)
    return found


def suggest(
    values: Mapping[int, int],
    labels: Labels,
    reduce_zero_label: bool,
    filled: int = 255,
    label_map: Mapping[int, int] | None = None,
) -> Findings:
    """What to change, from the values that occur in the label maps.

    Args:
        values: pixels of each value, as in the files.
        reduce_zero_label: the dataset's; `filled` takes the place of 0 then.
        label_map: the dataset's, of the values after that; what it maps needs no suggestion.
    """
    found, label_map = Findings(), label_map or {}
    classes, ignored = labels.num_classes, labels.ignore_index
    if reduce_zero_label and filled != ignored:
        return found  # `check_pipeline` says so
    shift = int(reduce_zero_label)
    present = {value for value in values if value != ignored}
    bad = sorted(v for v in present if v - shift >= classes and v - shift not in label_map)
    expected = {classes, ignored} & values.keys()
    if shift and 0 in values and not (expected or bad or label_map):
        found.warnings.append(
            f"0 becomes 'ignored' and {classes} never occurs: if 0 is a class, set "
            "reduce_zero_label=False"
        )
    void = [value for value in bad if value in (255, 65535)]
    if void:
        found.errors.append(
            f"{void[0]} seems to mean 'ignored': set {labels.place}.ignore_index={void[0]}"
        )
    bad = [value for value in bad if value not in void]
    if bad:
        found.errors.append(suggest_classes(bad, 0 in present, labels, shift))
    return found


def suggest_classes(bad: list[int], with_zero: bool, labels: Labels, shift: int) -> str:
    """What to change where classes seem to be numbered otherwise, or to be more."""
    largest = bad[-1]
    fitting = f"num_classes={largest + 1 - shift}"
    reach = f"labels reach {largest} and 0 {'occurs' if with_zero else 'never occurs'}"
    if not shift and largest == labels.num_classes:
        return f"{reach}: set reduce_zero_label=True or {fitting}"
    if len(bad) == 1:
        return (
            f"{reach}: set {fitting} or, if {largest} means 'ignored', "
            f"{labels.place}.ignore_index={largest}"
        )
    return f"{reach}: at least {fitting} is needed"
