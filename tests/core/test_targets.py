import pytest
import torch

from mmmaskformer.core import (
    NO_SEGMENT,
    SegmentTargets,
    class_map,
    segments_from_panoptic,
    segments_from_semantic,
)
from mmmaskformer.core.targets import label_values, pad_segments


def test_one_segment_per_class_present():
    labels = torch.tensor([[7, 7, 2], [255, 2, 0]])
    target = segments_from_semantic(labels, num_classes=8)
    assert target.labels.tolist() == [0, 2, 7]
    assert target.segment_map.tolist() == [[2, 2, 1], [NO_SEGMENT, 1, 0]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
@pytest.mark.parametrize("ignored", [4, 255, None])
def test_masks_equal_a_loop_over_classes(dtype, ignored):
    for image in torch.randint(0, 6, (3, 20, 30)).to(dtype):
        target = segments_from_semantic(image, 6, ignored)
        assert target.labels.tolist() == [
            c for c in range(6) if c != ignored and (image == c).any()
        ]
        for mask, label in zip(target.masks(), target.labels, strict=True):
            assert torch.equal(mask, image == label)
        if ignored == 4:
            assert torch.equal(target.segment_map == NO_SEGMENT, image == 4)


def test_an_image_that_is_ignored_has_no_segment():
    target = segments_from_semantic(torch.full((4, 5), 255), 6)
    assert target.num_segments == 0
    assert (target.segment_map == NO_SEGMENT).all()


@pytest.mark.parametrize("ignored", [65535, 70000, -1, -100])
def test_wide_and_negative_ignored_labels_and_single_pixels(ignored):
    labels = torch.full((4, 4), ignored)
    labels[3, 1] = 846
    target = segments_from_semantic(labels, 847, ignored)
    assert target.labels.tolist() == [846]
    assert (target.segment_map == 0).nonzero().tolist() == [[3, 1]]


def test_labels_of_eight_bits_with_many_classes():
    labels = torch.tensor([[254, 255, 3]], dtype=torch.uint8)
    target = segments_from_semantic(labels, 300)
    assert target.labels.tolist() == [3, 254]
    assert target.segment_map.tolist() == [[1, NO_SEGMENT, 0]]


@pytest.mark.parametrize("bad", [-1, 150, 254, 1 << 40])
def test_label_out_of_range_names_file_value_and_range(bad):
    labels = torch.zeros(4, 4, dtype=torch.int64)
    labels[2, 3] = bad
    with pytest.raises(ValueError, match=rf"b\.png: label values \[{bad}\] .* \[0, 149\]"):
        segments_from_semantic(labels, 150, name="b.png")


@pytest.mark.parametrize("labels", [torch.zeros(1, 4, 4).long(), torch.zeros(4, 4)])
def test_what_is_no_label_map_is_refused(labels):
    with pytest.raises(ValueError, match=r"b\.png: expected a label map \(H, W\) of integers"):
        segments_from_semantic(labels, 150, name="b.png")


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_values_of_a_map(dtype):
    labels = torch.randint(0, 2, (5, 6)).to(dtype)
    labels[0, 0], labels[0, 1] = 0, 1
    assert label_values(labels.long()) == [0, 1]
    assert label_values(torch.tensor([[3, -2, 1 << 20]])) == [-2, 3, 1 << 20]
    assert label_values(torch.zeros(0, 3).long()) == []


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
        segments_from_panoptic(torch.zeros(2, 2).int(), torch.tensor([3, bad]), 8, "b.png")


@pytest.mark.parametrize("bad", [-2, 2, 255])
def test_panoptic_segment_out_of_range_names_image_value_and_range(bad):
    segment_map = torch.tensor([[0, 1], [bad, NO_SEGMENT]])
    with pytest.raises(ValueError, match=rf"b\.png: segment map values \[{bad}\] .*\[0, 1\]"):
        segments_from_panoptic(segment_map, torch.tensor([3, 4]), 8, "b.png")


def test_panoptic_shapes_are_checked():
    with pytest.raises(ValueError, match=r"b\.png: expected labels \(G,\) and segment_map"):
        segments_from_panoptic(torch.zeros(1, 2, 2).int(), torch.tensor([3]), 8, "b.png")


def test_padding_belongs_to_no_segment():
    target = SegmentTargets(torch.tensor([4]), torch.zeros(2, 3, dtype=torch.int32), "a.png")
    padded = pad_segments(target, (3, 5))
    assert padded.name == "a.png"
    assert padded.segment_map.tolist() == [[0, 0, 0, -1, -1], [0, 0, 0, -1, -1], [-1] * 5]


def test_classes_of_pixels():
    target = SegmentTargets(torch.tensor([4, 2, 4]), torch.tensor([[0, 1], [NO_SEGMENT, 2]]))
    assert class_map(target, 9).tolist() == [[4, 2], [9, 4]]


def test_a_number_of_classes_that_is_none():
    labels = torch.zeros(2, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match="^num_classes must be at least 1, got 0$"):
        segments_from_semantic(labels, num_classes=0)
    with pytest.raises(
        ValueError, match="^num_classes must be a whole number at least 1, got '5'$"
    ):
        segments_from_panoptic(labels, labels[0, :1], num_classes="5")
