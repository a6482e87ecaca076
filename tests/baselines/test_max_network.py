"""MaX-DeepLab's heads against deeplab2's."""

import json

import numpy as np
import pytest
import torch

from mmmaskformer.baselines.max_network import MaXDeepLab, MaXDeepLabSemantic
from tests.baselines.deeplab2 import Weights, distance, maps


@pytest.fixture(scope="module")
def made(shared):
    return np.load(shared / "baselines" / "reference" / "max_layers.npz")


@pytest.fixture(scope="module")
def weights(made):
    return Weights(made, "head.w.MaXDeepLab/")


@pytest.mark.data
def test_slots_are_the_published_implementation_s(made, weights):
    model = MaXDeepLab((10, 12, 12), num_classes=7, embed_channels=8, pixel_channels=12).eval()
    weights.separable(model.pixel_head[0], "pixel_space_head/conv_block")
    weights.last(model.pixel_head[1], "pixel_space_head/final_conv")
    weights.norm(model.pixel_head[2], "pixel_space_feature_batch_norm")
    weights.conv(model.mask_kernel, "transformer_mask_head")
    weights.last(model.classifier, "transformer_class_head/conv")
    weights.norm(model.mask_norm, "pixel_space_mask_batch_norm")
    inputs = ("feature_panoptic", "transformer_class_feature", "transformer_mask_feature")
    with torch.no_grad():
        logits, masks, embedding = model([maps(made, f"head.in.{name}") for name in inputs])
    wanted = torch.from_numpy(made["head.out.transformer_class_logits"])
    assert distance(logits, wanted) < 1e-5
    assert distance(masks, maps(made, "head.out.pixel_space_mask_logits")) < 1e-5
    assert distance(embedding, maps(made, "head.out.pixel_space_normalized_feature")) < 1e-5


@pytest.mark.data
def test_the_semantic_branch_is_the_published_implementation_s(made, weights):
    """That one joins the resized map and the projected one in the other order."""
    options = dict(channels=16, head_channels=10, projections=(4, 6), dilations=(2, 4, 6))
    model = MaXDeepLabSemantic((10, 14, 20), num_classes=7, **options).eval()
    branch, part = model.branch, weights.below("auxiliary_semantic_decoder")
    for index, name in enumerate(["", "aspp_conv1/", "aspp_conv2/", "aspp_conv3/"]):
        part.conv(branch.aspp.branches[index], f"aspp/{name}conv_bn_act")
    part.conv(branch.aspp.pooled[1], "aspp/aspp_pool/conv_bn_act")
    part.conv(branch.aspp.project, "aspp/proj_conv_bn_act")
    for index, low in enumerate((6, 4)):
        part.conv(branch.projects[index], f"low_level_conv{index + 1}")
        order = [*range(16, 16 + low), *range(16)]
        part.separable(branch.mixes[index], f"fusion_conv{index + 1}", order)
    weights.separable(model.head[0], "auxiliary_semantic_head/conv_block")
    weights.last(model.head[1], "auxiliary_semantic_head/final_conv")
    inputs = ("res2", "res3", "feature_semantic")
    with torch.no_grad():
        logits = model([maps(made, f"head.in.{name}") for name in inputs])
    assert distance(logits, maps(made, "head.out.semantic_logits")) < 1e-5


@pytest.mark.data
def test_parameters_are_as_many_as_published(shared):
    """The published classifiers of pixels have one class more, which is never trained."""
    made = json.loads((shared / "baselines" / "reference" / "max_parameters.json").read_text())
    with torch.device("meta"):
        slots = MaXDeepLab((256, 256, 256), num_classes=133)
        semantic = MaXDeepLabSemantic((256, 512, 2048), num_classes=134)

    def count(part):
        return sum(parameter.numel() for parameter in part.parameters())

    parts = {
        "_pixel_space_head": slots.pixel_head[:2],
        "_pixel_space_feature_batch_norm": slots.pixel_head[2],
        "_transformer_mask_head": slots.mask_kernel,
        "_transformer_class_head": slots.classifier,
        "_pixel_space_mask_batch_norm": slots.mask_norm,
        "_auxiliary_semantic_decoder": semantic.branch,
        "_auxiliary_semantic_head": semantic.head,
    }
    found = {name: count(part) for name, part in parts.items()}
    assert found == {name: made[f"heads.{name}"] for name in parts}
    assert sum(found.values()) == made["heads"]


def test_slots_say_no_object_at_the_start_and_pixels_have_length_one():
    torch.manual_seed(0)
    model = MaXDeepLab((8, 6, 6), num_classes=9, embed_channels=4, pixel_channels=8)
    pixels, slots = torch.randn(2, 8, 5, 7), torch.randn(2, 6, 3).relu()
    logits, masks, embedding = model([pixels, slots, slots])
    torch.testing.assert_close(
        logits.softmax(-1)[..., -1], torch.full((2, 3), 0.9), atol=0.01, rtol=0
    )
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2, 5, 7))
    # One norm for all slots, whose weight is 0.1 at the start.
    assert masks.shape == (2, 3, 5, 7)
    assert masks.mean().item() == pytest.approx(0, abs=1e-5)
    assert masks.std().item() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("channels", [(8, 12, 16), (8,)])
def test_the_semantic_head_learns_from_one_image(channels):
    """Whose mean is one value, and which is smaller than the dilations."""
    model = MaXDeepLabSemantic(channels, num_classes=3, channels=8, head_channels=8)
    features = [torch.randn(1, c, 8 // 2**i, 8 // 2**i) for i, c in enumerate(channels)]
    model(features).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_wrong_numbers_of_inputs():
    with pytest.raises(ValueError, match=r"MaXDeepLab needs in_channels of 3 inputs, got \[1\]"):
        MaXDeepLab([1], num_classes=2)
    with pytest.raises(ValueError, match=r"MaXDeepLabSemantic takes 1 or 3 levels, not \[1, 2\]"):
        MaXDeepLabSemantic([1, 2], num_classes=2)
