"""The head in mmseg's EncoderDecoder and in ours: bad input, wrong settings, parts of others."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub

from mmmaskformer.registry import MODELS
from tests.seg.test_segmentor import CLASSES, build, losses_of, make_data


def test_padding_on_the_left_is_refused():
    model = build().eval()
    batch = model.data_preprocessor(make_data((64, 64)), False)
    batch["data_samples"][0].set_metainfo({"img_padding_size": (3, 0, 0, 0)})
    with pytest.raises(ValueError, match="padded right and bottom"):
        model.predict(**batch)


def test_vertical_flips_are_refused():
    model = build().eval()
    data = make_data((64, 64))
    data["data_samples"][0].set_metainfo({"flip": True, "flip_direction": "vertical"})
    with pytest.raises(ValueError, match="only horizontal flips"):
        model.test_step(data)


def test_label_out_of_range_names_the_file():
    labels = [torch.zeros(64, 64, dtype=torch.int64)]
    labels[0][3, 4] = CLASSES
    data = make_data((64, 64), labels=labels)
    with pytest.raises(ValueError, match=r"image0\.jpg: label values \[6\] .* \[0, 5\]"):
        losses_of(build(), data)


def test_divergence_is_seen_without_a_single_segment():
    model = build().train()
    with torch.no_grad():
        model.decode_head.predictor.class_embed.weight[:] = float("nan")
    data = make_data((64, 64), labels=[torch.full((64, 64), 255)])
    with pytest.raises(FloatingPointError, match=r"image0\.jpg: non-finite class logits"):
        losses_of(model, data)


def test_divergence_names_image_layer_cost_and_learning_rate():
    model = build().train()
    MessageHub.get_current_instance().update_scalar("train/lr", 0.125)
    with torch.no_grad():
        model.decode_head.predictor.class_embed.weight[:] = float("nan")
    expected = r"image0\.jpg: .* layer 0 \(ClassificationCost\); learning rate 0\.125"
    with pytest.raises(FloatingPointError, match=expected):
        losses_of(model, make_data((64, 64)))


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (dict(num_querys=50), "num_querys"),
        (dict(loss_mask=dict(alfa=0.25)), "alfa"),
        (dict(pixel_decoder=dict(norm_group=32)), "norm_group"),
        (dict(assigner=dict(match_costs=[dict(type="DiceCost", wheight=1)])), "wheight"),
    ],
)
def test_config_typo_names_the_key(overrides, key):
    with pytest.raises(TypeError, match=key):
        build(**overrides)


@pytest.mark.parametrize(
    ("test_cfg", "message"),
    [
        (dict(label_only=True), "label_only"),
        (dict(mode="slid"), "'slid'"),
        (dict(mode="slide", crop_size=(8, 8)), "stride"),
    ],
)
def test_wrong_test_cfg(test_cfg, message):
    cfg = dict(type="mmmaskformer.MaskFormer", backbone=dict(), decode_head=dict())
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(cfg, test_cfg=test_cfg))


KINDS = {
    "transformer_decoder": "the config of its TransformerDecoder must be a dict, got 3",
    "pixel_decoder": "the config of its FPNPixelDecoder must be a dict, got 3",
    "assigner": "the config of its HungarianAssigner must be a dict, got 3",
    "loss_cls": "the config of its ClassLoss must be a dict, got 3",
    "fusion": "the config of its SemanticFusion must be a dict, got 3",
    "panoptic_fusion": "the config of its PanopticFusion must be a dict, got 3",
    "isthing": "isthing must be True or False for each class, got 3",
    "in_channels": "in_channels must be a list of whole numbers, got 3",
    "in_index": "in_index must be a list of 4 numbers, one for each of in_channels, got 3",
}


@pytest.mark.parametrize("key", KINDS)
def test_a_number_in_place_of_a_dict_or_a_list_is_named(key):
    with pytest.raises(ValueError, match=f"^{KINDS[key]}$"):
        build(**{key: 3})
    if key == "in_index":
        with pytest.raises(ValueError, match="one for each of in_channels, got \\[0, 1\\]"):
            build(in_index=[0, 1])
    if key == "assigner":
        with pytest.raises(ValueError, match="match_costs must be a list of dicts, got 3"):
            build(assigner=dict(match_costs=3))


def test_align_corners_is_refused():
    with pytest.raises(ValueError, match="align_corners"):
        build(align_corners=True)


@pytest.mark.parametrize(
    "test_cfg",
    [
        dict(mode="whole"),
        dict(mode="whole", labels_only=True),
        dict(mode="whole", semantic_on=False, panoptic_on=True),
        dict(mode="whole", semantic_on=False, instance_on=True),
        dict(mode="slide", crop_size=(64, 64), stride=(64, 64)),
    ],
)
def test_scores_that_are_not_finite_name_the_image(test_cfg):
    model = build(isthing=[True] * CLASSES).eval()
    model.test_cfg = ConfigDict(test_cfg)
    with torch.no_grad():
        model.decode_head.predictor.class_embed.weight[0, 0] = torch.nan
    data = make_data((64, 96))
    with pytest.raises(FloatingPointError, match=r"image0\.jpg: .*scores are NaN or infinite"):
        model.test_step(data)


@pytest.mark.parametrize(
    ("test_cfg", "message"),
    [
        (dict(labels_only="no"), "labels_only must be True or False, got 'no'"),
        (dict(mode="slide", crop_size=(8, 8), stride=(8, 0)), "stride, within crop_size"),
        (dict(mode="slide", crop_size=(8, 8), stride=(9, 8)), r"in \[1, 8\], got 9"),
        (dict(mode="slide", crop_size=(0, 8), stride=(8, 8)), "crop_size must be at least 1"),
    ],
)
def test_values_of_test_cfg(test_cfg, message):
    test_wrong_test_cfg(test_cfg, message)


FOREIGN = {
    "weighted and averaged": (
        dict(loss_mask=dict(type="mmdet.FocalLoss", use_sigmoid=True)),
        r"loss_mask: mmdet\S*FocalLoss must give values of shape \(2,\)",
    ),
    "weighted": (
        dict(loss_dice=dict(type="mmdet.DiceLoss", reduction="none")),
        r"loss_dice: mmdet\S*DiceLoss .* multiplies itself",
    ),
    "of classes": (
        dict(loss_cls=dict(type="mmdet.CrossEntropyLoss", class_weight=[1.0] * CLASSES + [0.1])),
        r"loss_cls: mmdet\S*CrossEntropyLoss .* multiplies itself",
    ),
    "assigner": (
        dict(assigner=dict(type="mmdet.HungarianAssigner", match_costs=[])),
        r"assigner: mmdet\S*HungarianAssigner can not be called",
    ),
    "cost": (
        dict(assigner=dict(match_costs=[dict(type="mmdet.DiceCost")])),
        r"match_costs: mmdet\S*DiceCost must give values",
    ),
    "per pixel": (
        dict(
            type="mmmaskformer.PerPixelBaselineHead",
            loss_cls=dict(type="mmseg.CrossEntropyLoss"),
        ),
        "loss_cls must be a PerPixelCriterion, got CrossEntropyLoss",
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_parts_of_other_packages_are_refused_by_name(case):
    import mmdet.models  # noqa: F401

    head, message = FOREIGN[case]
    with pytest.raises(TypeError, match=message):
        build(**head)


def test_numbers_of_class_weights_are_checked_at_build():
    head = build(loss_cls=dict(class_weight=[1.0] * CLASSES)).decode_head
    assert head.criterion.loss_cls.class_weight.tolist() == [1.0] * CLASSES
    with pytest.raises(ValueError, match="must have 6 numbers, .*; it has 2"):
        build(loss_cls=dict(class_weight=[1, 2]))
    with pytest.raises(ValueError, match="ignore_index must be a whole number or None"):
        build(ignore_index="255")
