"""What to change in a config, from the values that occur in the label maps."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .agreement import Findings
from .settings import Labels


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
    if not shift and not label_map:
        found.errors += suggest_binary(values.keys(), labels)
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


def suggest_binary(values: Collection[int], labels: Labels) -> list[str]:
    """A line if label maps hold nothing but 0 and 255, which is ignored: masks, not labels."""
    if set(values) != {0, 255} or labels.ignore_index != 255 or labels.num_classes < 2:
        return []
    return [
        "the label maps hold 0 and 255 only, and 255 is ignored, so that class 0 is all there is "
        "to learn: masks of 0 and 255 need 1 in place of 255"
    ]


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
