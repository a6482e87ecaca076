"""Panoptic-DeepLab in our segmentor."""

import copy

import pytest
import torch

from mmmaskformer.baselines.center_fusion import CenterView
from mmmaskformer.registry import MODELS
from tests.seg.test_panoptic import ISTHING, panoptic_data
from tests.seg.test_segmentor import CLASSES, losses_of, make_data

DECODER = dict(channels=16, instance_channels=16, head_channels=16, aspp_channels=16)
HEAD = dict(
    type="mmmaskformer.PanopticDeepLabHead",
    in_channels=[64, 128, 512],
    in_index=[0, 1, 3],
    isthing=ISTHING,
    decoder=DECODER,
    panoptic_fusion=dict(stuff_area=10),
)


def make(**head):
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type="mmmaskformer.MaskFormer",
            data_preprocessor=dict(
                type="mmmaskformer.MaskFormerDataPreProcessor",
                size_divisor=32,
                test_cfg=dict(size_divisor=32),
            ),
            backbone=dict(type="mmseg.ResNet", depth=18, norm_cfg=dict(type="BN")),
            decode_head={"num_classes": CLASSES, **HEAD, **head},
            test_cfg=dict(panoptic_on=True),
        )
    )


def test_a_step_reaches_every_parameter():
    """Images of different sizes; the losses are those of the segments, padding is void."""
    model = make().train()
    data = panoptic_data((64, 96), (60, 70))
    losses = losses_of(model, data)
    assert set(losses) == {f"decode.loss_{name}" for name in ("semantic", "center", "offset")}
    total, _ = model.parse_losses(losses)
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_results_are_those_of_the_fusion():
    """One image, two of different sizes, and both views of test-time augmentation."""
    model = make().eval()
    with torch.no_grad():
        model.decode_head.predictor.center.weight *= 1000
        model.decode_head.predictor.classifier.weight *= 1000
    data = make_data((70, 90), (64, 100))
    results = model.test_step(copy.deepcopy(data))
    batch = model.data_preprocessor(copy.deepcopy(data), False)
    with torch.no_grad():
        logits, centers = model(batch["inputs"], mode="tensor")
    size = tuple(batch["inputs"].shape[-2:])
    found = 0
    for index, result in enumerate(results):
        content = tuple(data["inputs"][index].shape[-2:])
        view = CenterView(logits[index], size, content, False, centers[index])
        expected = model.decode_head.panoptic_fusion([view], content)
        assert torch.equal(result.pred_panoptic_seg.ids, expected.ids)
        assert result.pred_panoptic_seg.segments_info == expected.segments_info
        labels = model.decode_head.fusion.labels([view], content)
        assert torch.equal(result.pred_sem_seg.data[0], labels)
        found += sum(segment["isthing"] for segment in expected.segments_info)
    assert found
    tta = MODELS.build(dict(type="mmmaskformer.MaskFormerTTA", module=model)).eval()
    twice = tta.test_step({key: [value, copy.deepcopy(value)] for key, value in data.items()})
    for one, two in zip(results, twice, strict=True):
        assert torch.equal(one.pred_panoptic_seg.ids, two.pred_panoptic_seg.ids)


def test_wrong_segments_name_the_file():
    data = panoptic_data((64, 64))
    data["data_samples"][0].gt_panoptic_seg.labels[0] = CLASSES
    with pytest.raises(ValueError, match=r"image0\.jpg: classes \[6\] .* \[0, 5\]"):
        losses_of(make(), data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(isthing=None), "PanopticDeepLabHead needs isthing"),
        (dict(isthing=[True]), "num_classes is 6, but isthing has 1 flags"),
        (dict(panoptic_fusion=dict(kernel=2)), "kernel must be odd, got 2"),
        (dict(fusion=dict(type="SemanticFusion")), "SemanticFusion is not for the outputs of"),
        (dict(panoptic_fusion=dict(type="PanopticFusion")), "PanopticFusion is not for the outp"),
        (dict(panoptic_fusion=dict(type="SlotPanopticFusion")), "compete for a pixel in SlotPanop"),
        (dict(criterion=dict(type="PQStyleCriterion")), "compete for a pixel in PQStyleCriterion"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_detector_has_the_same_segments():
    """mmdet's adapter asks the head as the segmentor does."""
    from tests.det.test_detector import make_data as detection_data

    model = make().eval()
    with torch.no_grad():
        model.decode_head.predictor.center.weight *= 1000
        model.decode_head.predictor.classifier.weight *= 1000
    detector = MODELS.build(
        dict(
            type="mmmaskformer.MaskFormerDetector",
            data_preprocessor=dict(
                type="mmmaskformer.MaskFormerDetDataPreprocessor", pad_size_divisor=32
            ),
            backbone=dict(type="mmseg.ResNet", depth=18, norm_cfg=dict(type="BN")),
            decode_head={"num_classes": CLASSES, **HEAD},
        )
    ).eval()
    detector.load_state_dict(model.state_dict())
    data = detection_data((70, 90))
    (found,) = detector.test_step(copy.deepcopy(data))
    samples = make_data((70, 90))["data_samples"]
    (expected,) = model.test_step(dict(inputs=data["inputs"], data_samples=samples))
    assert torch.equal(found.panoptic_result.ids, expected.pred_panoptic_seg.ids)
    assert found.panoptic_result.segments_info == expected.pred_panoptic_seg.segments_info
    assert found.panoptic_result.segments_info
