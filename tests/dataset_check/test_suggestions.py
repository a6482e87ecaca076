"""What a config should say, from the values in its files."""

import pytest

from mmmaskformer.dataset_check.agreement import Findings
from mmmaskformer.dataset_check.settings import Labels
from mmmaskformer.dataset_check.suggestions import suggest


@pytest.mark.parametrize(
    ("values", "labels", "reduced", "wanted"),
    [
        ((0, 1, 2, 255), (3, 255), False, None),
        ((1, 2, 3), (3, 255), False, "labels reach 3 and 0 never occurs: set reduce_zero_label="),
        ((0, 3, 255), (3, 255), True, None),
        ((0, 150), (150, 255), False, "labels reach 150 and 0 occurs: set reduce_zero_label=True "
         "or num_classes=151"),
        ((0, 5, 9), (3, 255), False, "labels reach 9 and 0 occurs: at least num_classes=10"),
        ((0, 1, 5, 6), (3, 255), True, "at least num_classes=6 is needed"),
        ((0, 9), (3, 255), False, "if 9 means 'ignored', model.decode_head.ignore_index=9"),
        ((0, 255), (3, 9), False, "255 seems to mean 'ignored'"),
        ((0, 65535), (3, 255), False, "65535 seems to mean 'ignored'"),
        ((0, 255), (847, 65535), False, None),
    ],
)  # fmt: skip
def test_suggestions(values, labels, reduced, wanted):
    head = Labels(*labels, "model.decode_head")
    found = suggest(dict.fromkeys(values, 1), head, reduced)
    assert found.warnings == []
    assert (found.errors == []) if wanted is None else (wanted in "; ".join(found.errors))


def test_zero_that_may_be_a_class_is_doubted():
    head = Labels(3, 255, "model.decode_head")
    found = suggest({0: 1, 1: 1, 2: 1}, head, True)
    assert found == Findings([], [
        "0 becomes 'ignored' and 3 never occurs: if 0 is a class, set reduce_zero_label=False"
    ])  # fmt: skip


def test_what_the_label_map_maps_needs_no_suggestion():
    """The map is of labels after `reduce_zero_label`: 2, 3, 4 in the files are 1, 2, 3."""
    head = Labels(2, 255, "model.decode_head")
    for reduced in (False, True):
        values = dict.fromkeys([i + reduced for i in range(4)] + [0], 1)
        label_map = {0: 255, 1: 0, 2: 1, 3: 255}
        assert suggest(values, head, reduced, 255, label_map) == Findings()
        del label_map[3]
        assert suggest(values, head, reduced, 255, label_map).errors
    # Fewer classes than the files have: that 0 is missing among them says nothing.
    found = suggest({0: 1, 1: 1, 3: 1}, head, True, 255, {0: 0, 1: 255, 2: 1})
    assert found == Findings()
