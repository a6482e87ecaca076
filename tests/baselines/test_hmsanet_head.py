"""HMSANet's network."""

import json

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from torch import nn
from torch.nn import functional as F

from mmmaskformer.baselines.hmsanet_head import HMSANetHead
from mmmaskformer.checkpoints.conversion import WithoutMemory
from tests.conftest import ROOT, load_config

pytestmark = pytest.mark.usefixtures("mmseg_scope")
TOY = dict(in_channels=[8, 12], in_index=[0, 1], num_classes=5, pyramid_channels=6, width=10)
NAMES = {
    "aspp.features": "branches",
    "aspp.img_conv": "pooled",
    "bot_fine": "fine",
    "bot_aspp": "coarse",
    "final": "conv_seg",
}
"""Parts of the published network and ours."""
ATTENTION = {"conv0": "0", "bn0": "1", "conv1": "3", "bn1": "4", "conv2": "6"}


@pytest.fixture(scope="module")
def published(shared):
    made = np.load(shared / "baselines" / "reference" / "hmsa_fusion.npz")
    return {key: torch.from_numpy(value) for key, value in made.items() if value.ndim}


def part_of(weights, name):
    return {key[len(name) + 1 :]: w for key, w in weights.items() if key.startswith(f"{name}.")}


class ToyBackbone(nn.Sequential):
    def forward(self, image):
        fine = self.a(image).relu()
        return fine, self.b(fine).relu()


def toy(published, **segmentor):
    """The published toy network as a segmentor, with its weights."""
    model = MODELS.build(
        dict(
            type="mmmaskformer.ScaleAttention",
            backbone=dict(type="mmseg.ResNet", depth=18),
            decode_head=dict(type="mmmaskformer.HMSANetHead", **TOY),
            attention_channels=10,
            **segmentor,
        )
    )
    model.backbone = ToyBackbone()
    model.backbone.a, model.backbone.b = nn.Conv2d(3, 8, 3, 4, 1), nn.Conv2d(8, 12, 3, 2, 1)
    weights = part_of(published, "w")
    model.backbone.load_state_dict(part_of(weights, "backbone"))
    head = {
        f"{ours}.{key}": value
        for theirs, ours in NAMES.items()
        for key, value in part_of(weights, theirs).items()
    }
    missing, unexpected = model.decode_head.load_state_dict(head, strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    attention = {
        f"{ours}.{key}": value
        for theirs, ours in ATTENTION.items()
        for key, value in part_of(part_of(weights, "scale_attn"), theirs).items()
    }
    missing, unexpected = model.attention.load_state_dict(attention, strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    return model.eval()


@pytest.mark.data
def test_logits_and_joint_logits_are_the_published_ones(published):
    """The largest logit is 20 or more; float32 is uncertain by 1e-6 of that."""
    model = toy(published, test_scales=(0.25, 0.5, 1))
    image = published["in.image"]
    with torch.no_grad():
        maps, attention, _ = model.answer(image, 0.5)
        full, _, _ = model.answer(image, 1)
        joint = model(image[:1], mode="tensor")
        model.test_scales = [1, 0.5]
        two = model(image, mode="tensor")
    for found, name in [
        (maps["decode"], "two.pred_05x"),
        (full["decode"], "two.pred_10x"),
        (attention, "two.attn_05x"),
        (two, "two.pred"),
    ]:
        expected = published[name]
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max(), name
    assert joint.shape == published["n3.pred"].shape


def joins(model, image, scales):
    model.test_scales = sorted(scales, reverse=True)
    with torch.no_grad():
        return model(image, mode="tensor")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "scales"), [("n3.pred", (0.5, 1, 2)), ("n4.pred", (0.25, 0.5, 1, 2))]
)
def test_more_scales_are_the_published_ones(published, name, scales):
    expected = published[name]
    found = joins(toy(published), published["in.image"][:1], scales)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_parameters_are_the_published_ones():
    """Table IV has 65 classes."""
    counts = {}
    for name in ("mapillary", "cityscapes"):
        with WithoutMemory():
            model = MODELS.build(load_config(f"hmsanet_r50_{name}").model)
        counts[name] = sum(p.numel() for p in model.parameters())
        assert model.backbone.layer4[0].conv2.dilation == (4, 4)
        assert model.backbone.layer3[0].conv2.dilation == (2, 2)
    assert counts == {"mapillary": 41_654_336, "cityscapes": 41_642_560}


def test_recipe():
    """NVIDIA's on Mapillary Vistas, without MaskFormer's clip and smaller backbone rate; flips are
    all that test-time augmentation does."""
    cfg = load_config("hmsanet_r50_mapillary")
    sgd = dict(type="SGD", lr=5e-3, momentum=0.9, weight_decay=1e-4)
    assert cfg.optim_wrapper == dict(type="OptimWrapper", optimizer=sgd)
    assert cfg.train_cfg.max_iters == 200 * 18000 // 16
    assert [rule.power for rule in cfg.param_scheduler] == [1.0]
    assert cfg.model.test_scales == (0.25, 0.5, 1, 2)
    assert cfg.model.decode_head.loss_decode.type == "mmmaskformer.RMILoss"
    assert cfg.model.decode_head.ignore_index == cfg.model.data_preprocessor.seg_pad_val == 65
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps["RandomResize"].scale == (2177, 2177)
    assert steps["RandomResize"].ratio_range == (0.5, 2.0)
    assert steps["RandomCrop"].crop_size == steps["Pad"].size == (1024, 1024)
    test_steps = cfg.test_dataloader.dataset.pipeline
    assert [step.scale for step in test_steps if "scale" in step] == [(2177, 2177)]
    loss = load_config("hmsanet_r50_cityscapes").model.scale_loss
    assert loss == dict(type="mmmaskformer.RMILoss", bound_share=0, loss_weight=0.05)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "configs").glob("hms*.py")))
def test_views_of_configs_have_one_size(name):
    *first, views = load_config(name).tta_pipeline
    assert sum("Resize" in step.type for step in first) <= 1
    assert [step.type for step in views.transforms[0]] == ["RandomFlip"] * 2
    assert not any("Resize" in step.type for group in views.transforms for step in group)


@pytest.mark.data
def test_parameters_of_each_part(shared):
    listed = json.loads((shared / "baselines/reference/hmsa_parameters_19.json").read_text())
    with WithoutMemory():
        model = MODELS.build(load_config("hmsanet_r50_cityscapes").model)
    head = model.decode_head
    parts = {
        "backbone": [model.backbone],
        "aspp": [head.branches, head.pooled],
        "bot_fine": [head.fine],
        "bot_aspp": [head.coarse],
        "final": [head.conv_seg],
        "scale_attn": [model.attention],
        "all": [model],
    }
    assert listed == {
        name: sum(p.numel() for part in of for p in part.parameters()) for name, of in parts.items()
    }


def slow_dilated(features, weight, dilation):
    """A 3x3 convolution with zeros around, tap by tap; (K, h, w) to (out, h, w)."""
    height, width = features.shape[1:]
    out = torch.zeros(len(weight), height, width)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            for y in range(height):
                for x in range(width):
                    row, column = y + dy * dilation, x + dx * dilation
                    if 0 <= row < height and 0 <= column < width:
                        out[:, y, x] += weight[:, :, dy + 1, dx + 1] @ features[:, row, column]
    return out


def test_images_may_be_smaller_than_the_dilations():
    """Taps outside of the image are zeros; the pyramid is joined pooled first, then by dilation."""
    torch.manual_seed(0)
    head = HMSANetHead(**TOY, dilations=(1, 3)).eval()
    fine, last = torch.randn(1, 8, 6, 8), torch.randn(1, 12, 3, 4)
    with torch.no_grad():
        found = head([fine, last])
        scale = (1 + 1e-5) ** -0.5  # of a norm that has seen nothing
        parts = [
            head.pooled[0].weight[:, :, 0, 0] @ last[0].mean((1, 2)) @ torch.eye(6) * scale,
            torch.einsum("ok,khw->ohw", head.branches[0][0].weight[:, :, 0, 0], last[0]) * scale,
            *(slow_dilated(last[0], head.branches[i][0].weight, d) * scale
              for i, d in ((1, 1), (2, 3))),
        ]  # fmt: skip
        parts[0] = parts[0][:, None, None].expand_as(parts[1])
        pyramid = torch.cat([part.relu() for part in parts])
        coarse = torch.einsum("ok,khw->ohw", head.coarse.weight[:, :, 0, 0], pyramid)
        coarse = F.interpolate(coarse[None], size=(6, 8), mode="bilinear", align_corners=False)
        both = torch.cat([head.fine(fine), coarse], 1)
        expected = head.conv_seg(both)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert head.eval()([fine[..., :1, :1], last[..., :1, :1]]).shape == (1, 5, 1, 1)


def test_initialisation():
    """The convolutions of the classes by fan-in, the others as torch does it."""
    torch.manual_seed(0)
    head = HMSANetHead([32, 64], in_index=[0, 1], num_classes=200)
    head.init_weights()
    for index in (0, 3, 6):
        weight = head.conv_seg[index].weight
        assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.02)
    weight = head.branches[1][0].weight
    assert weight.abs().max().item() == pytest.approx(weight[0].numel() ** -0.5, rel=1e-3)
    assert (head.conv_seg[1].weight == 1).all()
    assert not head.conv_seg[1].bias.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(in_channels=8), "in_channels must be a list"),
        (dict(in_channels=[8, 12, 16]), r"in_channels must be .* two levels, got \[8, 12, 16\]"),
        (dict(reduced_channels=[4]), r"reduced_channels must be .* two levels, got \[4\]"),
        (dict(dilations=(0,)), r"dilations\[0\] must be at least 1, got 0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        HMSANetHead(**{**TOY, **options})
