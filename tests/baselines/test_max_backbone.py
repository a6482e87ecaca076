"""MaX-DeepLab's backbones: blocks, sizes, counts."""

import json

import numpy as np
import pytest
import torch

from mmmaskformer.baselines.max_backbone import Block, Fuse, MaXDeepLabBackbone
from tests.baselines.deeplab2 import Weights, distance, maps

TINY = dict(width=8, depths=(1, 1, 2, 1), slots=5)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.data
def test_axial_block_is_the_published_implementation_s(shared):
    made = np.load(shared / "baselines" / "reference" / "max_layers.npz")
    block = Block(32, 8, "axial", reach=5, heads=2).eval()
    weights = Weights(made, "block.w.block/")
    weights.conv(block.branch[0], "conv1_bn_act")
    weights.axial(block.branch[1], "attention")
    weights.conv(block.branch[3], "conv3_bn")
    with torch.no_grad():
        found = block(maps(made, "block.in"))
    assert distance(found, maps(made, "block.out")) < 1e-5


@pytest.mark.data
def test_parameters_of_s_are_as_many_as_published(shared):
    made = json.loads((shared / "baselines" / "reference" / "max_parameters.json").read_text())
    with torch.device("meta"):
        model = MaXDeepLabBackbone()
    assert count(model) == made["encoder_and_decoder_S"] == 61_726_624
    parts = {
        "_stem": model.stem,
        **{f"_stage{i + 2}": stage for i, stage in enumerate(model.stages)},
        "_stage4._block1": model.stages[2].blocks[0],
        "_stage4._block2": model.stages[2].blocks[1],
        "_stage5._block1": model.stages[3].blocks[0],
        "_stage5_extra": model.decoder[0],
        "_stage5_extra._block1": model.decoder[0].blocks[0],
        "_decoder_stage1_extra_resized_fuse": model.fuses[1],
        "_decoder_stage1_extra": model.decoder[1],
        "_decoder_stage2_extra_resized_fuse": model.fuses[2],
        "_decoder_stage2_extra": model.decoder[2],
        "_class_feature_extra": model.class_feature,
        "_mask_feature_extra": model.mask_feature,
    }
    assert {name: count(part) for name, part in parts.items()} == {n: made[n] for n in parts}
    assert model.memory.numel() == made["memory"]


def test_parameters_of_l_are_as_many_as_published():
    with torch.device("meta"):
        model = MaXDeepLabBackbone(large=True)
    assert count(model) == 450_523_232


@pytest.mark.parametrize("size", [(65, 65), (64, 96), (17, 5), (1, 1)])
def test_levels_have_the_sizes_that_strides_leave(size):
    """Odd sizes, even ones, and images smaller than the strides; each as alone as in a batch."""
    torch.manual_seed(0)
    model = MaXDeepLabBackbone(**TINY).eval()
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        levels = model(images)
        alone = model(images[1:])
    strides, channels = (4, 4, 8, 16), (32, 32, 64, 256)
    for level, stride, width in zip(levels, strides, channels, strict=False):
        assert level.shape == (2, width, *(-(-edge // stride) for edge in size))
        assert (level >= 0).all()
    assert [level.shape for level in levels[4:]] == [(2, 32, 5)] * 2
    for one, level in zip(alone, levels, strict=True):
        torch.testing.assert_close(one[0], level[1], rtol=1e-4, atol=1e-5)


def test_maps_meet_at_the_size_of_the_others():
    """A finer one at every second pixel, a coarser one with its corners in place."""
    torch.manual_seed(0)
    fuse = Fuse(3, 4).eval()
    fine, coarse = torch.randn(2, 3, 8, 7), torch.randn(2, 3, 2, 3)
    others = list(torch.randn(2, 2, 4, 4, 4))
    with torch.no_grad():
        project = fuse.project(fine.relu())
        torch.testing.assert_close(fuse(fine, others), sum(others) + project[..., ::2, ::2])
        grown = fuse(coarse, others) - sum(others)
        corners = fuse.project(coarse.relu())[..., [[0], [-1]], [0, -1]]
    torch.testing.assert_close(grown[..., [[0], [-1]], [0, -1]], corners)
    torch.testing.assert_close(grown[..., 1, 0], (2 * grown[..., 0, 0] + grown[..., 3, 0]) / 3)


def test_every_parameter_of_both_learns():
    for options in (TINY, dict(large=True, width=8, depths=(1, 1, 1, 2, 1), slots=5)):
        model = MaXDeepLabBackbone(**options)
        levels = model(torch.randn(2, 3, 33, 49))
        assert len(levels) == (4 if "large" in options else 6)
        sum(level.square().sum() for level in levels).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_branches_are_left_out_more_often_in_later_stages():
    """0.05 a stage, to 0.2 in the last; of S none before stride 16. A block has what its input's
    stride says, and a dual path what its block has."""
    with torch.device("meta"):
        small, large = MaXDeepLabBackbone(), MaXDeepLabBackbone(large=True)
    rates = [
        [[block.drop.drop_prob for block in stage.blocks] for stage in model.stages]
        for model in (small, large)
    ]
    assert rates[0][:2] == [[0.0] * 3, [0.0] * 4]
    assert rates[0][2:] == [[0.0, *[pytest.approx(0.15)] * 5], [pytest.approx(0.15), 0.2, 0.2]]
    assert [one[-1] for one in rates[1]] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert [layer.drop.drop_prob for layer in small.stages[3].transformers] == rates[0][3]
    assert [len(stage.transformers) for stage in large.stages] == [0, 0, 0, 3, 3]


def test_an_image_that_is_too_large_is_named():
    model = MaXDeepLabBackbone(**TINY, reach=3).eval()
    with torch.no_grad():
        model(torch.zeros(1, 3, 48, 20))
        with pytest.raises(ValueError, match=r"49 x 20 is too large .* reach 48 pixels; resize"):
            model(torch.zeros(1, 3, 49, 20))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(depths=(1, 2)), r"depths must have 4 numbers, got \[1, 2\]"),
        (dict(large=True, depths=(1, 1, 1, 1)), "depths must have 5 numbers"),
        (dict(width=12), "width must be a multiple of 8, got 12"),
        (dict(slots=0), "slots must be at least 1, got 0"),
        (dict(drop_path=1), r"drop_path must be in \[0, 0.99\], got 1"),
        (dict(large="no"), "large must be True or False, got 'no'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        MaXDeepLabBackbone(**options)
