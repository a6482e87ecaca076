"""The folded way against the dense one, which is the definition."""

import pytest
import torch
from torch.nn import functional as F

from mmmaskformer import core
from mmmaskformer.core import folded_masks
from mmmaskformer.core.folded_masks import mask_logits, pixel_embedding


def problem(bias=True, dtype=torch.float32, features=16, channels=12, grid=(6, 7)):
    """Leaves that take gradients, and the pixel features of two of them."""
    shapes = [(2, features, *grid), (channels, features, 3, 3), (channels,)]
    leaves = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]
    return leaves[: 3 if bias else 2], core.PixelFeatures(*leaves[: 3 if bias else 2])


def definition(pixels, embeds):
    """Inner products with the pixel embedding."""
    dense = F.conv2d(pixels.features, pixels.weight, pixels.bias, padding=1)
    return [
        (rows[:, :, None, None] * maps).sum(1) for rows, maps in zip(embeds, dense, strict=True)
    ]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("counts", [(3, 5), (0, 4), (12, 20), (0, 0)])
def test_values_and_gradients_are_the_definitions(bias, made, counts):
    """Few masks are folded, many are not, and the caller may have the pixel embedding."""
    leaves, pixels = problem(bias)
    embeds = [torch.randn(count, 12, requires_grad=True) for count in counts]
    upstream = [torch.randn(count, 6, 7) for count in counts]
    dense = pixel_embedding(pixels) if made else None
    results = []
    for logits in (mask_logits(pixels, embeds, dense), definition(pixels, embeds)):
        assert [part.shape for part in logits] == [part.shape for part in upstream]
        total = sum((part * grad).sum() for part, grad in zip(logits, upstream, strict=True))
        total = total + 0 * sum(leaf.sum() for leaf in (*leaves, *embeds))
        grads = torch.autograd.grad(total, [*leaves, *embeds])
        results.append([*(part.detach() for part in logits), *grads])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("count", "made", "ways"), [(3, False, "FF"), (12, False, "DD"),
    (3, True, "FF"), (9, True, "DD"), (0, True, "DD")])  # fmt: skip
def test_the_cheaper_way_is_taken(count, made, ways, monkeypatch):
    _, pixels = problem()
    taken, fold = [], folded_masks._folded
    monkeypatch.setattr(folded_masks, "_folded", lambda *a: taken.append("F") or fold(*a))
    dense = pixel_embedding(pixels) if made else None
    mask_logits(pixels, [torch.randn(count, 12)] * 2, dense)
    assert "".join(taken) == ways.replace("D", "")
    with torch.no_grad():  # where the embedding exists, folding saves gradients only
        taken.clear()
        mask_logits(pixels, [torch.randn(3, 12)] * 2, dense)
        assert taken == ([] if made else ["F", "F"])


def test_values_come_from_the_embedding_that_exists():
    _, pixels = problem()
    logits = mask_logits(pixels, [torch.randn(3, 12)] * 2, torch.zeros(2, 12, 6, 7))
    assert not torch.cat(logits).any()
    assert torch.cat(logits).requires_grad


def test_mask_logits_of_a_layer():
    _, pixels = problem()
    output = core.FactoredOutput(torch.randn(2, 2, 5, 4), torch.randn(2, 2, 5, 12), pixels)
    for layer in (0, -1):
        expected = torch.stack(definition(pixels, output.mask_embed[layer]))
        torch.testing.assert_close(
            core.layer_mask_logits(output, layer), expected, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_errors_under_autocast_are_no_larger_than_the_dense_ways(dtype, monkeypatch):
    """Losses and gradients of a training step, against float64."""
    torch.manual_seed(0)
    leaves, _ = problem(features=64, channels=64, grid=(12, 12))
    with torch.no_grad():
        leaves[1] /= 24  # as initialised: the embedding is of the features' size
    classes = torch.randn(1, 2, 10, 6, requires_grad=True)
    embed = torch.randn(1, 2, 10, 64, requires_grad=True)
    leaves = [classes, embed, *leaves]
    targets = [
        core.SegmentTargets(torch.tensor([0, 3]), torch.randint(-1, 2, (48, 48)).int())
        for _ in range(2)
    ]

    def run(kind, autocast):
        parts = [leaf.to(kind) for leaf in leaves]
        with torch.autocast("cpu", dtype, enabled=autocast):
            embed = parts[1].to(dtype) if autocast else parts[1]
            output = core.FactoredOutput(parts[0], embed, core.PixelFeatures(*parts[2:]))
            losses = core.MaskFormerCriterion()(output, targets)
        total = losses["loss_mask"] + losses["loss_dice"]
        return [total.detach(), *torch.autograd.grad(total, leaves[1:])]

    exact = run(torch.float32, False)
    folded = run(torch.float32, True)
    monkeypatch.setattr(folded_masks, "FOLD_SHARE", 0)
    dense = run(torch.float32, True)
    assert not all(torch.equal(one, other) for one, other in zip(folded, dense, strict=True))
    for one, other, reference in zip(folded, dense, exact, strict=True):
        error, allowed = ((x - reference).float().norm() for x in (one, other))
        assert error <= 1.1 * allowed + 1e-6 * reference.norm()


def test_a_convolution_with_hooks_is_called():
    """Whoever hooks the last convolution sees it, in training and in inference."""
    decoder = core.FPNPixelDecoder([8, 16], channels=16, mask_channels=64, norm_groups=4)
    features = [torch.randn(2, 8, 16, 16), torch.randn(2, 16, 8, 8)]
    folded, _ = decoder(features)
    assert folded.weight is decoder.mask_features.weight
    calls = []
    decoder.mask_features.register_forward_hook(lambda *args: calls.append(1))
    pixels, _ = decoder(features)
    assert calls == [1]
    assert pixels.weight is None
    torch.testing.assert_close(pixels.features, pixel_embedding(folded))
