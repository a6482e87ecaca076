"""MaskFormer in mmdet: samples, encoding, losses, results."""

import copy

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import BaseDataElement, PixelData

from mmmaskformer import core
from mmmaskformer.core.views import views_of
from mmmaskformer.det.detector import boxes_of
from mmmaskformer.det.panoptic_encoding import decode_segments, encode_segments
from mmmaskformer.registry import MODELS, TRANSFORMS
from tests.seg.test_panoptic import STRATEGIES
from tests.seg.test_segmentor import CLASSES, MASKFORMER, SMALL


def build(test_cfg=None, processor="mmdet.DetDataPreprocessor", **head):
    cfg = ConfigDict(
        type="mmmaskformer.MaskFormerDetector",
        data_preprocessor=dict(
            type=processor,
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            pad_size_divisor=32,
        ),
        backbone=dict(type="mmdet.ResNet", depth=18, norm_cfg=dict(type="BN")),
        decode_head={**SMALL, **MASKFORMER, **STRATEGIES, **head},
        test_cfg=test_cfg,
    )
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    with torch.no_grad():
        model.decode_head.predictor.mask_embed.layers[-1].weight *= 20
    return model


LABELS = torch.tensor([1, 1, 3])


def segment_map(height, width):
    segments = torch.full((1, height, width), core.NO_SEGMENT, dtype=torch.int32)
    segments[:, :20, :30] = 0
    segments[:, 20:50, :30] = 1
    segments[:, :, 30:] = 2
    return segments


def make_data(*sizes, truth="ours"):
    generator = torch.Generator().manual_seed(1)
    inputs, samples = [], []
    for i, (height, width) in enumerate(sizes):
        shape = (3, height, width)
        inputs.append(torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8))
        meta = dict(img_shape=(height, width), ori_shape=(height, width), img_path=f"{i}.jpg")
        sample = DetDataSample(metainfo=meta)
        segments = segment_map(height, width)
        if truth == "ours":
            sample.panoptic_truth = BaseDataElement(segment_map=segments, labels=LABELS)
        else:
            encoded = encode_segments(segments, LABELS, CLASSES)
            sample.gt_panoptic_seg = PixelData(sem_seg=encoded)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def test_encoding_is_mmdets():
    encoded = encode_segments(segment_map(64, 64), LABELS, CLASSES)
    assert encoded[0, 0, 0] == 1001
    assert encoded[0, 30, 0] == 2001
    assert encoded[0, 60, 0] == CLASSES  # void
    assert encoded[0, 0, 60] == 3003
    segments, labels = decode_segments(encoded, CLASSES)
    assert torch.equal(segments, segment_map(64, 64))
    assert labels.tolist() == [1, 1, 3]
    nothing, none = decode_segments(torch.full((4, 4), 255), CLASSES)
    assert (nothing == core.NO_SEGMENT).all()
    assert len(none) == 0


@pytest.mark.parametrize("truth", ["ours", "mmdet"])
@pytest.mark.parametrize("noted", [False, True])
def test_losses_are_those_of_the_segments(truth, noted):
    """Of images of different sizes, whose padding belongs to no segment."""
    ours = {"processor": "mmmaskformer.MaskFormerDetDataPreprocessor"}
    model = build(**(ours if noted else {})).train()
    data = make_data((64, 96), (60, 70), truth=truth)
    batch = model.data_preprocessor(copy.deepcopy(data), training=True)
    assert all(("gt_segments" in sample) == noted for sample in batch["data_samples"])
    features = model.extract_feat(batch["inputs"])
    targets = []
    for height, width in ((64, 96), (60, 70)):
        padded = torch.full((64, 96), core.NO_SEGMENT)
        padded[:height, :width] = segment_map(height, width)[0]
        targets.append(core.SegmentTargets(LABELS, padded))
    head = model.decode_head
    expected = head.criterion(head.factors(features), targets)
    model = build().train()
    losses = model(**batch, mode="loss")
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-5)
    model.parse_losses(losses)[0].backward()
    assert all(p.grad is not None for p in model.parameters())


def test_results_of_one_pass():
    model = build(dict(panoptic_on=True, instance_on=True, semantic_on=True)).eval()
    data = make_data((70, 90), (64, 100))
    for sample in data["data_samples"]:
        sample.set_metainfo({"ori_shape": (57, 91)})
    batch = model.data_preprocessor(copy.deepcopy(data), False)
    head, size = model.decode_head, batch["inputs"].shape[-2:]
    with torch.no_grad():
        output = head.factors(model.extract_feat(batch["inputs"]))
    views = views_of(output, size, [image.shape[-2:] for image in data["inputs"]])
    for view, result in zip(views, model.test_step(data), strict=True):
        expected = head.panoptic_fusion(view, (57, 91))
        assert expected.segments_info
        assert (result.panoptic_result.ids != expected.ids).sum() <= 2
        encoded = result.pred_panoptic_seg.sem_seg[0]
        for segment in result.panoptic_result.segments_info:
            codes = encoded[result.panoptic_result.ids == segment["id"]].unique()
            assert codes.tolist() == [segment["category_id"] + 1000 * segment["id"]]
        assert (encoded == CLASSES)[result.panoptic_result.ids == 0].all()
        instances = result.pred_instances
        assert torch.equal(instances.labels, head.instance_fusion(view, (57, 91)).labels)
        for mask, box in zip(instances.masks, instances.bboxes, strict=True):
            if mask.any():
                rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
                low, high = (torch.cat([columns[i], rows[i]]) for i in (0, -1))
                assert torch.equal(box, torch.cat([low, high + 1]).float())
        labels = head.fusion.labels([view], (57, 91))
        assert (result.pred_sem_seg.sem_seg[0] != labels).sum() <= 2


def test_weights_are_those_of_the_segmentor():
    detector = build()
    segmentor = MODELS.build(
        dict(
            type="mmmaskformer.MaskFormer",
            backbone=dict(type="mmseg.ResNet", depth=18, norm_cfg=dict(type="BN")),
            decode_head={**SMALL, **MASKFORMER},
        )
    )
    assert segmentor.state_dict().keys() == detector.state_dict().keys()


def test_tensor_mode_gives_logits():
    model = build().eval()
    class_logits, mask_logits = model(torch.randn(1, 3, 64, 96))
    assert class_logits.shape == (1, 8, CLASSES + 1)
    assert mask_logits.shape == (1, 8, 16, 24)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(test_cfg=dict(panoptic=True)), r"unknown keys \['panoptic'\]"),
        (
            dict(isthing=None, panoptic_fusion=None, instance_fusion=None),
            "panoptic_on needs to know the things",
        ),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_each_result_has_its_own_switch():
    data = make_data((64, 96))
    for kinds in (("panoptic_on",), ("instance_on",), ("semantic_on",)):
        switches = {k: k in kinds for k in ("panoptic_on", "instance_on", "semantic_on")}
        (result,) = build(switches).eval().test_step(copy.deepcopy(data))
        assert ("pred_panoptic_seg" in result) == switches["panoptic_on"]
        assert ("pred_instances" in result) == switches["instance_on"]
        assert ("pred_sem_seg" in result) == switches["semantic_on"]


def test_flips_are_undone():
    model = build(dict(panoptic_on=False, semantic_on=True)).eval()
    data = make_data((64, 96))
    (plain,) = model.test_step(copy.deepcopy(data))
    data["data_samples"][0].set_metainfo({"flip": True, "flip_direction": "horizontal"})
    (flipped,) = model.test_step(copy.deepcopy(data))
    labels = plain.pred_sem_seg.sem_seg.flip(-1)
    assert (flipped.pred_sem_seg.sem_seg != labels).float().mean() < 1e-3
    data["data_samples"][0].set_metainfo({"flip_direction": "vertical"})
    with pytest.raises(ValueError, match="only horizontal flips"):
        model.test_step(data)


def test_images_without_ground_truth_are_packed():
    packed = TRANSFORMS.build(dict(type="mmmaskformer.PackPanopticDetInputs")).transform(
        dict(img=np.zeros((4, 6, 3), np.uint8), img_path="a.jpg", seg_fields=[])
    )
    assert isinstance(packed["data_samples"], DetDataSample)
    assert packed["data_samples"].img_path == "a.jpg"
    assert packed["inputs"].shape == (3, 4, 6)


def test_boxes_are_those_of_mmdet():
    from mmdet.structures.mask import mask2bbox

    masks = torch.rand(40, 9, 13, generator=torch.Generator().manual_seed(0)) > 0.97
    masks[0], masks[1] = False, True
    assert masks[2:].flatten(1).any(1).sum() > 30
    boxes = boxes_of(masks)
    assert boxes.dtype == torch.float32
    assert boxes.tolist() == mask2bbox(masks).tolist()
    assert boxes_of(masks[:0]).shape == (0, 4)
