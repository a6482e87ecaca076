import ast
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from mmmaskformer import core


def test_mask_logits_are_inner_products():
    output = core.FactoredOutput(
        torch.randn(2, 3, 4, 6), torch.randn(2, 3, 4, 5), torch.randn(3, 5, 7, 8)
    )
    logits = output.mask_logits(0)
    expected = (output.mask_embed[0, 2, 1, :, None, None] * output.pixel_embed[2]).sum(0)
    torch.testing.assert_close(logits[2, 1], expected)
    torch.testing.assert_close(output.image(2).mask_logits(0)[0], logits[2])
    assert (output.num_layers, output.batch_size, output.num_classes) == (2, 3, 5)


@pytest.mark.parametrize("shape", [(2, 3, 4, 9), (2, 3, 5, 5), (3, 4, 5)])
def test_factors_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected class_logits \(L, B, Q, C \+ 1\)"):
        core.FactoredOutput(torch.zeros(2, 3, 4, 6), torch.zeros(shape), torch.zeros(3, 5, 7, 8))


def test_targets_name_their_image_when_refused():
    with pytest.raises(ValueError, match="street.png: expected labels"):
        core.SegmentTargets(torch.zeros(2, 2), torch.zeros(4, 4), "street.png")


def test_segment_masks():
    segment_map = torch.tensor([[0, 1, core.NO_SEGMENT]])
    masks = core.SegmentTargets(torch.tensor([3, 5, 5]), segment_map).masks()
    assert masks.tolist() == [[[True, False, False]], [[False, True, False]], [[False] * 3]]


def test_core_imports_torch_and_scipy_only():
    """And triton, in the one file that nobody imports where triton is missing."""
    standard = {"__future__", "collections", "dataclasses", "functools", "math", "os", "re"}
    standard |= {"typing", "warnings"}
    for path in Path(core.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            allowed = {"torch", "triton" if path.name == "triton_mask_loss.py" else "scipy"}
            assert {name.split(".")[0] for name in names} <= standard | allowed, path


def convolved(batch=2, features=5, channels=4):
    """A pixel embedding that is still a convolution."""
    return core.PixelEmbedding(
        torch.randn(batch, features, 6, 7), torch.randn(channels, features, 3, 3),
        torch.randn(channels),
    )  # fmt: skip


@pytest.mark.parametrize("queries", [1, 3, 9])
def test_mask_logits_need_not_go_through_the_pixel_embedding(queries):
    pixels = convolved()
    output = core.FactoredOutput(
        torch.randn(2, 2, queries, 4), torch.randn(2, 2, queries, 4), pixels
    )
    assert pixels.shape == (2, 4, 6, 7)
    embed = F.conv2d(pixels.features, pixels.weight, pixels.bias, padding=1)
    torch.testing.assert_close(output.pixel_embed, embed)
    expected = torch.einsum("bqd,bdhw->bqhw", output.mask_embed[1], embed)
    torch.testing.assert_close(output.mask_logits(), expected)
    torch.testing.assert_close(output.dense().mask_logits(), expected)
    torch.testing.assert_close(output.image(1).mask_logits()[0], expected[1])
    assert pixels.mask_logits(0, output.mask_embed[0, 0, :0]).shape == (0, 6, 7)
    without_bias = core.PixelEmbedding(pixels.features, pixels.weight)
    expected = torch.einsum(
        "qd,dhw->qhw", output.mask_embed[1, 0], without_bias.dense().features[0]
    )
    torch.testing.assert_close(without_bias.mask_logits(0, output.mask_embed[1, 0]), expected)


@pytest.mark.parametrize("with_bias", [False, True])
def test_mask_logits_of_an_embedding_that_is_made_have_the_convolutions_gradient(with_bias):
    pixels, embed = convolved(), torch.randn(3, 4, requires_grad=True)
    features, weight = pixels.features.requires_grad_(), pixels.weight.requires_grad_()
    bias = pixels.bias.requires_grad_() if with_bias else None
    leaves = [embed, features, weight, *([bias] if with_bias else [])]
    folded = core.PixelEmbedding(features, weight, bias)
    made = core.PixelEmbedding(features, weight, bias, folded.dense().features)
    grad = torch.randn(3, 6, 7)
    expected = folded.mask_logits(1, embed)
    assert torch.equal(made.dense().features, folded.dense().features)
    for logits in (made.mask_logits(1, embed), made.image(1).mask_logits(0, embed)):
        torch.testing.assert_close(logits, expected)
        found = torch.autograd.grad(logits, leaves, grad)
        wanted = torch.autograd.grad(expected, leaves, grad, retain_graph=True)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other)
    assert made.mask_logits(0, embed[:0]).shape == (0, 6, 7)
    elsewhere = core.PixelEmbedding(features, weight, bias, torch.zeros(2, 4, 6, 7))
    assert not elsewhere.mask_logits(0, embed).any()
    assert not elsewhere.image(1).mask_logits(0, embed).any()
    assert not elsewhere.dense().features.any()
