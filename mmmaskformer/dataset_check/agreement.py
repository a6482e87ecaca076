"""Whether what a config says about classes and ignored labels agrees in all its places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmcv.transforms import LoadAnnotations as MMCVLoadAnnotations
from mmcv.transforms import Pad
from mmengine.registry import METRICS, MODELS, TRANSFORMS
from mmseg.datasets.transforms import PackSegInputs
from mmseg.models.decode_heads import STDCHead

from ..datasets.panoptic_transforms import FIRST
from ..heads.maskformer_head import MaskFormerHead, read_things
from ..heads.per_pixel_head import PerPixelHead
from ..utils.text import listing
from .inspection import Reading
from .settings import ABSENT, Labels, built_class, setting, transforms_of

VOID = 0
"""Value of void in the segment map of a panoptic pipeline."""
MAPLESS = ("RandomAffine", "RandomShift", "RandomCenterCropPad")
"""mmdet's transforms that move pixels of images and boxes, and of no map."""


@dataclass
class Findings:
    """Lines about what stops or spoils training, and about what may be meant so."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, more: Findings) -> None:
        """Add the lines that are not there yet: datasets of a split share pipelines."""
        self.errors += [line for line in more.errors if line not in self.errors]
        self.warnings += [line for line in more.warnings if line not in self.warnings]


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
        first, classes = next(iter(named.items()))
        wanted, source = len(classes), f"the {first} dataset"
        found.errors += [
            f"{name}: the dataset's {len(others)} classes are not the {wanted} of {source}, "
            "or not in their order; give both the same metainfo"
            for name, others in named.items()
            if others != classes
        ]
    for place, head in heads.items():
        found.errors += check_head(place, head, wanted, source, labels)
        kind = built_class(MODELS, head)
        if isinstance(kind, type) and issubclass(kind, MaskFormerHead):
            found.errors += check_things(place, head, metainfos)
            if head["num_classes"] == 1:
                found.warnings.append(
                    f"{place}.num_classes is 1: semantic inference gives the class every pixel, so "
                    "mIoU says nothing; ask for panoptic or instance results, or give the "
                    "background a class"
                )
    ignored = labels.ignore_index
    if ignored is not None and 0 <= ignored < labels.num_classes:
        found.warnings.append(
            f"{labels.place}.ignore_index {ignored} is one of the classes "
            f"[0, {labels.num_classes - 1}], which is then never learnt"
        )
    return found


def check_head(place: str, head: Mapping, wanted: int, source: str, labels: Labels) -> list[str]:
    """Lines about a head whose number of classes or ignored label is not the wanted one."""
    lines: list[str] = []
    if built_class(MODELS, head) is STDCHead:  # finds boundaries, which are two classes
        return lines
    if head["num_classes"] != wanted:
        lines.append(
            f"{place}.num_classes is {head['num_classes']}, but {source} has {wanted} classes: "
            f"set {place}.num_classes={wanted} or change metainfo.classes"
        )
    kind = built_class(MODELS, head)
    if isinstance(kind, type) and issubclass(kind, PerPixelHead) and head["num_classes"] == 1:
        lines.append(
            f"{place}.num_classes must be at least 2, got 1: {kind.__name__} has no 'no object'"
        )
    value = setting(MODELS, head, "ignore_index")
    check_ignored(lines, f"{place}.ignore_index", value, *labels.ignored)
    return lines


def check_things(place: str, head: Mapping, metainfos: Mapping[str, Mapping]) -> list[str]:
    """Lines about a MaskFormerHead's `isthing` that is not the datasets'."""
    try:
        things = read_things(head.get("isthing"), head["num_classes"])
    except ValueError as error:
        return [f"{place}: {error}"]
    lines = []
    for name, metainfo in metainfos.items():
        # Not strict: a semantic head or dataset has no `isthing`.
        pairs = enumerate(zip(things or (), metainfo.get("isthing") or (), strict=False))
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
        if issubclass(kind, Pad):
            value = setting(TRANSFORMS, step, "pad_val")
            value = value.get("seg", 255) if isinstance(value, Mapping) else 255
            check_fill(found.errors, f"{place}.pad_val.seg", value, labels, reading)
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
        if reading.panoptic and is_stock(kind):
            found.errors += [f"{place} {fault}" for fault in faults_on_panoptic_maps(kind)]
        for name in ("seg_pad_val", "seg_fill_in") if reading.panoptic else ("seg_pad_val",):
            value = setting(TRANSFORMS, step, name)
            check_fill(found.errors, f"{place}.{name}", value, labels, reading)
    return found


def is_stock(kind: type) -> bool:
    """Whether a transform is of the stock packages, which do not know our panoptic maps."""
    return kind.__module__.split(".")[0] in ("mmcv", "mmseg", "mmdet")


def faults_on_panoptic_maps(kind: type) -> list[str]:
    """What a stock transform would silently do wrong with panoptic data, in words."""
    mixes = any({"get_indices", "get_indexes"} & vars(one).keys() for one in kind.__mro__)
    if mixes:
        return [
            "joins several images, whose segments have the same numbers in their panoptic maps: "
            "leave it out"
        ]
    if kind.__name__ in MAPLESS:
        return ["moves the image but not its panoptic map: leave it out"]
    return []


def check_fill(lines: list[str], place: str, value, labels: Labels, reading: Reading) -> None:
    """Add a line unless what a transform fills holes with is ignored."""
    if value is None:
        return
    if not reading.panoptic:
        check_ignored(lines, place, value, *labels.ignored)
    elif value is not ABSENT and not 0 <= value < FIRST:
        lines.append(f"{place} is {value}, but void of panoptic maps is below {FIRST}: set it to 0")


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
