"""Outputs of transformers' MaskFormer, an independent implementation, with random weights."""

import pytest
import torch

from mmmaskformer import core
from mmmaskformer.checkpoints.conversion import convert_checked, read_weights, write_checkpoint
from tests.conftest import import_transformers
from tests.seg.reference import assert_near, build_config

pytestmark = pytest.mark.slow

transformers = import_transformers()


def build_theirs(backbone):
    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbones = {
        "r50": lambda: transformers.ResNetConfig(out_features=stages),
        "swin-t": lambda: transformers.SwinConfig(out_features=stages, drop_path_rate=0.3),
    }
    cfg = transformers.MaskFormerConfig(backbone_config=backbones[backbone](), num_labels=150)
    torch.manual_seed(0)
    model = transformers.MaskFormerForInstanceSegmentation(cfg).eval()
    for name, tensor in model.state_dict().items():
        # Random everywhere: their initial norms, tables and biases are constant.
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape)
        if name.endswith("running_var"):
            tensor.copy_(noise.abs() + 0.5)
        elif tensor.ndim == 1 and name.endswith("weight"):
            tensor.copy_(1 + 0.2 * noise)
        elif tensor.ndim == 1:
            tensor.copy_(0.2 * noise)
        elif "relative_position_bias_table" in name:
            tensor.copy_(noise)
    return model


@pytest.mark.parametrize("backbone", ["r50", "swin-t"])
@pytest.mark.parametrize("size", [(128, 160), (75, 101)])
def test_same_outputs(backbone, size, tmp_path):
    theirs = build_theirs(backbone)
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    report = convert_checked(read_weights(tmp_path / "pytorch_model.bin")[0])
    assert report.num_classes == 150
    write_checkpoint(report.conversion.state_dict, tmp_path / "ours.pth", {})
    ours = build_config(f"maskformer_{backbone}_ade20k", tmp_path / "ours.pth")
    inputs = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = theirs(inputs, output_hidden_states=True)
        features = ours.extract_feat(inputs)
        output = ours.decode_head.factors(features)
    for ours_level, their_level in zip(features, expected.encoder_hidden_states[-4:], strict=True):
        assert_near(ours_level, their_level)
    assert_near(core.pixel_embedding(output.pixels), expected.pixel_decoder_last_hidden_state)
    assert_near(output.class_logits[-1], expected.class_queries_logits)
    assert_near(core.layer_mask_logits(output), expected.masks_queries_logits)
