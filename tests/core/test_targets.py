import pytest
import torch

from mmmaskformer.core import (
    NO_SEGMENT,
    label_values,
    panoptic_ranges,
    segments_from_panoptic,
    segments_from_semantic,
)


def test_one_segment_per_class_present():
    labels = torch.tensor([[[7, 7, 2], [255, 2, 0]]])
    (target,) = segments_from_semantic(labels, num_classes=8)
    assert target.labels.tolist() == [0, 2, 7]
    assert target.segment_map.tolist() == [[2, 2, 1], [NO_SEGMENT, 1, 0]]


def test_masks_equal_a_loop_over_classes():
    labels = torch.randint(0, 6, (3, 20, 30))
    labels[1] = 255
    labels[labels == 4] = 255
    for image, target in zip(labels, segments_from_semantic(labels, 6)):
        assert target.labels.tolist() == [c for c in range(6) if (image == c).any()]
        for mask, label in zip(target.masks(), target.labels):
            assert torch.equal(mask, image == label)


def test_wide_ignore_index_and_single_pixels():
    labels = torch.full((1, 4, 4), 65535)
    labels[0, 3, 1] = 846
    (target,) = segments_from_semantic(labels, 847, ignore_index=65535)
    assert target.labels.tolist() == [846]
    assert (target.segment_map == 0).nonzero().tolist() == [[3, 1]]


def test_labels_of_eight_bits_with_many_classes():
    labels = torch.tensor([[[254, 255, 3]]], dtype=torch.uint8)
    (target,) = segments_from_semantic(labels, 300)
    assert target.labels.tolist() == [3, 254]


@pytest.mark.parametrize("bad", [-1, 150, 254])
def test_label_out_of_range_names_file_value_and_range(bad):
    labels = torch.zeros(2, 4, 4, dtype=torch.int64)
    labels[1, 2, 3] = bad
    with pytest.raises(ValueError, match=rf"b\.png: label values \[{bad}\] .* \[0, 149\]"):
        segments_from_semantic(labels, 150, names=["a.png", "b.png"])


def test_panoptic_segments_keep_order_labels_and_empty_masks():
    segment_map = torch.tensor([[0, 2, 2], [NO_SEGMENT, 0, 2]], dtype=torch.int16)
    target = segments_from_panoptic(segment_map, torch.tensor([5, 7, 5]), 8, "a.png")
    assert target.labels.dtype == torch.int64
    assert target.labels.tolist() == [5, 7, 5]
    assert target.segment_map.dtype == torch.int32
    assert target.segment_map.tolist() == segment_map.tolist()
    assert target.masks().sum((1, 2)).tolist() == [2, 0, 3]
    assert target.name == "a.png"


def test_panoptic_image_without_segments():
    empty = torch.zeros(0, dtype=torch.int64)
    target = segments_from_panoptic(torch.full((2, 3), NO_SEGMENT), empty, 8)
    assert target.num_segments == 0
    assert target.masks().shape == (0, 2, 3)


@pytest.mark.parametrize("bad", [-1, 8, 300])
def test_panoptic_class_out_of_range_names_image_value_and_range(bad):
    with pytest.raises(ValueError, match=rf"b\.png: classes \[{bad}\] .* \[0, 7\]"):
        segments_from_panoptic(torch.zeros(2, 2), torch.tensor([3, bad]), 8, "b.png")


@pytest.mark.parametrize("bad", [-2, 2, 255])
def test_panoptic_segment_out_of_range_names_image_value_and_range(bad):
    segment_map = torch.tensor([[0, 1], [bad, NO_SEGMENT]])
    with pytest.raises(ValueError, match=rf"b\.png: segment map values \[{bad}\] .*\[0, 1\]"):
        segments_from_panoptic(segment_map, torch.tensor([3, 4]), 8, "b.png")


def test_panoptic_shapes_are_checked():
    with pytest.raises(ValueError, match=r"b\.png: expected labels \(G,\) and segment_map"):
        segments_from_panoptic(torch.zeros(1, 2, 2), torch.tensor([3]), 8, "b.png")


def test_labels_known_to_the_caller_are_not_looked_for():
    labels = torch.randint(0, 6, (2, 20, 30))
    labels[0][labels[0] == 4] = 255
    values = [label_values(image) for image in labels]
    assert values == [(0, 1, 2, 3, 5, 255), (0, 1, 2, 3, 4, 5)]
    told, found = (segments_from_semantic(labels, 6, values=v) for v in (values, None))
    for ours, expected in zip(told, found):
        assert torch.equal(ours.labels, expected.labels)
        assert torch.equal(ours.segment_map, expected.segment_map)
    sparse = torch.tensor([[[0, 4, 5]]])
    (target,) = segments_from_semantic(sparse, 5, ignore_index=5, values=[(0, 4, 5)])
    assert target.labels.tolist() == [0, 4]
    assert label_values(torch.tensor([[True, False]])) == (0, 1)
    labels[1, 3, 3] = 9
    values[1] = label_values(labels[1])
    with pytest.raises(ValueError, match=r"image 1 of the batch: label values \[9\] .* \[0, 5\]"):
        segments_from_semantic(labels, 6, values=values)


@pytest.mark.parametrize(
    ("segment_map", "labels", "message"),
    [
        ([[0, NO_SEGMENT, 1]], [3, 7], None),
        ([[NO_SEGMENT, NO_SEGMENT]], [], None),
        ([[0, 1]], [3, 8], r"classes \[8\]"),
        ([[0, 1]], [-1, 3], r"classes \[-1\]"),
        ([[0, 2]], [3, 3], r"segment map values \[2\]"),
        ([[0, -2]], [3, 3], r"segment map values \[-2\]"),
    ],
)
def test_ranges_known_to_the_caller_are_checked(segment_map, labels, message):
    segment_map, labels = torch.tensor(segment_map), torch.tensor(labels, dtype=torch.int64)
    ranges = panoptic_ranges(segment_map, labels)
    if message is None:
        target = segments_from_panoptic(segment_map, labels, 8, ranges=ranges)
        assert torch.equal(target.labels, labels)
        return
    with pytest.raises(ValueError, match=message):
        segments_from_panoptic(segment_map, labels, 8, ranges=ranges)
