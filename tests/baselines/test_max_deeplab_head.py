"""MaX-DeepLab in our segmentor, and its losses for MaskFormer's network."""

import copy

import numpy as np
import pytest
import torch

from mmmaskformer.baselines.slot_fusion import GridView, SlotFusion, slot_logits
from mmmaskformer.heads.base import check_results
from mmmaskformer.registry import MODELS
from tests.seg.test_panoptic import ISTHING, panoptic_data
from tests.seg.test_segmentor import CLASSES, build, losses_of, make_data

PADDING = dict(size_divisor=16, test_cfg=dict(size_divisor=16))
BACKBONE = dict(type="mmmaskformer.MaXDeepLabBackbone", width=8, depths=(1, 1, 2, 1), slots=7)
HEAD = dict(
    type="mmmaskformer.MaXDeepLabHead",
    in_channels=[32, 32, 32],
    in_index=[0, -2, -1],
    num_classes=CLASSES,
    isthing=ISTHING,
    decoder=dict(embed_channels=8, pixel_channels=16),
    panoptic_fusion=dict(object_threshold=0.02, pixel_threshold=0.0, thing_area=1, stuff_area=1),
)
SEMANTIC = dict(
    type="mmmaskformer.MaXDeepLabSemanticHead",
    in_channels=[32, 64, 256],
    in_index=[1, 2, 3],
    num_classes=CLASSES,
    isthing=ISTHING,
    decoder=dict(channels=8, head_channels=8),
)


def make(auxiliary=None, **head):
    """A model whose slots differ at the start."""
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="mmmaskformer.MaskFormer",
            data_preprocessor=dict(type="mmmaskformer.MaskFormerDataPreProcessor", **PADDING),
            backbone=BACKBONE,
            decode_head={**HEAD, **head},
            auxiliary_head={**SEMANTIC, **(auxiliary or {})},
            test_cfg=dict(panoptic_on=True),
        )
    )
    with torch.no_grad():
        model.decode_head.predictor.mask_norm.weight.fill_(3)
        model.decode_head.predictor.classifier.weight *= 100
        model.decode_head.predictor.prior = 0.0
    return model


def test_a_step_reaches_every_parameter():
    """Images of different sizes, none of them odd; padding is void."""
    model = make().train()
    losses = losses_of(model, panoptic_data((64, 96), (60, 70)))
    names = ["cls", "mask", "mask_id", "instance"]
    assert set(losses) == {*(f"decode.loss_{name}" for name in names), "aux.loss_semantic"}
    total, _ = model.parse_losses(losses)
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_small_things_weigh_more_in_the_semantic_loss():
    """Two things of 600 and of 900 pixels, beside stuff; a corner is void."""
    samples = panoptic_data((64, 96))["data_samples"]
    shapes = ((32, 16, 24), (64, 8, 12), (256, 2, 3))
    features = [None, *(torch.randn(1, *shape) for shape in shapes)]
    segments = samples[0].gt_panoptic_seg.segment_map[0, ::4, ::4]
    classes = torch.tensor([1, 1, 3, -1, CLASSES])[segments.long()]  # NO_SEGMENT is -1
    for area, weights in ((601, [3.0, 1.0]), (4096, [3.0, 3.0]), (0, [1.0, 1.0])):
        head = make(dict(small_area=area, small_weight=3.0, loss_weight=0.5)).auxiliary_head.eval()
        entropy = torch.nn.functional.cross_entropy(
            head(features), classes[None], reduction="none", ignore_index=CLASSES
        )[0]
        weight = torch.tensor([*weights, 1.0, 1.0, 1.0])[segments.long()]
        wanted = 0.5 * (weight * entropy).sum() / (classes < CLASSES).sum()
        torch.testing.assert_close(head.loss(features, samples, {})["loss_semantic"], wanted)


def test_results_are_those_of_the_fusions():
    """Two images of different sizes, and both views of test-time augmentation."""
    model = make().eval()
    data = make_data((70, 90), (64, 100))
    results = model.test_step(copy.deepcopy(data))
    batch = model.data_preprocessor(copy.deepcopy(data), False)
    with torch.no_grad():
        class_logits, mask_logits = model(batch["inputs"], mode="tensor")
    size = tuple(batch["inputs"].shape[-2:])
    head = model.decode_head
    for index, result in enumerate(results):
        content = tuple(data["inputs"][index].shape[-2:])
        prob = class_logits[index].softmax(-1)
        view = GridView(prob, mask_logits[index], size, content)
        expected = head.panoptic_fusion(view, content)
        assert torch.equal(result.pred_panoptic_seg.ids, expected.ids)
        assert result.pred_panoptic_seg.segments_info == expected.segments_info
        assert len(expected.segments_info) > 1
        labels = SlotFusion().labels([view], content)
        assert torch.equal(result.pred_sem_seg.data[0], labels)
    tta = MODELS.build(dict(type="mmmaskformer.MaskFormerTTA", module=model)).eval()
    twice = tta.test_step({key: [value, copy.deepcopy(value)] for key, value in data.items()})
    for one, two in zip(results, twice, strict=True):
        same = one.pred_panoptic_seg.ids == two.pred_panoptic_seg.ids
        assert same.float().mean() > 0.8  # views are joined at a quarter of the size
        assert torch.equal(one.pred_sem_seg.data, two.pred_sem_seg.data)


def test_slots_of_views_are_matched_by_their_softmax():
    """Another view's slots have another order, and all logits of a pixel are raised there."""
    torch.manual_seed(0)
    prob, masks = (3 * torch.randn(7, CLASSES + 1)).softmax(1), 4 * torch.randn(7, 6, 6)
    view = GridView(prob, masks, (21, 21), (21, 21))
    order = torch.randperm(7)
    other = GridView(prob[order], masks[order] + 9, (21, 21), (21, 21))
    merged = make().decode_head.merge([view, other])
    torch.testing.assert_close(merged.class_prob, prob)
    wanted = slot_logits(view, (6, 6), slice(6)) + 4.5
    torch.testing.assert_close(merged.mask_logits, wanted, rtol=1e-4, atol=1e-4)


def test_a_detector_has_the_same_segments():
    from tests.det.test_detector import make_data as detection_data

    model = make().eval()
    detector = MODELS.build(
        dict(
            type="mmmaskformer.MaskFormerDetector",
            data_preprocessor=dict(
                type="mmmaskformer.MaskFormerDetDataPreprocessor", pad_size_divisor=16
            ),
            backbone=BACKBONE,
            decode_head=HEAD,
        )
    ).eval()
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("auxiliary")}
    detector.load_state_dict(state)
    detector.decode_head.predictor.prior = 0.0
    data = detection_data((70, 90))
    (found,) = detector.test_step(copy.deepcopy(data))
    samples = make_data((70, 90))["data_samples"]
    (expected,) = model.test_step(dict(inputs=data["inputs"], data_samples=samples))
    assert torch.equal(found.panoptic_result.ids, expected.pred_panoptic_seg.ids)
    assert found.panoptic_result.segments_info


@pytest.mark.parametrize("isthing", [[False] * CLASSES, [True] + [False] * (CLASSES - 1)])
def test_no_thing_or_one_thing_class(isthing):
    model = make(isthing=isthing, auxiliary=dict(isthing=isthing))
    losses = losses_of(model.train(), panoptic_data((32, 40)))
    assert all(loss.isfinite().all() for loss in losses.values())
    assert losses["decode.loss_instance"].item() == 0  # no segment is of class 0
    (result,) = model.eval().test_step(make_data((32, 40)))
    assert all(s["isthing"] == isthing[s["category_id"]] for s in _segments(result))


def _segments(result):
    assert result.pred_panoptic_seg.segments_info
    return result.pred_panoptic_seg.segments_info


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(isthing=None), "MaXDeepLabHead needs isthing, True or False"),
        (dict(isthing=[True]), "num_classes is 6, but isthing has 1 flags"),
        (dict(fusion=dict(type="PerPixelFusion")), "PerPixelFusion is not for the outputs of"),
        (dict(in_channels=[1, 2], in_index=[0, 1]), "needs in_channels of 3 inputs"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_wrong_segments_name_the_file():
    data = panoptic_data((64, 64))
    data["data_samples"][0].gt_panoptic_seg.labels[0] = CLASSES
    with pytest.raises(ValueError, match=r"image0\.jpg: classes \[6\] .* \[0, 5\]"):
        losses_of(make(), data)


PQ_STYLE = dict(
    criterion=dict(type="PQStyleCriterion"),
    fusion=dict(type="SlotFusion"),
    isthing=ISTHING,
    panoptic_fusion=dict(
        type="SlotPanopticFusion", object_threshold=0.1, pixel_threshold=0, thing_area=1
    ),
)


def test_maskformer_trains_with_the_pq_style_losses():
    model = build(**PQ_STYLE).train()
    data = panoptic_data((64, 96), (60, 70))
    losses = losses_of(model, data)
    layers = [f"decode.{prefix}" for prefix in ("", "d0.")]
    assert set(losses) == {f"{d}loss_{n}" for d in layers for n in ("cls", "mask", "mask_id")}
    assert model.decode_head.criterion.isthing == tuple(ISTHING)
    assert model.decode_head.instance_fusion is None
    model.parse_losses(losses)[0].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_maskformer_s_queries_compete_then():
    model = build(**PQ_STYLE).eval()
    model.test_cfg.panoptic_on = True
    data = make_data((64, 96))
    (result,) = model.test_step(copy.deepcopy(data))
    with torch.no_grad():
        classes, masks = model(model.data_preprocessor(data, False)["inputs"], mode="tensor")
    full = torch.nn.functional.interpolate(masks, scale_factor=4, mode="bilinear")[0]
    prob = full.softmax(0)
    scores = torch.einsum("qc,qhw->chw", classes[0].softmax(-1)[:, :-1], prob)
    torch.testing.assert_close(result.seg_logits.data, scores, rtol=1e-4, atol=1e-5)
    assert _segments(result)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(loss_mask=dict(type="FocalLoss")), "takes the place of loss_mask; leave"),
        (dict(mask_loss_kernel="eager"), "takes the place of mask_loss_kernel; leave"),
        (dict(criterion=dict(isthing=None)), "criterion of MaskFormerHead needs a type"),
        (dict(criterion="PQStyleCriterion"), "config of its criterion must be a dict"),
        (
            dict(panoptic_fusion=None),
            "pixel in PQStyleCriterion, SlotFusion, but not in PanopticFusion; choose",
        ),
        (dict(fusion=None), "PQStyleCriterion, SlotPanopticFusion, but not in SemanticFusion; ch"),
        (dict(criterion=None), "SlotPanopticFusion, but not in MaskFormerCriterion; choose"),
        (dict(fusion=None, panoptic_fusion=None), "not in SemanticFusion, PanopticFusion; choose"),
        (dict(instance_fusion=dict()), "the config of InstanceFusion needs isthing"),
    ],
)
def test_a_criterion_is_one_or_the_other(options, message):
    with pytest.raises(ValueError, match=message):
        build(**{**PQ_STYLE, **options})


@pytest.mark.parametrize("part", ["fusion", "panoptic_fusion"])
def test_its_own_head_has_no_sigmoids(part):
    kind = dict(fusion="SemanticFusion", panoptic_fusion="PanopticFusion")[part]
    with pytest.raises(ValueError, match=f"MaXDeepLabCriterion, Slot.*, but not in {kind}; choose"):
        make(**{part: dict(type=kind)})


def test_it_has_no_instances():
    with pytest.raises(ValueError, match="instance_on: MaskFormerHead has no instance inference b"):
        check_results(dict(instance_on=True), build(**PQ_STYLE).decode_head)


def settle_norms(model, inputs, samples):
    """deeplab2's running means need hundreds of steps; here they get what they would come to."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.5
    with torch.no_grad():
        for _ in range(12):
            losses_of(model, dict(inputs=inputs, data_samples=samples))


@pytest.mark.long
def test_four_scenes_are_learnt_by_heart():
    """All segments are found in 200 steps, and PQ is above 85."""
    from mmengine.structures import BaseDataElement
    from mmseg.structures import SegDataSample

    from mmmaskformer.datasets import ShapesPanopticDataset
    from mmmaskformer.datasets.shapes import draw_scene
    from mmmaskformer.evaluation.panoptic_quality import PanopticQuality
    from tests.conftest import load_config

    torch.manual_seed(0)
    model = MODELS.build(load_config("maxdeeplab_tiny_shapes-panoptic").model)
    inputs, samples, scenes = [], [], []
    for index in range(4):
        image, _, ids, segments = draw_scene(np.random.default_rng((0, index)))
        numbers = np.full(ids.shape, -1, dtype=np.int32)
        for number, segment in enumerate(segments):
            numbers[ids == segment["id"]] = number
        labels = torch.tensor([segment["category_id"] - 1 for segment in segments])
        sample = SegDataSample(metainfo=dict(img_shape=ids.shape, ori_shape=ids.shape))
        segment_map = torch.from_numpy(numbers)[None]
        sample.gt_panoptic_seg = BaseDataElement(segment_map=segment_map, labels=labels)
        inputs.append(torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1))
        samples.append(sample)
        scenes.append((ids, segments))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, 200, 0.9)
    for _ in range(200):
        total, _ = model.parse_losses(
            losses_of(model.train(), dict(inputs=inputs, data_samples=samples))
        )
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
    settle_norms(model, inputs, samples)
    model.eval()
    meta = ShapesPanopticDataset.METAINFO
    quality = PanopticQuality(
        dict(id=number, isthing=int(thing)) for number, thing in enumerate(meta["isthing"])
    )
    results = model.test_step(copy.deepcopy(dict(inputs=inputs, data_samples=samples)))
    for (ids, segments), result in zip(scenes, results, strict=True):
        truth = [{**s, "category_id": s["category_id"] - 1} for s in segments]
        found = result.pred_panoptic_seg
        quality.update(ids, truth, found.ids.numpy(), found.segments_info)
    iou, true, wrong, missed = quality.counts.sum(0)
    assert (true, wrong, missed) == (sum(len(s) for _, s in scenes), 0, 0)
    assert iou / true > 0.85
