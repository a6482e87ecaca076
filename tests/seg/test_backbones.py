"""DeepLab's ResNet (R101c) against its definition, written with plain functions; Swin with parts
that are computed again in backward."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import turn_on_activation_checkpointing
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules
from torch.nn import functional as F

from tests.conftest import ROOT
from tests.seg.reference import assert_near

register_all_modules()


def conv_norm(x, weights, conv, norm, *, relu=True, **kwargs):
    x = F.conv2d(x, weights[f"{conv}.weight"], **kwargs)
    statistics = (weights[f"{norm}.running_{s}"] for s in ("mean", "var"))
    x = F.batch_norm(x, *statistics, weights[f"{norm}.weight"], weights[f"{norm}.bias"], eps=1e-5)
    return x.relu() if relu else x


def bottleneck(x, weights, name, stride, dilation):
    """The stride is in the 3x3 convolution."""
    shortcut = x
    if f"{name}.downsample.0.weight" in weights:
        down = f"{name}.downsample."
        shortcut = conv_norm(x, weights, down + "0", down + "1", relu=False, stride=stride)
    y = conv_norm(x, weights, f"{name}.conv1", f"{name}.bn1")
    y = conv_norm(
        y,
        weights,
        f"{name}.conv2",
        f"{name}.bn2",
        stride=stride,
        padding=dilation,
        dilation=dilation,
    )
    y = conv_norm(y, weights, f"{name}.conv3", f"{name}.bn3", relu=False)
    return (y + shortcut).relu()


def r101c(x, weights):
    for i, stride in ((0, 2), (3, 1), (6, 1)):
        x = conv_norm(x, weights, f"stem.{i}", f"stem.{i + 1}", stride=stride, padding=1)
    x = F.max_pool2d(x, 3, 2, 1)
    features = []
    for stage, blocks in enumerate((3, 4, 23, 3), 1):
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 1 else 1
            dilation = (1, 2, 4)[block] if stage == 4 else 1
            x = bottleneck(x, weights, f"layer{stage}.{block}", stride, dilation)
        features.append(x)
    return features


def test_r101c_is_deeplabs():
    cfg = Config.fromfile(ROOT / "configs/maskformer_r101c_ade20k.py").model.backbone
    cfg.init_cfg = None
    backbone = MODELS.build(cfg)
    backbone.eval()
    backbone.init_weights()
    with torch.no_grad():
        for name, tensor in backbone.state_dict().items():
            if tensor.ndim == 1:
                noise = 0.1 * torch.randn(tensor.shape)
                tensor.copy_(1 + noise if name.endswith(("weight", "var")) else noise)
    weights = backbone.state_dict()
    assert [tuple(weights[f"stem.{i}.weight"].shape[:2]) for i in (0, 3, 6)] == [
        (64, 3),
        (64, 64),
        (128, 64),
    ]
    image = torch.randn(1, 3, 75, 101)
    with torch.no_grad():
        for ours, expected in zip(backbone(image), r101c(image, weights), strict=True):
            assert_near(ours, expected)


@pytest.mark.parametrize("how", ["with_cp", "stages"])
def test_swin_computed_again_in_backward_has_the_same_gradients(how):
    """Dropped paths included."""
    results = []
    for again in (False, True):
        torch.manual_seed(0)
        swin = MODELS.build(
            dict(
                type="SwinTransformer",
                embed_dims=12,
                depths=[2, 1, 1, 1],
                num_heads=[1, 1, 2, 2],
                window_size=4,
                drop_path_rate=0.5,
                with_cp=again and how == "with_cp",
            )
        )
        if again and how == "stages":
            turn_on_activation_checkpointing(swin, ["stages.0", "stages.1"])
        levels = swin(torch.randn(2, 3, 64, 96))
        sum(level.square().sum() for level in levels).backward()
        gradients = {name: p.grad for name, p in swin.named_parameters()}
        results.append(([level.detach() for level in levels], gradients))
    assert all(grad is not None for grad in results[0][1].values())
    torch.testing.assert_close(results[1], results[0], rtol=1e-6, atol=1e-6)
