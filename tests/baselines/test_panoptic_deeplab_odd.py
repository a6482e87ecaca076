"""Panoptic-DeepLab where something is missing: things, ground truth, or pixels."""

import pytest
import torch
from mmengine.structures import BaseDataElement

from mmmaskformer.core import NO_SEGMENT
from tests.baselines.test_panoptic_deeplab_head import DECODER, make
from tests.seg.test_panoptic import panoptic_data
from tests.seg.test_segmentor import make_data

DEEP = dict(decoder={**DECODER, "dilations": (6, 12, 40)})


def segments_data(size, *owners, labels=()):
    """Images of one size, whose rows belong to the segments of `owners`, from top to bottom."""
    data = make_data(*[size] * len(owners))
    for sample, rows in zip(data["data_samples"], owners, strict=True):
        segment_map = torch.full((1, *size), NO_SEGMENT, dtype=torch.int32)
        for index, owner in enumerate(rows):
            segment_map[:, index * size[0] // len(rows) :] = owner
        sample.gt_panoptic_seg = BaseDataElement(
            segment_map=segment_map, labels=torch.tensor(labels, dtype=torch.int64)
        )
    return data


def trained_and_tested(model, data):
    """Losses by their last word, and the results of the same images."""
    batch = model.data_preprocessor(dict(data), training=True)
    losses = model.train()(**batch, mode="loss")
    total, _ = model.parse_losses(losses)
    total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    results = model.eval().test_step(dict(data))
    for result in results:
        ids, size = result.pred_panoptic_seg.ids, result.metainfo["ori_shape"]
        assert tuple(ids.shape) == tuple(size) == tuple(result.pred_sem_seg.data.shape[1:])
        segments = result.pred_panoptic_seg.segments_info
        assert set(ids.unique().tolist()) - {0} == {segment["id"] for segment in segments}
        assert sum(segment["area"] for segment in segments) == (ids > 0).sum()
    return {name.split("_")[-1]: loss.item() for name, loss in losses.items()}, results


def test_images_smaller_than_the_deepest_dilation():
    losses, _ = trained_and_tested(make(**DEEP), panoptic_data((33, 31), (5, 7)))
    assert losses["semantic"] > 0


def test_one_image_with_one_place_at_the_last_level():
    """Batch norm has nothing to normalise by there; its message is torch's."""
    data = segments_data((20, 20), [0], labels=[3])
    with pytest.raises(ValueError, match=r"Expected more than 1 value per channel when training"):
        trained_and_tested(make(), data)


@pytest.mark.parametrize("flags", [[True, False], [True, True], [False, False]])
def test_two_classes_of_any_kinds(flags):
    """A thing and a stuff class, things only, and stuff only: which has no offsets to learn."""
    model = make(num_classes=2, isthing=flags)
    data = segments_data((40, 40), [0, 1], [1, 0, 1], labels=[0, 1])
    losses, results = trained_and_tested(model, data)
    assert (losses["offset"] == 0) == (not any(flags))
    assert losses["center"] > 0
    found = [s["isthing"] for one in results for s in one.pred_panoptic_seg.segments_info]
    assert any(flags) or (found and not any(found))
    assert not all(flags) or all(found)


@pytest.mark.parametrize("labels", [[], [1, 0]])
def test_nothing_is_labelled(labels):
    """No segment at all, as where everything is crowd; or segments without a pixel."""
    data = segments_data((40, 40), [NO_SEGMENT], [NO_SEGMENT], labels=labels)
    losses, _ = trained_and_tested(make(), data)
    assert losses == dict(semantic=0, center=0, offset=0)


def test_an_empty_image_beside_another():
    """The other's losses are those that it has alone: pixels of the batch are counted."""
    torch.manual_seed(0)
    criterion = make(criterion=dict(hard_pixel_share=0.1)).decode_head.criterion
    model = make()
    data = segments_data((64, 64), [0, 1], [NO_SEGMENT], labels=[1, 3])
    segments = model.data_preprocessor(data, training=True)["data_samples"]
    targets = model.decode_head.segments.read(segments)
    logits, centers = torch.randn(2, 6, 16, 16), torch.randn(2, 3, 16, 16)
    both = criterion(logits, centers, targets)
    alone = criterion(logits[:1], centers[:1], targets[:1])
    for name in ("loss_center", "loss_offset"):
        torch.testing.assert_close(both[name], alone[name])
    assert both["loss_semantic"] < alone["loss_semantic"]  # 10 % of twice as many pixels


def test_more_instances_than_are_kept():
    """The strongest stay; pixels of the others go to the nearest of them."""
    heat = torch.zeros(1, 40, 40)
    for rank, x in enumerate(range(4, 40, 8)):
        heat[0, 20, x] = 0.9 - 0.1 * rank
    fusion = make(panoptic_fusion=dict(most_centers=4)).decode_head.panoptic_fusion
    centers = fusion.find_centers(heat[0])
    assert centers.tolist() == [[20, 4], [20, 12], [20, 20]]  # stronger than the fourth
    maps = torch.cat([heat, torch.zeros(2, 40, 40)])
    found = fusion.segments(torch.ones(40, 40, dtype=torch.int64), maps, centers)
    assert [segment["area"] for segment in found.segments_info] == [40 * 9, 40 * 8, 40 * 23]
    assert found.ids[0, 39] == 3
