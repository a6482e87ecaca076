"""Panoptic training and inference in our segmentor."""

import copy

import pytest
import torch
from mmengine.structures import BaseDataElement

from mmmaskformer import core
from mmmaskformer.core.panoptic_fusion import PanopticResult
from mmmaskformer.core.views import views_of
from mmmaskformer.heads.per_pixel_head import PerPixelBaselineHead
from mmmaskformer.registry import MODELS
from tests.seg.test_segmentor import CLASSES, build, losses_of, make_data

ISTHING = [True, True, False, False, True, False]
STRATEGIES = dict(
    isthing=ISTHING,
    panoptic_fusion=dict(object_threshold=0.1, overlap_threshold=0.1),
    instance_fusion=dict(max_per_image=5),
)


def panoptic_data(*sizes):
    """Samples with two segments of class 1, one of class 3, and one without pixels."""
    data = make_data(*sizes)
    for sample, (height, width) in zip(data["data_samples"], sizes, strict=True):
        segment_map = torch.full((1, height, width), core.NO_SEGMENT, dtype=torch.int32)
        segment_map[:, :20, :30] = 0
        segment_map[:, 20:50, :30] = 1
        segment_map[:, :, 30:] = 2
        truth = BaseDataElement(segment_map=segment_map, labels=torch.tensor([1, 1, 3, 5]))
        sample.gt_panoptic_seg = truth
    return data


def test_losses_are_those_of_the_segments():
    """Images of different sizes: padding belongs to no segment; an empty segment counts."""
    model = build().train()
    data = panoptic_data((64, 96), (60, 70))
    del data["data_samples"][0].gt_sem_seg, data["data_samples"][1].gt_sem_seg
    batch = model.data_preprocessor(copy.deepcopy(data), training=True)
    assert batch["inputs"].shape[-2:] == (64, 96)
    features = model.extract_feat(batch["inputs"])
    state = copy.deepcopy(model.state_dict())
    targets = []
    for sample in data["data_samples"]:
        truth = sample.gt_panoptic_seg
        padded = torch.full((64, 96), core.NO_SEGMENT)
        height, width = truth.segment_map.shape[1:]
        padded[:height, :width] = truth.segment_map[0]
        targets.append(core.SegmentTargets(truth.labels, padded))
    expected = model.decode_head.criterion(model.decode_head.factors(features), targets)
    model.load_state_dict(state)
    losses = losses_of(model, data)
    assert len(losses) == 6
    for name, value in expected.items():
        torch.testing.assert_close(losses[f"decode.{name}"], value, rtol=1e-4, atol=1e-5)


def test_wrong_segments_name_the_file():
    data = panoptic_data((64, 64))
    data["data_samples"][0].gt_panoptic_seg.labels[0] = CLASSES
    with pytest.raises(ValueError, match=r"image0\.jpg: classes \[6\] .* \[0, 5\]"):
        losses_of(build(), data)


def test_one_pass_gives_every_result():
    model = build(**STRATEGIES).eval()
    data = make_data((70, 90), (64, 100))
    for sample in data["data_samples"]:
        sample.set_metainfo({"ori_shape": (57, 91)})
    plain = model.test_step(copy.deepcopy(data))
    assert "pred_panoptic_seg" not in plain[0]
    model.test_cfg.update(panoptic_on=True, instance_on=True)
    results = model.test_step(copy.deepcopy(data))
    batch = model.data_preprocessor(copy.deepcopy(data), False)
    with torch.no_grad():
        output = model.decode_head.factors(model.extract_feat(batch["inputs"]))
    found = 0
    contents = [image.shape[-2:] for image in data["inputs"]]
    views = views_of(output, batch["inputs"].shape[-2:], contents)
    for view, result, before in zip(views, results, plain, strict=True):
        assert torch.equal(result.pred_sem_seg.data, before.pred_sem_seg.data)
        expected = model.decode_head.panoptic_fusion(view, (57, 91))
        panoptic = result.to_dict()["pred_panoptic_seg"]
        assert (panoptic["ids"] != expected.ids).sum() <= 2
        assert [s["category_id"] for s in panoptic["segments_info"]] == [
            s["category_id"] for s in expected.segments_info
        ]
        found += len(expected.segments_info)
        instances = model.decode_head.instance_fusion(view, (57, 91))
        assert torch.equal(result.pred_instances.labels, instances.labels)
        assert result.pred_instances.masks.shape == (len(instances.labels), 57, 91)
    assert found
    model.test_cfg.update(semantic_on=False)
    assert "pred_sem_seg" not in model.test_step(copy.deepcopy(data))[0]


def test_panoptic_tta_of_one_view_twice_is_that_view():
    """Queries of the second, mirrored view are matched whatever their order."""
    model = build(**STRATEGIES).eval()
    model.test_cfg.update(panoptic_on=True, instance_on=False)
    data = make_data((64, 96))
    (expected,) = model.test_step(copy.deepcopy(data))
    tta = MODELS.build(dict(type="mmmaskformer.MaskFormerTTA", module=model)).eval()
    (result,) = tta.test_step({key: [value, copy.deepcopy(value)] for key, value in data.items()})
    ours, plain = result.pred_panoptic_seg, expected.pred_panoptic_seg
    assert (ours.ids != plain.ids).float().mean() < 0.02
    assert [s["category_id"] for s in ours.segments_info] == [
        s["category_id"] for s in plain.segments_info
    ]


class MeanOfMaps:
    """A panoptic inference without queries: what `MapHead.merge` gives, as one segment."""

    isthing = (False,) * 4

    def __call__(self, merged, size):
        ids = torch.full(tuple(size), 1, dtype=torch.int32)
        return PanopticResult(ids, [dict(id=1, category_id=2, score=merged, area=ids.numel())])


@MODELS.register_module(name="MapHeadOfTest")
class MapHead(PerPixelBaselineHead):
    """Per-pixel logits, and panoptic results of them."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.panoptic_fusion = MeanOfMaps()

    def merge(self, views):
        return sum(view.class_logits.mean().item() for view in views) / len(views)


def test_a_head_without_queries_has_panoptic_results():
    """The head says what becomes of an image's views, one of them or those of augmentation."""
    head = dict(type="mmmaskformer.MapHeadOfTest", in_channels=[64, 128, 256, 512], num_classes=4)
    model = MODELS.build(
        dict(
            type="mmmaskformer.MaskFormer",
            data_preprocessor=dict(type="mmmaskformer.MaskFormerDataPreProcessor"),
            backbone=dict(type="mmseg.ResNet", depth=18),
            decode_head=head,
            test_cfg=dict(panoptic_on=True),
        )
    ).eval()
    small, large = make_data((64, 96)), make_data((96, 64))
    scores = []
    for data in (small, large):
        (result,) = model.test_step(copy.deepcopy(data))
        scores.append(result.pred_panoptic_seg.segments_info[0]["score"])
    assert scores[0] != scores[1]
    tta = MODELS.build(dict(type="mmmaskformer.MaskFormerTTA", module=model)).eval()
    (result,) = tta.test_step({key: [small[key], large[key]] for key in small})
    (segment,) = result.pred_panoptic_seg.segments_info
    assert segment["score"] == pytest.approx(sum(scores) / 2)


def test_things_may_come_from_a_registered_dataset():
    model = build(num_classes=133, isthing="mmmaskformer.COCOPanopticDataset")
    assert model.decode_head.panoptic_fusion.isthing == (True,) * 80 + (False,) * 53


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(isthing="mmmaskformer.CamVidDataset"), "no registered dataset .* 'isthing'"),
        (dict(isthing="NoSuchDataset"), "no registered dataset"),
        (dict(isthing=[True, False]), "num_classes is 6, but isthing has 2 flags"),
        (dict(panoptic_fusion=dict(object_threshold=0.7)), "PanopticFusion needs isthing"),
    ],
)
def test_things_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize("kind", ["panoptic", "instance"])
def test_results_without_an_inference_are_refused(kind):
    model = build()
    cfg = dict(
        type="mmmaskformer.MaskFormer",
        backbone=dict(type="mmseg.ResNet", depth=18),
        decode_head=dict(type="mmmaskformer.PerPixelBaselineHead", in_channels=[64], num_classes=4),
        test_cfg={f"{kind}_on": True},
    )
    cfg["decode_head"]["in_channels"] = [64, 128, 256, 512]
    with pytest.raises(ValueError, match=f"{kind}_on needs to know the things"):
        MODELS.build(cfg)
    assert model.decode_head.panoptic_fusion is None
